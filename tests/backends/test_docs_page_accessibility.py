"""`/docs` for people who do not see it: judged by axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.support.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("axe_playwright_python")

SERIOUS = ("serious", "critical")


def findings(page: Page) -> list[str]:
    """Return what axe-core finds serious: the rule, and the first element that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    response: dict[str, Any] = Axe().run(page).response
    assert response["passes"], "axe-core looked at nothing"
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}"
        for one in response["violations"]
        if one["impact"] in SERIOUS
    ]


@pytest.mark.backend
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    page: Page, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    """Neither in the form of an event, nor with an answer in sight, nor in the tab of scenarios."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with serving(folder=tmp_path) as server:
        page.goto(f"{server.url}/docs#stdout")
        page.locator("#preview .name").first.wait_for()
        assert findings(page) == []
        page.locator("#send").click()
        page.locator("#answer #status").wait_for()
        assert findings(page) == []
        page.locator('[role="tab"]').nth(1).click()
        assert findings(page) == []
