"""The Python of the README and of the library's page runs, and prints what stands there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.support.destinations import http_destination

ROOT = Path(__file__).parents[1]
SENT = r"accepted after 1 try in [0-9.]+ (ms|µs)"
LOKI, CLOSED = "localhost:3100", "localhost:1"  # whoever runs the tests may also run a Loki
LOGGED, KEPT = "README.md", "docs/library.md"  # where the first event of a page goes
REFUSED = f"sink error: HTTP connect to {CLOSED}: Connection refused"


def snippets(page: str, loki: str) -> list[CodeType]:
    text = (ROOT / page).read_text(encoding="utf-8").replace(LOKI, loki)
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a notebook
    return [compile(block, f"<{page} {n}>", "exec", flags) for n, block in enumerate(blocks)]


@pytest.mark.parametrize(("page", "printed"), [(LOGGED, [SENT]), (KEPT, [SENT, REFUSED])])
def test_the_snippets_run(
    page: str,
    printed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The snippets run one after the other, as in a notebook, and print what they say."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    async def run(loki: str) -> None:
        for code in snippets(page, loki):
            made = eval(code, names)  # noqa: S307  # our own pages
            if inspect.isawaitable(made):
                await made

    with http_destination() as destination:
        is_logged = page == LOGGED
        asyncio.run(run(destination.url.removeprefix("http://") if is_logged else CLOSED))
        posts = [post.path for post in destination.posts.wait_for()] if is_logged else []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(printed)
    assert all(re.fullmatch(one, line) for one, line in zip(printed, lines, strict=True))
    if is_logged:
        assert posts == ["/loki/api/v1/push"]
    else:
        sample = (tmp_path / "deploys.prom").read_text()
        assert sample.startswith('deploy_timestamp_seconds{job="ci"} 1795935351 ')
