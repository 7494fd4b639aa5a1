"""Run every command of the documentation, in order, page by page.

There are two differences from the pages: ghcr.io is a registry on this machine that requires a user name and
a password, and the module is that of this working tree.
"""

import re
import subprocess
from pathlib import Path

import crates
import doc_blocks
import pytest
import test_signing
from conftest import ROOT
from test_ci_config import PASSWORD, environment

MODULE = re.compile(r"-m github\.com/rust-multiarch/rust-multiarch(?:@v[0-9.]+)?")
PAGES = [page for page in doc_blocks.PAGES if doc_blocks.run_on(page)]
SECONDS = 900


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a cargo project with a git remote, at a tag, and a cosign key; its program is `server`."""
    for path, text in crates.hello_files("server").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "deploy.yaml").write_text("image: rust-multiarch://server\n")
    (tmp_path / "program").write_bytes(Path("/bin/true").read_bytes())
    made = (
        "program",
        "dist",
        "image.tar",
        "docker.tar",
        "layout",
        "state.tar.zst",
        "cosign.*",
        "resolved.yaml",
    )
    (tmp_path / ".gitignore").write_text("".join(f"/{name}\n" for name in made))
    test_signing.pair(tmp_path)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]
    remote = ["remote", "add", "origin", "git@github.com:me/app.git"]
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "first"],
        ["tag", "v1.2.3"],
        ["tag", "release-1.2.3"],
        remote,
    ):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


MARKED = [
    pytest.param(page, id=page.name, marks=[] if page.name == "README.md" else pytest.mark.documents)
    for page in PAGES
]


@pytest.mark.parametrize("page", MARKED)
def test_the_commands_of_a_page(page: Path, project: Path, private_registry) -> None:
    for command in doc_blocks.run_on(page):
        typed = MODULE.sub(f"-m {ROOT}", command.replace("ghcr.io", private_registry.address))
        done = subprocess.run(
            ["bash", "-ec", typed],
            cwd=project,
            env=environment(GHCR_TOKEN=PASSWORD, COSIGN_PASSWORD=test_signing.PASSWORD),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}\n{done.stderr}"
