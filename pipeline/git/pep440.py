"""Parse and order versions by PEP 440, Python's, for tag rules of type `pep440`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.git.semver import Version

_PRE = {"alpha": "a", "a": "a", "beta": "b", "b": "b", "c": "rc", "rc": "rc", "pre": "rc", "preview": "rc"}

_VERSION = re.compile(
    r"""
    v? (?: (?P<epoch>[0-9]+) ! )?
    (?P<release> [0-9]+ (?: \. [0-9]+ )* )
    (?: [-_.]? (?P<pre> alpha | a | beta | b | preview | pre | c | rc ) [-_.]? (?P<pre_number>[0-9]*) )?
    (?P<post> -(?P<post_alone>[0-9]+) | [-_.]? (?: post | rev | r ) [-_.]? (?P<post_number>[0-9]*) )?
    (?P<dev> [-_.]? dev [-_.]? (?P<dev_number>[0-9]*) )?
    (?: \+ (?P<local> [a-z0-9]+ (?: [-_.] [a-z0-9]+ )* ) )?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class PythonVersion(Version):
    """A version by PEP 440; `prerelease` is set for every version that is not final.

    Attributes:
        text: the normalized version.
        key: the order.
    """

    text: str = ""
    key: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.text

    def _precedence(self) -> tuple[object, ...]:
        return self.key


def of_tag(tag: str) -> PythonVersion | None:
    """Parse a git tag as a version, with or without a leading `v`; return None for other tags."""
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    epoch = int(match["epoch"] or 0)
    pre = (_PRE[match["pre"].lower()], int(match["pre_number"] or 0)) if match["pre"] else None
    post = int(match["post_alone"] or match["post_number"] or 0) if match["post"] else None
    dev = int(match["dev_number"] or 0) if match["dev"] else None
    local = re.split(r"[-_.]", match["local"].lower()) if match["local"] else []
    unfinished = "".join(
        (
            f"{pre[0]}{pre[1]}" if pre else "",
            "" if post is None else f".post{post}",
            "" if dev is None else f".dev{dev}",
        )
    )
    text = "".join(
        (
            f"{epoch}!" if epoch else "",
            ".".join(map(str, release)),
            unfinished,
            "+" + ".".join(str(int(part)) if part.isdigit() else part for part in local) if local else "",
        )
    )
    significant = list(release)
    while significant and significant[-1] == 0:
        significant.pop()
    # Before all prereleases are the development releases of a version, and after them the version itself.
    stage = pre or (("", 0) if post is None and dev is not None else ("z", 0))
    locals_ = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in local)
    key = (
        epoch,
        tuple(significant),
        stage,
        -1 if post is None else post,
        (1, 0) if dev is None else (0, dev),
        locals_,
    )
    major, minor, patch = (*release, 0, 0)[:3]
    return PythonVersion(major, minor, patch, unfinished, text=text, key=key)
