"""Every rule of the format: what is refused, with which status's kind of problem, and where."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from returns.result import Failure

from sonda.pipeline.problems import Invalid, Malformed
from sonda.pipeline.scenarios.compile import KnownDestination, compile_document
from sonda.pipeline.scenarios.reading import from_tree
from tests.support.extras import needs
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, log, metric

Document: TypeAlias = dict[str, Any]

CONSTANT = {"type": "constant", "value": 1}


def _in(**changes: Any) -> dict[str, Any]:
    return {"scenarios": [metric(name="first"), metric(**changes)]}


def _to_file(path: str, **options: Any) -> Document:
    return {"sink": {"type": "file", "path": path, **options}}


def _post(url: str, tenant: str = "") -> Document:
    headers = {"headers": {"X-Scope-OrgID": tenant}} if tenant else {}
    return {"sink": {"type": "http_push", "url": url, **headers}}


def _topic(topic: str, **options: Any) -> Document:
    return {"sink": {"type": "kafka", "brokers": "k:9092", "topic": topic, **options}}


STRUCTURE = [
    ({"scenarios": []}, "scenarios: expected at least one entry"),
    ({"scenarios": {}}, "scenarios: expected an array, got an object"),
    ({"scenarios": [1]}, "scenarios[0]: expected an object, got a number"),
    ({"scenarios": [metric()], "foo": 1}, "unknown field 'foo'"),
    ({"scenarios": [metric()], "rate": 1}, "unknown field 'rate'"),
    ({**metric(), "foo": 1}, "unknown field 'foo'"),
    ({"version": 3, **metric()}, "version: unknown variant 3, expected 2"),
    ({"version": "2", **metric()}, 'version: unknown variant "2", expected 2'),
    ({"kind": "other", **metric()}, "kind: unknown variant 'other', expected 'runnable'"),
    (metric(rate=None), "missing field 'rate'"),
    (_in(rate=None), "scenarios[1]: missing field 'rate'"),
    (_in(rate="fast"), "scenarios[1].rate: expected a number, got a string"),
    (_in(name=None), "scenarios[1]: missing field 'name'"),
    (_in(foo=1), "scenarios[1]: unknown field 'foo'"),
    (_in(generator=None), "scenarios[1]: missing field 'generator'"),
    (_in(log_generator={"type": "template"}), "scenarios[1]: unknown field 'log_generator'"),
    (_in(generator={"type": "constant"}), "scenarios[1].generator: missing field 'value'"),
    (_in(generator={**CONSTANT, "x": 1}), "scenarios[1].generator: unknown field 'x'"),
    (_in(sink={"type": "loki"}), "scenarios[1].sink: missing field 'url'"),
    (_in(gaps={"every": "5s"}), "scenarios[1].gaps: missing field 'for'"),
    (_in(bursts={"every": "5s", "for": "1s"}), "scenarios[1].bursts: missing field 'multiplier'"),
    (_in(pace="slow"), "scenarios[1].pace: unknown variant 'slow', expected 'real' or 'max'"),
    (
        _in(dynamic_labels=[{"key": "a"}]),
        "scenarios[1].dynamic_labels[0]: missing field 'cardinality'",
    ),
    (
        _in(dynamic_labels=[{"key": "a", "values": ["b"], "cardinality": 2}]),
        "scenarios[1].dynamic_labels[0]: unknown field 'cardinality'",
    ),
    (_in(destination="x", sink={"type": "stdout"}), "scenarios[1]: unknown field 'sink'"),
    ({"defaults": {"name": "x"}, "scenarios": [metric()]}, "defaults: unknown field 'name'"),
    ({"seed": 1.5, **metric()}, "seed: expected an integer, got 1.5"),
    (
        log(
            log_generator={"type": "template", "templates": ["a"], "severity_weights": {"loud": 1}}
        ),
        "log_generator.severity_weights: unknown field 'loud'",
    ),
]

VALUES = [
    ({"kind": "composable", "anything": 1}, "kind: composable: not supported yet"),
    (_in(**{"while": 1}), "scenarios[1].while: not supported yet"),
    (_in(rate=0), "scenarios[1].rate: invalid value 0: expected a number above 0"),
    (_in(rate=1_000_001), "scenarios[1].rate: must be at most 1,000,000"),
    (
        _in(rate=500_000, bursts={"every": "2s", "for": "1s", "multiplier": 3}),
        "scenarios[1].bursts.multiplier: rate times multiplier must be at most 1,000,000",
    ),
    (
        _in(rate=float("inf")),
        "scenarios[1].rate: expected a finite number of the range of a double",
    ),
    (
        _in(generator={"type": "constant", "value": float("nan")}),
        "scenarios[1].generator.value: expected a finite number of the range of a double",
    ),
    (_in(count=0), "scenarios[1].count: invalid value 0: must be at least 1"),
    (_in(gaps={"every": "5s", "for": "5s"}), "scenarios[1].gaps.for: must be below every"),
    (_in(pace="max"), "scenarios[1].pace: max needs a duration or a count"),
    (
        _in(pace="max", count=1, max_lag="1s"),
        "scenarios[1].max_lag: goes without pace max, which has no lag",
    ),
    (_in(jitter=-1), "scenarios[1].jitter: invalid value -1: must be at least 0"),
    (_in(id="1a"), 'scenarios[1].id: invalid value "1a": expected an id'),
    (_in(id="first"), None),
    (
        {"scenarios": [metric(id="a"), metric(id="a", name="b")]},
        'scenarios[1].id: "a" is another entry\'s, too',
    ),
    (
        {"scenarios": [metric(), metric()]},
        'scenarios[1]: makes a series that entry "cpu" makes, too',
    ),
    (
        {"scenarios": [metric(labels={"a": ""}), metric(id="b")]},
        'scenarios[1]: makes a series that entry "cpu" makes, too',
    ),
    (
        {
            "scenarios": [
                metric(sink={"type": "tcp", "address": "x:1"}),
                metric(id="b", sink={"type": "tcp", "address": "x:1", "timeout": "3s"}),
            ]
        },
        'scenarios[1]: makes a series that entry "cpu" makes, too',
    ),
    (
        _in(name="1bad"),
        'scenarios[1].name: invalid metric name "1bad": must match [a-zA-Z_:][a-zA-Z0-9_:]*',
    ),
    (
        _in(labels={"a-b": "x"}),
        'scenarios[1].labels.a-b: invalid label name "a-b": must match [a-zA-Z_][a-zA-Z0-9_]*',
    ),
    (
        {"defaults": {"labels": {"a-b": "x"}}, "scenarios": [metric()]},
        'defaults.labels.a-b: invalid label name "a-b": must match [a-zA-Z_][a-zA-Z0-9_]*',
    ),
    (
        _in(sink={"type": "loki", "url": "x"}),
        'scenarios[1].sink.url: invalid value "x": expected a URL',
    ),
    (_in(destination="nowhere"), 'scenarios[1].destination: there is no destination "nowhere"'),
    (
        _in(generator={"type": "uniform", "min": 2, "max": 1}),
        "scenarios[1].generator.min: must be at most max",
    ),
    (
        _in(generator={"type": "sine", "amplitude": 1, "period_secs": 0}),
        "scenarios[1].generator.period_secs: invalid value 0: expected a number above 0",
    ),
    (_in(generator={"type": "leak"}), "scenarios[1].generator: leak needs an end"),
    (
        _in(generator={"type": "leak", "time_to_ceiling": "5s"}, duration="6s"),
        "scenarios[1].generator: leak would begin again after 5 s",
    ),
    (
        _in(generator={"type": "leak", "time_to_ceiling": "5.5s"}, duration="6s"),
        "scenarios[1].generator: leak would begin again after 5.5 s",
    ),
    (
        _in(rate=1500, dynamic_labels=[{"key": "a", "values": ["x", "y", "x"]}]),
        "scenarios[1].rate: 1500 samples a second of one series",
    ),
    (_in(rate=1001), "scenarios[1].rate: 1001 samples a second of one series"),
    (
        _in(rate=600, bursts={"every": "2s", "for": "1s", "multiplier": 2}),
        "scenarios[1].rate: 1200 samples a second of one series",
    ),
    (_in(dynamic_labels=[{"key": "a", "cardinality": 10_001}]), "make more than 10,000 series"),
    (
        _in(dynamic_labels=[{"key": "a", "cardinality": 101}, {"key": "b", "cardinality": 100}]),
        "scenarios[1].dynamic_labels: make more than 10,000 series",
    ),
    (
        _in(dynamic_labels=[{"key": "b", "cardinality": 2}, {"key": "a-b", "cardinality": 2}]),
        'scenarios[1].dynamic_labels[1].key: invalid label name "a-b"',
    ),
    (
        _in(dynamic_labels=[{"key": "__name__", "cardinality": 2}]),
        'scenarios[1].dynamic_labels[0].key: invalid label name "__name__"',
    ),
    (_in(series={"__name__": 2}), 'scenarios[1].series.__name__: invalid label name "__name__"'),
    (_in(series={"": 2}), 'scenarios[1].series[""]: invalid label name ""'),
    ({**metric(), "name": "1bad"}, 'invalid metric name "1bad"'),
    (_in(start_time="yesterday"), 'scenarios[1].start_time: invalid value "yesterday"'),
    (_in(start_time="-99999d"), "scenarios[1].start_time: is before 1970"),
    (_in(start_time="+99999d"), "scenarios[1]: the last event would be after 2262"),
    (_in(count=10**12, rate=0.001), "scenarios[1]: the last event would be after 2262"),
    (
        log(log_generator={"type": "template", "templates": ["a {b}"]}),
        'log_generator.templates[0]: there is no pool "b"',
    ),
    (
        log(log_generator={"type": "template", "templates": ["a }"]}),
        "log_generator.templates[0]: a brace stands alone",
    ),
    (
        log(
            log_generator={"type": "template", "templates": ["a"], "severity_weights": {"info": 0}}
        ),
        "log_generator.severity_weights: at least one weight must be above 0",
    ),
    (
        {"scenarios": [metric(name=f"m{n}") for n in range(1001)]},
        "scenarios: 1,001 entries; at most 1,000 are allowed",
    ),
    ({"scenario_name": "a b", **metric()}, 'scenario_name: invalid value "a b": expected a name'),
]


@pytest.mark.parametrize(("document", "detail"), STRUCTURE)
def test_structure(document: dict[str, Any], detail: str) -> None:
    """A wrong structure is `Malformed`, and its detail says where."""
    failed = compiled(document)
    assert isinstance(failed, Failure)
    assert isinstance(failed.failure(), Malformed)
    assert detail in str(failed.failure()).split("; ")


@pytest.mark.parametrize(("document", "detail"), VALUES)
def test_values(document: dict[str, Any], detail: str | None) -> None:
    """A value that is not allowed is `Invalid`, and its detail says where."""
    found = compiled(document)
    if detail is None:
        assert [entry.id for entry in found.unwrap().entries] == ["first_2", "first"]
        return
    assert isinstance(found, Failure)
    assert isinstance(found.failure(), Invalid)
    assert detail in str(found.failure())


def test_structure_hides_values() -> None:
    """With any problem of structure the detail lists those alone."""
    failed = compiled({"scenarios": [metric(rate=0), metric(rate=None)]})
    assert str(failed.failure()) == "scenarios[1]: missing field 'rate'"


def test_every_value_problem_is_listed() -> None:
    """The problems of all entries stand in one detail."""
    failed = compiled({"scenarios": [metric(rate=2_000_000), metric(name="b", start_time="x")]})
    assert str(failed.failure()).startswith("scenarios[0].rate: must be at most 1,000,000; ")
    assert "scenarios[1].start_time: " in str(failed.failure())


def test_ids() -> None:
    """An id is made of the name, and numbered where the name repeats."""
    names = ["a-b", "9x", "a:b", "a", "a"]
    entries = [
        {**log(name=name), "sink": {"type": "stdout"}}
        if not name.isidentifier()
        else metric(name=name, labels={"n": str(place)})
        for place, name in enumerate(names)
    ]
    found = compiled({"scenarios": entries}).unwrap()
    assert [entry.id for entry in found.entries] == ["a_b", "_9x", "a_b_2", "a", "a_2"]


def test_defaults() -> None:
    """An entry has what `defaults` say where it does not say it itself; labels are merged."""
    document = {
        "defaults": {
            "rate": 5,
            "duration": "2s",
            "labels": {"env": "prod", "team": "a"},
            "sink": {"type": "tcp", "address": "a:1"},
            "encoder": {"type": "json_lines"},
        },
        "scenarios": [metric(rate=None, labels={"team": "b"}), metric(name="b", rate=7)],
    }
    first, second = compiled(document).unwrap().entries
    assert (first.planned, second.planned) == (10, 14)
    assert first.labels.at(0) == {"env": "prod", "team": "b"}
    assert first.route.sink.name == "tcp"
    assert first.route.encoder.name == "json_lines"


def test_destinations_have_names() -> None:
    """A named destination stands in for encoder and sink, and the entry's own labels win."""
    known = {
        "x": KnownDestination({"type": "json_lines"}, {"type": "stdout"}, {"a": "1", "b": "1"})
    }
    tree = from_tree(metric(destination="x", labels={"b": "2"})).unwrap()
    entry = compile_document(tree, now_ns=NOW_NS, destinations=known).unwrap().entries[0]
    assert entry.labels.at(0) == {"a": "1", "b": "2"}
    assert entry.route.named is None
    assert entry.route.sink.name == "stdout"
    assert entry.route.encoder.name == "json_lines"


def test_the_loopback_advisory_names_the_entry() -> None:
    """In a server the advisory speaks of the entry by its id."""
    tree = from_tree(metric(sink={"type": "tcp", "address": "localhost:1"})).unwrap()
    found = compile_document(tree, now_ns=NOW_NS, in_server=True).unwrap()
    assert found.warnings[0].startswith("scenario entry 'cpu' sink `tcp` targets `localhost:1`")


def test_the_numbers_are_those_of_the_text() -> None:
    """0.1 is a tenth, not the double nearest to it."""
    found = compiled(
        "{signal_type: metrics, name: a, rate: 0.1, duration: 1000000000s, "
        "start_time: '1970-01-01T00:00:00Z', generator: {type: constant, value: 1}}"
    )
    assert found.unwrap().planned == 100_000_000


def test_stamps_begin_at_the_start() -> None:
    """`start_time` and `phase_offset` say when the first event was scheduled."""
    entry = compiled(metric(start_time="-6h", phase_offset="1.5s")).unwrap().entries[0]
    assert entry.event(0).time_ns == NOW_NS - 6 * 3600 * 10**9 + 1_500_000_000
    absolute = compiled(metric(start_time="2026-01-01T00:00:00+01:00", rate=3)).unwrap().entries[0]
    assert absolute.event(1).time_ns == 1_767_222_000_000_000_000 + 333_333_334


def test_events_come_in_the_order_in_which_they_are_due() -> None:
    """The streams of several entries are merged; a fast one does not wait for a slow one."""
    entries = [metric(rate=1, count=3), log(rate=2, count=3, phase_offset="250ms")]
    found = compiled({"scenarios": entries}).unwrap()
    kinds = [event.signal_type[0] for event in found.events()]
    assert "".join(kinds) == "mllmlm"
    assert found.planned == 6
    assert (
        found.event("app", 2)
        == [event for event in found.events() if event.signal_type == "logs"][2]
    )
    with pytest.raises(IndexError):
        found.event("app", 3)
    with pytest.raises(KeyError):
        found.event("nobody", 0)


def test_an_entry_without_an_end_has_the_ticks_whose_stamps_can_be_written() -> None:
    """The last is due in 2262; what is due later is no tick, as after an end."""
    [entry] = (plan := compiled(metric()).unwrap()).entries
    last = (2**63 - 1 - entry.start_ns) // 10**9
    assert plan.event("cpu", last).time_ns // 10**9 == (2**63 - 1) // 10**9
    with pytest.raises(IndexError, match=f"has no tick {last + 1}"):
        plan.event("cpu", last + 1)


def test_a_wrong_default_is_not_a_missing_one() -> None:
    """What is wrong in `defaults` is said once, and nothing follows from it."""
    tree = {"defaults": {"rate": 0, "count": 2}, "scenarios": [metric(rate=None)]}
    found = compile_document(from_tree(tree).unwrap(), now_ns=NOW_NS).failure()
    assert isinstance(found, Invalid)
    assert [issue.path for issue in found.issues] == ["defaults.rate"]


INFLUX: dict[str, Any] = {"type": "influx_lp"}


@pytest.mark.parametrize(
    ("one", "other", "is_one_series"),
    [
        (_to_file("/x/a"), _to_file("/x/../x/a"), True),
        (_to_file("/x/a"), _to_file("/x/a", fsync=True), True),
        (_post("http://h:80/w"), _post("HTTP://H/w"), True),
        (_post("http://h/w"), _post("http://h/v"), False),
        (_post("http://h/w", "a"), _post("http://h/w", "b"), False),
        pytest.param(_topic("a"), _topic("b"), False, marks=needs("sink", "kafka")),
        pytest.param(_topic("a"), _topic("a", key="k"), True, marks=needs("sink", "kafka")),
        ({"encoder": INFLUX}, {"encoder": INFLUX, "labels": {"a": ""}}, True),
        ({"encoder": INFLUX}, {"encoder": {**INFLUX, "field_key": "idle"}}, False),
    ],
)
def test_what_is_one_series(one: Document, other: Document, is_one_series: bool) -> None:
    """A place is one however it is written and pushed to; a series is what the encoder makes one."""
    document = {"scenarios": [metric(**one), metric(id="b", **other)]}
    found = compile_document(from_tree(document).unwrap(), now_ns=NOW_NS)
    assert isinstance(found, Failure) == is_one_series
    if is_one_series:
        problem = 'scenarios[1]: makes a series that entry "cpu" makes, too'
        assert str(found.failure()) == problem
