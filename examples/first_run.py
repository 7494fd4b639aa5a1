"""The main job on sample_app, step by step: build and publish both platforms, then ask each for its version.

Every step is a command a person could have typed, and is shown before it runs.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from engine import build, choice, lifecycle, registry
from engine.record import BaseImages
from pipeline.errors import EngineError, RustMultiarchError

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("rust-multiarch")
ARCHIVE = ".oci.tar"
REGISTRY = "registry:2"
"""The image of a registry, for engines that cannot reach one on this machine."""

ANSWER_SECONDS = 60.0


def show(command: Sequence[str]) -> None:
    """Print a command as it would be typed."""
    print(f"\n$ {shlex.join(command)}", flush=True)


def run(command: Sequence[str]) -> str:
    """Run a command and return its output; its progress goes to standard error."""
    show(command)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout.rstrip(), flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def dagger(environ: Mapping[str, str]) -> str:
    """How the Dagger command line is called here.

    Raises:
        EngineError: no engine can be reached.
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


def ask(url: str, running: Callable[[], bool] = lambda: True) -> str:
    """Return the response of an address, which may take a while to listen.

    Raises:
        OSError: there is no response in time, or what should respond is not `running`.
    """
    end = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end or not running():
                raise
            time.sleep(0.2)


def start(container: Sequence[str], ports: str) -> subprocess.Popen[bytes]:
    """Start a container in the engine; `ports` is a port of this machine and one of the container."""
    command = [*container, "as-service", "--use-entrypoint", "up", "--ports", ports]
    show(command)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def serve(variants: Sequence[Sequence[str]]) -> None:
    """Start the variants, ask each for its version, stop them."""
    with contextlib.ExitStack() as stack:
        ports = []
        for variant in variants:
            ports.append(registry.free_port())
            stack.callback(stop, start(variant, f"{ports[-1]}:8080"))
        for port in ports:
            url = f"http://127.0.0.1:{port}/version"
            show(["curl", url])
            print(ask(url), flush=True)


def stop(service: subprocess.Popen[bytes]) -> None:
    """Stop a service as Ctrl-C does."""
    service.send_signal(signal.SIGINT)
    service.wait(timeout=30)


@contextlib.contextmanager
def registry_in_engine(core: Sequence[str]) -> Iterator[str]:
    """Run a registry in the engine; yield its address on this machine, or "" if it does not start."""
    port = registry.free_port()
    service = start([*core, "container", "from", "--address", REGISTRY], f"{port}:5000")
    try:
        yield f"127.0.0.1:{port}" if responds(f"http://127.0.0.1:{port}/v2/", service) else ""
    finally:
        stop(service)


def responds(url: str, service: subprocess.Popen[bytes]) -> bool:
    """Return True once a service responds; False if it ends, or takes too long."""
    try:
        ask(url, lambda: service.poll() is None)
    except OSError:
        return False
    return True


def commit() -> str:
    """Return the commit of this checkout; empty outside of one."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True) if shutil.which("git") else None
    return done.stdout.strip() if done and done.returncode == 0 else ""


def build_words(platforms: str, revision: str) -> list[str]:
    """Return the words after `rust-multiarch build` or `publish`; the time of the build is git's."""
    words = ["sample_app", "--platform", platforms, "--port", "8080"]
    return [*words, "--build-arg", f"GIT_COMMIT_SHA={revision}"] if revision else words


def variant_words(platform: str, place: str) -> list[str]:
    """Return the words after `dagger core` for one platform of a published image, or of an archive."""
    source = ["import", "--source", place] if place.endswith(ARCHIVE) else ["from", "--address", place]
    return ["container", "--platform", platform, *source]


def summary(platforms: str, revision: str, place: str, published: str, seconds: float) -> str:
    """Return the closing lines: what was built, where it is, how long it took, what to try next.

    Args:
        platforms: the platforms, separated by commas.
        revision: the commit; may be empty.
        place: the address of the image, or the path of an archive.
        published: the address it was pushed to; differs from `place` if that registry has ended.
        seconds: the time since the start.
    """
    at = f" at commit {revision[:12]}" if revision else ""
    command = shlex.quote(os.path.relpath(COMMAND, Path.cwd()))
    minutes, rest = divmod(round(seconds), 60)
    pushed = f"pushed {published}, a registry that ended; REGISTRY=host/namespace make build keeps it"
    if not published:
        pushed = f"pushed nowhere: {REGISTRY} did not start; set REGISTRY=host/namespace"
    return "\n".join(
        [
            f"built  sample_app{at} for {platforms.replace(',', ', ')}",
            *([pushed] if published != place else []),
            f"where  {place}",
            f"took   {minutes} min {rest} s" if minutes else f"took   {rest} s",
            f"next   {command} plan sample_app",
            f"       {command} build path/to/your/project",
        ]
    )


def main() -> None:
    """Build and publish for the platforms of the first argument, then try each variant."""
    begun = time.monotonic()
    platforms = sys.argv[1]
    names = platforms.split(",")
    chosen = choice.choose(images=BaseImages(names))
    os.environ.update(chosen.environment)
    core = [dagger(os.environ), "core"]
    revision = commit()
    words = build_words(platforms, revision)
    host = os.environ.get("REGISTRY") or (
        lifecycle.publishing_registry() if chosen.kind == "embedded" else ""
    )
    if host:
        place = published = publish(words, host)
    else:
        # Another engine cannot pull from a registry on this machine, so it runs the images of an archive.
        with registry_in_engine(core) as host:
            published = publish(words, host) if host else ""
        place = str(Path(tempfile.gettempdir()) / f"sample-app{ARCHIVE}")
        run([str(COMMAND), "build", *words, "--output", f"type=oci,dest={place}"])
    serve([[*core, *variant_words(platform, place)] for platform in names])
    print("\n" + summary(platforms, revision, place, published, time.monotonic() - begun), flush=True)


def publish(words: Sequence[str], host: str) -> str:
    """Publish to a registry; return the address with the digest."""
    return run([str(COMMAND), "publish", *words, "--tag", f"{host}/sample-app:dev"]).strip()


if __name__ == "__main__":
    try:
        main()
    except RustMultiarchError as error:
        print(error.render(), file=sys.stderr)
        sys.exit(error.exit_code)
