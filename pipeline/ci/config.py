"""Write CI configurations from one table of systems and one template per system.

A row holds a system's names and conventions; its template in `templates/` has the syntax for jobs, triggers,
caches and secrets. All configurations call the same commands, defined here: a build for pull requests, and a
publish for the main branch and for tags. In matrix mode one job per platform publishes on a native runner
under a tag for that platform, and a last job merges the digests. The commands choose the tags of the image
from the system's variables (`pipeline/git/ci.py`).
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InvalidArgument, WouldOverwrite

LINE = 70
"""Length of a command that is written in one line."""

TEMPLATES = Path(__file__).parent / "templates"
SOURCE = "https://raw.githubusercontent.com/rust-multiarch/rust-multiarch"
"""Base URL of release files, each under the release's tag or commit."""

REPOSITORY = "git+https://github.com/rust-multiarch/rust-multiarch"


@dataclass(frozen=True)
class LoginExpressions:
    """Registry credentials of a job, as expressions of its CI system.

    Attributes:
        user: the user name.
        token: the password or token.
        packages: permission of the job's token on the system's packages.
        steps: what the user has to set up, and where.
    """

    user: str
    token: str
    packages: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class CiSystem:
    """A CI system: one row of the table.

    Attributes:
        name: argument of `ci init`.
        path: path of the configuration file.
        template: file name in `templates/`.
        schema: validator of the file: a schema of check-jsonschema, or a program.
        tools: shell expression of the directory that the commands are installed to and cached in.
        runners: native runner of each platform: the system's names, or placeholders to replace.
        needs: what the user sets up, and where.
        user: environment variable with the registry's user name.
        token: environment variable with the registry's password or token.
        dollar: escaped form of a `$` for the shell in the system's files.
        hosted: jobs start on an empty machine, so compiled state is kept in the registry.
        below: what follows the image's address in that of the repository with compiled state.
        compiled: shell expression of a directory that the system keeps, for compiled dependencies.
        logins: credentials by registry host, for systems whose file lists them; "" is any other host.
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
    below: str = "-buildcache"
    compiled: str = ""
    logins: Mapping[str, LoginExpressions] = field(default_factory=dict)

    def login(self, image: str) -> LoginExpressions | None:
        """Return the credentials for an image's registry; None if the file does not list them."""
        return self.logins.get(image.split("/")[0], self.logins.get(""))


_GITHUB_LOGINS = {
    "ghcr.io": LoginExpressions("${{ github.actor }}", "${{ github.token }}", "write"),
    "": LoginExpressions(
        "${{ secrets.REGISTRY_USER }}",
        "${{ secrets.REGISTRY_TOKEN }}",
        "none",
        (
            "set the secrets REGISTRY_USER and REGISTRY_TOKEN: Settings, Secrets and variables, Actions, or "
            "`gh secret set REGISTRY_TOKEN`",
        ),
    ),
}
_OWN_RUNNERS = {"linux/amd64": "linux-amd64", "linux/arm64": "linux-arm64"}

# fmt: off
SYSTEMS: tuple[CiSystem, ...] = (
    CiSystem("github", ".github/workflows/image.yml", "github.yml", "github-workflows",
           "$HOME/.rust-multiarch",
           {"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"},
           hosted=True, logins=_GITHUB_LOGINS),
    CiSystem("gitlab", ".gitlab-ci.yml", "gitlab.yml", "gitlab-ci",
           "$CI_PROJECT_DIR/.rust-multiarch",
           {"linux/amd64": "saas-linux-small-amd64", "linux/arm64": "saas-linux-small-arm64"},
           ("use a runner that may run Docker in Docker (GitLab's own do)",
            "for another registry than the project's own: set REGISTRY_USER and REGISTRY_TOKEN in Settings, "
            "CI/CD, Variables, and remove them from the file"),
           # A project's registry has only repositories below the project's.
           hosted=True, below="/buildcache", compiled="$CI_PROJECT_DIR/.rust-multiarch/compiled"),
    CiSystem("circleci", ".circleci/config.yml", "circleci.yml", "circle-ci",
           "$HOME/.rust-multiarch",
           {"linux/amd64": "medium", "linux/arm64": "arm.medium"},
           ("add a context named registry with REGISTRY_USER and REGISTRY_TOKEN: Organization Settings, "
            "Contexts",), hosted=True, compiled="$HOME/.rust-multiarch-compiled"),
    CiSystem("jenkins", "Jenkinsfile", "Jenkinsfile", "jdp",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("label the agents with Docker `docker`",
            "add a user name with password named registry: Manage Jenkins, Credentials",
            "make a multibranch pipeline that discovers pull requests and tags"),
           user="REGISTRY_USR", token="REGISTRY_PSW"),
    CiSystem("azure", "azure-pipelines.yml", "azure.yml", "azure-pipelines",
           "$PIPELINE_WORKSPACE/rust-multiarch", _OWN_RUNNERS,
           ("set the secret variables REGISTRY_USER and REGISTRY_TOKEN: Edit the pipeline, Variables",),
           hosted=True, compiled="$PIPELINE_WORKSPACE/compiled"),
    CiSystem("buildkite", ".buildkite/pipeline.yml", "buildkite.yml", "buildkite",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("use agents with Docker",
            "set the secrets REGISTRY_USER and REGISTRY_TOKEN: Agents, the cluster, Secrets"), dollar="$$"),
    CiSystem("forgejo", ".forgejo/workflows/image.yml", "forgejo.yml", "github-workflows",
           "$HOME/.rust-multiarch", _OWN_RUNNERS,
           ("use a runner whose jobs get the Docker socket",
            "set the secrets REGISTRY_USER and REGISTRY_TOKEN: Settings, Actions, Secrets")),
)
# fmt: on

_REGISTRIES = {"github.com": "ghcr.io", "gitlab.com": "registry.gitlab.com", "codeberg.org": "codeberg.org"}
_REMOTE = re.compile(
    r"(?:\w+://(?:[^@/]+@)?|[^@/]+@)(?P<host>[\w.-]+)(?::\d+)?[:/]+(?P<path>.+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Options:
    """Options of a configuration.

    Attributes:
        image: address without a tag, for example `ghcr.io/me/app`.
        platforms: OCI platforms to build for; empty to use the project's settings.
        version: release of rust-multiarch to install, for example `0.1.0`.
        branch: branch to publish from.
        matrix: use a native runner per platform and a merge job instead of one runner.
        commit: the release's commit, which names it instead of its tag; empty if unknown.
    """

    image: str
    platforms: tuple[str, ...]
    version: str
    branch: str = "main"
    matrix: bool = False
    commit: str = ""


def system(name: str) -> CiSystem:
    """Return the row of a CI system.

    Raises:
        InvalidArgument: the name is unknown.
    """
    for row in SYSTEMS:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in SYSTEMS)
    raise InvalidArgument(f"no CI system is named {name!r}", where="SYSTEM", fix=f"choose one of {known}")


def steps(row: CiSystem, options: Options) -> tuple[str, ...]:
    """Return what the user does next, in order."""
    login = row.login(options.image)
    last = f"commit and push {row.path}: {options.branch} and tags v* publish to {options.image}"
    return (*row.needs, *(login.steps if login else ()), last)


def image_of(remote: str) -> str:
    """Return the image address for a git remote's URL; "" if its registry is unknown."""
    match = _REMOTE.fullmatch(remote)
    registry = _REGISTRIES.get(match["host"].lower(), "") if match else ""
    return f"{registry}/{match['path'].lower()}" if match and registry else ""


def render(row: CiSystem, options: Options) -> dict[str, str]:
    """Return a CI system's files, text by path."""
    template = (TEMPLATES / row.template).read_text()
    values = {
        "image": options.image,
        "host": options.image.split("/")[0],
        "branch": options.branch,
        "version": f"v{options.version}",
        "reference": options.commit or f"v{options.version}",
        "tools": f"{row.tools}/v{options.version}",
    }
    values |= commands(row, options)
    values["chosen"] = ",".join(options.platforms)
    if login := row.login(options.image):
        values |= {"user": login.user, "token": login.token, "packages": login.packages}
    values = {name: value.replace("$", row.dollar) for name, value in values.items()}
    blocks = []
    for mode, text in _blocks(template):
        if mode == "each" and options.matrix:
            blocks += [_fill(text, values | _leg(row, platform)) for platform in options.platforms]
        elif mode in ("both", "matrix" if options.matrix else "single"):
            blocks.append(_fill(text, values))
    return {row.path: "".join(blocks)}


def write(files: Mapping[str, str], root: Path, *, force: bool = False) -> list[Path]:
    """Write files under a directory; return their paths in order.

    Raises:
        WouldOverwrite: a file exists and `force` is false; nothing is written.
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
    """Return the commands of a configuration, by their name in the templates."""
    platforms = ("--platform " + ",".join(options.platforms),) if options.platforms else ()
    login = f'--username "${row.user}" --password {row.token}'
    one = '--tag-rules "type=sha,suffix=-$SLUG"'

    def state(of: str, *flags: str) -> list[str]:
        """Return flags for compiled dependencies and compiled state, if the system's machines keep none."""
        place = f'"type=registry,ref=$IMAGE{row.below}:state{of}"'
        dependencies = [f'--compile-cache "{row.compiled}"'] if row.compiled else []
        return [*dependencies, *(f"{flag} {place}" for flag in flags if row.hosted)]

    # Pull requests read without credentials: those from forks get no secrets.
    read, kept = ("--cache-from",), ("--cache-from", "--cache-to")
    build, publish = "rust-multiarch build", "rust-multiarch publish"
    leg, attached = '--platform "$PLATFORM"', "--sbom --provenance"
    return {
        "setup": _setup(row, options),
        "build": _lines(build, *platforms, *state("", *read)),
        "publish": _lines(publish, *platforms, '--tag "$IMAGE"', attached, login, *state("", *kept)),
        "build_one": _lines(build, leg, *state("-$SLUG", *read)),
        "publish_one": _lines(publish, leg, '--tag "$IMAGE"', one, attached, login, *state("-$SLUG", *kept)),
        "merge": f'rust-multiarch merge --tag "$IMAGE" {attached} \\\n  {login}',
    }


def _setup(row: CiSystem, options: Options) -> str:
    """Return the command that installs the release; one command, which fails if a part of it does."""
    source = [f"commit={options.commit}", f"export RUST_MULTIARCH_INSTALL_FROM={REPOSITORY}@$commit"]
    reference = "$commit" if options.commit else f"v{options.version}"
    steps = [
        *(source if options.commit else []),
        'mkdir -p "$1"',
        f'curl -fsSL -o "$1/install.sh" \\\n    {SOURCE}/{reference}/install.sh',
        f'sh "$1/install.sh" "$1/v{options.version}"',
    ]
    lines = "\n  ".join(steps)
    return f"sh -ec '\n  {lines}\n' - \"{row.tools}\""


def installed_commit() -> str:
    """Return the commit that this program was installed from; "" if it was not installed by git."""
    recorded = importlib.metadata.distribution("rust-multiarch").read_text("direct_url.json")
    document = json.loads(recorded or "{}")
    # pip records `vcs_info` for git (PEP 610). A fork has other commits.
    known = f"git+{document.get('url', '')}" == REPOSITORY
    return str(document.get("vcs_info", {}).get("commit_id", "")) if known else ""


def _lines(command: str, *options: str) -> str:
    """Return a shell command with one option a line, or in one line if that is short."""
    words = [command, *options]
    return " ".join(words) if sum(map(len, words)) < LINE else " \\\n  ".join(words)


def runner(row: CiSystem, platform: str) -> str:
    """Return a platform's runner: a native one, else that of linux/amd64, which cross-compiles."""
    return row.runners.get(platform, row.runners["linux/amd64"])


def _leg(row: CiSystem, platform: str) -> dict[str, str]:
    """Return the template values of one platform."""
    slug = platform.replace("/", "-")
    named = {"platform": platform, "slug": slug, "ident": slug.replace("-", "_")}
    return {**named, "runner": runner(row, platform)}


def _blocks(template: str) -> Iterator[tuple[str, str]]:
    """Yield a template's blocks with their mode: `both`, `single`, `matrix`, or `each` platform."""
    mode, *rest = re.split(r"^#\| (\w+)\n", "#| both\n" + template, flags=re.MULTILINE)[1:]
    yield mode, rest[0]
    yield from zip(rest[1::2], rest[2::2], strict=True)


def _fill(block: str, values: Mapping[str, str]) -> str:
    """Replace every `@name@` in a block; the other lines of a value keep the indentation of its line."""

    def filled(line: str) -> str:
        indentation = line[: len(line) - len(line.lstrip(" "))]
        if any(not values[name] for name in re.findall(r"@(\w+)@", line)):
            return ""  # an option without a value
        return re.sub(r"@(\w+)@", lambda m: values[m[1]].replace("\n", "\n" + indentation), line)

    return "".join(map(filled, block.splitlines(keepends=True)))
