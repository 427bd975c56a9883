"""Hypothesis strategies: valid events full of awkward text, and JSON texts meant to hurt."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from functools import cache
from typing import Any, Final, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sonda.pipeline.model import Log, Metric, Severity
from sonda.pipeline.values.timestamps import LATEST_NS

unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Put above `@given`: a busy machine is no reason to fail."""

_LABEL_START: Final = string.ascii_letters + "_"
_LABEL_REST: Final = _LABEL_START + string.digits
_METRIC_START: Final = _LABEL_START + ":"
_METRIC_REST: Final = _LABEL_REST + ":"
_SPECIALS: Final = "\\\"'=,;[]{}<> \t\r\n\x00\x1b\x7f\x85\u2028\ufeffaé€😀#-1"
_SD_CHARACTERS: Final = "".join(c for c in map(chr, range(33, 127)) if c not in '="]')


@cache
def texts(*, max_size: int = 12) -> st.SearchStrategy[str]:
    """Any text that UTF-8 can carry, most of it made of what some format must escape."""
    return st.text(_SPECIALS, max_size=max_size) | st.text(max_size=max_size)


@cache
def label_names() -> st.SearchStrategy[str]:
    """Valid label names; `__name__`, which no metric can have, is left out."""
    start, rest = st.sampled_from(_LABEL_START), st.text(_LABEL_REST, max_size=8)
    return st.builds(str.__add__, start, rest).filter(lambda name: name != "__name__")


@cache
def metric_names() -> st.SearchStrategy[str]:
    """Valid metric names, colons included."""
    start, rest = st.sampled_from(_METRIC_START), st.text(_METRIC_REST, max_size=8)
    return st.builds(str.__add__, start, rest)


@cache
def sd_names() -> st.SearchStrategy[str]:
    """Names that syslog's structured data allows."""
    return st.text(_SD_CHARACTERS, min_size=1, max_size=32)


@cache
def header_names(max_size: int) -> st.SearchStrategy[str]:
    """Printable ASCII without spaces: a syslog HOSTNAME or APP-NAME."""
    return st.text(
        st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=max_size
    )


@cache
def times_ns() -> st.SearchStrategy[int]:
    """Every instant that an event can have."""
    return st.integers(0, LATEST_NS)


@cache
def values() -> st.SearchStrategy[float]:
    """Every finite double."""
    return st.floats(allow_nan=False, allow_infinity=False)


@cache
def precisions() -> st.SearchStrategy[int | None]:
    """Every precision that an encoder can be given."""
    return st.none() | st.integers(0, 17)


def records(
    *,
    text: st.SearchStrategy[str] | None = None,
    field_names: st.SearchStrategy[str] | None = None,
) -> st.SearchStrategy[Log]:
    """Valid log events; *text* fills message and values."""
    text = texts() if text is None else text
    return st.builds(
        Log,
        severity=st.sampled_from(get_args(Severity)),
        message=text,
        labels=st.dictionaries(label_names(), text, max_size=4),
        fields=st.dictionaries(texts() if field_names is None else field_names, text, max_size=4),
        time_ns=times_ns(),
    )


def samples(
    *,
    text: st.SearchStrategy[str] | None = None,
    names: st.SearchStrategy[str] | None = None,
    value: st.SearchStrategy[float] | None = None,
    time_ns: st.SearchStrategy[int] | None = None,
) -> st.SearchStrategy[Metric]:
    """Valid metric events; *text* fills the labels' values, *names* are their names."""
    return st.builds(
        Metric,
        name=metric_names(),
        value=values() if value is None else value,
        labels=st.dictionaries(
            label_names() if names is None else names, texts() if text is None else text, max_size=4
        ),
        time_ns=times_ns() if time_ns is None else time_ns,
    )


_WORDS: Final = (
    "signal_type",
    "logs",
    "metrics",
    "labels",
    "log",
    "severity",
    "message",
    "fields",
    "metric",
    "name",
    "value",
    "timestamp",
    "encoder",
    "sink",
    "type",
    "json_lines",
    "stdout",
    "retry",
    "__proto__",
)


@cache
def json_values() -> st.SearchStrategy[Any]:
    """JSON values as Python has them: NaN, lone surrogates and huge integers among them."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(10**300, 10**310)
        | st.floats()
        | st.sampled_from(_WORDS)
        | st.text(st.characters(), max_size=8)  # surrogates are not left out
    )
    keys = st.sampled_from(_WORDS) | st.text(st.characters(), max_size=8)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=12,
    )


def _valid_body(time: str | None, event: dict[str, Any]) -> dict[str, Any]:
    stamp = {} if time is None else {"timestamp": time}
    return {"labels": {"k": "v"}, **event, **stamp, "encoder": {"type": "json_lines"}}


@st.composite
def almost_bodies(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """A valid request body in which one value, somewhere, was replaced or one name misspelt."""
    event = draw(
        st.sampled_from(
            [
                {"signal_type": "logs", "log": {"severity": "info", "message": "m", "fields": {}}},
                {"signal_type": "metrics", "metric": {"name": "m", "value": 1}},
            ]
        )
    )
    time = draw(st.sampled_from([None, "2026-03-23T14:59:04.84Z", "2026-03-23t14:59:60z"]))
    body = json.loads(json.dumps({**_valid_body(time, event), "sink": {"type": "stdout"}}))
    place = body
    while True:
        key = draw(st.sampled_from(sorted(place)) | st.sampled_from(_WORDS))
        if isinstance(place.get(key), dict) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        match draw(st.sampled_from(["replace", "remove", "misspell"])):
            case "replace":
                place[key] = draw(json_values())
            case "remove":
                place.pop(key, None)
            case _:
                place[key + draw(st.sampled_from([" ", "s", "\n", "é"]))] = place.pop(key, None)
        return body


_RAW: Final = (
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b'"logs"',
    b"NaN",
    b"-Infinity",
    b'{"metric":{"value":NaN}}',
    b'{"metric":{"value":1e400}}',
    b'{"metric":{"value":-1e400}}',
    b'{"metric":{"value":' + b"9" * 400 + b"}}",
    b'{"metric":{"value":' + b"1" * 5_000 + b"}}",
    b'{"metric":{"value":0' + b"0" * 5_000 + b"}}",
    b'{"a":1,"a":1}',
    b'{"a":{"b":1,"b":2}}',
    b'[{"a":1,"\\u0061":2}]',
    b'{"signal_type":"logs","signal_type":"metrics"}',
    b'{"a":"\\ud800"}',
    b'{"\\udfff":1}',
    b'{"a":"\\ud83d\\ude00"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xff"}',
    b'{"a":"\xc0\x80"}',
    b'{"a":"\x00"}',
    b'{"a":"\n"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"{}{}",
    b"{} x",
    b'{"a":1,}',
    b"{'a':1}",
    b'{"a":01}',
    b'{"a":+1}',
    b'{"a":1.}',
    b"[" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b"[" * 2_000 + b"]" * 2_000,
)


@cache
def json_like() -> st.SearchStrategy[bytes]:
    """Texts that are JSON, look like JSON, or nearly are a request; many have broken a parser."""
    documents = json_values() | almost_bodies()
    escaped = documents.map(lambda value: json.dumps(value).encode())
    plain = documents.map(
        lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    )
    whole = escaped | plain
    cut_off = st.builds(lambda raw, at: raw[: at % (len(raw) + 1)], whole, st.integers(0))
    spliced = st.builds(
        lambda raw, at, piece: raw[: at % (len(raw) + 1)] + piece + raw[at % (len(raw) + 1) :],
        whole,
        st.integers(0),
        st.binary(max_size=3) | st.sampled_from([b'"', b",", b"\\", b"{", b"}", b"\xed\xa0\x80"]),
    )
    return whole | cut_off | spliced | st.sampled_from(_RAW)
