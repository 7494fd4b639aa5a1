"""CI configurations, written for one system after another from one table and one template each.

A row says what a system calls things; its template in `templates/` says how the system spells jobs,
triggers, caches and secrets. The commands in between are the same everywhere and exist once, here: a
build for pull requests, a publish for the main branch and for tags, and in matrix mode one publish per
platform on a native runner, under a tag of its own, and one merge of their digests. The tags of what is
published are the command's business, which knows the systems' variables (`pipeline/git/ci.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.errors import InvalidArgument, WouldOverwrite

TEMPLATES = Path(__file__).parent / "templates"
SOURCE = "https://raw.githubusercontent.com/rust-multiarch/rust-multiarch"
"""Where the files of a release are served, each under the release's tag."""


@dataclass(frozen=True)
class LoginExpressions:
    """How a job signs in at a registry, as expressions of its system.

    Attributes:
        user: the user name.
        token: the password or token.
        packages: what the job's own token may do with the system's packages.
    """

    user: str
    token: str
    packages: str


@dataclass(frozen=True)
class CiSystem:
    """One row: a CI system and what it calls things.

    Attributes:
        name: what `ci init` takes.
        path: where the system looks for its configuration.
        template: file name in `templates/`.
        schema: what its files are validated with: a schema of check-jsonschema, or a program.
        tools: shell expression of the directory that the commands are installed under and cached from.
        runners: the native runner of each platform, by the system's own names or by ones to choose.
        needs: what a person has to set up for the configuration to work.
        user: environment variable with the user name at the registry.
        token: environment variable with the password or token at the registry.
        dollar: how the system's files write a `$` that is meant for the shell.
        hosted: jobs start on a machine that has nothing, so compiled state is kept in the registry.
        logins: where the file has to say it, how a job signs in at a registry, by its host; "" is any other.
    """

    name: str
    path: str
    template: str
    schema: str
    tools: str
    runners: Mapping[str, str]
    needs: tuple[str, ...] = ()
    user: str = "REGISTRY_USER"
    token: str = "REGISTRY_TOKEN"
    dollar: str = "$"
    hosted: bool = False
    logins: Mapping[str, LoginExpressions] = field(default_factory=dict)

    def login(self, image: str) -> LoginExpressions | None:
        """How a job signs in at the registry of an image, where the file has to say it."""
        return self.logins.get(image.split("/")[0], self.logins.get(""))


_GITHUB_LOGINS = {
    "ghcr.io": LoginExpressions("${{ github.actor }}", "${{ github.token }}", "write"),
    "": LoginExpressions("${{ secrets.REGISTRY_USER }}", "${{ secrets.REGISTRY_TOKEN }}", "none"),
}
_SECRETS = "the secrets REGISTRY_USER and REGISTRY_TOKEN"
_OWN_RUNNERS = {"linux/amd64": "linux-amd64", "linux/arm64": "linux-arm64"}

# fmt: off
SYSTEMS: tuple[CiSystem, ...] = (
    CiSystem("github", ".github/workflows/image.yml", "github.yml", "github-workflows",
           "$HOME/.rust-multiarch",
           {"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"},
           ("nothing for ghcr.io: the job's own token pushes there; other registries: their secrets as "
            "REGISTRY_USER and REGISTRY_TOKEN",), hosted=True, logins=_GITHUB_LOGINS),
    CiSystem("gitlab", ".gitlab-ci.yml", "gitlab.yml", "gitlab-ci",
           "$CI_PROJECT_DIR/.rust-multiarch",
           {"linux/amd64": "saas-linux-small-amd64", "linux/arm64": "saas-linux-small-arm64"},
           ("a runner that may run Docker in Docker (GitLab's own do)",
            "nothing for the project's own registry; others: their user and token in its variables"),
           hosted=True),
    CiSystem("circleci", ".circleci/config.yml", "circleci.yml", "circle-ci",
           "$HOME/.rust-multiarch",
           {"linux/amd64": "medium", "linux/arm64": "arm.medium"},
           ("a context named registry with REGISTRY_USER and REGISTRY_TOKEN",), hosted=True),
    CiSystem("jenkins", "Jenkinsfile", "Jenkinsfile", "jdp",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("agents with Docker, labelled docker", "a user name with password named registry"),
           user="REGISTRY_USR", token="REGISTRY_PSW"),
    CiSystem("azure", "azure-pipelines.yml", "azure.yml", "azure-pipelines",
           "$PIPELINE_WORKSPACE/rust-multiarch", _OWN_RUNNERS,
           ("the secret variables REGISTRY_USER and REGISTRY_TOKEN",), hosted=True),
    CiSystem("buildkite", ".buildkite/pipeline.yml", "buildkite.yml", "buildkite",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("agents with Docker", _SECRETS), dollar="$$"),
    CiSystem("forgejo", ".forgejo/workflows/image.yml", "forgejo.yml", "github-workflows",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("a runner whose jobs get the Docker socket", _SECRETS)),
)
# fmt: on

_REGISTRIES = {"github.com": "ghcr.io", "gitlab.com": "registry.gitlab.com", "codeberg.org": "codeberg.org"}
_REMOTE = re.compile(
    r"(?:\w+://(?:[^@/]+@)?|[^@/]+@)(?P<host>[\w.-]+)(?::\d+)?[:/]+(?P<path>.+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Options:
    """What a configuration is written for.

    Attributes:
        image: address without a tag, as in `ghcr.io/me/app`.
        platforms: OCI platforms to build for; none leaves them to the project's settings.
        version: release of this project that the configuration installs, as in `0.1.0`.
        branch: the branch whose pushes are published.
        matrix: a native runner per platform and a merge, instead of one runner for all.
    """

    image: str
    platforms: tuple[str, ...]
    version: str
    branch: str = "main"
    matrix: bool = False


def system(name: str) -> CiSystem:
    """The row of a CI system.

    Raises:
        InvalidArgument: there is none of this name.
    """
    for row in SYSTEMS:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in SYSTEMS)
    raise InvalidArgument(f"no CI system is named {name!r}", where="SYSTEM", fix=f"choose one of {known}")


def image_of(remote: str) -> str:
    """The image address that belongs to a git remote's URL, empty where its registry is not known."""
    match = _REMOTE.fullmatch(remote)
    registry = _REGISTRIES.get(match["host"].lower(), "") if match else ""
    return f"{registry}/{match['path'].lower()}" if match and registry else ""


def render(row: CiSystem, options: Options) -> dict[str, str]:
    """The files of a CI system, text by path."""
    template = (TEMPLATES / row.template).read_text()
    values = {
        "image": options.image,
        "branch": options.branch,
        "version": f"v{options.version}",
        "tools": f"{row.tools}/v{options.version}",
    }
    values |= commands(row, options)
    if login := row.login(options.image):
        values |= asdict(login)
    values = {name: value.replace("$", row.dollar) for name, value in values.items()}
    blocks = []
    for mode, text in _blocks(template):
        if mode == "each" and options.matrix:
            blocks += [_fill(text, values | _leg(row, platform)) for platform in options.platforms]
        elif mode in ("both", "matrix" if options.matrix else "single"):
            blocks.append(_fill(text, values))
    return {row.path: "".join(blocks)}


def write(files: Mapping[str, str], root: Path, *, force: bool = False) -> list[Path]:
    """Write files under a directory; the paths written, in order.

    Raises:
        WouldOverwrite: one of them exists, and `force` was not given. None is written then.
    """
    paths = [root / name for name in files]
    taken = [path for path in paths if path.exists()]
    if taken and not force:
        raise WouldOverwrite(
            "the file exists", where=str(taken[0]), fix="look at it with --stdout, or overwrite with --force"
        )
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


def commands(row: CiSystem, options: Options) -> dict[str, str]:
    """The command lines that every configuration calls, by the name that templates have for each."""
    platforms = f" --platform {','.join(options.platforms)}" if options.platforms else ""
    login = f'--username "${row.user}" --password {row.token}'
    one = '--tag-rules "type=sha,suffix=-$SLUG"'
    script = f"{SOURCE}/v{options.version}/install.sh"

    def state(of: str, *flags: str) -> str:
        """Flags with the place of compiled state, where the system's machines keep none."""
        place = f'"type=registry,ref=$IMAGE:buildcache{of}"'
        return "".join(f" {flag} {place}" for flag in flags if row.hosted)

    # A pull request reads without signing in: it may be a stranger's, whose jobs get no secrets.
    read, kept = ("--cache-from",), ("--cache-from", "--cache-to")
    publish = 'rust-multiarch publish --platform "$PLATFORM" --tag "$IMAGE"'
    return {
        "setup": f'curl -fsSL {script} | sh -s "{row.tools}/v{options.version}"',
        "build": f"rust-multiarch build{platforms}" + state("", *read),
        "publish": f'rust-multiarch publish{platforms} --tag "$IMAGE" {login}' + state("", *kept),
        "build_one": 'rust-multiarch build --platform "$PLATFORM"' + state("-$SLUG", *read),
        "publish_one": f"{publish} {one} {login}" + state("-$SLUG", *kept),
        "merge": f'rust-multiarch merge --tag "$IMAGE" {login}',
    }


def runner(row: CiSystem, platform: str) -> str:
    """The runner of a platform: where no native one is named, the one of linux/amd64 cross-compiles."""
    return row.runners.get(platform, row.runners["linux/amd64"])


def _leg(row: CiSystem, platform: str) -> dict[str, str]:
    """One platform's values."""
    slug = platform.replace("/", "-")
    named = {"platform": platform, "slug": slug, "ident": slug.replace("-", "_")}
    return {**named, "runner": runner(row, platform)}


def _blocks(template: str) -> Iterator[tuple[str, str]]:
    """A template's blocks and their modes: `both`, `single`, `matrix`, or `each` platform of a matrix."""
    mode, *rest = re.split(r"^#\| (\w+)\n", "#| both\n" + template, flags=re.MULTILINE)[1:]
    yield mode, rest[0]
    yield from zip(rest[1::2], rest[2::2], strict=True)


def _fill(block: str, values: Mapping[str, str]) -> str:
    """A block with every `@name@` replaced; a value of several lines keeps the indentation it stands at."""

    def value(match: re.Match[str]) -> str:
        return values[match[2]].replace("\n", "\n" + match[1])

    block = re.sub(r"^( *)@(\w+)@$", lambda m: m[1] + value(m), block, flags=re.MULTILINE)
    return re.sub(r"()@(\w+)@", value, block)
