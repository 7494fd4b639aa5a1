"""Make random edits of the workspace."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from cargo_project import FILES, VARIABLES, Project

Edit = Callable[[Project, Random], None]

TEXTS = ("note.txt", "base/schema.txt", "base/data.txt", "base/extra.txt", "base/seed.txt", "app/one.txt")


def change_text(project: Project, random: Random) -> None:
    name = random.choice(TEXTS)
    project.files[name] = f"{name.rsplit('/')[-1].partition('.')[0]}-{random.randrange(4)}"


def change_code(project: Project, random: Random) -> None:
    said = project.files["app/src/main.rs"]
    before = said.partition('"CODE-')[2].partition('"')[0]
    project.files["app/src/main.rs"] = said.replace(f'"CODE-{before}"', f'"CODE-{random.randrange(4)}"')


def change_constant(project: Project, random: Random) -> None:
    first, second = random.randrange(3), random.randrange(3)
    text = f'// first-{first}\npub const VALUE: &str = "value-{second}";\n'
    project.files["base/src/consts.rs"] = text


def add_asset(project: Project, random: Random) -> None:
    project.files[f"app/assets/{random.choice('abc')} {random.randrange(2)}.txt"] = str(random.randrange(3))


def delete_asset(project: Project, random: Random) -> None:
    found = [name for name in project.files if name.startswith("app/assets/")]
    if len(found) > 1:
        del project.files[random.choice(found)]


def rename_asset(project: Project, random: Random) -> None:
    found = [name for name in project.files if name.startswith("app/assets/")]
    project.files[f"app/assets/renamed {random.randrange(3)}"] = project.files.pop(random.choice(found))


def change_mode(project: Project, random: Random) -> None:
    project.executable ^= {random.choice(("app/tool.sh", "note.txt"))}


def change_link(project: Project, random: Random) -> None:
    project.links["app/linked"] = random.choice(("one.txt", "two.txt"))


def change_variable(project: Project, random: Random) -> None:
    name = random.choice(VARIABLES)
    if random.random() < 0.3:
        project.variables.pop(name, None)
    else:
        project.variables[name] = f"{name.lower()}-{random.randrange(3)}"


def nothing(project: Project, random: Random) -> None:
    pass


def change_manifest(project: Project, random: Random) -> None:
    project.files["Cargo.toml"] = FILES["Cargo.toml"] + f"# {random.randrange(3)}\n"


EDITS: tuple[Edit, ...] = (
    change_text,
    change_text,
    change_code,
    change_constant,
    add_asset,
    delete_asset,
    rename_asset,
    change_mode,
    change_link,
    change_variable,
    change_variable,
    change_manifest,
    nothing,
)
