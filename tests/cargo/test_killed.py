"""Test builds that are killed at each program that the shell starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cargo_driver as driver
import pytest
from cargo_driver import Volume
from cargo_project import Project

KILLERS = ("tar", "mv", "rm", "ln", "cp", "touch", "cargo")
EVERY = 7
"""The step between the tested points."""


def killing(folder: Path, after: int) -> str:
    """Return a PATH that kills the shell and its children when it starts its n-th program."""
    tools = folder / "tools"
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir()
    count = folder / "count"
    count.write_text("x" * after)
    for name in KILLERS:
        tool = tools / name
        counted = f"[ -s {count} ] || kill -9 0\ntruncate -s -1 {count}"
        tool.write_text(f'#!/bin/sh\n{counted}\nexec {shutil.which(name)} "$@"\n')
        tool.chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


@pytest.mark.later
def test_killed_at_every_program(tmp_path: Path) -> None:
    volume, source, first, second = Volume(tmp_path), tmp_path / "source", Project(), Project()
    second.files["base/data.txt"] = second.files["base/schema.txt"] = "other"
    second.files["app/assets/more.txt"] = "more"
    del second.files["app/assets/first.txt"]
    commits = (first, second)
    after, survived = 0, False
    while not survived:
        for number, project in enumerate(commits):
            project.write(source)
            built = driver.plan(variables=project.variables)
            done = volume.build(source, built, tools=killing(tmp_path, after))
            survived = done.status == 0
            for again in (commits[1 - number], project) if after % 2 else (project, commits[1 - number]):
                again.write(source)
                volume.build(source, driver.plan(variables=again.variables)).check()
                said = dict(line.split(" ", 1) for line in volume.prints().splitlines())
                assert said == again.prints(), f"killed at program {after} of project {number}"
        after += EVERY
    assert after > 10
