"""The query parameters of a request; none may be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from sonda.answers import Form, accepts_problem_json
from sonda.pipeline.schemas.issues import unknown_variant
from sonda.rejections import InvalidParameter, UnknownParameters

DRY_RUN: Final = "dry_run"
RECEIPT: Final = "receipt"
_BOOLEANS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


def parameters(
    query: bytes | str, *allowed: str
) -> Mapping[str, bool] | UnknownParameters | InvalidParameter:
    """Return the values of the *allowed* parameters, or what is wrong with any of the query's."""
    pairs = parse_qsl(_text(query), keep_blank_values=True) if query else []
    if unknown := tuple(name for name, _ in pairs if name not in allowed):
        return UnknownParameters(unknown)
    values: dict[str, bool] = dict.fromkeys(allowed, False)
    for number, (name, text) in enumerate(pairs):
        if name in (other for other, _ in pairs[:number]):
            return InvalidParameter(name, "is given more than once")
        if text not in _BOOLEANS:
            return InvalidParameter(name, unknown_variant(text, ("true", "false")))
        values[name] = _BOOLEANS[text]
    return values


def form_of(scope: Mapping[str, Any]) -> Form:
    """Return how the request of an ASGI scope wants its problem, whatever else is wrong with it."""
    query, receipt = scope["query_string"], False
    if query and RECEIPT.encode() in query:
        pairs = parse_qsl(_text(query), keep_blank_values=True)
        receipt = any(name == RECEIPT and _BOOLEANS.get(text, False) for name, text in pairs)
    accepts = (value for name, value in scope["headers"] if name == b"accept")
    return Form(
        receipt, accepts_problem_json(", ".join(value.decode("latin-1") for value in accepts))
    )


def _text(query: bytes | str) -> str:
    return query if isinstance(query, str) else query.decode("latin-1")
