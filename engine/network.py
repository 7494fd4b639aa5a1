"""Choose the engine's container network, and remove what it leaves on this machine.

The engine makes a bridge, masquerading and forwarding rules with CNI plugins. It removes most of them when it
stops, and none when it is killed. The rest is recognized by the bridge's name and the address range, which
no other program on the machine uses.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from engine.prerequisites import search_path

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# Chains that the CNI firewall plugin makes for all networks together.
SHARED_CHAINS = ("CNI-FORWARD", "CNI-ADMIN")


def _run(*command: str) -> str:
    """Return a command's output; "" if it fails, for example because the object is already removed."""
    # The CNI plugins use the same search path, so both use the same iptables backend and rules.
    env = {**os.environ, "PATH": search_path()}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env).stdout


def candidates(instance: str) -> list[ipaddress.IPv4Network]:
    """Return the address ranges an engine may use, its preferred one first.

    The preferred range is derived from the engine's name: engines on one machine get different ranges, and an
    engine keeps its range after a restart.
    """
    first = int(instance[-4:], 16) % 100
    return [ipaddress.IPv4Network(f"10.{88 + (first + step) % 100}.0.0/16") for step in range(100)]


def choose(instance: str, routes: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return the first candidate that no route of this machine overlaps."""
    taken = list(routes)
    free = [net for net in candidates(instance) if not any(net.overlaps(other) for other in taken)]
    return (free or candidates(instance))[0]


def routes() -> list[ipaddress.IPv4Network]:
    """Return the networks this machine has routes to, without the default route."""
    lines = _run("ip", "-4", "route", "show", "table", "all").splitlines()
    words = [word for line in lines for word in line.split()[:2]]
    found = []
    for word in words:
        if re.fullmatch(r"[\d.]+(/\d+)?", word):
            found.append(ipaddress.IPv4Network(word, strict=False))
    return found


def rules_of(save: str, instance: str, cidr: str) -> list[tuple[str, str]]:
    """Return this engine's rules in the output of iptables-save, as (table, rule)."""
    network = ipaddress.ip_network(cidr)
    table, found = "", []
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A ") and _belongs_to(line, instance, network):
            found.append((table, line))
    return found


def _belongs_to(rule: str, instance: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    # The bridge plugin's rules have the network's name in a comment, the firewall plugin's only addresses.
    if f'name: \\"{instance}\\"' in rule or f'name: "{instance}"' in rule:
        return True
    ends = re.findall(r"(?:^| )-[sd] ([0-9a-f.:]+(?:/\d+)?)", rule)
    addresses = [ipaddress.ip_network(end, strict=False) for end in ends]
    return any(a.version == network.version and a.subnet_of(network) for a in addresses)  # type: ignore[arg-type]


def chains_jumped_to(rules: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the per-container chains that these rules jump to, as (table, chain)."""
    found = {(t, m[1]) for t, rule in rules if (m := re.search(r" -j (CNI-[0-9a-f]{20,})", rule))}
    return sorted(found)


def unused_shared_chains(save: str) -> list[str]:
    """Return the firewall plugin's shared chains, if no network has a rule in them."""
    rules = [line for line in save.splitlines() if line.startswith("-A CNI-")]
    own = ("-A CNI-FORWARD -m comment --comment", "-A CNI-FORWARD -j CNI-ADMIN")
    if any(not rule.startswith(own) for rule in rules):
        return []
    return [chain for chain in SHARED_CHAINS if f":{chain} " in save]


def _iptables(*arguments: str) -> None:
    _run("iptables", "-w", *arguments)


def _iptables_save() -> str:
    return _run("iptables-save")


def _delete_rules(rules: Iterable[tuple[str, str]]) -> None:
    for table, rule in rules:
        _iptables("-t", table, "-D", *shlex.split(rule)[1:])


def _delete_chains(chains: Iterable[tuple[str, str]]) -> None:
    for command in ("-F", "-X"):
        for table, chain in chains:
            _iptables("-t", table, command, chain)


def _remove_rules(instance: str, cidr: str) -> None:
    rules = rules_of(_iptables_save(), instance, cidr)
    _delete_rules(rules)
    _delete_chains(chains_jumped_to(rules))
    save = _iptables_save()
    if chains := unused_shared_chains(save):
        jumps = [line for line in save.splitlines() if re.search(r"^-A (?!CNI-).* -j CNI-FORWARD", line)]
        _delete_rules([("filter", jump) for jump in jumps])
        _delete_chains([("filter", chain) for chain in chains])


def forwarding() -> str:
    """Return the kernel's setting for IPv4 forwarding, which the engine turns on."""
    return FORWARDING.read_text().strip()


def _bridges() -> str:
    return _run("ip", "-o", "link", "show", "type", "bridge")


def remove(instance: str, cidr: str, forwarding_before: str) -> None:
    """Remove the bridge and the rules of a stopped engine, and restore the forwarding setting."""
    _remove_rules(instance, cidr)
    _run("ip", "link", "delete", f"{instance}0")
    # The containers of another bridge may need forwarding.
    if forwarding_before == "0" and not _bridges():
        FORWARDING.write_text("0")
