"""Test that after any edits a program prints the same as after a clean build of the same sources."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import cargo_driver as driver
from cargo_driver import Volume
from cargo_edits import EDITS
from cargo_project import Project


def said(volume: Volume) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in volume.prints().splitlines())


def build(volume: Volume, source: Path, project: Project, age: float | None = None) -> None:
    project.write(source, age)
    volume.build(source, driver.plan(variables=project.variables)).check()
    assert said(volume) == project.prints()


def test_random_edits(tmp_path: Path, seed: int, steps: int) -> None:
    """Build commits of two projects in one volume, in any order, and kill some builds."""
    random, volume, source = Random(seed), Volume(tmp_path), tmp_path / "source"
    other = Project()
    other.files["app/src/main.rs"] = other.files["app/src/main.rs"].replace("CODE-0", "CODE-other")
    other.files["base/data.txt"] = "other"
    commits, spent = [Project(), other], 3.0
    done: list[str] = []
    for step in range(steps):
        project = random.choice(commits).copy()
        names = []
        for edit in random.choices(EDITS, k=random.choice((1, 1, 2))):
            edit(project, random)
            names.append(edit.__name__)
        commits = [*commits[-4:], project]
        age = random.choice((None, time.time() - 1e6, 1e9, time.time() + 60))
        if random.random() < 0.25:
            after = random.random() * spent
            project.write(source, age)
            built = driver.plan(variables=project.variables)
            volume.build(source, built, killed_after=after)
            done.append(f"{step} killed after {after:.2f}: {' '.join(names)}")
            if random.random() < 0.5:
                project = random.choice(commits)
        done.append(f"{step}: {' '.join(names)}")
        started = time.monotonic()
        project.write(source, age)
        outcome = volume.build(source, driver.plan(variables=project.variables))
        spent = time.monotonic() - started
        assert outcome.status == 0, "\n".join([f"seed {seed}", *done, outcome.stderr])
        assert said(volume) == project.prints(), "\n".join([f"seed {seed}", *done])
