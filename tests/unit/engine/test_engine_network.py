"""Test the choice of the engine's network and the detection of its rules."""

from __future__ import annotations

from ipaddress import IPv4Network

from engine import network

INSTANCE = "rma0123abc"
CIDR = "10.113.0.0/16"
CHAIN = "CNI-e955ed768cede27d5beb5232"
COMMENT = rf'-m comment --comment "name: \"{INSTANCE}\" id: \"z1uf\""'
OURS = f"""\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
-A CNI-FORWARD -d 10.113.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -s 10.113.0.2/32 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:{CHAIN} - [0:0]
-A POSTROUTING -s 10.113.0.2/32 {COMMENT} -j {CHAIN}
-A {CHAIN} -d 10.113.0.0/16 {COMMENT} -j ACCEPT
-A {CHAIN} ! -d 224.0.0.0/4 {COMMENT} -j MASQUERADE
COMMIT
"""
OTHERS = """\
*filter
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -s 172.17.0.0/16 -j ACCEPT
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
-A CNI-FORWARD -s 10.88.0.7/32 -j ACCEPT
COMMIT
*nat
-A POSTROUTING -s 10.88.0.7/32 -m comment --comment "name: \\"podman\\" id: \\"1\\"" -j CNI-aaaaaaaaaa
COMMIT
"""


def test_every_rule_of_the_engine_is_found() -> None:
    rules = network.rules_of(OURS, INSTANCE, CIDR)
    assert [table for table, _ in rules] == ["filter"] * 2 + ["nat"] * 3


def test_rules_of_other_programs_are_left_alone() -> None:
    assert network.rules_of(OTHERS, INSTANCE, CIDR) == []


def test_the_chain_of_a_container_is_found_by_its_jump() -> None:
    assert network.chains_jumped_to(network.rules_of(OURS, INSTANCE, CIDR)) == [("nat", CHAIN)]


def test_shared_chains_stay_while_another_network_uses_them() -> None:
    assert network.unused_shared_chains(OTHERS) == []
    assert network.unused_shared_chains(OURS) == []


def test_shared_chains_are_removed_with_the_last_network() -> None:
    ours = [rule for _, rule in network.rules_of(OURS, INSTANCE, CIDR)]
    rest = "\n".join(line for line in OURS.splitlines() if line not in ours)
    assert network.unused_shared_chains(rest) == ["CNI-FORWARD", "CNI-ADMIN"]


def test_without_shared_chains_none_are_removed() -> None:
    assert network.unused_shared_chains("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n") == []


def test_the_network_is_derived_from_the_name() -> None:
    assert network.choose(INSTANCE, []) == network.choose(INSTANCE, [])
    assert network.choose("rma0000000", []) != network.choose("rma0000001", [])


def test_a_network_in_use_is_skipped() -> None:
    first, second, *_ = network.candidates(INSTANCE)
    assert network.choose(INSTANCE, [next(first.subnets(new_prefix=24))]) == second


def test_if_every_network_is_in_use_the_preferred_one_is_chosen() -> None:
    assert network.choose(INSTANCE, [IPv4Network("10.0.0.0/8")]) == network.candidates(INSTANCE)[0]
