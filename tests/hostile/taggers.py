"""Push image after image under tags that others push to at the same time, and kill the pushes at random.

`python taggers.py ADDRESS FOLDER NUMBER COUNT SIGNALS` is one of several taggers. It prints a line for each
push, as JSON; see `Push`. Each push has a tag of its own, a tag that all taggers set once, at about the same
time, and `latest`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import conditional
import unlucky

from pipeline.errors import RustMultiarchError
from pipeline.oci.layout import Layout
from pipeline.registry import credentials, dial, pushing
from pipeline.registry.address import Destination
from pipeline.registry.retry import Retry

NEVER_IN = 4
"""One of so many pushes has a tag that the registry refuses, where it refuses one."""


@dataclass(frozen=True)
class Push:
    """A push that ended.

    Attributes:
        digest: the digest of the image.
        tags: its tags.
        began, ended: seconds of the system's clock.
        signal: the signal that it was sent; 0 for none.
        code: its exit code, negative for a signal.
        said: what it printed, if it could not restore its tags.
    """

    digest: str
    tags: tuple[str, ...]
    began: float
    ended: float
    signal: int
    code: int
    said: str = ""


async def push(folder: Path, host: str, tags: tuple[str, ...], said: Path) -> None:
    """Push a layout under several tags."""
    layout = await Layout.open(folder)

    def say(line: str) -> None:
        if "could not be put back" in line:
            said.write_text(line)

    keychain, retry = credentials.from_secrets({}), Retry(attempts=6, first_seconds=0.05)
    async with dial.registries(keychain, plain_http=[host], retry=retry, say=say) as registries:
        try:
            await pushing.push(layout, [Destination(host, "me/app", tags)], registries)
        except RustMultiarchError as error:
            say(error.fix)
            raise


def child(folder: Path, host: str, tags: tuple[str, ...], said: Path) -> int:
    """Push in a child process; return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        anyio.run(push, folder, host, tags, said)
        code = 0
    except RustMultiarchError as error:
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)


def main() -> None:
    """Push and kill."""
    host, folder, number, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    signals = [int(text) for text in sys.argv[5].split(",")]
    chance = random.Random(number)
    usual = 0.3
    for turn in range(count):
        image = unlucky.image(folder / f"{number}-{turn}", os.urandom(500))
        (digest,) = [entry["digest"] for entry in json.loads((image / "index.json").read_text())["manifests"]]
        tags = [f"own-{number}-{turn}", f"all-{turn}", "latest"]
        chance.shuffle(tags)
        if conditional.NEVER in sys.argv[6:] and chance.randrange(NEVER_IN) == 0:
            tags.append(conditional.NEVER)
        killed = chance.choice([0, 0, *signals])
        began, said = time.monotonic(), folder / f"{number}-{turn}.said"
        pid = child(image, host, tuple(tags), said)
        if killed:
            # Most of a push is before its tags, which are the part to disturb.
            time.sleep(usual * chance.uniform(0.4, 1.1))
            os.kill(pid, killed)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ended = time.monotonic()
        if code == 0 and not killed:
            usual = 0.7 * usual + 0.3 * (ended - began)
        text = said.read_text() if said.exists() else ""
        print(json.dumps(asdict(Push(digest, tuple(tags), began, ended, killed, code, text))), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
