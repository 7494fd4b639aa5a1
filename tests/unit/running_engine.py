"""Run a process with the name, arguments and socket of an engine, and a `dagger` that connects to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine import config, registry
from engine.paths import Paths
from engine.record import Record


def record(paths: Paths, **other: object) -> Record:
    """Return the record of such an engine's start."""
    kept = {
        "build": str(paths.builds / "one"),
        "cidr": "10.231.0.0/16",
        "registry": registry.address_of(5000),
        "registry_port": 5000,
        "mirror": True,
        "forwarding_before": "0",
        "platforms": ["linux/amd64"],
    }
    return Record(**(kept | other))  # type: ignore[arg-type]


@contextmanager
def running(paths: Paths, written: Record, answers: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Run it; its `dagger` succeeds if it should answer."""
    paths.create()
    written.write(paths.record)
    mirror = registry.address_of(registry.stand_ins_port(cache=paths.root)) if written.mirror else ""
    (paths.run / "engine.json").write_text(json.dumps(config.engine_json(written.registry, mirror)))
    dagger = paths.builds / "one/dagger"
    dagger.parent.mkdir(parents=True, exist_ok=True)
    dagger.write_text("#!/bin/sh\n" if answers else "#!/bin/sh\necho no answer >&2\nexit 1\n")
    dagger.chmod(0o755)
    paths.log.write_text("one\n")
    # Says that it runs before its socket is there, and is reaped as soon as it ends.
    code = "import time; print('up', flush=True); time.sleep(60)"
    command = ["dagger-engine", "-I", "-c", code, config.address(paths)]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"up\n"
            paths.socket.touch()
            yield process
        finally:
            process.kill()
