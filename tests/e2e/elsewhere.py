"""Another machine, as far as the network goes: a network namespace with an embedded engine of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engine.paths import Paths
from pipeline import fleet

NAMESPACE = "rma-e2e"
OUTSIDE, INSIDE, NETWORK = "10.77.0.1", "10.77.0.2", "10.77.0.0/30"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def run(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


@contextmanager
def namespace() -> Iterator[str]:
    """A network namespace whose packets this machine passes on; gives the file that stands for it."""
    with ExitStack() as stack:
        run("ip", "netns", "add", NAMESPACE)
        stack.callback(run, "ip", "netns", "delete", NAMESPACE)
        run("ip", "link", "add", NAMESPACE, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        run("ip", "address", "add", f"{OUTSIDE}/30", "dev", NAMESPACE)
        run("ip", "link", "set", NAMESPACE, "up")
        run("ip", "-n", NAMESPACE, "address", "add", f"{INSIDE}/30", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", NAMESPACE, "link", "set", link, "up")
        run("ip", "-n", NAMESPACE, "route", "add", "default", "via", OUTSIDE)
        FORWARDING.write_text("1\n")
        for rule in (
            ("nat", "POSTROUTING", "--source", NETWORK, "--jump", "MASQUERADE"),
            ("filter", "FORWARD", "--source", NETWORK, "--jump", "ACCEPT"),
            ("filter", "FORWARD", "--destination", NETWORK, "--jump", "ACCEPT"),
        ):
            table, *words = rule
            run("iptables", "--table", table, "--insert", *words)
            stack.callback(run, "iptables", "--table", table, "--delete", *words)
        yield f"/run/netns/{NAMESPACE}"


@contextmanager
def engine(cache: Path, platform: str) -> Iterator[str]:
    """An engine in a namespace; gives the address it is reached by. It shares what is compiled with ours.

    Args:
        cache: an empty directory, for everything the engine keeps.
        platform: what it builds for, besides this machine's own.
    """
    first, second = Paths.default(), Paths(cache / "rust-multiarch")
    second.root.mkdir(parents=True)
    second.builds.symlink_to(first.builds)
    second.bases.symlink_to(first.bases)
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    env.pop(fleet.RUNNER, None)
    with namespace() as file:
        inside = ["nsenter", f"--net={file}", *fleet.by_itself("engine")]
        try:
            run(*inside, "start", "--platform", platform, env=env)
            yield f"unix://{second.socket}"
        finally:
            run(*inside, "stop", env=env)
