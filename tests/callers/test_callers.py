"""Type-check the examples in Go and TypeScript against the bindings of Dagger's generator.

`make examples` runs this; it compiles the generator once, fetches each language's Dagger library and needs an
engine for the module's schema.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import choice
from engine.build import DAGGER, version
from engine.locks import exclusive
from engine.paths import default_root

ROOT = Path(__file__).parents[2]
SERVE = """
import base64, json, os, sys, urllib.request
serve = "asModule { serve(includeDependencies: true) }"
query = "query($ref: String!) { moduleSource(refString: $ref) { " + serve + " } }"
address = "http://127.0.0.1:" + os.environ["DAGGER_SESSION_PORT"] + "/query"
token = base64.b64encode((os.environ["DAGGER_SESSION_TOKEN"] + ":").encode()).decode()
headers = {"Authorization": "Basic " + token, "Content-Type": "application/json"}
body = json.dumps({"query": query, "variables": {"ref": sys.argv[1]}}).encode()
answer = json.load(urllib.request.urlopen(urllib.request.Request(address, body, headers)))
sys.exit(json.dumps(answer["errors"]) if "errors" in answer else 0)
"""
"""Make the session of `dagger run` serve a module and its dependencies, like a generated client."""

MODULE = ("dagger.json", "pyproject.toml", "README.md", "pipeline")
Generate = Callable[[str, Path], None]


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )


def succeed(*command: str, cwd: Path, **environment: str) -> str:
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def codegen() -> str:
    """Compile Dagger's generator of bindings, like the embedded engine."""
    if not shutil.which("go"):
        pytest.skip("the generator is compiled with Go, which is not installed")
    home = default_root() / "tools" / f"codegen-{version()}"
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / "lock"):
        if not (home / "codegen").exists():
            source = home / "source"
            shutil.copytree(ROOT / "engine/modules", source / "modules", dirs_exist_ok=True)
            for name in ("go.mod", "go.sum"):
                shutil.copy(ROOT / "engine" / name, source)
            command = ("go", "build", "-o", str(home / "codegen"), f"{DAGGER}/cmd/codegen")
            succeed(*command, cwd=source, GOFLAGS="-mod=mod", GOWORK="off", CGO_ENABLED="0")
    return str(home / "codegen")


@pytest.fixture(scope="session")
def schema(codegen: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the schema for a client with this module as its dependency: the core and `rustMultiarch`.

    The module is a copy without this repository's `.env`, whose defaults apply only here.
    """
    os.environ.update(choice.choose().environment)
    path = tmp_path_factory.mktemp("schema")
    (path / "module").mkdir()
    for name in MODULE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, path / "module" / name)
    succeed("git", "init", "-q", cwd=path)
    caller = path / "caller"
    caller.mkdir()
    settings = (ROOT / "examples/go/dagger.json").read_text().replace('"../.."', '"../module"')
    (caller / "dagger.json").write_text(settings)
    dagger = os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
    serve = (sys.executable, "-c", SERVE, str(caller))
    introspect = (codegen, "introspect", "--output", str(path / "schema.json"))
    both = f"{shlex.join(serve)} && {shlex.join(introspect)}"
    succeed(dagger, "run", "sh", "-ec", both, cwd=path)
    return path / "schema.json"


@pytest.fixture
def generate(codegen: str, schema: Path) -> Generate:
    """Write the bindings of a language to `dagger/` in a directory."""

    def write(language: str, directory: Path) -> None:
        options = ("--lang", language, "--introspection-json-path", str(schema))
        if language == "go":
            # It ends with `go mod tidy`, which downloads every version of every module; this test does not
            # need that. The client becomes a package of the example's own module instead of one beside it.
            before = (directory / "go.mod").read_text()
            run(codegen, "generate-client", *options, "--client-dir", "dagger", cwd=directory)
            (directory / "dagger/go.mod").unlink()
            (directory / "go.mod").write_text(before)
        else:
            succeed(codegen, "generate-client", *options, "-o", "dagger", cwd=directory)

    return write


@pytest.fixture
def go_example(tmp_path: Path, generate: Generate) -> Path:
    shutil.copytree(ROOT / "examples/go", tmp_path, dirs_exist_ok=True)
    generate("go", tmp_path)
    return tmp_path


def vet(directory: Path) -> subprocess.CompletedProcess[str]:
    return run("go", "vet", "./...", cwd=directory, GOFLAGS="-mod=mod", GOWORK="off")


def test_the_go_example_type_checks(go_example: Path) -> None:
    done = vet(go_example)
    assert done.returncode == 0, done.stderr
    main = go_example / "main.go"
    main.write_text(main.read_text().replace("WithVariant(", "WithVariants("))
    assert "WithVariants" in vet(go_example).stderr, "a function that is not there is noticed"


def test_the_typescript_example_type_checks(tmp_path: Path, generate: Generate) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    shutil.copytree(ROOT / "examples/typescript", tmp_path, dirs_exist_ok=True)
    generate("typescript", tmp_path)
    succeed("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=tmp_path)
    succeed("npx", "tsc", cwd=tmp_path)
    program = tmp_path / "publish.ts"
    program.write_text(program.read_text().replace("publish(address", "publish(7"))
    assert "TS2345" in run("npx", "tsc", cwd=tmp_path).stdout, "an argument of the wrong type is noticed"
