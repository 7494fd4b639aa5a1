"""Several processes set the same tags at once, killed at random points, at a real registry."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import conditional
import pytest
import taggers
from hypothesis import settings
from taggers import Push
from test_unlucky import whole

from engine import registry

pytestmark = pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs docker-registry")

TAGGERS = 4
KILLS = f"{int(signal.SIGKILL)}"
KILLS_AND_INTERRUPTS = f"{int(signal.SIGKILL)},{int(signal.SIGINT)},{int(signal.SIGINT)}"


@dataclass
class Counts:
    """The counts of a run.

    Attributes:
        pushes: the pushes of all taggers.
        killed: those that ended by SIGKILL.
        interrupted: those that ended by Ctrl-C, after restoring their tags.
        refused: those with a tag that the registry refused, which restored the others.
        tags: the tags that they set.
        lost: tags of a push that succeeded, which name something older or nothing.
        not_said: tags that a failed push left without naming them in its error.
    """

    pushes: int = 0
    killed: int = 0
    interrupted: int = 0
    refused: int = 0
    tags: int = 0
    lost: int = 0
    not_said: int = 0


def turns() -> int:
    """Return the pushes of each tagger: few for each commit, many in the thorough profile."""
    return 3 if settings().max_examples < 1000 else 40


def run(host: str, folder: Path, signals: str, *more: str) -> list[Push]:
    """Run the taggers at once; return their pushes."""
    path = os.pathsep.join(str(Path(module.__file__).parent) for module in (taggers, conditional))
    env = {**os.environ, "PYTHONPATH": path}
    commands = [
        [sys.executable, taggers.__file__, host, str(folder), str(number), str(turns()), signals, *more]
        for number in range(TAGGERS)
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for command in commands]
    pushes = []
    for process in running:
        printed, _ = process.communicate(timeout=600)
        assert process.returncode == 0
        for line in printed.splitlines():
            document = json.loads(line)
            pushes.append(Push(**{**document, "tags": tuple(document["tags"])}))
    return pushes


def lost(pushes: Sequence[Push], final: str) -> bool:
    """Return True if a push of a tag succeeded, and the tag names nothing, or what was pushed before."""
    succeeded = [push for push in pushes if push.code == 0]
    if not final:
        return bool(succeeded)
    named = next(push for push in pushes if push.digest == final)
    return any(push.began > named.ended for push in succeeded)


def counted(host: str, pushes: Sequence[Push]) -> Counts:
    """Check each tag, and count."""
    found = Counts(
        pushes=len(pushes),
        killed=sum(push.code == -signal.SIGKILL for push in pushes),
        interrupted=sum(push.code == 130 for push in pushes),
        refused=sum(conditional.NEVER in push.tags and push.code > 0 for push in pushes),
    )
    for tag in sorted({tag for push in pushes for tag in push.tags}):
        mine = [push for push in pushes if tag in push.tags]
        final = whole(host, tag)
        assert final in {"", *(push.digest for push in mine)}, "something that somebody pushed"
        found.tags += 1
        found.lost += tag != conditional.NEVER and lost(mine, final)
        failed = next((push for push in mine if push.digest == final and push.code > 0), None)
        found.not_said += failed is not None and f"/app:{tag}" not in failed.said
    return found


def test_taggers_that_are_killed(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    with registry.throwaway() as made:
        pushes = run(made.address, tmp_path, KILLS)
        found = counted(made.address, pushes)
    record_property("taggers", str(found))
    print(found)
    assert {push.code for push in pushes} <= {0, -signal.SIGKILL}
    assert found.pushes == TAGGERS * turns() and found.killed and found.lost == 0


def test_taggers_that_restore_their_tags(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """A registry with conditional requests: no rollback takes away what another tagger has set."""
    with registry.throwaway() as made, conditional.proxy(made.address) as front:
        pushes = run(front.address, tmp_path, KILLS_AND_INTERRUPTS, conditional.NEVER)
        found = counted(made.address, pushes)
        conflicts = front.refused
    record_property("taggers", f"{found}, {conflicts} conflicts")
    print(found, conflicts, "conflicts")
    assert found.pushes == TAGGERS * turns() and found.refused and found.lost == 0
