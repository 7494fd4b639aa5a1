import pytest

from pipeline.errors import InvalidAddress
from pipeline.registry.address import (
    Address,
    Destination,
    destinations,
    named,
    open_to_tags,
    parse_address,
    parse_source,
    parse_tag,
    tagged,
)

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("app", Address("docker.io", "app", "latest")),
        ("me/app:1.2", Address("docker.io", "me/app", "1.2")),
        ("index.docker.io/app:1", Address("docker.io", "app", "1")),
        ("registry-1.docker.io/me/app", Address("docker.io", "me/app", "latest")),
        ("ghcr.io/me/app:v1", Address("ghcr.io", "me/app", "v1")),
        ("localhost:5000/app", Address("localhost:5000", "app", "latest")),
        ("127.0.0.1:5000/a/b_c:dev-1", Address("127.0.0.1:5000", "a/b_c", "dev-1")),
        ("registry:5000/app:x", Address("registry:5000", "app", "x")),
        ("[::1]:5000/app", Address("[::1]:5000", "app", "latest")),
    ],
)
def test_parse_address(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        ("ghcr.io/Me/-app", "character 9 ('M')"),
        ("localhost:99999/x", "99999 is not a port"),
        ("localhost:0/x", "0 is not a port"),
        ("localhost:" + "9" * 5000 + "/x", "is not a port"),
        ("ghcr.io/me/app:", "character 15 (':')"),
        ("ghcr.io/me/app:v 1", "character 17 (' ')"),
        ("https://ghcr.io/me@x", "character 7 ('/')"),
    ],
)
def test_an_invalid_address_names_the_character(text: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        parse_address(text)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("text", "lower"),
    [
        ("ghcr.io/Example-Org/Service:1", "ghcr.io/example-org/service:1"),
        ("Me/App:V1", "me/app:V1"),
        ("localhost:5000/App", "localhost:5000/app"),
        ("GHCR.io/ME/app", "GHCR.io/me/app"),
    ],
)
def test_capitals_are_named_with_the_address_to_write(text: str, lower: str) -> None:
    """`ghcr.io/${{ github.repository }}` has capitals for many owners."""
    with pytest.raises(InvalidAddress, match="repository names are lowercase") as raised:
        parse_address(text)
    assert (raised.value.where, raised.value.fix) == (text, f"write {lower}")
    assert parse_address(lower)


@pytest.mark.parametrize("scheme", ["http://", "https://", "docker://", "oci://"])
def test_a_url_is_named_with_the_address_to_write(scheme: str) -> None:
    with pytest.raises(InvalidAddress, match="is a URL; the address of an image has no scheme") as raised:
        parse_address(f"{scheme}localhost:5000/me/app:1")
    assert raised.value.fix == "write localhost:5000/me/app:1"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("[::1::]:5000/app", "[::1::]:5000 is not an IPv6 address"),
        ("[12345::1]/app", "not an IPv6 address"),
        ("[::1]:0/app", "0 is not a port"),
        ("[::1]:65536/app:1", "65536 is not a port"),
        ("host.example:65536/app", "65536 is not a port"),
        ("host.example:/app", "is not an image address"),
        ("::1:5000/app", "is not an image address"),
        ("[::g]:5000/app", "is not an image address"),
        ("[::1/app", "is not an image address"),
    ],
)
def test_invalid_hosts_and_ports(address: str, what: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        parse_address(address)
    assert what in str(raised.value)
    assert parse_address("[2001:db8::1]:65535/app:1").host == "[2001:db8::1]:65535"
    assert parse_address("[::1]/app").host == "[::1]"


def test_a_source_may_have_a_digest() -> None:
    assert parse_source(f"ghcr.io/me/app@{DIGEST}").reference == DIGEST
    assert parse_source(f"ghcr.io/me/app:v1@{DIGEST}") == Address("ghcr.io", "me/app", "v1", DIGEST)
    assert parse_source("ghcr.io/me/app:v1").reference == "v1"


@pytest.mark.parametrize(
    "text", ["app@", "app@sha256:0a", f"app@{DIGEST}0", "app@sha512:00", f"App@{DIGEST}"]
)
def test_invalid_sources_are_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_source(text)


def test_an_address_reads_as_it_was_written() -> None:
    assert str(parse_source(f"ghcr.io/me/app@{DIGEST}")) == f"ghcr.io/me/app@{DIGEST}"
    assert str(parse_address("ghcr.io/me/app:v1")) == "ghcr.io/me/app:v1"


@pytest.mark.parametrize("tag", ["1.2.3", "v1", "_x", "a" * 128, "A-b_c.d"])
def test_a_tag(tag: str) -> None:
    assert parse_tag(tag) == tag


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("", "it has 0 characters"),
        ("-x", "character 1 ('-')"),
        (".x", "character 1 ('.')"),
        ("feature/x", "character 8 ('/')"),
        ("1.0+build", "character 4 ('+')"),
        ("ü", "character 1 ('ü')"),
        ("a" * 129, "it has 129 characters"),
    ],
)
def test_an_invalid_tag_names_the_character(tag: str, fault: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        parse_tag(tag)
    assert fault in str(raised.value)


def test_destinations_group_by_repository_and_keep_their_order() -> None:
    found = destinations(["ghcr.io/a:1", "app:x", "ghcr.io/a:2", "ghcr.io/a:1"], ["x", "latest"])
    assert found == (
        Destination("ghcr.io", "a", ("1", "2", "x", "latest")),
        Destination("docker.io", "app", ("x", "latest")),
    )
    assert found[0].name == "ghcr.io/a"


def test_destinations_check_every_tag_and_want_an_address() -> None:
    with pytest.raises(InvalidAddress, match="'a/b' is not a tag"):
        destinations(["app"], ["a/b"])
    with pytest.raises(InvalidAddress, match="no address"):
        destinations([], ["x"])


def test_an_address_without_a_tag_gets_each_of_the_tags() -> None:
    addresses = ["localhost:5000/app", "ghcr.io/me/app:1.2.3", "NOT/an:address:"]
    assert tagged(addresses, ["1", "latest"]) == [
        "localhost:5000/app:1",
        "localhost:5000/app:latest",
        "ghcr.io/me/app:1.2.3",
        "NOT/an:address:",
    ]
    assert tagged(addresses, []) == addresses
    assert [open_to_tags(address) for address in addresses] == [True, False, False]


@pytest.mark.parametrize(
    ("address", "binary", "expected"),
    [
        ("ghcr.io/me/{bin}:1", "server", "ghcr.io/me/server:1"),
        ("ghcr.io/me/{bin}:{bin}", "Git_Tool", "ghcr.io/me/git_tool:git_tool"),
        ("ghcr.io/me/{bin}:1", "_a+b_", "ghcr.io/me/a-b:1"),
        ("ghcr.io/me/app:1", "server", "ghcr.io/me/app:1"),
    ],
)
def test_a_binarys_name_in_an_address(address: str, binary: str, expected: str) -> None:
    assert named(address, binary) == expected
    parse_address(named(address, binary))
