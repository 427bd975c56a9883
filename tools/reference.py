"""Write `docs/reference/`: what an event, a plug-in, an answer and a flag is, out of the schemas.

`make reference` writes the pages; a test compares them with what this would write.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sonda.envelope import CODES
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST
from sonda.pipeline.schemas.validators import REGISTRY
from sonda.server.flags import FLAGS

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
MADE: Final = "<!-- Made by `make reference` from the schemas and the flags. Edit those. -->"
WIDTH: Final = 100

# The event after each status; what is answered stands in `sonda.statuses`.
EVENT_AFTER: Final[Mapping[int, str]] = {
    400: "not sent: the body's structure is wrong, or it is no JSON",
    401: "not sent: the key is missing or wrong",
    403: "not sent: the operator does not allow the file, the destination or the `Host`",
    404: "not sent: there is no such path",
    405: "not sent: the header `Allow` names the methods",
    408: "not sent: the body did not arrive in time",
    409: "not sent: a request with the same `Idempotency-Key`, or a scenario of that name, is running",
    413: "not sent: the body is larger than `--max-body-bytes`",
    415: "not sent: the body must be plain `application/json` or NDJSON",
    422: "not sent: a value is not possible, or an extra is not installed",
    429: "not started: a limit on scenarios is reached",
    431: "not sent: the request's header fields are too large",
    500: "unknown: a bug in Sonda; the server's log has the traceback",
    502: "not delivered: the destination refused it or was never reached",
    503: "not sent: too many requests at once, or the server is shutting down; see `Retry-After`",
    504: "unknown: it left, and no answer came. Send it again with the timestamp in the detail",
}


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    return {
        "event.md": event_page(),
        "encoders.md": plugins_page("encoder"),
        "sinks.md": plugins_page("sink"),
        "answers.md": answers_page(),
        "server.md": server_page(),
    }


def event_page() -> str:
    """Return the page on the body of `POST /events`."""
    return page(
        "The event",
        "The body of `POST /events`, of a line of NDJSON and of a file that `sonda emit` reads. "
        "A field that is not listed here is an error, so nothing you send is dropped in silence. "
        "An event has either an `encoder` and a `sink` or a `destination`.",
        *fields_table(REQUEST),
        "`encoder` takes the options of [one encoder](encoders.md), `sink` those of "
        "[one sink](sinks.md).",
    )


def plugins_page(kind: Any) -> str:
    """Return the page on all encoders or all sinks, each with its options."""
    plugins = sorted(PLUGINS[kind].items())
    intro = {
        "encoder": "An encoder decides which bytes an event becomes.",
        "sink": "A sink decides where the bytes go, and what counts as the destination's yes. "
        "[What a yes proves](../delivery.md#what-a-yes-proves) says how far each one reaches.",
    }[kind]
    rows = [[f"[`{name}`](#{name})", schema["description"]] for name, schema in plugins]
    parts = [intro, *table(("`type`", ""), rows)]
    for name, schema in plugins:
        parts += [f"## {name}", schema["description"]]
        if extra := schema.get("x-extra"):
            parts.append(f"It needs an extra: `pip install 'sonda-events[{extra}]'`.")
        if signals := schema.get("x-signals"):
            parts.append(f"It renders {' and '.join(signals)}.")
        if payloads := schema.get("x-payloads"):
            accepted = [
                f"`{encoder}`"
                for encoder, other in sorted(PLUGINS["encoder"].items())
                if other["x-payload"] in payloads
            ]
            parts.append(f"It takes what these encoders make: {', '.join(accepted)}.")
        parts += fields_table(schema)
        example = json.dumps(schema["examples"][0], ensure_ascii=False)
        parts.append(f"```json\n{example}\n```")
    return page(f"{kind.capitalize()}s", *parts)


def answers_page() -> str:
    """Return the page on every status, and on what became of the event."""
    rows = [[str(status), f"`{code}`", EVENT_AFTER[status]] for status, code in CODES.items()]
    return page(
        "Answers",
        'A 200 is `{"sent":true,"signal_type":"logs","latency_ms":7}`, with an array `warnings` '
        "where there is something you should know. Every other answer is "
        '`{"error":"<code>","detail":"<what, where and why>"}`.',
        *table(("status", "`error`", "the event"), rows),
        "[What an answer means](../delivery.md) says when it is safe to send an event again, and "
        "[troubleshooting](../guides/troubleshooting.md) what to do about each answer.",
    )


def server_page() -> str:
    """Return the page on the flags of `sonda-server`."""
    rows = []
    for flag in FLAGS:
        text, _, default = str(flag.help).partition("  [default: ")
        shown = default.removesuffix("]")
        rows.append(
            [
                f"`{flag.opts[0]}`",
                f"`{flag.envvar}`",
                shown if shown in ("", "none") or " " in shown else f"`{shown}`",
                text,
            ]
        )
    return page(
        "The server's flags",
        "`sonda-server` and `sonda serve` take the same flags; each one is also a variable of the "
        "environment, and the flag wins. Sizes are bytes or such as `64MiB`; durations are seconds "
        "or such as `5m`. A flag that may be given several times takes a list with commas, too. "
        "`SONDA_API_KEY_FILE` names a file that holds the key.",
        *table(("flag", "variable", "default", ""), rows),
    )


def fields_table(schema: Mapping[str, Any]) -> list[str]:
    """Return the table of an object's fields, those of nested objects included."""
    rows = list(fields(schema, REGISTRY.resolver(schema["$id"])))
    return table(("field", "type", "default", ""), rows) if rows else ["It has no options."]


def fields(schema: Mapping[str, Any], resolver: Any, prefix: str = "") -> Iterator[list[str]]:
    """Yield a row for each field: its name, type, default or "required", and description."""
    required = schema.get("required", ())
    for name, written in schema.get("properties", {}).items():
        inner, inner_resolver = resolved(written, resolver)
        if "const" in inner:
            continue
        default = inner.get("default")
        shown = "" if default is None else f"`{json.dumps(default).strip(chr(34))}`"
        if name in required:
            shown = "required"
        yield [f"`{prefix}{name}`", type_of(inner), shown, inner.get("description", "")]
        yield from fields(inner, inner_resolver, f"{prefix}{name}.")


def resolved(schema: Mapping[str, Any], resolver: Any) -> tuple[Mapping[str, Any], Any]:
    """Follow `$ref`; keywords beside one win. Return the schema, and the resolver of its place."""
    if "$ref" not in schema:
        return schema, resolver
    found = resolver.lookup(schema["$ref"])
    whole, inner_resolver = resolved(found.contents, found.resolver)
    return {**whole, **schema}, inner_resolver


def type_of(schema: Mapping[str, Any]) -> str:
    """Return a field's type as a reader names it."""
    if choices := schema.get("enum"):
        return " ".join(f"`{choice}`" for choice in choices)
    if str(schema.get("x-expected", "")).startswith("a duration"):
        return "duration"
    if schema.get("type") == "object" and "properties" not in schema:
        values = schema.get("additionalProperties")
        return "object of strings" if values == {"type": "string"} else "object"
    found = schema.get("type", "any")
    return " or ".join(found) if isinstance(found, list) else str(found)


def page(title: str, *parts: str) -> str:
    """Return a page: its title, and its parts with prose broken at the width of a line."""
    laid = [part if part.startswith(("|", "#", "```")) else wrapped(part) for part in parts]
    return "\n\n".join([f"# {title}", MADE, *laid]) + "\n"


def wrapped(text: str) -> str:
    """Break prose at `WIDTH`, and no code or link in it."""
    whole = re.sub(r"`[^`]*`|\[[^\]]*\]", lambda found: found[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, WIDTH, break_long_words=False, break_on_hyphens=False).replace(
        "\0", " "
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table as one part of a page."""
    cells = [head, ["---"] * len(head), *rows]
    return ["\n".join("| " + " | ".join(escaped(cell) for cell in row) + " |" for row in cells)]


def escaped(cell: str) -> str:
    """Return a cell's text, in which a bar would end the cell."""
    return cell.replace("|", "\\|")


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER.name}/{name}\n")


if __name__ == "__main__":
    main()
