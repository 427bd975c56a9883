"""Stage 3: advisories, in the contract's words and order."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from tests.support.bodies import LOG, METRIC, changed
from tests.support.extras import needs


def warnings(body: dict[str, Any], *, in_server: bool = True) -> tuple[str, ...]:
    validated = validate(body, received_ns=0).unwrap()
    return preflight(validated, in_server=in_server).unwrap().warnings


def loki(url: str, **options: Any) -> dict[str, Any]:
    return changed(LOG, sink={"type": "loki", "url": url, **options})


def test_the_loopback_warning_is_exact() -> None:
    """The text is part of the contract, to the letter."""
    expected = (
        "scenario entry 'events.logs' sink `loki` targets `http://localhost:3100` — this host "
        "resolves to the sonda-server container's own loopback, not your host. Use a Docker "
        "Compose service name (e.g. `victoriametrics:8428`) or a Kubernetes Service DNS name "
        "instead. See docs/deployment/endpoints.md."
    )
    assert warnings(loki("http://localhost:3100")) == (expected,)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.9.8.7", "127.1", "0x7f.1", "0177.0.0.1",
     "2130706433", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]"],
)  # fmt: skip
def test_loopback_in_any_spelling(host: str) -> None:
    """However the loopback is written, it is recognised, in URLs and in addresses."""
    if host != "0177.0.0.1":  # as a URL's host it is refused before
        assert len(warnings(loki(f"http://{host}:3100"))) == 1
    assert len(warnings(changed(METRIC, sink__address=f"{host}:1"))) == 1


@pytest.mark.parametrize(
    "url",
    ["http://loki:3100", "http://localhost.example:1", "http://128.0.0.1", "http://h/localhost",
     "http://h?x=localhost", "http://127.0.0.1.example", "http://[::2]", "https://localhost@h"],
)  # fmt: skip
def test_no_loopback(url: str) -> None:
    """What only looks like the loopback warns of nothing."""
    assert warnings(loki(url)) == ()


@pytest.mark.parametrize("host", ["xn--a", "xn--zca.example", "XN--", "a.xn---"])
def test_a_name_that_only_looks_international(host: str) -> None:
    """A name is taken as DNS has it, even if it is the ASCII form of none."""
    assert warnings(loki(f"http://{host}:3100")) == ()


def test_userinfo_is_hidden() -> None:
    """The warnings name the target as it was written, but its name and password."""
    loopback, credentials = warnings(loki("http://me:secret@localhost:3100/x"))
    assert "`http://***@localhost:3100/x`" in loopback
    assert credentials.startswith("credentials travel in clear to `http://***@localhost:3100/x`")


def test_a_library_does_not_speak_of_containers() -> None:
    """Outside the server, localhost is what the user means."""
    assert warnings(loki("http://localhost:3100"), in_server=False) == ()


def test_metrics_are_called_so() -> None:
    """The entry's name is the signal's."""
    (warning,) = warnings(changed(METRIC, sink={"type": "udp", "address": "h:1"}))
    assert warning.startswith("sink `udp` has no acknowledgement")
    loopback, _ = warnings(changed(METRIC, sink={"type": "udp", "address": "127.0.0.1:1"}))
    assert loopback.startswith("scenario entry 'events.metrics' sink `udp` targets `127.0.0.1:1` —")


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-Api-Key", "Cookie"])
def test_credentials_over_plain_http(name: str) -> None:
    """A credential header over plain HTTP warns, over HTTPS it does not."""
    (warning,) = warnings(loki("http://h", headers={name: "secret"}))
    assert warning.startswith("credentials travel in clear")
    assert "secret" not in warning
    assert warnings(loki("https://h", headers={name: "secret"})) == ()


def test_a_tenant_is_no_credential() -> None:
    """An ordinary header warns of nothing."""
    assert warnings(loki("http://h", headers={"X-Scope-OrgID": "tenant"})) == ()


def test_an_event_without_labels_is_lost_in_loki() -> None:
    """Loki files it where nobody looks: said by library and server alike, after the loopback."""
    advice = (
        "Loki files an event without labels under `unknown_service`, where no query by label "
        "finds it: add a label"
    )
    bare = changed(loki("http://loki:3100"), labels={})
    assert warnings(bare, in_server=False) == warnings(bare) == (advice,)
    assert warnings(changed(loki("http://localhost"), labels={}))[1:] == (advice,)
    empty = changed(loki("http://loki:3100"), labels={"a": "", "b": ""})
    assert warnings(empty) == (advice,)  # to Loki an empty label is none
    assert warnings(changed(empty, labels={"a": "", "b": "c"})) == ()
    assert warnings(changed(bare, sink={"type": "http_push", "url": "http://loki"})) == ()


@needs("sink", "kafka")
def test_the_first_20_brokers_and_how_many_more() -> None:
    """A list of brokers that all lead to loopback is not repeated whole."""
    listed = ",".join([*(f"127.0.0.{n}:1" for n in range(1, 26)), "kafka:1", "[::1]:2"])
    sink = {"type": "kafka", "brokers": listed, "topic": "t"}
    found = warnings(changed(METRIC, sink=sink))
    assert len(found) == 21
    assert "`127.0.0.20:1`" in found[19]
    assert found[20] == "and 6 more brokers"
