"""Metrics in a real Pushgateway, which takes no timestamps."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.support.serving import Serving

from .ledger import Ledger
from .pushgateway import Pushgateway
from .sending import emit_all, metric_to, post

ROW = "pushgateway"
AWKWARD = ['a"b', r"a\b", "a\nb", r"a\nb", "\\", "a,b=c d", "{}", "é€😀"]


def event(pushgateway: Pushgateway, name: str, job: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric for a job."""
    url = f"{pushgateway.web.url}/metrics/job/{job}"
    return metric_to(url, name, "prometheus_text", **changes)


def test_without_timestamp_a_metric_is_shown(pushgateway: Pushgateway, landed: Ledger) -> None:
    """Values and labels are on the page that Prometheus scrapes; the job is the path's."""
    name = f"sonda:{uuid4().hex}"
    emit_all(
        event(
            pushgateway,
            name,
            f"job-{n}",
            encoder__timestamp=False,
            labels={"k": text},
            metric__value=n / 10,
        )
        for n, text in enumerate(AWKWARD)
    )
    found = pushgateway.wait_for(name, count=len(AWKWARD))
    landed.record(ROW, sent=len(AWKWARD), found=len(found))
    assert {sample.labels["job"]: (sample.labels, sample.value) for sample in found} == {
        f"job-{n}": ({"k": text, "job": f"job-{n}", "instance": ""}, n / 10)
        for n, text in enumerate(AWKWARD)
    }


def test_with_a_timestamp_it_is_refused(
    pushgateway: Pushgateway, server: Serving, landed: Ledger
) -> None:
    """By default a sample has a timestamp: a no, whose words say what to change."""
    name = f"sonda:{uuid4().hex}"
    status, answer = post(server.url, event(pushgateway, name, "job"))
    assert (status, answer["error"]) == (502, "bad_gateway")
    assert "answered 400 Bad Request: " in answer["detail"]
    assert "pushed metrics must not have timestamps" in answer["detail"]
    found = pushgateway.samples(name)
    landed.record(ROW, sent=1, found=len(found))
    assert found == []
