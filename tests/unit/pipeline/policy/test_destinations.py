"""The policy on destinations: rules as an operator writes them, and the verdict on an address."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

import pytest

from sonda.pipeline.policy.destinations import Ip, Policy, Rule, parse_rule
from sonda.pipeline.problems import Forbidden
from sonda.pipeline.values.addresses import Address, literal

SINKS: Final = ("kafka", "loki", "tcp", "udp")
PUBLIC: Final = "192.0.2.1"


def policy(*rules: str) -> Policy:
    return Policy(tuple(parse_rule(rule, SINKS) for rule in rules))


def verdict(host: str, *rules: str, ip: str = PUBLIC, port: int = 80, sink: str = "tcp") -> bool:
    """Tell whether a destination may be reached, of which a look-up has found *ip*."""
    judge, target = policy(*rules), Address(host, port)
    return judge.judge_written(sink, target) is None and (
        judge.judge(sink, target, literal(host) or ip_address(ip)) is None
    )


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("loki", Rule("loki")),
        ("Loki.Example.", Rule("loki.example")),
        ("*.svc.local", Rule("*.svc.local")),
        ("*", Rule("*")),
        ("*:443", Rule("*", port=443)),
        ("loki:3100", Rule("loki", port=3100)),
        ("10.0.0.1", Rule(network=IPv4Network("10.0.0.1/32"))),
        ("10.0.0.1:9092", Rule(network=IPv4Network("10.0.0.1/32"), port=9092)),
        ("10.0.0.0/8:443", Rule(network=IPv4Network("10.0.0.0/8"), port=443)),
        ("::1", Rule(network=IPv6Network("::1/128"))),
        ("[::1]", Rule(network=IPv6Network("::1/128"))),
        ("[::1]:80", Rule(network=IPv6Network("::1/128"), port=80)),
        ("fd00::/8", Rule(network=IPv6Network("fd00::/8"))),
        ("[fd00::/8]:443", Rule(network=IPv6Network("fd00::/8"), port=443)),
        ("::ffff:10.0.0.1", Rule(network=IPv4Network("10.0.0.1/32"))),
        ("::ffff:10.0.0.0/104", Rule(network=IPv4Network("10.0.0.0/8"))),
        ("loki=*.svc.local:3100", Rule("*.svc.local", port=3100, sink="loki")),
        ("kafka=[::1]:9092", Rule(network=IPv6Network("::1/128"), port=9092, sink="kafka")),
    ],
)
def test_rules_are_read(text: str, rule: Rule) -> None:
    """A rule is a host, a name or an address, perhaps with a port and a kind of sink."""
    assert parse_rule(text, SINKS) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "=loki",
        "loki=",
        "stdout=loki",
        "nope=loki",
        "loki:",
        "loki:0",
        "loki:65536",
        "loki:http",
        "http://loki",
        "a b",
        "lo*ki",
        "*loki",
        "*.",
        "*.*",
        "*.0.0.1",
        "*.1",
        "*.0x1",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/",
        "127.1",
        "0x7f.0.0.1",
        "010.0.0.1",
        "2130706433",
        "fe80::1%eth0",
        "[::1",
        "[10.0.0.1]",
        "[::1]80",
        "[fd00::]/8:443",
        "fd00::/8:443",
        "fd00::1/8",
        "user@loki",
        "loki/path",
    ],
)
def test_bad_rules_are_refused(text: str) -> None:
    """What could be meant in two ways, or in none, is no rule."""
    with pytest.raises(ValueError, match=r"."):
        parse_rule(text, SINKS)


# --- without rules -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "192.168.0.1", "127.0.0.1", "127.1", "::1", "fd12::1", "8.8.8.8", "2001:db8::1"],
)
def test_without_rules_private_destinations_are_normal(host: str) -> None:
    """Loopback, private and public addresses may be reached."""
    assert verdict(host)


NEVER: Final = [
    # link-local and metadata, in every spelling that the resolver reads
    "169.254.1.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "fe80::1",
    "fe80::1%lo",
    "febf::1",
    # other clouds
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    # in IPv6
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::a9fe:a9fe",
    "::ffff:0:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:ffa9:fe:a9fe::",
    "64:ff9b:1:ffff:a9:fea9:fe00:0",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001::5601:5601",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:db8::200:5efe:a9fe:a9fe",
    "2002:6464:64c8::",
    # nowhere, and everywhere
    "0.0.0.0",  # noqa: S104  # nobody listens there
    "0",
    "0.1.2.3",
    "::",
    "::ffff:0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "ff02::1",
    "::ffff:224.0.0.1",
]


@pytest.mark.parametrize("host", NEVER)
@pytest.mark.parametrize("rules", [(), ("*",), ("0.0.0.0/0", "::/0"), ("*", "169.0.0.0/8")])
def test_what_is_never_right(host: str, rules: tuple[str, ...]) -> None:
    """It is refused in any spelling, and no rule opens it that merely contains it."""
    assert not verdict(host, *rules)


@pytest.mark.parametrize("rules", [(), ("meta.example",), ("*.example",), ("*",)])
@pytest.mark.parametrize("ip", ["169.254.169.254", "fe80::1", "64:ff9b::a9fe:a9fe", "224.0.0.1"])
def test_names_that_resolve_there(ip: str, rules: tuple[str, ...]) -> None:
    """A name opens nothing that is never right, for it is whatever its DNS says."""
    assert not verdict("meta.example", *rules, ip=ip)
    assert verdict("meta.example", *rules)


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("169.254.169.254", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254:80"),
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("169.254.1.1", "169.254.0.0/16"),
        ("fe80::1", "fe80::/10"),
        ("fe80::1%lo", "fe80::1"),
        ("239.1.2.3", "tcp=239.0.0.0/8"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe"),
        ("255.255.255.255", "255.255.255.255"),
    ],
)
def test_the_operators_word_is_final(host: str, rule: str) -> None:
    """A rule for just that address, or for a part of just that range, opens it."""
    assert verdict(host, rule)


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("169.254.169.254", "169.254.169.254:81"),
        ("169.254.169.254", "udp=169.254.169.254"),
        ("169.254.169.254", "169.254.0.0/16"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::/96"),
    ],
)
def test_no_other_rule_opens_it(host: str, rule: str) -> None:
    """Metadata addresses do not come along with the link-local range, nor tunnels with their end."""
    assert not verdict(host, rule)


# --- with rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("loki", "loki"),
        ("LOKI.", "loki"),
        ("a.svc.local", "*.svc.local"),
        ("a.b.SVC.local.", "*.svc.local"),
        ("anything.example", "*"),
        ("10.1.2.3", "*"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("0x0a.1.2.3", "10.1.2.3"),
        ("::1", "::1"),
        ("db.example", "192.0.2.0/24"),
        ("loki", "loki:80"),
        ("loki", "tcp=loki:80"),
    ],
)
def test_what_a_rule_allows(host: str, rule: str) -> None:
    """Names match what the client wrote, addresses what it resolves to."""
    assert verdict(host, "other.example", rule)


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("loki2", "loki"),
        ("xloki", "loki"),
        ("loki.example", "loki"),
        ("svc.local", "*.svc.local"),
        ("evilsvc.local", "*.svc.local"),
        (".svc.local", "*.svc.local"),
        ("a.svc.local.evil", "*.svc.local"),
        ("127.0.0.1", "localhost"),
        ("localhost", "127.0.0.1"),
        ("11.1.2.3", "10.0.0.0/8"),
        ("64:ff9b::10.1.2.3", "10.0.0.0/8"),
        ("fd00::1", "10.0.0.0/8"),
        ("loki", "loki:81"),
        ("loki", "udp=loki"),
        ("db.example", "192.0.2.0/24:81"),
    ],
)
def test_what_no_rule_allows(host: str, rule: str) -> None:
    """With a rule everything else is refused."""
    assert not verdict(host, "other.example", rule)


def test_names_that_no_rule_could_allow_need_no_look_up() -> None:
    """With rules for names alone nobody has a foreign name looked up; an address may still fit."""
    target = Address("secret.evil.example", 80)
    assert policy("loki", "kafka=10.0.0.1", "10.0.0.1:81").judge_written("tcp", target) is not None
    assert policy("loki", "10.0.0.1").judge_written("tcp", target) is None


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "ip", "rules", "subject", "allowing"),
    [
        (
            "169.254.169.254",
            "169.254.169.254",
            (),
            "destination 169.254.169.254:80 is a cloud's metadata address",
            "169.254.169.254:80",
        ),
        (
            "x.example",
            "fe80::1",
            ("*",),
            "destination x.example:80 (fe80::1) is a link-local address",
            "[fe80::1]:80",
        ),
        (
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            (),
            "destination [64:ff9b::a9fe:a9fe]:80 is a cloud's metadata address",
            "[64:ff9b::a9fe:a9fe]:80",
        ),
        ("db", PUBLIC, ("loki",), "destination db:80 is none that a rule allows", "db:80"),
        (
            "0x7f.1",
            "127.0.0.1",
            ("loki",),
            "destination 0x7f.1:80 is none that a rule allows",
            "127.0.0.1:80",
        ),
    ],
)
def test_a_refusal_says_what_would_allow_it(
    host: str, ip: str, rules: tuple[str, ...], subject: str, allowing: str
) -> None:
    """The detail names the destination, the reason, and the flag; the rule that it names works."""
    remedy = f"sonda-server --allow-destination {allowing} would allow it"
    refusal = policy(*rules).judge("tcp", Address(host, 80), ip_address(ip))
    assert refusal == Forbidden(subject, remedy)
    assert verdict(host, *rules, allowing, ip=ip)


# --- Sonda itself --------------------------------------------------------------------------------


def test_sondas_own_address() -> None:
    """Where Sonda listens nothing is sent, unless a rule names just that address and port."""

    def is_own(ip: Ip, port: int) -> bool:
        return (str(ip), port) == ("127.0.0.1", 80)

    def may(port: int, *rules: str, host: str = "127.0.0.1", ip: str = "127.0.0.1") -> bool:
        judge = Policy(policy(*rules).rules, is_own)
        return judge.judge("tcp", Address(host, port), ip_address(ip)) is None

    assert may(81)
    for rules in [(), ("*",), ("127.0.0.1",), ("127.0.0.0/8:80",), ("localhost:80",)]:
        assert not may(80, *rules)
        assert not may(80, *rules, host="localhost")
        assert not may(80, *rules, host="::ffff:127.0.0.1", ip="::ffff:127.0.0.1")
    assert may(80, "127.0.0.1:80")
