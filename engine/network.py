"""The engine's container network on this machine: choosing it, and taking away what it left.

The engine asks CNI plugins for a bridge, masquerading and forwarding rules. On an orderly end it gives
back most of them; after a kill none. What is left can be told from others' by the bridge's name and by
the address range, which no other program here has.
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
# Chains the CNI firewall plugin makes once for all networks.
SHARED_CHAINS = ("CNI-FORWARD", "CNI-ADMIN")


def _run(*command: str) -> str:
    """The command's output; nothing when it fails, as it may when what it asks for is gone."""
    # The CNI plugins find the same iptables, so both see the same rules, whichever backend it has.
    env = {**os.environ, "PATH": search_path()}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env).stdout


def candidates(instance: str) -> list[ipaddress.IPv4Network]:
    """The address ranges an engine may take, its favourite first.

    The favourite follows from the engine's name, so engines on one machine spread out and each keeps its
    own over restarts.
    """
    first = int(instance[-4:], 16) % 100
    return [ipaddress.IPv4Network(f"10.{88 + (first + step) % 100}.0.0/16") for step in range(100)]


def choose(instance: str, routes: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The first candidate that no route of this machine leads to."""
    taken = list(routes)
    free = [net for net in candidates(instance) if not any(net.overlaps(other) for other in taken)]
    return (free or candidates(instance))[0]


def routes() -> list[ipaddress.IPv4Network]:
    """Where this machine's routes lead, apart from the default route."""
    lines = _run("ip", "-4", "route", "show", "table", "all").splitlines()
    words = [word for line in lines for word in line.split()[:2]]
    found = []
    for word in words:
        if re.fullmatch(r"[\d.]+(/\d+)?", word):
            found.append(ipaddress.IPv4Network(word, strict=False))
    return found


def rules_of(save: str, instance: str, cidr: str) -> list[tuple[str, str]]:
    """The rules of this engine in the output of iptables-save, as (table, rule)."""
    network = ipaddress.ip_network(cidr)
    table, found = "", []
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A ") and _is_ours(line, instance, network):
            found.append((table, line))
    return found


def _is_ours(rule: str, instance: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    # The bridge plugin's comment quotes the network's name; the firewall plugin only has addresses.
    if f'name: \\"{instance}\\"' in rule or f'name: "{instance}"' in rule:
        return True
    ends = re.findall(r"(?:^| )-[sd] ([0-9a-f.:]+(?:/\d+)?)", rule)
    addresses = [ipaddress.ip_network(end, strict=False) for end in ends]
    return any(a.version == network.version and a.subnet_of(network) for a in addresses)  # type: ignore[arg-type]


def chains_jumped_to(rules: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The per-container chains that these rules lead to, as (table, chain)."""
    found = {(t, m[1]) for t, rule in rules if (m := re.search(r" -j (CNI-[0-9a-f]{20,})", rule))}
    return sorted(found)


def unused_shared_chains(save: str) -> list[str]:
    """The firewall plugin's chains, when no network's rule is left in them."""
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
    """Whether this machine forwards packets: the engine switches it on."""
    return FORWARDING.read_text().strip()


def _bridges() -> str:
    return _run("ip", "-o", "link", "show", "type", "bridge")


def remove(instance: str, cidr: str, forwarding_before: str) -> None:
    """Take away the bridge, the rules and the forwarding switch of an engine that is gone."""
    _remove_rules(instance, cidr)
    _run("ip", "link", "delete", f"{instance}0")
    # With another bridge about, forwarding may be what keeps its containers connected.
    if forwarding_before == "0" and not _bridges():
        FORWARDING.write_text("0")
