import pytest

from pipeline.config import private


@pytest.mark.parametrize(
    "path",
    [
        "gha-creds-0123456789abcdef.json",
        "services/api/gha-creds-1.json",
        "cosign.key",
        ".git/config",
        "vendor/x/.git",
        "home/.docker/config.json",
        ".cargo/credentials.toml",
        "deploy/id_ed25519",
        ".ssh/known_hosts",
    ],
)
def test_private(path: str) -> None:
    assert private.is_private(path)


@pytest.mark.parametrize(
    "path",
    [
        ".gitignore",
        "gha-creds-x/y.json",
        "docker/config.json",
        ".cargo/config.toml",
        "cosign.pub",
        "src/id_rsa.rs",
        "my-cosign.key",
    ],
)
def test_not_private(path: str) -> None:
    assert not private.is_private(path)


def test_the_table_has_each_row_once_and_from_somewhere() -> None:
    assert len({row.pattern for row in private.PRIVATE}) == len(private.PRIVATE)
    assert all(row.what and row.source for row in private.PRIVATE)
    assert {"**/cosign.key", "**/gha-creds-*.json", "**/.git"} <= set(private.NEVER) < set(private.PATTERNS)
