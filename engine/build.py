"""Compiles the embedded engine: Dagger's engine and command line, from Go modules, without Docker.

`go.mod` names the release. Some modules that it needs are not on the Go module proxy; `modules/` stands in
for them. `overlay/` holds our files of the vendored tree, `REMOVED` and `EDITS` what else differs in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.locks import exclusive
from engine.log import Log
from engine.paths import Paths
from pipeline.errors import EngineBuildFailed

HERE = Path(__file__).resolve().parent
DAGGER = "github.com/dagger/dagger"
TAGS = "dfexcludepatterns,dfparents"
MODULE_INPUTS = ("go.mod", "go.sum", "modules")
BUILD_INPUTS = (*MODULE_INPUTS, "overlay", "build.py")
PYTHON_SDK = (
    *("pyproject.toml", "README.md", "LICENSE", "src/dagger"),
    *("codegen/pyproject.toml", "codegen/src/codegen"),
)
"""The files of Dagger's `sdk/python` that the engine carries, for the modules that it loads."""

NOT_IN_MODULES = ("_engine", "provisioning", "gen.py")
"""What a module's copy of the SDK lacks: starting an engine, and bindings, which are made for each module."""

KEPT_BUILDS = 2
"""The current build and the one before it, which an engine may still be running."""

COLLECTOR = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
"""The garbage collector of Go's compilers, one of which runs on each core: none below this memory.

Most end before they have it. The user's own values count (pkg.go.dev/runtime, "Environment Variables").
"""

REPORT_SECONDS = 10.0
"""How often a long step says how far it is."""

PROGRAMS = {"engine": "dagger-engine", "dagger": "dagger", "init": "dagger-init", "dnsname": "dnsname"}
"""Each program under Dagger's `cmd/`, and what the binary is called."""

REMOVED = (
    # The full-screen terminal front end; overlay/dagger/dagql/idtui gives the rest what it took from here.
    *(
        f"dagql/idtui/{name}.go"
        for name in (
            *("frontend_pretty", "frontend_tests", "frontend_dots", "frontend_claims", "frontend_log_pager"),
            *("error_label", "keymap", "notification", "search", "vterm"),
        )
    ),
    # A scripting language for modules.
    "core/sdk/dang_sdk.go",
    *(
        f"core/sdk/dang/{name}.go"
        for name in ("shared/shared", "v1/helpers", "v1/sdk", "v2/helpers", "v2/sdk")
    ),
    # Secrets from the desktop's keyring, and from the clouds, whose SDKs are large.
    *(
        f"engine/client/secretprovider/{name}.go"
        for name in ("libsecret", "aws", "gcp", "vault", "vault_oidc")
    ),
    # Clients of language models; overlay/dagger/core has what takes their place.
    *(f"core/llm_{name}.go" for name in ("anthropic", "google", "openai")),
)
"""Files of the dagger module that are left out: their modules cannot be had, or a build never calls them."""


@dataclass(frozen=True)
class Edit:
    """A text of a vendored file that is replaced; the build fails if it is not there exactly once."""

    path: str
    old: str
    new: str


CERTIFICATES = "engine/engineutil/cacerts/distros.go"

EDITS = (
    Edit(
        "core/sdk/loader.go",
        "return l.loadBuiltinSDK(ctx, root, sdk, "
        "digest.Digest(os.Getenv(distconsts.PythonSDKManifestDigestEnvName)))",
        "return &pythonSDK{root: root}, nil",
    ),
    Edit(
        "core/sdk/loader.go",
        "return &dangSDK{root: root, rawConfig: sdk.Config}, nil",
        'return nil, errors.New("the embedded engine has no Dang SDK")',
    ),
    *(
        Edit("engine/client/secretprovider/secretprovider.go", line, "")
        for line in (
            '"vault":     vaultProvider,',
            '"libsecret": libsecretProvider,',
            '"gcp":       gcpProvider,',
            '"aws+sm":    awsSecretManagerProvider,',
            '"aws+ps":    awsParameterStoreProvider,',
        )
    ),
    Edit("core/llm.go", '\t"github.com/anthropics/anthropic-sdk-go"\n', ""),
    Edit("core/llm.go", "anthropic.ModelClaudeSonnet4_5", '"claude-sonnet-4-5"'),
    Edit(
        "dagql/idtui/frontend_plain.go",
        'return fmt.Errorf("running shell without the TUI is not supported")',
        "return fe.lendTerminal(cmd, raw)",
    ),
    Edit(
        "dagql/idtui/frontend_plain.go",
        'fe.addVirtualLog(trace.SpanFromContext(ctx), "cloud", "url", url)',
        'if logged {\n\t\tfe.addVirtualLog(trace.SpanFromContext(ctx), "cloud", "url", url)\n\t}',
    ),
    # A machine's own root certificates are lent to every command. Unless the command makes the bundle anew,
    # that is done and undone here, in milliseconds: Dagger starts two more containers for it, for seconds.
    Edit(CERTIFICATES, "if d.updateCommandExisted {", "if d.updateCommandExisted && !d.bundleExisted {"),
    Edit(CERTIFICATES, "\tbundleExisted          bool\n", "\tbundleExisted bool\n\tbundleBefore []byte\n"),
    Edit(
        CERTIFICATES,
        "origBundleContents, err := d.ctrFS.ReadFile(d.bundlePath)",
        "origBundleContents, err := d.ctrFS.ReadFile(d.bundlePath); d.bundleBefore = origBundleContents",
    ),
    Edit(
        CERTIFICATES,
        "if updateCommandExists {",
        "if bundleExists && d.bundleExisted && curBundleMtime == d.updatedBundleMtime {\n"
        "\t\tif err := d.ctrFS.WriteFile(d.bundlePath, d.bundleBefore, 0644); err != nil {\n"
        "\t\t\treturn err\n\t\t}\n"
        "\t} else if updateCommandExists {",
    ),
)


def version() -> str:
    """Return the release of Dagger that go.mod names, for example `v0.21.8`."""
    found = re.search(rf"{re.escape(DAGGER)} (v\S+)", (HERE / "go.mod").read_text())
    if found is None:
        raise _failed("go.mod does not require Dagger", f"the line `require {DAGGER} vX.Y.Z` is missing")
    return found[1]


def build_key() -> str:
    """Return the name of the build, which is the same for the same inputs and the same Go."""
    return _hash(BUILD_INPUTS, _go(HERE, "env", "GOVERSION", "GOARCH"))


def build(cache: Path, log: Log) -> Path:
    """Compile the four binaries, unless they exist already; return their directory.

    Args:
        cache: where builds and the vendored modules are kept. A crash leaves nothing in it that the next
            build would take for whole; builds that start at once wait for each other.
        log: told of every step, and from time to time how far it is.

    Raises:
        EngineBuildFailed: with everything that the Go command said.
    """
    cache.mkdir(parents=True, exist_ok=True)
    final = cache / build_key()
    if not final.is_dir():
        with exclusive(cache / "lock", log, "engine: waiting for another build to end"):
            if not final.is_dir():
                _build(cache, final, log)
    os.utime(final)
    return final


def _build(cache: Path, final: Path, log: Log) -> None:
    for leftover in cache.glob("tmp-*"):
        # A killed build's Go command may still be writing there.
        shutil.rmtree(leftover, ignore_errors=True)
    vendored = _vendor(cache, log)
    with _becomes(final) as directory:
        _compile(vendored, directory, log)
    _forget_old(cache, vendored)


def _vendor(cache: Path, log: Log) -> Path:
    """Return the tree with the source of each module; it is made again if what it is made of changes."""
    final = cache / f"vendor-{_hash(MODULE_INPUTS, *PYTHON_SDK, *NOT_IN_MODULES)}"
    if final.is_dir():
        log("engine: the module sources are there")
        return final
    with _becomes(final) as tree:
        for name in MODULE_INPUTS:
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, tree / name)
        _run(
            tree, log, f"downloading Dagger {version()} and the modules it needs", "modules", "mod", "vendor"
        )
        downloaded = json.loads(_go(tree, "mod", "download", "-json", DAGGER))
        # `go mod vendor` takes along Go packages only.
        _copy_sdk(Path(downloaded["Dir"]) / "sdk/python", _source(tree, "core/sdk/python"))
    return final


def _copy_sdk(sdk: Path, to: Path) -> None:
    for name in PYTHON_SDK:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if (sdk / name).is_dir():
            ignored = shutil.ignore_patterns(*NOT_IN_MODULES)
            shutil.copytree(sdk / name, to / name, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(sdk / name, to / name)


def _compile(vendored: Path, directory: Path, log: Log) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        overlay = Path(scratch, "overlay.json")
        overlay.write_text(json.dumps({"Replace": _replacements(vendored, Path(scratch))}))
        stamp = " ".join(f"-X {DAGGER}/engine.{name}={version()}" for name in ("Version", "Tag"))
        packages = [f"{DAGGER}/cmd/{program}" for program in PROGRAMS]
        options = [
            "-v",
            "-mod=vendor",
            "-trimpath",
            f"-overlay={overlay}",
            f"-tags={TAGS}",
            f"-ldflags=-s -w {stamp}",
        ]
        log("engine: the first compilation takes some minutes, later ones seconds")
        _run(
            vendored,
            log,
            f"compiling Dagger {version()}",
            "packages",
            "build",
            *options,
            "-o",
            f"{directory}/",
            *packages,
        )
    for program, name in PROGRAMS.items():
        (directory / program).rename(directory / name)


def _replacements(vendored: Path, scratch: Path) -> dict[str, str]:
    """Return the files that replace those of the vendored tree; "" removes one."""
    replaced = {}
    for path in REMOVED:
        replaced[str(_source(vendored, path, must_exist=True))] = ""
    for path in sorted({edit.path for edit in EDITS}):
        edited = scratch / path.replace("/", "_")
        edited.write_text(_edited(_source(vendored, path, must_exist=True), path))
        replaced[str(_source(vendored, path))] = str(edited)
    for ours in sorted((HERE / "overlay").rglob("*.go")):
        replaced[str(vendored / "vendor/github.com/dagger" / ours.relative_to(HERE / "overlay"))] = str(ours)
    return replaced


def _edited(source: Path, path: str) -> str:
    text = source.read_text()
    for edit in EDITS:
        if edit.path == path:
            if text.count(edit.old) != 1:
                raise _failed(
                    f"{path} of Dagger {version()} is not as expected", f"not in it exactly once: {edit.old}"
                )
            text = text.replace(edit.old, edit.new)
    return text


def _source(vendored: Path, path: str, *, must_exist: bool = False) -> Path:
    """Return a file of the dagger module in the vendored tree."""
    source = vendored / "vendor" / DAGGER / path
    if must_exist and not source.is_file():
        raise _failed(f"Dagger {version()} has no {path}", "engine/build.py names it in REMOVED or EDITS")
    return source


def _forget_old(cache: Path, vendored: Path) -> None:
    """Remove other vendored trees, and builds but for the newest; both can be made again."""
    trees = [path for path in cache.glob("vendor-*") if path != vendored]
    builds = [path for path in cache.iterdir() if (path / "dagger-engine").is_file()]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in (*trees, *builds[KEPT_BUILDS:]):
        shutil.rmtree(path)


@contextmanager
def _becomes(final: Path) -> Iterator[Path]:
    """Make a directory that gets its final name when the block ends without an error."""
    unfinished = Path(tempfile.mkdtemp(prefix="tmp-", dir=final.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _hash(names: Sequence[str], *more: str) -> str:
    """Return a short hash of files and directories beside this file, and of more text."""
    digest = hashlib.sha256("\0".join(more).encode())
    for name in names:
        path = HERE / name
        for file in sorted(each for each in (path, *path.rglob("*")) if each.is_file()):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(HERE)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _environment() -> dict[str, str]:
    """Return the environment of Go, without variables of the user that would change what it builds."""
    ours = {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    dropped = {"GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOPACKAGESDRIVER"}
    given = {name: value for name, value in os.environ.items() if name not in dropped}
    return COLLECTOR | given | ours


def _start(directory: Path, arguments: Sequence[str], output: int) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            ["go", *arguments],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    except FileNotFoundError:
        raise _failed("the Go toolchain is not installed", "`go` was not found in PATH") from None


def _go(directory: Path, *arguments: str) -> str:
    """Return the output of a quick Go command."""
    process = _start(directory, arguments, subprocess.PIPE)
    output, errors = process.communicate()
    if process.returncode:
        raise _failed(f"`go {' '.join(arguments)}` failed", errors)
    return output


def _run(directory: Path, log: Log, what: str, unit: str, *arguments: str) -> None:
    """Run a long Go command that prints a line for each unit of its work."""
    began = reported = time.monotonic()
    log(f"engine: {what}")
    lines = []
    with _start(directory, arguments, subprocess.STDOUT) as process:
        for line in process.stdout or ():
            lines.append(line)
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                log(f"engine: {len(lines)} {unit} after {reported - began:.0f} s")
    if process.returncode:
        raise _failed(f"`go {arguments[0]}` failed while {what}", "".join(lines))
    log(f"engine: done, {len(lines)} {unit} in {time.monotonic() - began:.0f} s")


def _failed(what: str, output: str) -> EngineBuildFailed:
    fix = "see the output above; the build needs Go as new as engine/go.mod says, and the Go module proxy"
    return EngineBuildFailed(what, where=str(HERE), fix=fix, output=output)


def main() -> int:
    """Build into the user's cache and print the directory."""
    try:
        print(build(Paths.default().builds, lambda line: print(line, file=sys.stderr, flush=True)))
    except EngineBuildFailed as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
