"""Hosts, addresses and URLs: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest

from sonda.pipeline.values.addresses import (
    Address,
    address_of,
    check_addresses,
    check_host,
    is_loopback,
    parse_address,
    parse_http_url,
    with_path,
    without_zone,
)

A_HOST = "expected a host name or an IP address"
A_PORT = "expected a port from 1 to 65535"
AN_ADDRESS = "expected host:port, with an IPv6 address in brackets"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("syslog:514", Address("syslog", 514)),
        ("a_b.example.:65535", Address("a_b.example.", 65535)),
        ("127.0.0.1:1", Address("127.0.0.1", 1)),
        ("[::1]:514", Address("::1", 514)),
        ("[fe80::1%eth0]:514", Address("fe80::1%eth0", 514)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """A host and a port, and back again."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", AN_ADDRESS),
        ("syslog", AN_ADDRESS),
        (":514", AN_ADDRESS),
        ("[]:514", AN_ADDRESS),
        ("::1:514", AN_ADDRESS),
        ("h:514\n", AN_ADDRESS),
        ("h:+514", AN_ADDRESS),
        ("h:0", A_PORT),
        ("h:65536", A_PORT),
        ("a b:514", A_HOST),
        ("é:514", A_HOST),
        ("-a:514", A_HOST),
        ("a..b:514", A_HOST),
        ("user@h:514", A_HOST),
        ("[fe80::1%é]:514", "expected the name of a network interface after the %"),
        ("[fe80::1%a\0]:514", "expected the name of a network interface after the %"),
        (f"[fe80::1%{'a' * 65}]:514", "expected the name of a network interface after the %"),
    ],
)
def test_no_addresses(text: str, reason: str) -> None:
    """What is no address is refused with the reason."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_address(text)


@pytest.mark.parametrize("text", ["h", "http:h", "http:/h", "//h", "ftp://h", "HTTP:\\\\h", ""])
def test_no_http_urls(text: str) -> None:
    """A URL says how to get there."""
    with pytest.raises(ValueError, match="starts with http:// or https://"):
        parse_http_url(text)


@pytest.mark.parametrize("text", ["http://h/a b", "http://h\\@x", "http://h\n", "http://h/\x7f"])
def test_urls_hide_nothing(text: str) -> None:
    """What two readers could read in two ways is refused."""
    with pytest.raises(ValueError, match="holds no spaces"):
        parse_http_url(text)


@pytest.mark.parametrize("text", ["http://", "http://:80", "http://a..b", "http://?x", "http://u@"])
def test_urls_have_a_host(text: str) -> None:
    """A URL without a host leads nowhere."""
    with pytest.raises(ValueError, match=A_HOST):
        parse_http_url(text)


def test_url_ports() -> None:
    """A port is a number that TCP knows."""
    assert parse_http_url("HTTPS://Loki:3100/x").port == 3100
    with pytest.raises(ValueError, match=A_PORT):
        parse_http_url("http://h:65536")


@pytest.mark.parametrize("text", ["http://h/" + "a" * 65_000, "http://h/?" + "\u00e9" * 11_000])
def test_a_url_leaves_room_for_what_is_appended(text: str) -> None:
    """Its bytes count as they are sent."""
    with pytest.raises(ValueError, match="a path and query have at most 65000 bytes"):
        parse_http_url(text)
    longest = parse_http_url("http://h/" + "a" * 64_999)
    assert with_path(longest, "/loki/api/v1/push").raw_path.endswith(b"aa/loki/api/v1/push")


def test_a_list_of_addresses_is_bounded() -> None:
    """A thousand brokers bootstrap any cluster."""
    assert check_addresses(",".join(["a:1"] * 1000))
    with pytest.raises(ValueError, match=r"^expected at most 1000 addresses$"):
        check_addresses(",".join(["a:1"] * 1001))


def test_hosts_of_other_languages() -> None:
    """An international name is asked for as DNS has it."""
    assert parse_http_url("http://bücher.example").raw_host == b"xn--bcher-kva.example"
    with pytest.raises(ValueError, match=A_HOST):
        check_host("bücher.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "::1", "LOCALHOST.", "::ffff:127.0.0.1"])
def test_loopback(host: str) -> None:
    """The machine's own loopback, in any spelling."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["128.0.0.1", "0.0.0.1", "::2", "localhost.x", "x", "1", ""])
def test_no_loopback(host: str) -> None:
    """Everything else, names included: nothing is looked up."""
    assert not is_loopback(host)


@pytest.mark.parametrize("written", ["http://[fe80::1%25lo]:21777/", "http://[fe80::1%lo]:21777/"])
def test_a_zone_in_a_url(written: str) -> None:
    """RFC 6874 writes the % as %25; people write it as it is."""
    assert address_of(parse_http_url(written)) == Address("fe80::1%lo", 21777)


@pytest.mark.parametrize("zone", ["%25", "%25" + "a" * 65])
def test_a_zone_in_a_url_names_an_interface(zone: str) -> None:
    """An empty one is refused before anything is sent, and so is what no interface is called."""
    with pytest.raises(ValueError, match=r"^expected the name of a network interface after the %$"):
        parse_http_url(f"http://[::1{zone}]:80/")


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("[fe80::1%25lo]:21777", "[fe80::1]:21777"),
        ("[fe80::1%lo]", "[fe80::1]"),
        ("fe80::%eth0.1", "fe80::"),
        ("[::1]:80", "[::1]:80"),
        ("example.org:80", "example.org:80"),
    ],
)
def test_a_zone_is_not_sent(host: str, sent: str) -> None:
    """It means something on this machine alone."""
    assert without_zone(host) == sent
