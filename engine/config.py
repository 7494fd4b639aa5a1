"""What the engine is told: its configuration files, its arguments, the tree it runs in."""

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
"""What tells the Dagger command line and SDKs which engine and which `dagger` to use."""

DOCKER_HUB = "https://registry-1.docker.io/v2/"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BINARIES = "/usr/local/lib/rust-multiarch"
CERTIFICATES = "/usr/local/share/ca-certificates"
"""Root certificates the engine adds to a container before every command and takes away after it."""

CNI_PLUGINS = ("bridge", "loopback", "firewall", "host-local")
XTABLES = ("xtables-legacy-multi", "xtables-nft-multi")

# The engine resolves names through dnsmasq on its bridge. Without this option dnsmasq would take port 53
# of every address of this machine, since the engine shares the machine's network.
DNSMASQ = '#!/bin/sh\nexec /usr/sbin/dnsmasq --bind-dynamic "$@"\n'

# Kept prepared for the next containers. The engine's own 128 would take 128 interfaces, and their removal
# most of the time a stop may take.
NETWORK_POOL = 8

# By the engine's own default, cache volumes of more than 512 MB would be gone after two days. What is left
# free is a size and no share of the disk: with less free than 5 % of 250 GB, every session ended with a prune
# of its own work.
GARBAGE_COLLECTION = {
    "policies": [
        {"all": True, "reservedSpace": "10GB", "maxUsedSpace": "40GB", "minFreeSpace": "5GB"},
    ]
}

PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def hub_reachable(url: str = DOCKER_HUB, seconds: float = 4) -> bool:
    """Whether images can be pulled from Docker Hub: it asks for credentials, so 401 is its yes."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refused:
        return refused.code == 401
    except (OSError, http.client.HTTPException):
        return False


def engine_json(registry: str, *, mirror: bool) -> dict[str, Any]:
    """/etc/dagger/engine.json: the loopback registry, and whether it stands in for Docker Hub."""
    registries: dict[str, Any] = {registry: {"http": True}}
    if mirror:
        registries["docker.io"] = {"mirrors": [registry]}
    return {"logLevel": "info", "gc": GARBAGE_COLLECTION, "registries": registries}


def engine_toml(instance: str) -> str:
    """/etc/dagger/engine.toml: containers under one cgroup of this engine, so that stop finds them."""
    return f'[worker.oci]\ndefaultCgroupParent = "/{instance}"\n'


def arguments(paths: Paths, cidr: str) -> list[str]:
    """The engine's command line. tini is its parent: it reaps what ended containers leave behind."""
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
    """Where the engine answers. Among a process's arguments it also marks it as this engine's."""
    return f"unix://{paths.socket}"


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: nothing of the user's but the proxies."""
    passed = {name: current[name] for name in PASSED_ON if name in current}
    return {"PATH": PATH, "HOME": "/root", "DO_NOT_TRACK": "1", **passed}


def sandbox(paths: Paths, build: Path, cidr: str) -> Spec:
    """The tree the engine runs in: this machine's, with the engine's tools where it expects them."""
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


def write(paths: Paths, build: Path, cidr: str, registry: str, *, mirror: bool) -> None:
    """Write everything the next engine reads."""
    (paths.run / "engine.json").write_text(json.dumps(engine_json(registry, mirror=mirror), indent=1))
    (paths.run / "engine.toml").write_text(engine_toml(paths.instance))
    paths.spec.write_text(sandbox(paths, build, cidr).to_json())
