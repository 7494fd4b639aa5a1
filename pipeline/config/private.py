"""List files that are not uploaded to an engine: .git, private keys and credentials.

CI systems leave credentials in the checkout. The engine caches uploaded files, and build scripts can read
them. A key tracked by git is part of the project, for example for tests, unless it is a signing key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Private:
    """A private file or directory.

    Attributes:
        pattern: the last parts of its path; `*` matches any text.
        what: a description of the content.
        source: the documentation of the file.
        never: leave it out even if git tracks it.
    """

    pattern: str
    what: str
    source: str
    never: bool = False


# fmt: off
PRIVATE = (
    Private(".git", "history, remotes with their tokens", "gitrepository-layout(5)", never=True),
    Private("gha-creds-*.json", "Google Cloud credentials", "google-github-actions/auth, README", never=True),
    Private("cosign.key", "cosign's private key", "cosign generate-key-pair", never=True),
    Private("minisign.key", "minisign's private key", "minisign(1)", never=True),
    Private(".git-credentials", "passwords of git hosts", "git-credential-store(1)"),
    Private(".netrc", "passwords of hosts", "curl(1), --netrc"),
    Private(".pypirc", "tokens of package indexes", "packaging.python.org, The .pypirc file"),
    Private(".vault-token", "a token of Vault", "developer.hashicorp.com, Token helpers"),
    Private("id_rsa", "an ssh private key", "ssh-keygen(1)"),
    Private("id_dsa", "an ssh private key", "ssh-keygen(1)"),
    Private("id_ecdsa", "an ssh private key", "ssh-keygen(1)"),
    Private("id_ed25519", "an ssh private key", "ssh-keygen(1)"),
    Private("id_ecdsa_sk", "an ssh private key", "ssh-keygen(1)"),
    Private("id_ed25519_sk", "an ssh private key", "ssh-keygen(1)"),
    Private(".ssh", "ssh keys", "ssh(1)"),
    Private(".gnupg", "private keys of GnuPG", "gpg(1)"),
    Private(".cargo/credentials", "tokens of registries", "the cargo book, Configuration"),
    Private(".cargo/credentials.toml", "tokens of registries", "the cargo book, Configuration"),
    Private(".aws/credentials", "keys of AWS", "docs.aws.amazon.com, Configuration and credential files"),
    Private(".docker/config.json", "passwords of registries", "docker login"),
    Private(".kube/config", "credentials of clusters", "kubectl config"),
)
# fmt: on

PATTERNS = [f"**/{row.pattern}" for row in PRIVATE]
"""All patterns, in Dagger's format."""

NEVER = [f"**/{row.pattern}" for row in PRIVATE if row.never]
"""The patterns of files left out even if git tracks them."""

_NAMES = "|".join(re.escape(row.pattern).replace(r"\*", "[^/]*") for row in PRIVATE)
_ANY = re.compile(f"(?:.*/)?(?:{_NAMES})(?:/.*)?", re.DOTALL)


def is_private(path: str) -> bool:
    """Return True if a path, relative to a project, is private or in a private directory."""
    return _ANY.fullmatch(path) is not None
