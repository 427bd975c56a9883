"""`/docs` by keyboard alone: from the destination to the answer, which is announced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.backends.test_docs_page import opened
from tests.support.destinations import tcp_destination
from tests.support.serving import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_STEPS: Final = 60
FOCUSED: Final = """() => {
    const one = document.activeElement;
    return [one.id, getComputedStyle(one).outlineStyle];
}"""


def tab_to(page: Page, wanted: str) -> list[str]:
    """Press Tab until the element *wanted* has the focus; return what had it on the way."""
    passed: list[str] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        found, outline = page.evaluate(FOCUSED)
        assert outline != "none", f"nobody sees that {found!r} has the focus"
        if found == wanted:
            return passed
        passed.append(found)
    pytest.fail(f"{wanted} is not reached; there are {passed}")


def test_an_event_is_sent_without_a_mouse(page: Page, server: Serving) -> None:
    """Destination, address, message and button follow one another; the answer is a live region."""
    with tcp_destination() as destination:
        opened(page, server)
        tab_to(page, "sink.type=stdout")
        page.keyboard.press("ArrowRight")
        assert page.evaluate(FOCUSED)[0] == "sink.type=tcp"
        tab_to(page, "sink.address")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(destination.address)
        tab_to(page, "log.message")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("typed without a mouse")
        tab_to(page, "send")
        page.keyboard.press("Enter")
        answer = page.locator("#answer[aria-live=polite]")
        answer.get_by_role("heading").filter(has_text="Delivered").wait_for()
        assert b"typed without a mouse" in destination.received.wait_for_bytes(1)
        assert page.evaluate(FOCUSED)[0] == "send"
