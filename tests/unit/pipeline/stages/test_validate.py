"""Stage 2: every flaw is named, in the contract's words and order."""

from __future__ import annotations

from typing import Any

import pytest
from returns.result import Result

from sonda.pipeline.encoders.prometheus_text import PrometheusText
from sonda.pipeline.model import Log, Metric, NamedDestination, ValidatedEvent, Verify
from sonda.pipeline.net.retry import Retry
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.problems import Invalid, Malformed, Problem, ValidationIssue, missing_extra
from sonda.pipeline.sinks.loki import Loki
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.values.memoize import LONGEST_MEMOIZED
from tests.support.bodies import LOG, METRIC, MISSING, changed

NOW_NS = 1_700_000_000_123_456_789
LOKI = {"type": "loki", "url": "http://loki:3100"}
HTTP = {"type": "http_push", "url": "http://h"}
RETRY = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1s"}


def check(body: dict[str, Any]) -> Result[ValidatedEvent, Problem]:
    return validate(body, received_ns=NOW_NS)


def details(body: dict[str, Any], kind: type[Malformed | Invalid]) -> list[str]:
    problem = check(body).failure()
    assert isinstance(problem, kind), problem
    return [str(flaw) for flaw in problem.issues]


def test_a_log_becomes_a_record() -> None:
    """The event has the time at which its body was read."""
    expected = Log(
        message="Deploy started",
        labels=LOG["labels"],
        fields={"version": "1.2.2"},
        time_ns=NOW_NS,
    )
    assert check(LOG).unwrap().event == expected


def test_a_metric_becomes_a_sample() -> None:
    """A JSON integer is converted to a double."""
    validated = check(changed(METRIC, metric__value=100)).unwrap()
    assert validated.event == Metric(
        name="deploy_events_total", value=100.0, labels=METRIC["labels"], time_ns=NOW_NS
    )
    assert isinstance(validated.event, Metric)
    assert isinstance(validated.event.value, float)


def test_fields_default_to_none() -> None:
    """A log without fields has an empty set of them."""
    event = check(changed(LOG, log={"severity": "warning", "message": "x"})).unwrap().event
    assert event == Log(message="x", severity="warn", labels=LOG["labels"], time_ns=NOW_NS)


def test_a_timestamp_is_the_events_own_time() -> None:
    """A resend with the same timestamp is the same event."""
    body = changed(LOG, timestamp="2026-03-23T15:59:04.123456789+01:00")
    assert check(body).unwrap().event.time_ns == 1_774_277_944_123_456_789


def test_options_become_dataclasses() -> None:
    """Options are read into the plug-in's own class, integral numbers as integers."""
    sink = LOKI | {"batch_size": 2.0, "retry": RETRY | {"max_attempts": 3.0}, "tls": {}}
    sink["url"] = "https://loki"
    encoder = {"type": "prometheus_text", "precision": 2.0}
    validated = check(changed(METRIC, encoder=encoder, sink=sink)).unwrap()
    retry = Retry(max_attempts=3, initial_backoff="1ms", max_backoff="1s")
    assert validated.encoder.options == PrometheusText(precision=2)
    assert validated.sink.options == Loki(url="https://loki", batch_size=2, retry=retry, tls=Tls())


def identity(sink: dict[str, Any]) -> str:
    return check(changed(LOG, sink=sink)).unwrap().sink.identity


def test_equal_sinks_are_one_object() -> None:
    """The same options are known again, whoever else asks for them and whatever encodes."""
    sink = LOKI | {"batch_size": 2, "retry": RETRY}
    validated_events = [
        check(changed(LOG, sink=written, encoder={"type": encoder})).unwrap()
        for written in (sink, sink | {"batch_size": 2.0})
        for encoder in ("json_lines", "syslog")
    ]
    assert len({id(validated.sink.options) for validated in validated_events}) == 1
    assert len({validated.sink.identity for validated in validated_events}) == 1


def test_options_keep_the_order_that_they_are_written_in() -> None:
    """Where a destination sees the order of headers, it is the client's."""
    headers = {"z": "1", "a": "2", "m": "3"}
    validated = check(changed(LOG, sink=LOKI | {"headers": headers})).unwrap()
    assert list(validated.sink.options.headers) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "other",
    [
        LOKI,
        LOKI | {"batch_size": 2},
        LOKI | {"batch_size": 1, "url": "http://loki:3101"},
        LOKI | {"batch_size": 1, "headers": {"X-Scope-OrgID": "tenant"}},
        LOKI | {"batch_size": 1, "type": "http_push"},
    ],
)
def test_other_sinks_have_another_identity(other: dict[str, Any]) -> None:
    """A single option tells sinks apart."""
    assert identity(other) != identity(LOKI | {"batch_size": 1})


def test_a_boolean_is_no_number_it_was_mistaken_for() -> None:
    """Python holds `1`, `1.0` and `true` for equal; a body that was fine with one is not with all."""
    assert identity(LOKI | {"batch_size": 1}) == identity(LOKI | {"batch_size": 1.0})
    expected = ["sink.batch_size: expected an integer, got true"]
    assert details(changed(LOG, sink=LOKI | {"batch_size": True}), Malformed) == expected
    fsync = {"type": "file", "path": "x", "fsync": True}
    assert '"fsync": true' in identity(fsync)
    expected = ["sink.fsync: expected a boolean, got a number"]
    assert details(changed(LOG, sink=fsync | {"fsync": 1}), Malformed) == expected


def test_long_options_are_read_but_not_remembered() -> None:
    """A sink of any size works; only ordinary ones are kept for the next event."""
    long = HTTP | {"headers": {"X": "x" * LONGEST_MEMOIZED}}
    first, second = (check(changed(LOG, sink=long)).unwrap().sink for _ in range(2))
    assert first == second
    assert first.options is not second.options
    first, second = (check(changed(LOG, sink=dict(HTTP))).unwrap().sink for _ in range(2))
    assert first.options is second.options


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["missing field 'signal_type'", "missing field 'labels'", "missing field 'encoder'", "missing field 'sink'"]),
        (changed(LOG, signal_type="traces"), ["signal_type: unknown variant 'traces', expected 'logs' or 'metrics'"]),
        (changed(LOG, signal_type=5), ["signal_type: expected a string, got a number"]),
        (changed(LOG, log=MISSING), ["missing field 'log'"]),
        (changed(LOG, log=MISSING, metric={"value": "x"}), ["missing field 'log'", "unknown field 'metric'"]),
        (changed(METRIC, log={}), ["unknown field 'log'"]),
        (changed(LOG, count=5), ["unknown field 'count'"]),
        (changed(LOG, log__filds={}), ["log: unknown field 'filds' (did you mean 'fields'?)"]),
        (changed(LOG, log__severity="INFO"), ["log.severity: unknown variant 'INFO', expected one of 'trace', 'debug', 'info', 'warn', 'error', 'fatal' (did you mean 'info'?)"]),
        (changed(LOG, log__message=None), ["log.message: expected a string, got null"]),
        (changed(LOG, log__fields={"a b": 1}), ['log.fields["a b"]: expected a string, got a number (put it in quotes)']),
        (changed(LOG, log=[]), ["log: expected an object, got an array"]),
        (changed(LOG, labels={"a": True}), ["labels.a: expected a string, got a boolean (put it in quotes)"]),
        (changed(LOG, timestamp=5), ["timestamp: expected a string, got a number (for example 2026-11-23T08:00:00Z)"]),
        (changed(METRIC, metric__value="1"), ["metric.value: expected a number, got a string (leave out the quotes)"]),
        (changed(METRIC, metric__value=True), ["metric.value: expected a number, got a boolean"]),
        (changed(LOG, encoder="json_lines"), ['encoder: expected an object, got a string (for example {"type": "json_lines"})']),
        (changed(LOG, encoder={}), ["encoder: missing field 'type'"]),
        (changed(LOG, encoder={"type": 1}), ["encoder.type: expected a string, got a number (put it in quotes)"]),
        (changed(LOG, encoder={"type": "x\ny"}), [r"encoder.type: unknown variant 'x\ny', expected one of 'influx_lp', 'json_lines', 'otlp', 'prometheus_text', 'remote_write', 'syslog'"]),
        (changed(LOG, sink={"type": "loki"}), ["sink: missing field 'url'"]),
        (changed(LOG, sink={"type": "stdout", "path": "x"}), ["sink: unknown field 'path'"]),
        (changed(LOG, sink__framing="cr"), ["sink.framing: unknown variant 'cr', expected 'lf' or 'octet_counting'"]),
        (changed(LOG, sink__retry={}), ["sink.retry: missing field 'max_attempts'"]),
        (changed(LOG, sink__retry=RETRY | {"max_attempts": 1.5}), ["sink.retry.max_attempts: expected an integer, got 1.5"]),
        (changed(LOG, sink__tls={"verify": False}), ["sink.tls: unknown field 'verify'"]),
        (changed(METRIC, encoder__precision="2"), ['encoder.precision: expected an integer, got "2" (leave out the quotes)']),
        (changed(METRIC, encoder__timestamp=0), ["encoder.timestamp: expected a boolean, got a number"]),
        (changed(LOG, sink={"type": "kafka", "brokers": "k:9092", "topic": "t", "sasl": {"mechanism": "GSSAPI", "username": "u", "password": "p"}}), ["sink.sasl.mechanism: unknown variant 'GSSAPI', expected one of 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'"]),
        (changed(LOG, sink={"type": "otlp_grpc", "endpoint": "http://c:4317"}), ["sink: missing field 'signal_type'"]),
    ],
)  # fmt: skip
def test_structure(body: dict[str, Any], expected: list[str]) -> None:
    """What is wrong with the structure is named with where it is."""
    assert details(body, Malformed) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (changed(METRIC, metric__name="1bad"), ['invalid metric name "1bad": must match [a-zA-Z_:][a-zA-Z0-9_:]*']),
        (changed(METRIC, metric__name="a\n"), [r'invalid metric name "a\n": must match [a-zA-Z_:][a-zA-Z0-9_:]*']),
        (changed(METRIC, metric__name="é"), ['invalid metric name "é": must match [a-zA-Z_:][a-zA-Z0-9_:]*']),
        (changed(METRIC, metric__name=""), ['invalid metric name "": must match [a-zA-Z_:][a-zA-Z0-9_:]*']),
        (changed(METRIC, metric__name="1" * 500), [f'invalid metric name "{"1" * 200}…": must match [a-zA-Z_:][a-zA-Z0-9_:]*']),
        (changed(LOG, labels={"a-b": "x", 'q"': "y"}), ['invalid label name "a-b": must match [a-zA-Z_][a-zA-Z0-9_]* (try a_b)', r'invalid label name "q\"": must match [a-zA-Z_][a-zA-Z0-9_]* (try q)']),
        (changed(METRIC, labels={"__name__": "x"}), ['invalid label name "__name__": it is the metric\'s name, which metric.name gives']),
        (changed(LOG, timestamp="yesterday"), ['timestamp: invalid value "yesterday": expected RFC 3339 with an offset and at most nine decimals (for example 2026-11-23T08:00:00Z)']),
        (changed(LOG, timestamp="1969-12-31T23:59:59Z"), ['timestamp: invalid value "1969-12-31T23:59:59Z": outside 1970-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z']),
        (changed(METRIC, encoder__precision=18), ["encoder.precision: invalid value 18: must be from 0 to 17"]),
        (changed(METRIC, encoder__precision=-1), ["encoder.precision: invalid value -1: must be from 0 to 17"]),
        (changed(METRIC, encoder={"type": "influx_lp", "field_key": ""}), ['encoder.field_key: invalid value "": must not be empty']),
        (changed(METRIC, encoder={"type": "influx_lp", "field_key": "time"}), ['encoder.field_key: invalid value "time": expected another name than time, which is the point\'s own']),
        (changed(LOG, encoder={"type": "syslog", "hostname": "a b"}), ['encoder.hostname: invalid value "a b": expected 1 to 255 printable ASCII characters without spaces']),
        (changed(LOG, encoder={"type": "syslog", "app_name": "a" * 49}), [f'encoder.app_name: invalid value "{"a" * 49}": expected 1 to 48 printable ASCII characters without spaces']),
        (changed(LOG, sink__address="localhost"), ['sink.address: invalid value "localhost": expected host:port, with an IPv6 address in brackets']),
        (changed(LOG, sink__address="h:0"), ['sink.address: invalid value "h:0": expected a port from 1 to 65535']),
        (changed(LOG, sink__address="::1:514"), ['sink.address: invalid value "::1:514": expected host:port, with an IPv6 address in brackets']),
        (changed(LOG, sink__address="a b:514"), ['sink.address: invalid value "a b:514": expected a host name or an IP address']),
        (changed(LOG, sink__timeout="10"), ['sink.timeout: invalid value "10": expected a duration above zero such as 500ms, 10s, 1.5m or 1h']),
        (changed(LOG, sink__timeout="0.0s"), ['sink.timeout: invalid value "0.0s": expected a duration above zero such as 500ms, 10s, 1.5m or 1h']),
        (changed(LOG, sink__retry=RETRY | {"max_attempts": 0}), ["retry max_attempts must be at least 1"]),
        (changed(LOG, sink__retry=RETRY | {"initial_backoff": "2s"}), ["sink.retry.max_backoff: must be at least initial_backoff"]),
        (changed(LOG, sink=LOKI | {"url": "not a url"}), ['sink.url: invalid value "not a url": expected a URL that starts with http:// or https://']),
        (changed(LOG, sink=LOKI | {"url": "http://u:secret@h:99999"}), ['sink.url: invalid value "http://***@h:99999": expected a port from 1 to 65535']),
        (changed(LOG, sink=LOKI | {"url": "ftp://u:secret@h"}), ['sink.url: invalid value "ftp://***@h": expected a URL that starts with http:// or https://']),
        (changed(LOG, sink=LOKI | {"url": "http://"}), ['sink.url: invalid value "http://": expected a host name or an IP address']),
        (changed(LOG, sink=LOKI | {"tls": {}}), ['sink.url: invalid value "http://loki:3100": expected https://, since tls is given']),
        (changed(LOG, sink=LOKI | {"batch_size": 0}), ["sink.batch_size: invalid value 0: must be at least 1"]),
        (changed(LOG, sink=LOKI | {"max_buffer_age": "1d"}), ['sink.max_buffer_age: invalid value "1d": expected a duration such as 0s, 500ms or 10s']),
        (changed(LOG, sink=LOKI | {"headers": {"content-type": "x"}}), ['sink.headers: invalid name "content-type": is set by the sink itself']),
        (changed(LOG, sink=HTTP | {"headers": {"hOST": "x"}}), ['sink.headers: invalid name "hOST": is set by the sink itself']),
        (changed(LOG, sink=HTTP | {"headers": {"X Y": "x"}}), ['sink.headers: invalid name "X Y": expected an HTTP header name']),
        (changed(LOG, sink=HTTP | {"headers": {"X": "secret\r\n"}}), ["sink.headers.X: invalid value: a header value holds no control characters such as CR, LF or NUL"]),
        (changed(LOG, sink=HTTP | {"headers": {"X": " secret"}}), ["sink.headers.X: invalid value: a header value neither starts nor ends with a blank"]),
        (changed(LOG, sink=HTTP | {"content_type": "a\n"}), [r'sink.content_type: invalid value "a\n": a header value holds no control characters such as CR, LF or NUL']),
        (changed(LOG, sink={"type": "file", "path": ""}), ['sink.path: invalid value "": expected a path: not empty and without NUL']),
        (changed(LOG, sink={"type": "file", "path": "a\0"}), [r'sink.path: invalid value "a\u0000": expected a path: not empty and without NUL']),
        (changed(LOG, sink__tls={"client_key": "k.pem"}), ["sink.tls: client_key needs client_cert"]),
        (changed(METRIC, encoder={"type": "syslog"}), ["encoder.type: 'syslog' cannot encode metrics; these can: influx_lp, json_lines, otlp, prometheus_text, remote_write"]),
        (changed(LOG, encoder={"type": "influx_lp"}), ["encoder.type: 'influx_lp' cannot encode logs; these can: json_lines, otlp, syslog"]),
    ],
)  # fmt: skip
def test_values(body: dict[str, Any], expected: list[str]) -> None:
    """A value that no configuration allows is named and quoted, but never a secret."""
    assert details(body, Invalid) == expected


def test_every_flaw_is_named_in_order() -> None:
    """Envelope, log or metric, encoder, sink."""
    body = changed(
        METRIC,
        sink={"type": "tcp", "address": "x", "retry": RETRY | {"max_attempts": 0}},
        encoder={"type": "prometheus_text", "precision": 20},
        metric={"name": "a-b", "value": 1},
        labels={"c-d": "x"},
        timestamp="now",
    )
    named = [flaw.split(":")[0].split('"')[0] for flaw in details(body, Invalid)]
    assert named == [
        "invalid label name ",
        "timestamp",
        "invalid metric name ",
        "encoder.precision",
        "sink.address",
        "retry max_attempts must be at least 1",
    ]


def test_structure_comes_before_values() -> None:
    """With a structural flaw, the values are not spoken of."""
    body = changed(METRIC, metric__name="1bad", count=1)
    assert details(body, Malformed) == ["unknown field 'count'"]


def test_an_unknown_signal_hides_nothing_else() -> None:
    """The log of an event of unknown kind is checked all the same."""
    body = changed(LOG, signal_type="traces", log__severity="INFO")
    assert [flaw.split(":")[0] for flaw in details(body, Malformed)] == [
        "signal_type",
        "log.severity",
    ]


@pytest.mark.parametrize(
    ("encoder", "sink", "expected"),
    [
        ({"type": "remote_write"}, HTTP, [missing_extra("encoder", "remote_write", "remote-write")]),
        ({"type": "otlp"}, HTTP, [missing_extra("encoder", "otlp", "otlp")]),
        ({"type": "json_lines"}, {"type": "remote_write", "url": "http://p"}, [missing_extra("sink", "remote_write", "remote-write")]),
        ({"type": "otlp"}, {"type": "otlp_grpc", "endpoint": "http://c:4317", "signal_type": "metrics"}, [missing_extra("encoder", "otlp", "otlp"), missing_extra("sink", "otlp_grpc", "otlp")]),
        ({"type": "json_lines"}, {"type": "kafka", "brokers": "k:9092", "topic": "t"}, [missing_extra("sink", "kafka", "kafka")]),
    ],
)  # fmt: skip
def test_missing_extras(
    encoder: dict[str, Any],
    sink: dict[str, Any],
    expected: list[ValidationIssue],
    without_extras: None,
) -> None:
    """A plug-in whose extra is not installed is answered with the hint, encoder first."""
    problem = check(changed(METRIC, encoder=encoder, sink=sink)).failure()
    assert problem == Invalid(tuple(expected))


def test_the_hint_is_exact() -> None:
    """The hint is part of the contract, to the letter."""
    assert str(missing_extra("encoder", "remote_write", "remote-write")) == (
        "encoder type 'remote_write' requires the 'remote-write' feature: "
        "pip install 'sonda-events[remote-write]'"
    )


def test_a_wrong_option_of_a_missing_extra_is_structure() -> None:
    """The schemas are there without the code: wrong structure is 400."""
    body = changed(LOG, sink={"type": "kafka", "brokers": "k:9092"})
    assert details(body, Malformed) == ["sink: missing field 'topic'"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (changed(LOG, log__severity="WARN"), "(did you mean 'warn'?)"),
        (changed(LOG, log__severity="WARNING"), "(did you mean 'warn'?)"),
        (changed(LOG, log__severity="Critical"), "(did you mean 'fatal'?)"),
        (changed(LOG, log__severity="err"), "(did you mean 'error'?)"),
        (changed(LOG, signal_type="log"), "(did you mean 'logs'?)"),
        (changed(LOG, signal_type="Metrics"), "(did you mean 'metrics'?)"),
        (changed(LOG, encoder={"type": "json"}), "(did you mean 'json_lines'?)"),
        (changed(LOG, encoder={"type": "json-lines"}), "(did you mean 'json_lines'?)"),
        (changed(LOG, sink={"type": "http"}), "(did you mean 'http_push'?)"),
        (changed(LOG, sink={"type": "prometheus"}), "(did you mean 'remote_write'?)"),
        (changed(LOG, sink={"type": "Loki "}), "(did you mean 'loki'?)"),
        (changed(LOG, log__filds={}), "log: unknown field 'filds' (did you mean 'fields'?)"),
        (changed(LOG, timstamp="x"), "unknown field 'timstamp' (did you mean 'timestamp'?)"),
        (changed(LOG, sink=LOKI | {"time_out": "1s"}), "(did you mean 'timeout'?)"),
        (changed(LOG, timestamp=1_700_000_000), "got a number (for example 2026-11-23T08:00:00Z)"),
        (changed(LOG, sink={"type": "kafka", "brokers": ["a:1"], "topic": "t"}), "sink.brokers: expected a string, got an array (for example kafka-1:9092,kafka-2:9092)"),
    ],
)  # fmt: skip
def test_a_slip_in_the_structure_has_its_remedy(body: dict[str, Any], expected: str) -> None:
    """Where it is likely what was meant, the detail ends with it, in brackets."""
    (detail,) = details(body, Malformed)
    assert detail.endswith(expected)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (changed(LOG, signal_type="traces"), "unknown variant 'traces', expected 'logs' or 'metrics'"),
        (changed(LOG, sink={"type": "carrier_pigeon"}), "'udp'"),
        (changed(LOG, log__severity="w" * 65), "'fatal'"),
        (changed(LOG, count=5), "unknown field 'count'"),
    ],
)  # fmt: skip
def test_nothing_is_offered_for_what_is_no_slip(body: dict[str, Any], said: str) -> None:
    """What resembles nothing has no remedy."""
    (detail,) = details(body, Malformed)
    assert detail.endswith(said)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("my-app", " (try my_app)"),
        ("9lives", " (try _9lives)"),
        ("app.kubernetes.io/name", " (try app_kubernetes_io_name)"),
        ("a\n", " (try a)"),
        ("é", ""),
        ("-", ""),
        ("-" + "a" * 64, ""),
    ],
)
def test_a_label_name_has_a_near_one(name: str, remedy: str) -> None:
    """The exact text may be followed by a name that would do."""
    (detail,) = details(changed(LOG, labels={name: "x"}), Invalid)
    assert detail.endswith(f"must match [a-zA-Z_][a-zA-Z0-9_]*{remedy}")


def test_the_first_20_issues_and_how_many_more() -> None:
    """However many there are, the first are named in the body's order and the others counted."""
    labels = {f"l{n}": n for n in range(1000)}
    problem = check(changed(LOG, labels=labels, log__severity="x")).failure()
    assert isinstance(problem, Malformed)
    assert [issue.path for issue in problem.issues] == [f"labels.l{n}" for n in range(20)]
    assert problem.more == 981
    assert str(problem).endswith(
        "labels.l19: expected a string, got a number (put it in quotes); and 981 more"
    )


def test_values_are_counted_apart_from_structure() -> None:
    """A count is of what the detail is about: of structure, or else of values."""
    labels: dict[str, Any] = {f"-{n}": "" for n in range(100)}
    problem = check(changed(LOG, labels=labels)).failure()
    assert isinstance(problem, Invalid)
    assert (len(problem.issues), problem.more) == (20, 80)
    problem = check(changed(LOG, labels=labels | {"a": 1})).failure()
    assert problem == Malformed(
        (ValidationIssue("labels.a", "expected a string, got a number (put it in quotes)"),)
    )


def test_unknown_fields_are_counted() -> None:
    """Unknown fields of an event and of a sink make one list."""
    others = dict.fromkeys(map(str, range(30)))
    problem = check({**LOG, **others, "sink": {**LOKI, **others}}).failure()
    assert isinstance(problem, Malformed)
    assert (len(problem.issues), problem.more) == (20, 40)
    assert {issue.path for issue in problem.issues} == {""}


def test_what_an_encoder_refuses_is_counted() -> None:
    """Names that a format cannot carry are listed as a schema's issues are."""
    body = changed(LOG, log__fields={f" {n}": "" for n in range(50)}, encoder={"type": "syslog"})
    problem = check(body).bind(encode).failure()
    assert isinstance(problem, Invalid)
    assert (len(problem.issues), problem.more) == (20, 30)
    metric = changed(METRIC, labels={f"l{n}": "\n\\" for n in range(50)})
    problem = check(changed(metric, encoder={"type": "influx_lp"})).bind(encode).failure()
    assert isinstance(problem, Invalid)
    assert (len(problem.issues), problem.more) == (20, 80)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (changed(METRIC, metric__name="1bad"), "metric.name"),
        (changed(LOG, labels={"a-b": ""}), "labels.a-b"),
        (changed(LOG, sink__retry={"max_attempts": 0}), "sink.retry.max_attempts"),
    ],
)
def test_an_exact_text_knows_its_path(body: dict[str, Any], path: str) -> None:
    """A text that names its subject itself stands alone; the issue has the path all the same."""
    problem = check(body).failure()
    assert isinstance(problem, Invalid)
    (issue,) = problem.issues
    assert (issue.path, str(issue)) == (path, issue.reason)


def test_retry_has_defaults() -> None:
    """Only the number of tries must be said; a wait above a default's is refused."""
    retry = check(changed(LOG, sink__retry={"max_attempts": 2})).unwrap().sink.options.retry
    assert retry == Retry(max_attempts=2, initial_backoff="100ms", max_backoff="5s")
    for wrong in ({"initial_backoff": "6s"}, {"max_backoff": "99ms"}):
        found = details(changed(LOG, sink__retry={"max_attempts": 2, **wrong}), Invalid)
        assert found == ["sink.retry.max_backoff: must be at least initial_backoff"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("~/x.log", "a leading ~ is not expanded here (write the path out, or ./~ for a file)"),
        ("~user/x.log", "a leading ~ is not expanded here (write the path out, or ./~ for a file)"),
        ("a/" * 2048 + "b", "a path has at most 4096 bytes"),
        ("a/" * 80_000, "a path has at most 4096 bytes"),
        ("ä" * 128, "a name in a path has at most 255 bytes"),
        ("x/" + "a" * 256 + "/y", "a name in a path has at most 255 bytes"),
    ],
)
def test_paths_that_no_system_opens(path: str, reason: str) -> None:
    """A path is judged before the file system is asked, wherever it stands."""
    for sink in ({"type": "file", "path": path}, TLS_TCP | {"tls": {"ca_cert": path}}):
        (detail,) = details(changed(LOG, sink=sink), Invalid)
        assert detail.endswith(reason)
        assert len(detail) < 400


TLS_TCP: dict[str, Any] = {"type": "tcp", "address": "h:1"}


@pytest.mark.parametrize("path", ["a~", "./~", "a/~/b", "a" * 255, "a/" * 2047 + "b", "ä" * 127])
def test_paths_that_are_fine(path: str) -> None:
    """What a system may open is left to it."""
    options = check(changed(LOG, sink={"type": "file", "path": path})).unwrap().sink.options
    assert options.path == path


@pytest.mark.parametrize("key", ["\tvalue", "a\x1b", "\x7f", "\x85", "a\0b", "\r"])
def test_no_control_character_in_a_field_key(key: str) -> None:
    """InfluxDB would store another name."""
    body = changed(METRIC, encoder={"type": "influx_lp", "field_key": key})
    (detail,) = details(body, Invalid)
    assert detail.endswith("expected no control character")


KAFKA: dict[str, Any] = {"type": "kafka", "brokers": "k:9092", "topic": "t"}


@pytest.mark.parametrize(
    ("sink", "verify", "expected"),
    [
        ({"type": "stdout"}, {}, "verify: 'stdout' cannot be read back; these can: file, kafka, loki, remote_write"),
        (TLS_TCP, {"url": "http://h"}, "verify: 'tcp' cannot be read back; these can: file, kafka, loki, remote_write"),
        ({"type": "file", "path": "x"}, {"url": "http://h"}, "verify.url: 'file' has no query API; these have: loki, remote_write"),
        (LOKI, {"url": "h"}, 'verify.url: invalid value "h": expected a URL that starts with http:// or https://'),
        (LOKI, {"timeout": "0s"}, 'verify.timeout: invalid value "0s": expected a duration above zero such as 500ms, 10s, 1.5m or 1h'),
    ],
)  # fmt: skip
def test_what_cannot_be_verified(sink: Any, verify: Any, expected: str) -> None:
    """`verify` is for the destinations that can be asked, and its URL for those with a query API."""
    assert details(changed(LOG, sink=sink, verify=verify), Invalid) == [expected]


@pytest.mark.parametrize(
    ("url", "verify", "expected"),
    [
        ("http://p/api/v1/write", {}, []),
        ("http://p/api/v1/push", {"url": "http://p"}, []),
        ("http://p/api/v1/push", {}, ["verify: the sink's URL does not end in /api/v1/write: verify.url must say where to ask"]),
        ("nowhere", {}, ['sink.url: invalid value "nowhere": expected a URL that starts with http:// or https://']),
    ],
)  # fmt: skip
def test_where_remote_write_is_asked(url: str, verify: Any, expected: list[str]) -> None:
    """Without a URL of its own, `verify` needs to know where the query API is."""
    sink = {"type": "remote_write", "url": url}
    body = changed(METRIC, sink=sink, encoder={"type": "remote_write"}, verify=verify)
    problem = check(body).swap().value_or(Invalid(()))
    assert isinstance(problem, Invalid)
    issues = [str(issue) for issue in problem.issues]
    assert [issue for issue in issues if "feature" not in issue] == expected


@pytest.mark.parametrize("headers", [{f"h{n}": "x" for n in range(1001)}])
def test_headers_are_bounded(headers: dict[str, Any]) -> None:
    """No server takes a thousand header fields; a wrong type among them is still structure."""
    sink = LOKI | {"headers": headers}
    assert details(changed(LOG, sink=sink), Invalid) == [
        "sink.headers: must have at most 1000 names"
    ]
    sink = LOKI | {"headers": headers | {"h0": 1}}
    assert details(changed(LOG, sink=sink), Malformed) == [
        "sink.headers.h0: expected a string, got a number (put it in quotes)"
    ]
    headers.popitem()
    assert check(changed(LOG, sink=LOKI | {"headers": headers})).unwrap().sink.name == "loki"


def test_verify_is_read() -> None:
    """A valid `verify` comes with its default."""
    verified = check(changed(LOG, sink=LOKI, verify={})).unwrap()
    assert verified.verify == Verify("5s", None)
    verified = check(changed(LOG, sink=LOKI, verify={"timeout": "1s", "url": "http://h"})).unwrap()
    assert verified.verify == Verify("1s", "http://h")
    assert check(changed(LOG, sink=LOKI)).unwrap().verify is None
    assert details(changed(LOG, verify={"x": 1}), Malformed) == ["verify: unknown field 'x'"]


def named(name: str) -> NamedDestination | None:
    """The destinations of a server, one of them."""
    made = check(changed(LOG, sink=LOKI)).unwrap()
    known = NamedDestination(made.encoder, made.sink, {"env": "prod", "team": "a"}, "http://q")
    return known if name == "prod" else None


NAMED: dict[str, Any] = {
    "signal_type": "logs",
    "labels": {"team": "b"},
    "log": {"severity": "info", "message": "x"},
    "destination": "prod",
}


def test_a_destination_stands_for_encoder_and_sink() -> None:
    """It brings both, and labels over which the event's own win."""
    validated = validate(NAMED, received_ns=1, destinations=named).unwrap()
    assert validated.destination == named("prod")
    assert validated.sink.options.url == "http://loki:3100"
    assert validated.event == Log(message="x", labels={"env": "prod", "team": "b"}, time_ns=1)
    body = {**NAMED, "verify": {}}
    verified = validate(body, received_ns=1, destinations=named).unwrap().verify
    assert verified == Verify("5s", "http://q")


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"destination": "nope"}, Invalid, ['destination: there is no destination "nope"']),
        (
            {"destination": 1},
            Malformed,
            ["destination: expected a string, got a number (put it in quotes)"],
        ),
        ({"encoder": {}}, Malformed, ["unknown field 'encoder'"]),
        ({"sink": LOKI}, Malformed, ["unknown field 'sink'"]),
        ({"verify": {"url": "http://h"}}, Malformed, ["verify: unknown field 'url'"]),
        ({"log": {"severity": "info"}}, Malformed, ["log: missing field 'message'"]),
    ],
)
def test_a_destination_that_does_not_do(changes: Any, kind: Any, expected: list[str]) -> None:
    """An unknown name lists no others; beside a name, encoder and sink are unknown fields."""
    problem = validate({**NAMED, **changes}, received_ns=1, destinations=named).failure()
    assert isinstance(problem, kind)
    assert [str(issue) for issue in problem.issues] == expected


def test_without_configuration_there_is_no_destination() -> None:
    """A library and a server without configuration know none."""
    assert details(NAMED, Invalid) == ['destination: there is no destination "prod"']
