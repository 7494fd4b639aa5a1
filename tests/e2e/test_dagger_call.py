"""Test the module with `dagger`: functions, defaults, output, exit codes."""

import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import crates
import pytest
import sigstore_services
from conftest import ROOT

from pipeline import errors

SECONDS = 600


@pytest.fixture(scope="session")
def dagger_call(engine, loopback: str):
    """Run `dagger …` in a directory, by default the repository's."""

    def run(*words: str, cwd: Path = ROOT, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        command = [os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger"), *words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS)
        assert code is None or done.returncode == code, done.stderr
        done.stdout, done.stderr = (
            re.sub(r"\x1b\[[0-9;]*m", "", text) for text in (done.stdout, done.stderr)
        )
        return done

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with one program and no dependencies."""
    return crates.written(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def amd64(tiny: Path) -> tuple[str, ...]:
    """Return the arguments of a call that builds it for one platform."""
    return ("call", "--source", str(tiny), "--platforms", "linux/amd64")


def functions(listing: str) -> dict[str, str]:
    """Parse the names and descriptions of a `dagger functions` table."""
    lines = [
        line for line in listing.splitlines() if line and not line.startswith(("user default", "Skipped"))
    ]
    rows = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[1:])
    return {row[0]: row[1] if len(row) == 2 else "" for row in rows if row[0]}


def test_every_function_has_a_description(dagger_call) -> None:
    found = functions(dagger_call("functions").stdout)
    assert {"build", "binary", "publish", "builder"} <= found.keys()
    image = functions(dagger_call("functions", "build").stdout)
    assert {"report", "publish", "variant", "variants", "tarball", "layout"} <= image.keys()
    for name, description in {**found, **image}.items():
        assert len(description) > 10, name


def test_every_argument_has_a_description(dagger_call) -> None:
    text = dagger_call("call", "--help").stdout
    flags = re.findall(
        r"^ {2,}(?:-\w, )?--([\w-]+)(.*?)(?=^ {2,}(?:-\w, )?--|^\S)", text, re.DOTALL | re.MULTILINE
    )
    described = {name: " ".join(rest.split()[1:]) for name, rest in flags}
    assert {"platforms", "bin", "features", "cargo-profile", "labels"} <= described.keys()
    for name, words in described.items():
        assert len(words) > 10, name


def test_the_options_that_dagger_takes_for_itself(dagger_call) -> None:
    """`tests/unit/test_module.py` compares the module's arguments with this list."""
    listed = tomllib.loads((ROOT / "tests/data/dagger_options.toml").read_text())["0.21.8"]["options"]
    _, own = re.split(r"^OPTIONS$", dagger_call("call", "--help").stdout, maxsplit=1, flags=re.MULTILINE)
    assert sorted(re.findall(r"^ +(?:-\w, )?--([\w-]+)", own, re.MULTILINE)) == sorted(listed)


def test_build_report_as_data(dagger_call, tiny: Path) -> None:
    done = dagger_call("call", "--source", str(tiny), "build", "report", "--as-json")
    rows = json.loads(done.stdout)["variants"]
    assert [(row["platform"], row["triple"]) for row in rows] == [
        ("linux/amd64", "x86_64-unknown-linux-gnu"),
        ("linux/arm64", "aarch64-unknown-linux-gnu"),
    ]


def test_build_logs_its_summary(dagger_call, amd64) -> None:
    # Never the same arguments twice: the engine caches a function's result, and then logs nothing.
    label = f"run={secrets.token_hex(4)}"
    done = dagger_call(*amd64, "--labels", label, "build")
    assert re.search(r"linux/amd64 +x86_64-unknown-linux-gnu +\S+ MiB +\S+ MiB +sha256:", done.stderr)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("--platforms", "linux/mips", "build"), errors.UnsupportedPlatform, "linux/s390x"),
        (("--bin", "nope", "build"), errors.UnknownBinary, "nope"),
        (("publish", "--address", "A b"), errors.InvalidAddress, "A b"),
        (
            ("publish", "--address", "a.example/x:1", "--sign-keyless"),
            errors.KeylessUnavailable,
            "cosign sign",
        ),
    ],
    ids=["platform", "bin", "address", "keyless"],
)
def test_exit_codes_reach_the_shell(dagger_call, tiny: Path, words, error, says: str) -> None:
    done = dagger_call("call", "--source", str(tiny), *words, code=error.exit_code)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_callers_from_elsewhere_do_not_build_our_sample(dagger_call, tmp_path: Path) -> None:
    """The default source is in this repository's .env, which is not part of the module."""
    words = ("call", "-m", str(ROOT), "build")
    done = dagger_call(*words, cwd=tmp_path, code=errors.NotACargoProject.exit_code)
    assert "--source" in done.stderr


def test_a_compile_error_is_shown_whole(dagger_call, tmp_path: Path) -> None:
    project = tmp_path / "broken"
    shutil.copytree(ROOT / "tests/data/broken", project)
    done = dagger_call("call", "--source", str(project), "build", code=errors.CompileError.exit_code)
    assert "error[E0308]: mismatched types" in done.stderr
    assert "src/main.rs:2:" in done.stderr


def test_publish_and_merge_through_a_service(dagger_call, loopback: str, tmp_path: Path) -> None:
    """A module's function cannot reach this machine's loopback, so the caller passes the registry."""
    project = ("--source", str(crates.written(tmp_path)))
    name, through = f"{loopback}/e2e/parts", ("--registry", f"tcp://{loopback}")
    parts = []
    for platform in ("linux/amd64", "linux/arm64"):
        publish = ("publish", "--address", f"{name}:{platform[-5:]}", "--tags", "more", *through)
        done = dagger_call("call", *project, "--platforms", platform, *publish)
        parts.append(done.stdout.strip())
        assert re.fullmatch(rf"{name}:{platform[-5:]}@sha256:[0-9a-f]{{64}}", parts[-1])
    merge = (*project, "merge", "--images", ",".join(parts), "--annotations", "a=b", *through)
    receipt = json.loads(dagger_call("call", *merge, "--address", f"{name}:both", "--as-json").stdout)
    assert [platform["platform"] for platform in receipt["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert receipt["deliveries"][0]["uploaded_bytes"] == 0
    index = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}:both"],
            capture_output=True,
            check=True,
        ).stdout
    )
    assert index["annotations"]["a"] == "b" and len(index["manifests"]) == 2


def test_what_is_not_published_through_a_service(dagger_call, amd64, loopback: str) -> None:
    name, through = f"{loopback}/e2e/refused", ("--registry", f"tcp://{loopback}")
    published = dagger_call(*amd64, "publish", "--address", f"{name}:there", *through).stdout.strip()
    merge = ("call", "merge", "--images", published, "--no-clobber", "--address", f"{name}:there", *through)
    dagger_call(*merge, code=errors.TagExists.exit_code)
    done = dagger_call(*amd64, "publish", "--address", f"{name}:x", code=errors.RegistryUnreachable.exit_code)
    assert "--registry tcp://" in done.stderr


# A module has other bindings than a client: each function that compiles is called from a module, on an
# engine that generates bindings like an official one.


def test_a_binary_that_runs(dagger_call, amd64, tmp_path: Path) -> None:
    binary = ("binary", "--platform", "linux/amd64", "export", "--path", str(tmp_path / "hello"))
    dagger_call(*amd64, *binary)
    (tmp_path / "hello").chmod(0o755)
    printed = subprocess.run([tmp_path / "hello", "there"], capture_output=True, text=True, check=True).stdout
    assert "arch=x86_64\n" in printed and "arguments=there\n" in printed


def test_an_image_of_each_binary(dagger_call, amd64) -> None:
    assert dagger_call(*amd64, "images", "name").stdout.split() == ["hello"]


def test_the_image_as_files(dagger_call, amd64, tmp_path: Path) -> None:
    dagger_call(*amd64, "build", "tarball", "export", "--path", str(tmp_path / "image.tar"))
    found = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci-archive:{tmp_path / 'image.tar'}"],
        capture_output=True,
        check=True,
    )
    assert json.loads(found.stdout)["architecture"] == "amd64"
    docker = ("docker-archive", "--tags", "hello:x", "export", "--path", str(tmp_path / "docker.tar"))
    dagger_call(*amd64, "build", *docker)
    with tarfile.open(tmp_path / "docker.tar") as tar:
        (image,) = json.load(tar.extractfile("manifest.json"))
    assert image["RepoTags"] == ["hello:x"]


def test_two_builds_are_the_same(dagger_call, amd64) -> None:
    assert re.match(r"reproducible: \d+ files are identical", dagger_call(*amd64, "reproduce").stdout)


def test_the_checks_of_the_project(dagger_call, tiny: Path) -> None:
    """Call the functions, and `dagger check` in a directory that has its source in .env."""
    (tiny / ".env").write_text("RUST_MULTIARCH_SOURCE=.\n")
    (tiny / "tests").mkdir()
    (tiny / "tests/one.rs").write_text("#[test]\nfn one() {}\n")
    try:
        assert "test one ... ok" in dagger_call("call", "--source", str(tiny), "test").stdout
        done = dagger_call("check", "-m", str(ROOT), "--progress", "plain", "fmt", cwd=tiny, code=None)
        assert "Diff in" in done.stdout + done.stderr, "the program is written without rustfmt"
        assert done.returncode != 0
        main = (tiny / "src/main.rs").read_text()
        (tiny / "src/main.rs").write_text("fn main() {}\n")
        dagger_call("check", "-m", str(ROOT), "fmt", cwd=tiny)
        (tiny / "src/main.rs").write_text(main)
    finally:
        (tiny / ".env").unlink()
        shutil.rmtree(tiny / "tests")


def test_compiled_state_that_goes_from_call_to_call(dagger_call, tmp_path: Path) -> None:
    # With a dependency, since only its state makes a visible difference.
    project = ("call", "--source", str(ROOT / "tests/data/audit/app"), "--platforms", "linux/amd64")
    archive = str(tmp_path / "state.tar")
    dagger_call(*project, "export-cache", "export", "--path", archive)
    assert (
        dagger_call(*project, "with-cache", "--archive", archive, "build", "name").stdout.strip() == "audited"
    )


@pytest.mark.peers
def test_a_copy_with_the_packages_of_keyless_signing(dagger_call, tmp_path: Path) -> None:
    """Functions do not reach the services on this machine's loopback, so the first request is the last."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in names.stdout.split("\0"):
        if name.startswith(("pipeline/", "dagger.json", "pyproject.toml", "README.md")):
            (tmp_path / "module" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "module" / name)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = "".join(f"    {json.dumps(one)},\n" for one in project["optional-dependencies"]["keyless"])
    pyproject = tmp_path / "module/pyproject.toml"
    text = pyproject.read_text().replace("\ndependencies = [\n", f"\ndependencies = [\n{more}")
    pyproject.write_text(text)
    (tmp_path / "trust.json").write_text(sigstore_services.Sigstore("http://127.0.0.1:9").trust)
    (tmp_path / "token").write_text(sigstore_services.jwt())
    module = ("call", "-m", str(tmp_path / "module"), "--source", str(crates.written(tmp_path, "copied")))
    publish = ("publish", "--address", "a.example/x:1", "--sign-keyless")
    given = ("--identity-token", f"file:{tmp_path}/token", "--sigstore-config", f"{tmp_path}/trust.json")
    done = dagger_call(*module, *publish, *given, code=errors.SigstoreUnreachable.exit_code)
    assert "http://127.0.0.1:9/api/v2/signingCert" in done.stderr
