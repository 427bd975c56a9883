"""What a named destination keeps from its callers."""

from __future__ import annotations

from sonda.pipeline.text.hidden import hidden_texts
from sonda.pipeline.text.redact import replace_secrets


def shown(text: str, **sink: object) -> str:
    return replace_secrets(text, hidden_texts(sink))


def test_of_a_url_host_and_port_are_shown() -> None:
    url = "https://user:p4ssword@hooks.example:8443/services/T0/B0/verysecretpart?token=abcdefgh"
    for text in (
        url,
        "https://***@hooks.example:8443/services/T0/B0/verysecretpart?token=abcdefgh",
        "https://hooks.example:8443/services/T0/B0/verysecretpart?token=abcdefgh",
    ):
        assert shown(f"from {text} (x)", url=url) == "from https://hooks.example:8443/*** (x)"
    assert shown("no verysecretpart here", url=url) == "no *** here"
    assert shown("no abcdefgh here", url=url) == "no *** here"
    assert shown("POST /services/T0/B0/verysecretpart?token=abcdefgh", url=url) == "POST /***"


def test_a_short_path_is_hidden_where_the_url_stands() -> None:
    assert (
        shown("from http://h:1/ab/loki/api", url="http://h:1/ab/") == "from http://h:1/***/loki/api"
    )


def test_a_url_without_path_is_shown() -> None:
    assert hidden_texts({"url": "http://loki:3100/"}) == {}


def test_every_header_password_and_path_is_hidden() -> None:
    hidden = hidden_texts(
        {
            "headers": {"X-Anything": "tenant-7", "Authorization": "Bearer abcdef"},
            "sasl": {"password": "passw0rd"},
            "tls": {"ca_cert": "/etc/ssl/ca.pem", "server_name": "h"},
            "path": "/var/log/a.jsonl",
        }
    )
    assert set(hidden) == {
        "tenant-7",
        "Bearer abcdef",
        "abcdef",
        "passw0rd",
        "/etc/ssl/ca.pem",
        "/var/log/a.jsonl",
    }
    assert set(hidden.values()) == {"***"}
