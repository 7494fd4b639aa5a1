"""Configure the engine: its configuration files, its arguments and its sandbox."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.paths import Paths
from engine.sandbox import Spec

RUNNER = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
CLI = "_EXPERIMENTAL_DAGGER_CLI_BIN"
"""Variables that tell the Dagger CLI and SDKs which engine and which `dagger` to use."""

SHUTDOWN = "_EXPERIMENTAL_DAGGER_SHUTDOWN_TIMEOUT"
SHUTDOWN_SECONDS = 120
"""The time that the Dagger CLI gives an engine to end a session.

After its own 10 seconds it fails, even if the work of the session is done (dagger/dagger#11328, #13681).
A busy engine, and one that ends a session with many steps, needs more.
"""

DOCKER_HUB = "https://registry-1.docker.io/v2/"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BINARIES = "/usr/local/lib/rust-multiarch"
CERTIFICATES = "/usr/local/share/ca-certificates"
"""Root certificates that the engine adds to a container before each command and removes afterwards."""

CNI_PLUGINS = ("bridge", "loopback", "firewall", "host-local")
XTABLES = ("xtables-legacy-multi", "xtables-nft-multi")

# The engine resolves names with dnsmasq on its bridge. Without this option dnsmasq would listen on port 53
# of every address of this machine, since the engine shares the machine's network.
DNSMASQ = '#!/bin/sh\nexec /usr/sbin/dnsmasq --bind-dynamic "$@"\n'

# Network namespaces prepared for the next containers. The engine's default of 128 makes 128 interfaces, and
# removing them would take most of the time allowed for a stop.
NETWORK_POOL = 8

# The engine's default removes cache volumes of more than 512 MB after two days. The free space is given as a
# size: with a percentage, a 250 GB disk with less than 5 % free had its cache pruned after every session.
GARBAGE_COLLECTION = {
    "policies": [
        {"all": True, "reservedSpace": "10GB", "maxUsedSpace": "40GB", "minFreeSpace": "5GB"},
    ]
}

PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def shutdown_time(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable with the time that an engine gets to end a session; the user's own value counts."""
    return {SHUTDOWN: environ.get(SHUTDOWN) or f"{SHUTDOWN_SECONDS}s"}


def hub_reachable(url: str = DOCKER_HUB, seconds: float = 4) -> bool:
    """Return True if images can be pulled from Docker Hub; it answers 401 to anonymous requests."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refused:
        return refused.code == 401
    except (OSError, http.client.HTTPException):
        return False


def engine_json(registry: str, mirror: str) -> dict[str, Any]:
    """Return /etc/dagger/engine.json: the registry to publish to, and a mirror of Docker Hub unless ""."""
    registries: dict[str, Any] = {registry: {"http": True}}
    if mirror:
        registries |= {mirror: {"http": True}, "docker.io": {"mirrors": [mirror]}}
    return {"logLevel": "info", "gc": GARBAGE_COLLECTION, "registries": registries}


def written(paths: Paths) -> Any:
    """Return the configuration that the last engine started with; None if none exists."""
    try:
        return json.loads((paths.run / "engine.json").read_text())
    except (OSError, ValueError):
        return None


def mirrors(paths: Paths) -> dict[str, str]:
    """Return the first mirror of each registry, by host, in the running engine's configuration."""
    registries = (written(paths) or {}).get("registries", {})
    return {host: entry["mirrors"][0] for host, entry in registries.items() if entry.get("mirrors")}


def engine_toml(instance: str) -> str:
    """Return /etc/dagger/engine.toml, which puts all containers below one cgroup, so that stop finds them."""
    return f'[worker.oci]\ndefaultCgroupParent = "/{instance}"\n'


def arguments(paths: Paths, cidr: str) -> list[str]:
    """Return the engine's command line; tini, its parent, reaps the processes of ended containers."""
    return [
        "/usr/bin/tini", "--", f"{BINARIES}/dagger-engine",
        "--config", "/etc/dagger/engine.toml",
        "--addr", address(paths),
        "--root", str(paths.state),
        "--network-name", paths.instance,
        "--network-cidr", cidr,
        "--oci-cni-pool-size", str(NETWORK_POOL),
    ]  # fmt: skip


def address(paths: Paths) -> str:
    """Return the engine's address; a process with it as an argument belongs to this engine."""
    return f"unix://{paths.socket}"


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """Return the engine's environment: of the user's variables, only the proxies."""
    passed = {name: current[name] for name in PASSED_ON if name in current}
    return {"PATH": PATH, "HOME": "/root", "DO_NOT_TRACK": "1", **passed}


def sandbox(paths: Paths, build: Path, cidr: str) -> Spec:
    """Return the engine's sandbox: this machine's `/`, with the tools where the engine expects them."""
    plugins = {f"/opt/cni/bin/{name}": f"/usr/lib/cni/{name}" for name in CNI_PLUGINS}
    xtables = {f"/usr/bin/{name}": f"/usr/sbin/{name}" for name in XTABLES}
    own = {CERTIFICATES: str(paths.certificates)} if paths.certificates.is_dir() else {}
    return Spec(
        base=str(paths.sandbox),
        argv=arguments(paths, cidr),
        env=environment(os.environ),
        binds={
            str(paths.state): str(paths.state),
            str(paths.run): str(paths.run),
            BINARIES: str(build),
            "/tmp": str(paths.tmp),
            "/var/tmp": str(paths.tmp),
            **own,
        },
        copies={
            "/usr/local/bin/dagger-init": str(build / "dagger-init"),
            "/opt/cni/bin/dnsname": str(build / "dnsname"),
            "/etc/dagger/engine.json": str(paths.run / "engine.json"),
            "/etc/dagger/engine.toml": str(paths.run / "engine.toml"),
        },
        files={"/etc/resolv.conf": "/etc/resolv.conf", "/etc/hosts": "/etc/hosts"},
        links={"/usr/local/bin/runc": "/usr/sbin/runc", **plugins, **xtables},
        scripts={"/usr/local/sbin/dnsmasq": DNSMASQ},
    )


def write(paths: Paths, build: Path, cidr: str, registry: str, mirror: str) -> None:
    """Write the configuration files of the next engine."""
    (paths.run / "engine.json").write_text(json.dumps(engine_json(registry, mirror), indent=1))
    (paths.run / "engine.toml").write_text(engine_toml(paths.instance))
    paths.spec.write_text(sandbox(paths, build, cidr).to_json())
