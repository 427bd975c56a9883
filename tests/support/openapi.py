"""The OpenAPI document, and a validator that knows nothing of ours but the formats it names."""

from __future__ import annotations

from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

from sonda.pipeline.schemas.formats import FORMATS
from sonda.server.docs.openapi import document
from sonda.statuses import http_status

DOCUMENT: Final = document(http_status)
POST: Final = DOCUMENT["paths"]["/events"]["post"]
BODY: Final = POST["requestBody"]["content"]["application/json"]


def _format_checker() -> FormatChecker:
    """Know the formats that the document names."""
    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():

        def conforms(value: object, check: Any = check) -> bool:
            if isinstance(value, str):
                check(value)
            return True

        published = "date-time" if name == "instant" else name
        checker.checks(published, raises=ValueError)(conforms)
    return checker


FORMAT_CHECKER: Final = _format_checker()


def allows(schema: dict[str, Any], value: Any) -> bool:
    """Ask a plain validator of JSON Schema, which knows none of our keywords."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, format_checker=FORMAT_CHECKER).is_valid(value)
