"""`/docs` in a real browser: a person fills in an event, sends it, and is told what became of it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonda.server.docs.examples import EVENTS
from tests.support.destinations import http_destination
from tests.support.faulty import Peer, faulty
from tests.support.serving import Serving, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE_MS = 60_000  # as in conftest.py
GRACELESS = ("--shutdown-timeout", "1")


def opened(page: Page, server: Serving, example: str = "stdout") -> Page:
    """Open the documentation with an example's values in the form."""
    page.goto(f"{server.url}/docs#{example}")
    page.locator("#preview .name").first.wait_for()
    return page


def field(page: Page, path: str) -> Any:
    """Find the control of a field."""
    return page.locator(f'[id="{path}"]')


def flaw(page: Page, path: str) -> Any:
    """What the page says beside a field."""
    return page.locator(f'[id="{path}:flaw"]').inner_text()


def choose(page: Page, kind: str, name: str) -> None:
    """Choose a signal, an encoder or a sink."""
    page.locator(f'[id="{kind}={name}"]').check(force=True)


def send(page: Page) -> tuple[int, Any]:
    """Press the button; gives what the page shows as the answer."""
    page.locator("#send").click()
    page.locator("#answer #status").wait_for()
    page.locator("#send:enabled").wait_for()
    status = page.locator("#answer #status").inner_text()
    return int(status), json.loads(page.locator("#answer #body").inner_text())


def preview(page: Page) -> Any:
    """The body that the page would send."""
    return json.loads(page.locator("#preview").inner_text())


def test_an_event_is_filled_in_and_sent(page: Page, tmp_path: Path) -> None:
    """What is typed into the form is what is in the file afterwards."""
    with serving("--file-root", str(tmp_path)) as server:
        opened(page, server)
        field(page, "log.message").fill('Deploy "🚀"\nfinished')
        field(page, "log.severity").select_option("warn")
        page.get_by_role("button", name="+ label").click()
        page.locator('[id="labels"] .pair').last.locator("input").first.fill("team")
        page.locator('[id="labels"] .pair').last.locator("input").last.fill("größe")
        field(page, "timestamp").fill("2026-03-23T14:59:04.840Z")
        choose(page, "sink.type", "file")
        field(page, "sink.path").fill("sent/from-a-browser.log")
        field(page, "sink.fsync").check()
        status, answer = send(page)
    assert status == 200
    assert answer == {
        "sent": True,
        "signal_type": "logs",
        "latency_ms": answer["latency_ms"],
        "receipt": answer["receipt"],
    }
    assert answer["receipt"]["confirmed"] == "stored"
    assert json.loads((tmp_path / "sent/from-a-browser.log").read_text(encoding="utf-8")) == {
        "timestamp": "2026-03-23T14:59:04.840Z",
        "severity": "warn",
        "message": 'Deploy "🚀"\nfinished',
        "labels": {"env": "prod", "event": "deploy_start", "team": "größe"},
        "fields": {"version": "1.2.2"},
    }


def test_a_metric_with_options_is_sent_with_the_key(page: Page) -> None:
    """Signal, encoder and sink are chosen, options set, a key given; warnings are shown."""
    with (
        http_destination() as destination,
        serving(environ={"SONDA_API_KEY": "a-key"}) as server,
    ):
        opened(page, server)
        choose(page, "signal_type", "metrics")
        choose(page, "encoder.type", "prometheus_text")
        choose(page, "sink.type", "http_push")
        field(page, "metric.value").fill("2.5")
        field(page, "encoder.timestamp").uncheck()
        field(page, "sink.url").fill(destination.url)
        page.locator("#form details:not([open]) summary").last.click()
        field(page, "sink.retry").check()
        field(page, "sink.retry.max_attempts").fill("1")
        assert send(page)[0] == 401
        assert "a-key" not in page.content()
        page.locator("#key").fill("a-key")
        status, answer = send(page)
        assert preview(page)["sink"]["retry"]["max_attempts"] == 1
        assert "$SONDA_API_KEY" in page.locator("#curl").text_content()  # type: ignore[operator]
    assert status == 200
    assert len(answer["warnings"]) == 1  # of the loopback address
    assert "this host resolves to" in page.locator("#answer li").inner_text()
    [post] = destination.posts.items
    assert post.body == b'deploy_timestamp_seconds{env="prod",event="deploy_start"} 2.5\n'


def test_flaws_stand_beside_their_fields(page: Page) -> None:
    """What the server says of a field is shown where the field is, and goes with the next answer."""
    with serving() as server:
        opened(page, server, "influxdb")
        field(page, "metric.name").fill("1bad")
        field(page, "encoder.precision").fill("18")
        field(page, "sink.url").fill("nowhere")
        field(page, "sink.retry.max_attempts").fill("0")
        assert send(page)[0] == 422
        assert flaw(page, "metric.name").startswith('invalid metric name "1bad"')
        assert flaw(page, "encoder.precision") == "invalid value 18: must be from 0 to 17"
        assert flaw(page, "sink.url").startswith('invalid value "nowhere"')
        assert flaw(page, "sink.retry.max_attempts") == "retry max_attempts must be at least 1"
        assert field(page, "sink.url").get_attribute("aria-invalid") == "true"
        told = page.locator("#answer li button")
        assert told.count() == 4
        told.filter(has_text="sink.url: ").press("Enter")
        assert page.evaluate("document.activeElement.id") == "sink.url"
        field(page, "metric.value").fill("")
        status, answer = send(page)
    assert (status, answer["detail"]) == (400, "metric: missing field 'value'")
    assert flaw(page, "metric.value") == "missing field 'value'"
    assert flaw(page, "sink.url") == ""


def test_a_flaw_of_the_whole_stands_in_the_answer(page: Page, server: Serving) -> None:
    """What belongs to no single field is said in the answer, whole, semicolon included."""
    opened(page, server, "syslog")
    choose(page, "sink.type", "stdout")
    field(page, "log.message").fill("two\nlines")
    status, answer = send(page)
    assert status == 422
    shown = page.locator("#answer li").all_inner_texts()
    assert shown == [answer["detail"]]
    assert "; " in shown[0]


@pytest.mark.parametrize("name", EVENTS)
def test_every_example_fills_the_form(page: Page, server: Serving, name: str) -> None:
    """An example comes out of the form as it went in, on this machine with destinations there."""
    wanted = copy.deepcopy(EVENTS[name]["value"])
    for option in ("url", "endpoint", "address", "brokers"):
        if option in wanted.get("sink", {}):
            host = r"^([a-z]+://)?[a-z]+(?=:)"
            wanted["sink"][option] = re.sub(host, r"\1localhost", wanted["sink"][option])
    assert preview(opened(page, server, name)) == wanted


def test_choices_go_together(page: Page, server: Serving) -> None:
    """Whatever is chosen, encoder, sink and signal fit each other."""
    opened(page, server)
    choose(page, "signal_type", "metrics")
    choose(page, "sink.type", "remote_write")
    assert preview(page)["encoder"] == {"type": "remote_write"}
    choose(page, "encoder.type", "json_lines")
    assert preview(page)["sink"]["type"] != "remote_write"
    choose(page, "sink.type", "otlp_grpc")
    assert preview(page)["encoder"] == {"type": "otlp"}
    assert preview(page)["sink"]["signal_type"] == "metrics"
    choose(page, "signal_type", "logs")
    assert preview(page)["sink"]["signal_type"] == "logs"
    assert preview(page)["signal_type"] == "logs"
    assert "metric" not in preview(page)


def test_the_reference_names_every_answer(page: Page, server: Serving) -> None:
    """Each answer that sending can have is there with an example of its detail."""
    opened(page, server)
    rows = page.locator("#answers details")
    assert [row.locator("b").inner_text() for row in rows.all()] == [
        *("400", "401", "403", "408", "409", "413", "415", "422", "429", "431"),
        *("500", "502", "503", "504"),
    ]
    assert all(row.locator("li").count() for row in rows.all())


def hang(peer: Peer) -> None:
    """Take everything and answer nothing until the test is over, however slow the browser is."""
    peer.server.over.wait(3 * PATIENCE_MS / 1000)


def send_to_a_destination_that_hangs(page: Page, server: Serving, address: str) -> None:
    """Deliver one event, then send another that waits for its answer."""
    opened(page, server)
    assert send(page)[0] == 200
    choose(page, "sink.type", "tcp")
    choose(page, "sink.type", "http_push")
    field(page, "sink.url").fill(f"http://{address}/")
    page.locator("#send").click()
    page.get_by_role("heading", name="Waiting").wait_for()


def test_an_old_answer_does_not_stay_while_another_is_waited_for(page: Page) -> None:
    """What is waited for is named, seconds are counted, and waiting can be stopped by the keyboard."""
    with faulty(hang) as hanging, serving(*GRACELESS) as server:
        send_to_a_destination_that_hangs(page, server, hanging.address)
        said = page.locator("#answer").inner_text()
        assert "Delivered" not in said
        assert f"waiting for http_push http://{hanging.address}/" in said
        page.locator("#seconds", has_text="1 s").wait_for()
        page.locator("#stop").press("Enter")
        page.get_by_role("heading", name="Unknown").wait_for()
        assert "you have stopped waiting" in page.locator("#answer").inner_text()
        page.locator("#send:enabled").wait_for()


def test_an_event_whose_server_dies_is_unknown(page: Page) -> None:
    """The destination may have it: the page does not say that it was not sent."""
    with faulty(hang) as hanging, serving(*GRACELESS) as server:
        send_to_a_destination_that_hangs(page, server, hanging.address)
        server.process.kill()
        page.get_by_role("heading", name="Unknown").wait_for()
        assert "may or may not have been delivered" in page.locator("#answer").inner_text()


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_proxys_json_is_unknown(status: int, page: Page) -> None:
    """It may look like Sonda's, but what became of the event is not in it."""
    with serving() as server:
        opened(page, server)
        said = '{"error":"bad_gateway","detail":"upstream reset","status":502}'
        page.route("**/events?*", lambda route: route.fulfill(status=status, body=said))
        page.locator("#send").click()
        page.get_by_role("heading", name="Unknown").wait_for()
        assert "upstream reset" in page.locator("#answer").inner_text()


def test_a_dry_run_without_an_answer_has_sent_nothing(page: Page) -> None:
    """Nobody need ask what became of an event that was not to be delivered."""
    with serving() as server:
        opened(page, server)
        page.route("**/events?*", lambda route: route.abort())
        page.locator("#dry").click()
        page.get_by_role("heading", name="Not sent").wait_for()
        assert "nothing was sent" in page.locator("#answer").inner_text()


def test_a_proxys_answer_is_unknown(page: Page) -> None:
    """HTML in place of Sonda's answer says nothing of the event."""
    with serving() as server:
        opened(page, server)
        html = "<html>502 Bad Gateway</html>"
        page.route("**/events?*", lambda route: route.fulfill(status=502, body=html))
        page.locator("#send").click()
        page.get_by_role("heading", name="Unknown").wait_for()
        said = page.locator("#answer").inner_text()
        assert "a proxy's: <html>502 Bad Gateway</html>" in said
