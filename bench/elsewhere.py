"""Other machines, as far as the network goes: network namespaces, each with an embedded engine of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import lifecycle
from engine.config import RUNNER
from engine.network import FORWARDING
from engine.paths import Paths
from pipeline import fleet

SECONDS = 600


@dataclass(frozen=True)
class Machine:
    """An engine that runs elsewhere.

    Attributes:
        address: what Dagger reaches it by.
        paths: where it keeps everything.
    """

    address: str
    paths: Paths

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with that engine in it."""
        return {**os.environ, **lifecycle.env(paths=self.paths)}


def run(*command: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command; raises RuntimeError with what it printed where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=SECONDS)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


@contextmanager
def namespace(number: int) -> Iterator[str]:
    """A network namespace whose packets this machine passes on; gives the file that stands for it.

    Args:
        number: tells it from others of this machine; its network is 10.77.<number>.0/30.
    """
    name, network = f"rma-else-{number}", f"10.77.{number}.0/30"
    outside, inside = f"10.77.{number}.1", f"10.77.{number}.2"
    with ExitStack() as stack:
        run("ip", "netns", "add", name)
        stack.callback(run, "ip", "netns", "delete", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", f"{outside}/30", "dev", name)
        run("ip", "link", "set", name, "up")
        run("ip", "-n", name, "address", "add", f"{inside}/30", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", link, "up")
        run("ip", "-n", name, "route", "add", "default", "via", outside)
        FORWARDING.write_text("1\n")
        for rule in (
            ("nat", "POSTROUTING", "--source", network, "--jump", "MASQUERADE"),
            ("filter", "FORWARD", "--source", network, "--jump", "ACCEPT"),
            ("filter", "FORWARD", "--destination", network, "--jump", "ACCEPT"),
        ):
            table, *words = rule
            run("iptables", "--table", table, "--insert", *words)
            stack.callback(run, "iptables", "--table", table, "--delete", *words)
        yield f"/run/netns/{name}"


@contextmanager
def machine(cache: Path, platforms: Sequence[str], number: int) -> Iterator[Machine]:
    """An engine in a namespace. It shares what is compiled, and nothing else, with this machine's own.

    Args:
        cache: a directory for everything that it keeps.
        platforms: what it builds for, besides this machine's own.
        number: see `namespace`.
    """
    paths = Paths(cache / "rust-multiarch")
    paths.share(Paths.default())
    env = {name: text for name, text in os.environ.items() if name != RUNNER}
    env["XDG_CACHE_HOME"] = str(cache)
    with namespace(number) as file:
        # Not `ip netns exec`: that would also hide the control groups.
        command = ["nsenter", f"--net={file}", *fleet.by_itself("engine")]
        try:
            run(*command, "start", "--platform", ",".join(platforms), env=env)
            yield Machine(f"unix://{paths.socket}", paths)
        finally:
            run(*command, "stop", env=env)
