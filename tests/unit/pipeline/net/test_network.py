"""What events share is found by the value of their sinks' options, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import PluginRef
from sonda.pipeline.net import KEPT_DESTINATIONS, Network
from sonda.pipeline.net import batching as batches
from sonda.pipeline.net.batch import StreamOrder
from tests.support.bodies import LOG, METRIC, changed, raw
from tests.support.extras import is_usable
from tests.support.mock_http import MockHttp


class Receiver:
    """Takes every push after some turns of the loop, and counts what is under way."""

    def __init__(self, key_of: Callable[[httpx.Request], str] = lambda _: "") -> None:
        self.pushes = 0
        self.under_way: Counter[str] = Counter()
        self.most_under_way = 0
        self._key_of = key_of

    async def answer(self, request: httpx.Request) -> httpx.Response:
        key = self._key_of(request)
        self.pushes += 1
        self.under_way[key] += 1
        self.most_under_way = max(self.most_under_way, self.under_way[key])
        for _ in range(5):
            await asyncio.sleep(0)
        self.under_way[key] -= 1
        return httpx.Response(204)


def deliver_all(receiver: Receiver, bodies: list[dict[str, Any]]) -> None:
    """Deliver all bodies at once; each must be acknowledged."""

    async def main() -> None:
        async with Pipeline() as pipeline:
            pipeline._network.http = MockHttp(receiver.answer)
            outcomes = await asyncio.gather(*(pipeline.deliver(raw(body)) for body in bodies))
        assert all(isinstance(outcome, Success) for outcome in outcomes)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no push for slow, however busy the machine is."""
    monkeypatch.setattr(batches, "SLOW_S", 3600.0)


@pytest.mark.parametrize("size", [10, 8192, 100_000])
def test_long_options_are_shared_as_short_ones_are(size: int) -> None:
    """Events at once make as few pushes, however long the headers are."""
    receiver = Receiver()
    sink = {"type": "loki", "url": "http://loki", "headers": {"X-Long": "x" * size}}
    deliver_all(receiver, [changed(LOG, sink=sink)] * 8)
    assert receiver.pushes == 1


@pytest.mark.parametrize("size", [1, 900])
@pytest.mark.parametrize("sink", ["loki", "otlp_http"])
def test_headers_in_any_order_are_the_same_options(sink: str, size: int) -> None:
    """JSON's objects have no order: events at once leave in one push."""
    if not is_usable("sink", sink):
        pytest.skip(f"needs the extra of {sink}")
    headers = {f"X-{n}": "x" * size for n in range(10)}
    one = {
        "loki": {"type": "loki", "url": "http://loki", "headers": headers},
        "otlp_http": {"type": "otlp_http", "endpoint": "http://collector", "headers": headers},
    }[sink]
    other = {**one, "headers": dict(reversed(headers.items()))}
    encoder = {"type": "otlp" if sink == "otlp_http" else "json_lines"}
    receiver = Receiver()
    deliver_all(receiver, [changed(LOG, encoder=encoder, sink=one) for one in (one, other) * 4])
    assert receiver.pushes == 1


@pytest.mark.skipif(not is_usable("sink", "kafka"), reason="needs the extra kafka")
def test_the_order_of_a_record_s_headers_means_something() -> None:
    """Kafka keeps it, so that another order is another option."""
    headers = {"a": "1", "b": "2"}
    one = {"type": "kafka", "brokers": "k:1", "topic": "t", "headers": headers}
    other = {**one, "headers": dict(reversed(headers.items()))}
    keys = {
        Pipeline().prepare(raw(changed(LOG, sink=sink))).unwrap().validated.sink.key
        for sink in (one, other, one)
    }
    assert len(keys) == 2


@given(st.lists(st.sampled_from([16, 5000, 9000]), min_size=1, max_size=12))
def test_pushes_are_as_few_as_there_are_sinks(sizes: list[int]) -> None:
    """Whatever the options are, and whichever others came before."""
    receiver = Receiver()
    sinks = [{"type": "loki", "url": "http://loki", "headers": {"X": "x" * size}} for size in sizes]
    deliver_all(receiver, [changed(LOG, sink=sink) for sink in sinks])
    assert receiver.pushes == len(set(sizes))


@pytest.mark.skipif(not is_usable("sink", "remote_write"), reason="needs the extra remote-write")
@pytest.mark.parametrize(
    "others",
    [
        {"timeout": "7s"},
        {"retry": {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "5ms"}},
        {"batch_size": 7},
        {"headers": {"X-Long": "x" * 9000}, "timeout": "3s"},
    ],
)
def test_a_series_is_under_way_once_per_receiver(others: dict[str, Any]) -> None:
    """Sinks that differ in what the receiver does not see have one order of each series."""
    receiver = Receiver()
    shared = {"headers": others["headers"]} if "headers" in others else {}
    one = {"type": "remote_write", "url": "http://prometheus/api/v1/write", **shared}
    bodies = [
        changed(METRIC, encoder={"type": "remote_write"}, sink=sink)
        for sink in [one, {**one, **others}] * 4
    ]
    deliver_all(receiver, bodies)
    assert receiver.pushes == 8
    assert receiver.most_under_way == 1


WRITE: Final = "http://prometheus/api/v1/write"


@pytest.mark.skipif(not is_usable("sink", "remote_write"), reason="needs the extra remote-write")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": WRITE}, {"url": "HTTP://Prometheus:80/api/v1/write"}),
        ({"url": WRITE}, {"url": "http://prometheus./api/v1/write"}),
        ({"url": WRITE}, {"url": f"{WRITE}#a"}),
        ({"url": WRITE}, {"url": f"{WRITE}?"}),
        ({"url": WRITE}, {"url": "http://prometheus/api/v1/%77rite"}),
        ({"url": "http://127.0.0.1:9/w"}, {"url": "http://127.1:9/w"}),
        ({"url": "http://127.0.0.1:9/w"}, {"url": "http://0x7f000001:9/w"}),
        ({"url": "http://[::1]:9/w"}, {"url": "http://[0:0:0:0:0:0:0:1]:9/w"}),
        (
            {"url": "http://a:b@prometheus/w"},
            {"url": "http://prometheus/w", "headers": {"authorization": "Basic YTpi"}},
        ),
        (
            {"url": WRITE, "headers": {"X-Scope-OrgID": "a", "X-B": "c"}},
            {"url": WRITE, "headers": {"x-b": "c", "x-scope-orgid": "a"}},
        ),
    ],
)
def test_a_receiver_is_the_same_however_it_is_spelled(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Its series have one order."""
    receiver = Receiver()
    bodies = [
        changed(METRIC, encoder={"type": "remote_write"}, sink={"type": "remote_write", **options})
        for options in (one, other) * 4
    ]
    deliver_all(receiver, bodies)
    assert receiver.most_under_way == 1


@pytest.mark.skipif(not is_usable("sink", "remote_write"), reason="needs the extra remote-write")
@pytest.mark.parametrize(
    "other", ["/API/v1/write", "/api/v1/write/", "/api/v1/write?a=b", "/api/v1/wr%2Fite"]
)
def test_paths_are_receivers_of_their_own(other: str) -> None:
    """In another case, too: nobody waits for the series of another one."""
    receiver = Receiver()
    bodies = [
        changed(METRIC, encoder={"type": "remote_write"}, sink={"type": "remote_write", "url": url})
        for url in (WRITE, f"http://prometheus{other}")
    ]
    deliver_all(receiver, bodies)
    assert receiver.most_under_way == 2


@pytest.mark.skipif(not is_usable("sink", "remote_write"), reason="needs the extra remote-write")
def test_tenants_are_receivers_of_their_own() -> None:
    """The same URL with another header is another place: nobody waits for the other's series."""
    receiver = Receiver()
    bodies = [
        changed(
            METRIC,
            encoder={"type": "remote_write"},
            sink={
                "type": "remote_write",
                "url": "http://prometheus/api/v1/write",
                "headers": {"X-Scope-OrgID": tenant},
            },
        )
        for tenant in "ab"
    ]
    deliver_all(receiver, bodies)
    assert receiver.most_under_way == 2


def test_any_number_of_destinations_changes_nothing() -> None:
    """What is busy is not forgotten, so that nobody gets a second queue beside the first."""
    receiver = Receiver(lambda request: request.url.host)

    async def main() -> None:
        async with Pipeline() as pipeline:
            pipeline._network.http = MockHttp(receiver.answer)
            patient = {"type": "loki", "timeout": "1h"}  # 602 pushes take a busy machine long
            first = changed(LOG, sink={**patient, "url": "http://first"})
            deliveries = [asyncio.create_task(pipeline.deliver(raw(first)))]
            await asyncio.sleep(0)
            for number in range(600):
                body = changed(LOG, sink={**patient, "url": f"http://host{number}"})
                deliveries.append(asyncio.create_task(pipeline.deliver(raw(body))))
            deliveries.append(asyncio.create_task(pipeline.deliver(raw(first))))
            outcomes = await asyncio.gather(*deliveries)
        assert all(isinstance(outcome, Success) for outcome in outcomes)

    asyncio.run(main())
    assert receiver.most_under_way == 1


def test_what_is_idle_is_forgotten() -> None:
    """A caller who names a new destination each time costs bounded memory."""
    network = Network()
    for number in range(KEPT_DESTINATIONS + 50):
        opened(network, number, lambda *_: object())
    assert len(network.kept) == KEPT_DESTINATIONS


@pytest.mark.parametrize("sink", ["loki", "tcp", "udp", "http_push", "file"])
def test_what_is_opened_is_found_by_the_value_of_its_options(sink: str, tmp_path: Path) -> None:
    """Equal options open one thing, whichever object they come as; others another."""
    options = {
        "loki": {"url": "http://loki"},
        "tcp": {"address": "a:1"},
        "udp": {"address": "a:1"},
        "http_push": {"url": "http://a"},
        "file": {"path": str(tmp_path / "x")},
    }
    network, pipeline = Network(), Pipeline()
    other = {"fsync": True} if sink == "file" else {"timeout": "7s"}
    opened = [
        network.opened(
            pipeline.route("logs", {"type": "json_lines"}, {"type": sink, **chosen}).unwrap().sink
        )
        for chosen in (options[sink], dict(options[sink]), {**options[sink], **other})
    ]
    assert opened[0] is opened[1]
    assert opened[0] is not opened[2]


def test_what_is_common_lasts_as_long_as_somebody_holds_it() -> None:
    """However many others there are meanwhile; afterwards it is made anew."""
    network = Network()
    held = network.common("a", StreamOrder)
    others = [network.common(number, StreamOrder) for number in range(2 * KEPT_DESTINATIONS)]
    assert network.common("a", StreamOrder) is held
    del others, held
    assert len(network._common) == 0


@pytest.mark.skipif(not is_usable("sink", "remote_write"), reason="needs the extra remote-write")
def test_a_receiver_keeps_its_order_however_many_others_there_are() -> None:
    """A sink in steady use has the order of its receiver in common with one that comes late."""
    receiver = Receiver(lambda request: request.url.host)
    steady = {"type": "remote_write", "url": "http://prometheus/api/v1/write"}
    metric = changed(METRIC, encoder={"type": "remote_write"}, sink=steady)
    late = changed(metric, sink={**steady, "timeout": "7s"})

    async def main() -> None:
        async with Pipeline() as pipeline:
            pipeline._network.http = MockHttp(receiver.answer)
            for number in range(KEPT_DESTINATIONS + 10):
                await pipeline.deliver(raw(metric))
                other = changed(LOG, sink={"type": "loki", "url": f"http://host{number}"})
                await pipeline.deliver(raw(other))
            await asyncio.gather(*(pipeline.deliver(raw(body)) for body in [metric, late] * 4))

    asyncio.run(main())
    assert receiver.most_under_way == 1


def opened(network: Network, number: int, opens: Callable[[Any, Network], Any]) -> Any:
    """Return what a sink has opened whose options are a number."""
    plugin = SimpleNamespace(open=opens)
    return network.opened(PluginRef("s", plugin, number, "", key=("s", b"%d" % number)))


class Kept:
    """Something that is kept; counts how often it is asked whether it is busy."""

    asked = 0

    def __init__(self, _options: int, _network: Network) -> None:
        self.busy = True

    @property
    def is_busy(self) -> bool:
        Kept.asked += 1
        return self.busy


def test_room_is_looked_for_in_few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of busy ones cost each newcomer a few looks, and go once they are idle."""
    monkeypatch.setattr(Kept, "asked", 0)
    network = Network()
    kept = [opened(network, number, Kept) for number in range(2000)]
    assert Kept.asked <= 2000 * 8
    assert all(opened(network, number, Kept) is one for number, one in enumerate(kept))
    for one in kept:
        one.busy = False
    for number in range(2000, 2000 + KEPT_DESTINATIONS):
        opened(network, number, Kept).busy = False
    assert len(network.kept) == KEPT_DESTINATIONS
