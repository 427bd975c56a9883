"""The notebook that introduces Sonda: it runs from top to bottom, and shows what its text says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

TOUR: Final = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"
PATIENCE_S: Final = 120


def test_the_tour_is_kept_without_outputs() -> None:
    """A change of the tour is a change of its cells; what they give, CI finds out."""
    cells = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
    kept = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert kept == []
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Run the tour as Jupyter would, and give what its cells show."""
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("MPLCONFIGDIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    tour = nbformat.read(TOUR, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(tour, timeout=PATIENCE_S, resources=where).execute()
    return {cell["id"]: cell["outputs"] for cell in tour["cells"] if cell["cell_type"] == "code"}


def test_the_tour_runs(outputs: dict[str, list[Any]]) -> None:
    """No cell fails, or complains; receipts, problems and previews are cards, and there is a plot."""
    kinds = Counter(output["output_type"] for shown in outputs.values() for output in shown)
    assert kinds.keys() == {"stream", "execute_result", "display_data"}
    streams = [one for shown in outputs.values() for one in shown if one["output_type"] == "stream"]
    assert {stream["name"] for stream in streams} == {"stdout"}
    line, receipt = outputs["emit"]
    assert json.loads(line["text"])["message"] == "Deploy started"
    assert "Handed off after 1 try in " in html(receipt)
    [preview] = outputs["preview"]
    assert "POST /hook HTTP/1.1" in html(preview)
    assert "Authorization: ***" in html(preview)
    assert "s3cret" not in json.dumps(outputs)
    [unreachable] = outputs["unreachable"]
    assert "TCP connect to 127.0.0.1:1: Connection refused" in html(unreachable)
    [invalid] = outputs["invalid"]
    assert "invalid label name &quot;deploy-env&quot;" in html(invalid)
    [match] = outputs["match"]
    assert match["text"].startswith("the hook answered 204 after ")
    [results] = outputs["frames"]
    assert html(results).count("<td>delivered</td>") == 4
    [written] = outputs["file"]
    assert written["text"].count("deploy_duration_seconds{service=") == 4
    [latencies] = outputs["measure"]
    assert html(latencies).count("<td>") == 5 * 2  # of each destination the two percentiles
    [plot] = outputs["plot"]
    assert plot["data"]["image/png"]
    assert outputs["stop"] == []


def html(output: Any) -> str:
    text: str = output["data"]["text/html"]
    return text
