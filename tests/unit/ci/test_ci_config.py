"""Test CI configurations as text: each by its system's schema, and the rules common to all."""

import importlib.metadata
import itertools
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ci_schemas import accepted
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipeline import errors
from pipeline.ci import config as ci_config
from pipeline.cli.ci import app

ROOT = Path(__file__).parents[3]
BOTH = ("linux/amd64", "linux/arm64")
OPTIONS = ci_config.Options(image="ghcr.io/me/app", platforms=BOTH, version="1.2.3")
MATRIX = ci_config.Options(image="ghcr.io/me/app", platforms=BOTH, version="1.2.3", matrix=True)
CASES = [(row, options) for row in ci_config.SYSTEMS for options in (OPTIONS, MATRIX)]
YAML_CASES = [(row, options) for row, options in CASES if row.path.endswith(".yml")]


def named(value: object) -> str:
    return value.name if isinstance(value, ci_config.CiSystem) else "matrix" if value.matrix else "single"


def text_of(row: ci_config.CiSystem, options: ci_config.Options) -> str:
    (text,) = ci_config.render(row, options).values()
    return text


def yaml(text: str) -> dict:
    return YAML(typ="safe").load(text)


@pytest.mark.parametrize(("row", "options"), YAML_CASES, ids=named)
def test_configuration_matches_its_schema(row, options, tmp_path: Path) -> None:
    assert accepted(row.schema, text_of(row, options), tmp_path) == ""


WRONG = {
    "github-workflows": ("runs-on:", "run-on:"),
    "gitlab-ci": ("paths: [.rust-multiarch]", "paths: .rust-multiarch"),
    "circle-ci": ("version: 2.1", "version: 7"),
    "azure-pipelines": ("displayName: Build", "displayNames: Build"),
    "buildkite": ("command: |", "commanding: |"),
}


@pytest.mark.parametrize("row", [row for row in ci_config.SYSTEMS if row.path.endswith(".yml")], ids=named)
def test_schema_refuses_an_invalid_configuration(row, tmp_path: Path) -> None:
    right, wrong = WRONG[row.schema]
    text = text_of(row, OPTIONS)
    assert right in text
    assert accepted(row.schema, text.replace(right, wrong), tmp_path)


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_no_placeholder_remains(row, options) -> None:
    text = text_of(row, options)
    assert not re.search(r"@\w+@|^#\|", text, re.MULTILINE)
    assert len(text.splitlines()) < 160


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_every_option_is_used(row, options) -> None:
    text = text_of(row, options)
    for name, value in (("image", "other.example/a/b"), ("branch", "trunk"), ("version", "9.8.7")):
        changed = text_of(row, ci_config.Options(**{**vars(options), name: value}))
        assert value in changed and value not in text
    seven = text_of(row, ci_config.Options(**{**vars(options), "platforms": (*BOTH, "linux/riscv64")}))
    assert "linux/riscv64" in seven and "linux/riscv64" not in text


@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=named)
def test_a_matrix_has_a_native_runner_per_platform_and_a_merge(row) -> None:
    text = text_of(row, MATRIX)
    for platform in BOTH:
        assert platform in text and row.runners[platform] in text
    assert "rust-multiarch merge" in text and platform.replace("/", "-") in text
    assert "rust-multiarch merge" not in text_of(row, OPTIONS)


@pytest.mark.parametrize("matrix", [True, False])
@pytest.mark.parametrize(
    ("image", "token", "other", "packages"),
    [
        ("ghcr.io/me/app", "github.token", "secrets.REGISTRY_TOKEN", "write"),
        ("docker.io/me/app", "secrets.REGISTRY_TOKEN", "github.token", "none"),
    ],
)
def test_githubs_token_is_only_sent_to_ghcr(
    image: str, token: str, other: str, packages: str, matrix: bool
) -> None:
    """Regression: for docker.io the job's token was sent there, and the secrets were not read."""
    options = ci_config.Options(image, BOTH, "1.2.3", matrix=matrix)
    text = text_of(ci_config.system("github"), options)
    assert text.count(f"password: ${{{{ {token} }}}}") == 1
    assert text.count(f"REGISTRY_TOKEN: ${{{{ {token} }}}}") == (1 if matrix else 0)
    assert text.count(f"registry: {image.split('/')[0]}\n") == 1
    assert other not in text
    assert set(re.findall(r"packages: (\w+)", text)) == {packages}


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_buildkite_does_not_publish_pull_requests(options) -> None:
    """A fork's branch may be called main, and Buildkite reports that name by default."""
    for step in yaml(text_of(ci_config.system("buildkite"), options))["steps"]:
        if "if" in step:
            published = "secrets" in step
            assert step["if"].startswith(f"build.pull_request.id {'==' if published else '!='} null")
            assert step["if"].endswith('&& (build.branch == "main" || build.tag =~ /^v/)') == published


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_azure_publishes_only_the_branch_and_tags(options) -> None:
    """Regression: a manual run of any branch published."""
    text = text_of(ci_config.system("azure"), options)
    when = yaml(text)["variables"]["publishes"]
    assert "eq(variables['Build.SourceBranch'], 'refs/heads/main')" in when
    assert "startsWith(variables['Build.SourceBranch'], 'refs/tags/v')" in when
    conditions = re.findall(r"condition: and\(succeeded\(\), (\w+)\(variables.publishes, 'True'\)\)", text)
    assert conditions == (["ne", "eq", "eq", "eq"] if options.matrix else ["ne", "eq"])
    assert text.count("condition:") == len(conditions)


def test_circleci_sets_the_slug_for_builds() -> None:
    """Regression: the compiled state of a pull request was read from a tag that ended with a hyphen."""
    jobs = yaml(text_of(ci_config.system("circleci"), MATRIX))
    for name in ("build", "publish"):
        assert jobs["jobs"][name]["environment"]["SLUG"] == "<< parameters.slug >>"
    (one,) = [job for job in jobs["workflows"]["pull-request"]["jobs"] if "build-linux-arm64" in str(job)]
    assert one["build"]["slug"] == "linux-arm64"


def test_gitlab_cache_keys_differ_by_platform_and_have_no_slash() -> None:
    """CI_RUNNER_EXECUTABLE_ARCH is linux/amd64, and GitLab refuses cache keys with a slash."""
    for options, key in ((OPTIONS, "rust-multiarch-v1.2.3"), (MATRIX, "rust-multiarch-v1.2.3-$SLUG")):
        assert yaml(text_of(ci_config.system("gitlab"), options))["default"]["cache"]["key"] == key


@pytest.mark.parametrize("system", ["github", "forgejo"])
@pytest.mark.parametrize("files", [["digest"], ["digest-a/digest"], ["digest-a/digest", "digest-b/digest"]])
def test_digests_are_found_in_any_artifact_layout(system: str, files: list[str], tmp_path: Path) -> None:
    """actions/download-artifact omits the directory if there is only one artifact."""
    (line,) = re.findall(r"(find \S+ .*) \|\n +xargs rust", text_of(ci_config.system(system), MATRIX))
    for number, file in enumerate(files):
        (tmp_path / "digests" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "digests" / file).write_text(f"{number}\n")
    line = line.replace('"$RUNNER_TEMP/digests"', "/tmp/digests").replace(
        "/tmp/digests", f"{tmp_path}/digests"
    )
    found = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert found.split() == [str(number) for number in range(len(files))]


@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=named)
def test_a_platform_without_a_native_runner_is_cross_compiled(row) -> None:
    options = ci_config.Options("ghcr.io/me/app", ("linux/s390x",), "1.2.3", matrix=True)
    assert row.runners["linux/amd64"] in text_of(row, options)


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_actions_and_images_are_pinned(row, options) -> None:
    text = text_of(row, options)
    for name, used in re.findall(r"uses: (\S+)@(\S+)", text):
        own = name == "rust-multiarch/rust-multiarch"
        assert used == "v1.2.3" if own else re.fullmatch(r"[0-9a-f]{40}", used)
    assert "latest" not in text
    for image in re.findall(r"image: (\S+)", text):
        assert image == "ghcr.io/me/app" or re.search(r":\d+\.\d+\.\d+", image), image


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_secrets_are_not_on_command_lines(row, options) -> None:
    passwords = re.findall(r"--password (\S+)", text_of(row, options))
    assert set(passwords) <= {row.token}, "a variable name, not its value"
    assert passwords or (row.name == "github" and not options.matrix)


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_lines_fit_on_a_screen(row, options) -> None:
    assert max(map(len, text_of(row, options).splitlines())) <= 122


TIME_LIMITS = {
    "github": "timeout-minutes: 60",
    "forgejo": "timeout-minutes: 60",
    "gitlab": "timeout: 1h",
    "azure": 'timeoutInMinutes: "60"',
    "buildkite": "timeout_in_minutes: 60",
    "jenkins": "timeout(time: 1, unit: 'HOURS')",
    "circleci": "no_output_timeout: 30m",
}


@pytest.mark.parametrize(("row", "options"), CASES, ids=named)
def test_jobs_have_a_time_limit(row, options) -> None:
    assert TIME_LIMITS[row.name] in text_of(row, options)


CONCURRENCY = {"github": "concurrency:", "forgejo": "concurrency:", "gitlab": "resource_group: image",
               "jenkins": "disableConcurrentBuilds()", "buildkite": "concurrency_group: image"}  # fmt: skip


@pytest.mark.parametrize("name", CONCURRENCY)
@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_two_publishes_do_not_run_at_once(name: str, options) -> None:
    assert CONCURRENCY[name] in text_of(ci_config.system(name), options)


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_pull_requests_on_github_get_no_permission_to_write_and_no_secret(options) -> None:
    jobs = yaml(text_of(ci_config.system("github"), options))["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["build"]["if"] == "github.event_name == 'pull_request'"
    assert "token" not in str(jobs["build"])
    assert {name: job["if"] for name, job in jobs.items() if name != "build"} == dict.fromkeys(
        [name for name in jobs if name != "build"], "github.event_name != 'pull_request'"
    )


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_github_uses_the_action_with_inputs_that_it_has(options) -> None:
    inputs = yaml((ROOT / "action.yml").read_text())["inputs"]
    steps = [step for job in yaml(text_of(ci_config.system("github"), options))["jobs"].values()
             for step in job["steps"] if "rust-multiarch/" in step.get("uses", "")]  # fmt: skip
    assert len(steps) == 2
    for step in steps:
        assert step["with"].keys() <= inputs.keys()
    build, publish = (step["with"] for step in steps)
    assert "push" not in build and "cache-to" not in build
    assert build["compile-cache"] == publish["compile-cache"] == "${{ runner.temp }}/compiled"
    assert publish["push"] is True and publish["tags"] == "${{ env.IMAGE }}"


def test_github_without_platforms_takes_those_of_the_settings() -> None:
    options = ci_config.Options("ghcr.io/me/app", (), "1.2.3")
    assert "platforms" not in text_of(ci_config.system("github"), options)


@pytest.mark.parametrize(("row", "options"), YAML_CASES, ids=named)
def test_commands_survive_yaml_parsing(row, options) -> None:
    """A colon, a hash or a quote could end a YAML scalar early."""
    strings = list(_strings(YAML(typ="safe").load(text_of(row, options))))
    commands = ci_config.commands(row, options)
    for name in ("build_one", "publish_one", "merge") if options.matrix else ("build", "publish"):
        if row.name == "github" and name != "merge":
            continue  # by the action
        command = " ".join(commands[name].replace("$", row.dollar).replace("\\\n", "").split())
        assert any(command in " ".join(text.replace("\\\n", "").split()) for text in strings), name


def _strings(value: object):
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(_strings, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(_strings, value))
    elif isinstance(value, str):
        yield value


def test_an_unknown_system_lists_the_known() -> None:
    with pytest.raises(errors.InvalidArgument, match="github, gitlab"):
        ci_config.system("travis")


@pytest.mark.parametrize(
    ("remote", "image"),
    [
        ("https://github.com/Me/App.git", "ghcr.io/me/app"),
        ("git@github.com:me/app.git", "ghcr.io/me/app"),
        ("ssh://git@gitlab.com:22/group/sub/app", "registry.gitlab.com/group/sub/app"),
        ("https://token@codeberg.org/me/app/", "codeberg.org/me/app"),
        ("https://git.example.com/me/app", ""),
        ("/srv/git/app", ""),
        ("", ""),
    ],
)
def test_image_address_of_a_git_remote(remote: str, image: str) -> None:
    assert ci_config.image_of(remote) == image


def test_files_are_overwritten_only_with_force(tmp_path: Path) -> None:
    files = {"new.yml": "new", "a/there.yml": "new"}
    (tmp_path / "a").mkdir()
    (tmp_path / "a/there.yml").write_text("old")
    with pytest.raises(errors.WouldOverwrite, match=r"there\.yml"):
        ci_config.write(files, tmp_path)
    assert not (tmp_path / "new.yml").exists()
    assert (tmp_path / "a/there.yml").read_text() == "old"
    assert ci_config.write(files, tmp_path, force=True) == [tmp_path / "new.yml", tmp_path / "a/there.yml"]
    assert (tmp_path / "a/there.yml").read_text() == "new"


def init(*words: str, directory: Path):
    return CliRunner().invoke(app, ["init", *words, "--directory", str(directory)])


def test_init_writes_the_files_and_prints_the_required_setup(tmp_path: Path) -> None:
    done = init("jenkins", "--image", "ghcr.io/me/app", "--branch", "trunk", directory=tmp_path)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "Jenkinsfile").read_text()
    assert "branch 'trunk'" in text and "IMAGE = 'ghcr.io/me/app'" in text
    first, *_, last = [line for line in done.stderr.splitlines() if line.startswith("next, ")]
    assert first == "next, 1: label the agents with Docker `docker`"
    assert last.endswith("commit and push Jenkinsfile: trunk and tags v* publish to ghcr.io/me/app")


def test_the_next_steps_name_the_secrets_that_the_registry_needs() -> None:
    row = ci_config.system("github")
    ghcr = ci_config.steps(row, OPTIONS)
    other = ci_config.steps(row, ci_config.Options("docker.io/me/app", BOTH, "1.2.3"))
    assert len(ghcr) == 1, "the job's own token is enough"
    assert "REGISTRY_TOKEN" in other[0] and "Settings" in other[0]


def git(directory: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(directory), *words], check=True, capture_output=True)


def test_init_finds_the_branch(tmp_path: Path) -> None:
    """Regression: on master, the configuration never published."""
    words = ["github", "--image", "ghcr.io/me/app", "--stdout"]
    assert "branches: [main]" in init(*words, directory=tmp_path).stdout, "no repository"
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "-b", "master", str(origin)], check=True)
    assert "branches: [master]" in init(*words, directory=origin).stdout, "no commit and no origin yet"
    git(origin, "-c", "user.name=me", "-c", "user.email=me@x", "commit", "-q", "--allow-empty", "-m", "first")
    subprocess.run(["git", "clone", "-q", str(origin), str(clone)], check=True)
    git(clone, "checkout", "-q", "-b", "feature")
    assert "branches: [master]" in init(*words, directory=clone).stdout, "origin's HEAD"
    git(clone, "remote", "remove", "origin")
    assert "branches: [feature]" in init(*words, directory=clone).stdout, "the current branch"
    assert "branches: [trunk]" in init(*words, "--branch", "trunk", directory=clone).stdout


def test_init_takes_the_image_from_the_git_remote(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    missing = init("github", "--stdout", directory=tmp_path)
    assert isinstance(missing.exception, errors.InvalidArgument)
    remote = ["git", "-C", str(tmp_path), "remote", "add", "origin", "git@github.com:Me/App.git"]
    subprocess.run(remote, check=True)
    assert "IMAGE: ghcr.io/me/app\n" in init("github", "--stdout", directory=tmp_path).stdout
    assert list(tmp_path.iterdir()) == [tmp_path / ".git"], "--stdout writes nothing"


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("ghcr.io/me/app:latest", errors.InvalidArgument),
        ("ghcr.io/me/-app", errors.InvalidAddress),
        ("ghcr.io/Me/App", None),
        ("ghcr.io/me/{bin}", None),
    ],
)
def test_init_takes_an_address_without_a_tag(
    tmp_path: Path, image: str, error: type[Exception] | None
) -> None:
    """Regression: `:latest` was written into the address of the compiled state."""
    done = init("github", "--image", image, directory=tmp_path)
    assert type(done.exception) is (error or type(None))
    assert bool(list(tmp_path.iterdir())) == (error is None)


def test_init_lowers_the_repository(tmp_path: Path) -> None:
    """GitHub's owners have capitals, and its expressions cannot lower them."""
    text = init("github", "--image", "ghcr.io/Example-Org/App", "--stdout", directory=tmp_path).stdout
    assert "ghcr.io/example-org/app" in text and "Example-Org" not in text


def test_init_without_git(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert isinstance(init("github", directory=tmp_path).exception, errors.InvalidArgument)


def test_init_writes_platforms_only_for_a_matrix(tmp_path: Path) -> None:
    table = "[package.metadata.rust-multiarch]\nplatforms = ['linux/arm64', 'linux/s390x']\n"
    (tmp_path / "Cargo.toml").write_text(table)
    words = ["github", "--image", "ghcr.io/me/app", "--stdout"]
    assert "--platform" not in init(*words, directory=tmp_path).stdout
    text = init(*words, "--matrix", directory=tmp_path).stdout
    assert re.findall(r"platform: (linux/\w+)", text) == ["linux/arm64", "linux/s390x"] * 2
    given = init(*words, "--platform", "linux/amd64", directory=tmp_path).stdout
    assert given.count("platforms: linux/amd64\n") == 2


def test_init_for_other_platforms_in_a_matrix(tmp_path: Path) -> None:
    words = ["github", "--image", "ghcr.io/me/app", "--matrix", "--platform", "linux/arm64,linux/s390x"]
    assert init(*words, directory=tmp_path).exit_code == 0
    text = (tmp_path / ".github/workflows/image.yml").read_text()
    assert (
        "platform: linux/s390x, slug: linux-s390x, runner: ubuntu-24.04 " in text
        and "linux/amd64" not in text
    )
    again = init(*words, directory=tmp_path)
    assert isinstance(again.exception, errors.WouldOverwrite)
    assert init(*words, "--force", directory=tmp_path).exit_code == 0


@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=named)
def test_the_release_is_named_by_its_commit(row) -> None:
    text = text_of(row, ci_config.Options(**{**vars(MATRIX), "commit": "c0ffee"}))
    assert "commit=c0ffee\n" in text
    assert f"/rust-multiarch/{row.dollar}commit/install.sh" in text
    source = "RUST_MULTIARCH_INSTALL_FROM=git+https://github.com/rust-multiarch/rust-multiarch"
    assert f"{source}@{row.dollar}commit\n" in text
    if row.name == "github":
        assert text.count("uses: rust-multiarch/rust-multiarch@c0ffee\n") == 2
    assert f"/v{MATRIX.version}/install.sh" not in text
    assert f"/v{MATRIX.version}/install.sh" in text_of(row, MATRIX)


def test_the_commit_is_the_one_that_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        url = "https://github.com/rust-multiarch/rust-multiarch"
        recorded: str | None = ""

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.recorded

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    for recorded, commit in (
        (json.dumps({"url": Installed.url, "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}), "c0ffee"),
        (json.dumps({"url": "https://github.com/fork/x", "vcs_info": {"commit_id": "c0ffee"}}), ""),
        (json.dumps({"url": "file:///here", "dir_info": {"editable": True}}), ""),
        (None, ""),
    ):
        Installed.recorded = recorded
        assert ci_config.installed_commit() == commit


@pytest.mark.parametrize("failing", ["curl", "sh"])
@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=named)
def test_a_failed_installation_ends_the_job(row, failing: str, tmp_path: Path) -> None:
    """`curl … | sh` succeeded without a network, and an old installation was used."""
    setup = ci_config.commands(row, OPTIONS)["setup"].replace(row.tools, "$HOME/tools")
    for name in ("curl", "sh"):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {int(name == failing)}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sh").write_text(
        f'#!/bin/sh\ncase $1 in -ec) exec /bin/sh "$@";; esac\nexit {int(failing == "sh")}\n'
    )
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ran = subprocess.run(["/bin/sh", "-ec", f"{setup}\ntrue"], env=env)
    assert ran.returncode != 0


@pytest.mark.parametrize("name", ["jenkins", "buildkite"])
def test_machines_of_several_users_have_no_common_names_in_tmp(name: str) -> None:
    text = text_of(ci_config.system(name), MATRIX)
    assert "/tmp" not in text and text.count("mktemp") == 3


def test_the_installer_installs_this_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    engine = json.loads((ROOT / "dagger.json").read_text())["engineVersion"].removeprefix("v")
    script = (ROOT / "install.sh").read_text()
    assert f"\nversion={project['version']}\n" in script
    assert f"\ndagger={engine}\n" in script
    assert project["optional-dependencies"]["cli"] == [f"dagger-io=={engine}"]


def test_init_as_json_names_the_files_and_what_they_need(tmp_path: Path) -> None:
    arguments = ["init", "github", "--image", "ghcr.io/me/app", "--directory", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, arguments)
    document = json.loads(done.stdout)
    assert document["files"], "nothing was rendered"
    assert {path: (tmp_path / path).read_text() for path in document["files"]} == document["files"]
    assert document["next"][-1].startswith("commit and push .github/workflows/image.yml")


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=lambda row: row.name)
def test_compiled_state_is_in_a_repository_of_its_own(row, options) -> None:
    text = text_of(row, options)
    places = re.findall(r"ref=(?:\$+IMAGE|\$\{\{ env.IMAGE \}\})([^\s:\"']*):(state[^\s\"']*)", text)
    assert bool(places) == row.hosted and text.count("type=registry") == len(places)
    below = "/buildcache" if row.name == "gitlab" else "-buildcache"
    assert {place for place, _ in places} <= {below}
    assert {tag == "state" for _, tag in places} <= {not options.matrix}


COMPILED = {
    "github": "compile-cache: ${{ runner.temp }}/compiled",
    "gitlab": '--compile-cache "$CI_PROJECT_DIR/.rust-multiarch/compiled"',
    "circleci": '--compile-cache "$HOME/.rust-multiarch-compiled"',
    "azure": '--compile-cache "$PIPELINE_WORKSPACE/compiled"',
    # Their machines keep the engine, and its volume.
    "jenkins": "",
    "buildkite": "",
    "forgejo": "",
}


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
@pytest.mark.parametrize("row", ci_config.SYSTEMS, ids=lambda row: row.name)
def test_builds_and_publishes_use_the_store_that_the_system_has(row, options) -> None:
    text, wanted = text_of(row, options), COMPILED[row.name]
    assert text.count("compile-cache") == (2 if wanted else 0)
    assert not wanted or text.count(wanted) == 2


@pytest.mark.parametrize("options", [OPTIONS, MATRIX], ids=["single", "matrix"])
def test_the_directory_is_one_that_the_system_keeps(options) -> None:
    github = yaml(text_of(ci_config.system("github"), options))["jobs"]
    leg = "${{ matrix.slug }}-" if options.matrix else ""
    for job in ("build", "publish"):
        steps = [step for step in github[job]["steps"] if "uses" in step]
        place = next(n for n, step in enumerate(steps) if step["uses"].startswith("actions/cache@"))
        assert steps[place]["with"] == {
            "path": "${{ runner.temp }}/compiled",
            "key": f"compiled-{leg}${{{{ hashFiles('**/Cargo.lock') }}}}",
            "restore-keys": f"compiled-{leg}",
        }
        assert steps[place + 1]["with"]["compile-cache"] == steps[place]["with"]["path"]
    gitlab = yaml(text_of(ci_config.system("gitlab"), options))
    assert gitlab["default"]["cache"]["paths"] == [".rust-multiarch"]
    azure = yaml(text_of(ci_config.system("azure"), options))["jobs"][0]["steps"]
    kept = {step["inputs"]["path"]: step["inputs"] for step in azure if step.get("task") == "Cache@2"}
    compiled = kept["$(Pipeline.Workspace)/compiled"]
    leg = "$(slug)" if options.matrix else "$(Agent.OSArchitecture)"
    assert compiled["restoreKeys"] == f'"rust-multiarch compiled" | "{leg}"'
    assert compiled["key"] == f"{compiled['restoreKeys']} | Cargo.lock"
    circleci = yaml(text_of(ci_config.system("circleci"), options))
    saved = circleci["commands"]["save-compiled"]["steps"][0]["save_cache"]
    first, second = circleci["commands"]["restore-compiled"]["steps"][0]["restore_cache"]["keys"]
    assert saved["paths"] == ["~/.rust-multiarch-compiled"]
    assert saved["key"] == first and first.startswith(second)
    for name in ("build", "publish"):
        steps = circleci["jobs"][name]["steps"]
        names = [step if isinstance(step, str) else next(iter(step)) for step in steps]
        assert names[:5] == ["checkout", "install", "restore-compiled", "run", "save-compiled"]
        for step in (steps[2], steps[4]) if options.matrix else ():
            assert next(iter(step.values())) == {"slug": "<< parameters.slug >>"}
