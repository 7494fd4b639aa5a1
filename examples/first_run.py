"""The main job on sample_app, step by step: build, publish, look at the index, ask each variant.

Every step is a command a person could have typed, and is shown before it runs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine import build, choice, registry
from pipeline.errors import EngineError, RustMultiarchError

ROOT = Path(__file__).parents[1]
INDEX = "application/vnd.oci.image.index.v1+json"
ANSWER_SECONDS = 60.0


def show(command: Sequence[str]) -> None:
    """Print a command as it would be typed."""
    print(f"\n$ {shlex.join(command)}", flush=True)


def run(command: Sequence[str]) -> str:
    """A command's answer; its progress goes to stderr as it comes."""
    show(command)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout.rstrip(), flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def dagger(environ: Mapping[str, str]) -> str:
    """How the Dagger command line is called here.

    Raises:
        EngineError: there is none.
    """
    named = environ.get(choice.CLI, "")
    found = "dagger" if shutil.which("dagger", path=environ.get("PATH")) else named
    if not found:
        raise EngineError(
            "there is no `dagger` command, which this example shows",
            where="PATH",
            fix=f"install the Dagger command line {build.version()} (https://docs.dagger.io/install), or"
            f" compile it with Go: `{sys.executable} -m engine.build`; `rust-multiarch build` needs neither",
        )
    return found


def ask(url: str) -> str:
    """The answer at an address, which may need a while to come up."""
    end = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def serve(variant: Sequence[str], platform: str) -> None:
    """Start one variant, ask it which architecture it is, stop it."""
    port = registry.free_port()
    command = [*variant, "variant", "--platform", platform, "container", "as-service", "--use-entrypoint"]
    command += ["up", "--ports", f"{port}:8080"]
    show(command)
    service = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        print(
            f"$ curl http://127.0.0.1:{port}/version\n" + ask(f"http://127.0.0.1:{port}/version"), flush=True
        )
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(timeout=30)


def show_index(address: str) -> None:
    """The index as the registry has it."""
    name, digest = address.split("@")
    host, repository = name.split("/", 1)
    url = f"http://{host}/v2/{repository.rsplit(':', 1)[0]}/manifests/{digest}"
    show(["curl", "-H", f"Accept: {INDEX}", url])
    request = urllib.request.Request(url, headers={"Accept": INDEX})
    with urllib.request.urlopen(request) as answer:
        print(json.dumps(json.load(answer), indent=2), flush=True)


def main() -> None:
    """Build and publish for the platforms of the first argument, then try each variant."""
    platforms = sys.argv[1]
    names = platforms.split(",")
    chosen = choice.choose(platforms=names)
    os.environ.update(chosen.environment)
    project = [dagger(os.environ), "call", "--platforms", platforms, "--ports", "8080"]
    run([*project, "build", "report"])
    registry_host = os.environ.get("REGISTRY") or (registry.address_of() if chosen.kind == "embedded" else "")
    if registry_host:
        here = registry_host == registry.address_of()
        publish = ["publish", "--address", f"{registry_host}/sample-app:dev"]
        # A function runs in the engine: a registry on this machine it reaches only as a service.
        publish += ["--registry", f"tcp://{registry_host}"] if here else []
        address = run([*project, *publish]).strip()
        if here:
            show_index(address)
    else:
        print("\nnot published: set REGISTRY=host/namespace to push with this engine")
    for platform in names:
        serve([*project, "build"], platform)


if __name__ == "__main__":
    try:
        main()
    except RustMultiarchError as error:
        print(error.render(), file=sys.stderr)
        sys.exit(error.exit_code)
