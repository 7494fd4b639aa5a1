"""After any edits a program prints what a clean build of the same sources prints."""

from __future__ import annotations

from pathlib import Path

import driver
from driver import Volume
from project import Project


def build(volume: Volume, source: Path, project: Project) -> None:
    project.write(source)
    volume.build(source, driver.plan(variables=project.variables)).check()
    said = dict(line.split(" ", 1) for line in volume.prints().splitlines())
    assert said == project.prints()


def test_first(tmp_path: Path) -> None:
    build(Volume(tmp_path), tmp_path / "source", Project())
    build(Volume(tmp_path), tmp_path / "source", Project())
