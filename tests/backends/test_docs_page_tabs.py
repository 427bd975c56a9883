"""`/docs` in a real browser: named destinations, what it remembers, its sizes, and scenarios."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.backends.test_docs_page import GRACELESS, field, opened, preview, send
from tests.support.serving import Serving, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

CONFIG = """
[destinations.audit]
encoder = { type = "json_lines" }
sink = { type = "file", path = "audit.log" }

[keys.all]
key = "a-key"
"""


def test_a_named_destination_is_offered_sent_to_and_read_back(page: Page, tmp_path: Path) -> None:
    """Names come with the key; a dry run sends nothing, the receipt is shown, the last sends are kept."""
    config = tmp_path / "sonda.toml"
    config.write_text(CONFIG, encoding="utf-8")
    flags = ("--file-root", str(tmp_path), "--config", str(config), *GRACELESS)
    with serving(*flags) as server:
        opened(page, server)
        assert page.locator('[id="destination=audit"]').count() == 0
        page.locator("#key").fill("a-key")
        page.locator("#key").press("Tab")
        page.locator('[id="destination=audit"]').check(force=True)
        assert "sink" not in preview(page)
        page.locator("#dry").click()
        page.get_by_role("heading", name="Dry run").wait_for()
        page.locator("#send:enabled").wait_for()
        assert not (tmp_path / "audit.log").exists()
        page.locator("#verify").check()
        assert send(page)[0] == 200
        page.get_by_role("heading", name="Delivered and read back").wait_for()
        assert "queryable" in page.locator("#receipt").inner_text()
        assert page.locator("#history li").count() == 2
        page.locator("#key").fill("")
        page.reload()
        page.locator("#history li").first.wait_for()
        kept = page.evaluate("JSON.stringify(localStorage)")
    assert json.loads((tmp_path / "audit.log").read_text(encoding="utf-8"))["severity"] == "info"
    assert "audit" in kept
    assert "a-key" not in kept


def test_what_is_remembered_has_no_secret(page: Page, server: Serving) -> None:
    """Neither a header's value nor a password in a URL outlives the page."""
    opened(page, server, "loki")
    field(page, "sink.url").fill("http://user:hunter2@127.0.0.1:1")
    page.locator("#form details:not([open]) summary").first.click()
    page.get_by_role("button", name="+ header").click()
    page.locator('[id="sink.headers"] input').first.fill("X-Token")
    page.locator('[id="sink.headers"] input').last.fill("s3cret")
    send(page)
    kept = page.evaluate("JSON.stringify(localStorage)")
    assert "127.0.0.1:1" in kept
    assert "hunter2" not in kept
    assert "s3cret" not in kept


def test_the_guide_fills_in_a_deployment(page: Page, server: Serving) -> None:
    """On this machine it is for a Loki on this machine, and is read back."""
    opened(page, server)
    page.get_by_role("button", name="Fill in").press("Enter")
    body = preview(page)
    assert body["sink"] == {"type": "loki", "url": "http://localhost:3100"}
    assert body["verify"] == {"timeout": "5s"}
    assert body["labels"]["event"] == "deploy_start"
    assert page.locator("#example").input_value() == "loki"


def test_enter_sends_once_more(page: Page, server: Serving) -> None:
    """The button that was pressed keeps the focus; each send is one of the last ones."""
    opened(page, server)
    page.locator("#send").focus()
    for times in (1, 2):
        page.keyboard.press("Enter")
        page.locator(f"#history li:nth-child({times})").wait_for()
        page.locator("#send:enabled").wait_for()
    page.goto(f"{server.url}/docs")
    page.locator("#preview .name").first.wait_for()
    assert page.locator("#example").input_value() == ""  # what was typed last is no example
    assert page.locator("#history li").count() == 2


def test_a_tab_that_is_chosen_early_stays(page: Page, server: Serving) -> None:
    """While the page still waits for the names of destinations."""
    names = {"destinations": [{"name": "audit", "sink": "file"}]}
    held: list[Route] = []
    page.route("**/destinations", lambda route: held.append(route))  # noqa: PLW0108  # Playwright asks a function for its signature
    with page.expect_request("**/destinations"):
        opened(page, server)
    page.locator("#tab-scenarios").click()
    held.pop().fulfill(json=names)
    page.locator('[id="destination=audit"]').wait_for(state="attached")
    assert page.locator("#panel-scenarios").is_visible()
    assert page.locator("#panel-send").is_hidden()


def test_a_timestamp_stands_on_one_line(page: Page, server: Serving) -> None:
    """Of a receipt, on a phone, too: nobody reads one that is broken at a hyphen."""
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server)
    send(page)
    heights = page.evaluate("[...document.querySelectorAll('#answer dd')].map(d => d.offsetHeight)")
    assert len(heights) >= 3
    assert len(set(heights)) == 1


def test_another_address_of_the_page_is_followed(page: Page, server: Serving) -> None:
    """An example or a tab that is asked for while the page is open."""
    opened(page, server)
    page.goto(f"{server.url}/docs#loki")
    page.get_by_role("button", name="Send to Loki").wait_for()
    assert page.locator("#example").input_value() == "loki"
    page.goto(f"{server.url}/docs#scenarios")
    page.locator("#panel-scenarios").wait_for()
    assert page.locator("#panel-send").is_hidden()


@pytest.mark.parametrize("size", [(1366, 768), (820, 1180), (390, 844)])
def test_nothing_is_wider_than_the_screen(
    page: Page, server: Serving, size: tuple[int, int]
) -> None:
    """On a laptop the answer is in sight without scrolling; nowhere is there a sideways scroll."""
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    opened(page, server)
    assert send(page)[0] == 200
    for tab in ("send", "scenarios"):
        page.locator(f"#tab-{tab}").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#tab-send").click()
    verdict = page.get_by_role("heading", name="Delivered").bounding_box()
    assert verdict is not None
    if width > 940:
        assert 0 < verdict["y"] < height


def test_a_scenario_is_planned_started_watched_paused_and_stopped(page: Page) -> None:
    """By the keyboard alone: the plan is drawn, the ledger moves, the run pauses, goes on and stops."""
    with serving(*GRACELESS) as server:
        opened(page, server)
        page.locator("#tab-send").press("ArrowRight")
        page.locator("#document").fill(
            "{signal_type: metrics, name: wave, rate: 20, duration: 10m,"
            " generator: {type: sine, amplitude: 1, period_secs: 60}}"
        )
        page.locator("#plan-button").press("Enter")
        page.locator("#plan svg").first.wait_for()
        assert "wave: 12,000 events, ends at 600 s, 1 series" in str(
            page.locator("#plan").text_content()
        )
        drawn = page.locator("#plan svg").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label'))"
        )
        assert drawn == ["events/s: 20, over 600 s", "value: -1 to 1, over 600 s"]
        page.locator("#start").press("Enter")
        page.locator("#runs .run", has_text="delivered").wait_for()
        page.locator("#runs .run", has_text="events/s, lag 0.").wait_for()
        page.get_by_role("button", name="Pause").press("Enter")
        page.locator("#runs .state", has_text="running, paused").wait_for()
        page.get_by_role("button", name="Go on").press("Enter")
        page.locator("#runs .state").filter(has_not_text="paused").wait_for()
        page.get_by_role("button", name="Stop").press("Enter")
        page.locator("#runs .state", has_text="stopped").wait_for()
        page.locator("#document").fill("{nonsense: 1}")
        page.locator("#start").press("Enter")
        page.locator("#plan-answer.bad").wait_for()
        assert "nonsense" in page.locator("#plan-said").inner_text()
        assert page.locator("#plan svg").count() == 0


RUN: Final = (
    "{signal_type: metrics, name: w, rate: 1, duration: 10m, generator: {type: constant, value: 1}}"
)


def test_an_old_plan_does_not_stay_while_an_answer_is_waited_for(page: Page) -> None:
    """Seconds are counted, waiting can be stopped, and whether the scenario has begun is unknown."""
    with serving(*GRACELESS) as server:
        opened(page, server)
        page.locator("#tab-scenarios").click()
        page.locator("#document").fill(RUN)
        page.locator("#plan-button").click()
        page.locator("#plan li").wait_for()
        page.route("**/scenarios", lambda _route: None)  # the request is never answered
        page.locator("#start").press("Enter")
        page.locator("#scenario-seconds", has_text="1 s").wait_for()
        assert page.locator("#plan li").count() == 0
        assert page.locator("#plan-button").is_disabled()
        page.locator("#scenario-stop").press("Enter")
        page.locator("#plan-said", has_text="you have stopped waiting").wait_for()
        assert "may or may not have begun" in page.locator("#plan-said").inner_text()
        assert page.locator("#start").is_enabled()


@pytest.mark.parametrize("status", [200, 502])
def test_a_proxys_answer_to_a_scenario_is_unknown(page: Page, status: int) -> None:
    """So is JSON that is not Sonda's."""
    body = "<html>" if status == 200 else '{"message": "Bad Gateway"}'
    with serving(*GRACELESS) as server:
        opened(page, server)
        page.locator("#tab-scenarios").click()
        page.route("**/scenarios", lambda route: route.fulfill(status=status, body=body))
        page.locator("#start").click()
        page.locator("#plan-answer.unsure", has_text="may or may not have begun").wait_for()


def test_control_enter_is_of_the_tab_that_is_seen(page: Page) -> None:
    """No event leaves where a scenario is written."""
    with serving(*GRACELESS) as server:
        opened(page, server)
        page.locator("#tab-scenarios").click()
        page.locator("#document").fill("{nonsense: 1}")
        page.locator("#document").press("Control+Enter")
        page.locator("#plan-answer.bad", has_text="nonsense").wait_for()
        assert page.locator("#history li").count() == 0


@contextmanager
def _running(page: Page) -> Iterator[None]:
    """Keep a run in the list of the scenarios' tab."""
    with serving(*GRACELESS) as server:
        opened(page, server)
        page.locator("#tab-scenarios").click()
        page.locator("#document").fill(RUN)
        page.locator("#start").click()
        page.get_by_role("button", name="Pause").wait_for()
        yield


@pytest.mark.parametrize("name", ["Pause", "Stop"])
def test_a_change_that_fails_is_said_at_its_run(page: Page, name: str) -> None:
    """With the server's reason, until the next change; whoever cannot see it hears it."""
    refusal = {"error": "service_unavailable", "detail": "the runner does not answer: try again"}

    def refuse(route: Route) -> None:
        if route.request.method in ("PATCH", "DELETE"):
            route.fulfill(status=503, json=refusal)
        else:
            route.continue_()

    with _running(page):
        page.route("**/scenarios/*", refuse)
        page.get_by_role("button", name=name).press("Enter")
        page.locator("#runs .run .failure", has_text="try again").wait_for()
        assert page.locator("#runs-said").inner_text() == refusal["detail"]
        page.locator("#runs button:enabled", has_text=name).wait_for()
        page.unroute("**/scenarios/*")
        page.get_by_role("button", name=name).press("Enter")
        done = {"Pause": "running, paused", "Stop": "stopped"}[name]
        page.locator("#runs .state", has_text=done).wait_for()
        assert page.locator("#runs .failure").count() == 0


def test_a_click_goes_on_while_the_list_is_made_anew(page: Page) -> None:
    """The button stays where it is between the press and the release, a second later."""
    with _running(page):
        page.get_by_role("button", name="Pause").hover()
        page.mouse.down()
        for _ in range(2):
            with page.expect_response("**/scenarios?limit=10"):
                pass
        page.mouse.up()
        page.locator("#runs .state", has_text="running, paused").wait_for()


def test_a_change_without_an_answer_is_unknown(page: Page) -> None:
    """The connection breaks: the run may have changed, or not."""
    with _running(page):
        page.route(
            "**/scenarios/*",
            lambda route: route.abort() if route.request.method == "PATCH" else route.continue_(),
        )
        page.get_by_role("button", name="Pause").click()
        page.locator("#runs .failure", has_text="may or may not have changed").wait_for()


def test_a_run_gets_another_rate(page: Page) -> None:
    """What is typed stays while the list is made anew; a rate that cannot be is said at its run."""
    with _running(page):
        rate = page.get_by_label("rate of w, events/s")
        rate.fill("0")
        rate.press("Enter")
        page.locator("#runs .run .failure", has_text="rate").wait_for()
        rate.fill("40")
        with page.expect_response("**/scenarios?limit=10"), page.expect_response("**/scenarios/*"):
            assert rate.input_value() == "40"
        page.locator("#document").focus()
        with page.expect_response("**/scenarios?limit=10"), page.expect_response("**/scenarios/*"):
            assert rate.input_value() == "40"
        with page.expect_request(lambda request: request.method == "PATCH") as changed:
            page.get_by_role("button", name="Set rate").press("Enter")
        assert changed.value.post_data_json == {"rate": 40}
        page.locator("#runs .run", has_text=re.compile(r"(3\d|4\d)(\.\d)? events/s")).wait_for()
        assert page.locator("#runs .failure").count() == 0
        assert rate.input_value() == ""
