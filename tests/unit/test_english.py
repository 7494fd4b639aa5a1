"""Refuse phrases that are not plain English in committed text, also in names of tests."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PHRASES = {
    "at last so": "name the last error",
    "asked for": "requested",
    "for who": "for users who, or name them",
    "is none": "is missing, does not exist, has no",
    "there is none": "has no, outside of",
    "of ours": "this project's",
    "amounts to": "is",
    "further": "more, additional",
    "tells of": "reports",
    "tell of": "report",
    "heed": "use, respect",
    "heeds": "uses, respects",
}
"""Phrases, and words to use instead."""

ELSEWHERE = re.compile(
    r"\.lock$|go\.sum$|^LICENSE|^tests/data/|^bench/results/|^docs/public-reports|^tests/unit/test_english\.py$"
)
"""Files with text of other people, and this one."""

QUOTED = {"CHANGELOG.md": "`asked for`"}
"""What a file has to quote."""


def test_committed_text_is_plain_english() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    # In names the words are joined by underscores; `if x is None` is code.
    words = "|".join(phrase.replace(" ", r"[\s_]+") for phrase in PHRASES)
    refused = re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])")
    parts = {max(phrase.split(), key=len) for phrase in PHRASES}
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if ELSEWHERE.search(name) or not path.is_file() or b"\0" in (content := path.read_bytes()):
            continue
        text = content.decode().replace(QUOTED.get(name, "\0"), "")
        for match in refused.finditer(text) if any(part in text for part in parts) else ():
            found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}")
    assert found == [], f"write instead: {PHRASES}"
