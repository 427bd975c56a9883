"""`/scenarios/metrics` and `/scenarios/{id}/metrics` of a real server."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.scenarios import call, steps, wait_for_values
from tests.support.serving import NO_TLS, Serving, serving

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


_entry = partial(steps, rate=100, count=5)


@pytest.fixture(scope="module", params=["1", "3"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server with one worker, and one with three."""
    root = tmp_path_factory.mktemp("root")
    with serving("--file-root", str(root), "--workers", request.param) as found:
        yield found


def test_nothing_runs(server: Serving) -> None:
    """Before the first run the answer is empty, and valid; so is that to HEAD."""
    answer = call(server, "GET", "/scenarios/metrics")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    empty = call(server, "GET", "/scenarios/metrics", headers=OPENMETRICS)
    assert empty.text == "# EOF\n"
    assert empty.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0;")
    assert call(server, "HEAD", "/scenarios/metrics").status_code == 200


def test_a_run_and_its_entries(server: Serving) -> None:
    """A finished run is shown by its id alone; each entry by its own."""
    entries = [_entry("first_total", help="How many."), _entry("second")]
    document = {"scenario_name": "shown", "scenarios": entries}
    run = call(server, "POST", "/scenarios", document).json()["id"]
    call(server, "GET", f"/scenarios/{run}?wait=55s")
    second = "# HELP second Values of scenario entry second.\n# TYPE second gauge\nsecond 4.0\n"
    whole = f"# HELP first_total How many.\n# TYPE first_total counter\nfirst_total 4.0\n{second}"
    assert call(server, "GET", f"/scenarios/{run}/metrics").text == whole
    assert call(server, "GET", f"/scenarios/{run}.second/metrics").text == second
    scraped = call(server, "GET", f"/scenarios/{run}/metrics", headers=OPENMETRICS)
    assert "# TYPE first counter\nfirst_total 4.0\n" in scraped.text
    assert scraped.text.endswith("\nsecond 4.0\n# EOF\n")
    assert scraped.headers["Vary"] == "Accept, Accept-Encoding"
    assert call(server, "GET", "/scenarios/metrics").text == ""


def test_all_that_run(server: Serving) -> None:
    """Those that are active, compressed for a scraper that takes that."""
    constant = {"type": "constant", "value": 7}
    endless = _entry("going", generator=constant, count=10**6)
    run_id = call(server, "POST", "/scenarios", endless).json()["id"]
    wait_for_values(server, run_id)
    with httpx.stream(
        "GET", f"{server.url}/scenarios/metrics", headers={"Accept-Encoding": "gzip"}, verify=NO_TLS
    ) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        text = gzip.decompress(b"".join(answer.iter_raw())).decode()
    assert text.endswith("# TYPE going gauge\ngoing 7.0\n")
    call(server, "DELETE", f"/scenarios/{run_id}")
    assert "going" not in call(server, "GET", "/scenarios/metrics").text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/scenarios/nothing/metrics", 404), ("/scenarios/metrics?x=1", 400)],
)
def test_refusals(server: Serving, path: str, status: int) -> None:
    answer = call(server, "GET", path)
    assert (answer.status_code, "detail" in answer.json()) == (status, True)


@pytest.mark.long
def test_more_series_than_a_scrape_has(tmp_path: Path) -> None:
    """It is refused and says what to ask for, rather than be cut."""
    with serving("--file-root", str(tmp_path)) as server:
        fleet = {"series": 10_000, "rate": 0.001, "phase_offset": "1h"}
        runs = [
            call(server, "POST", "/scenarios", _entry(f"fleet{number}", **fleet)).json()["id"]
            for number in range(11)
        ]
        refused = call(server, "GET", "/scenarios/metrics")
        assert refused.status_code == 422
        assert "more than 100,000 series: ask for those of one scenario" in refused.text
        assert call(server, "GET", f"/scenarios/{runs[0]}/metrics").status_code == 200
