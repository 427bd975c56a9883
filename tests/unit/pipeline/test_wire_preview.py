"""What a dry run shows, as a document, as text and as a card."""

from __future__ import annotations

from typing import Any

from sonda.pipeline.wire_preview import Preview, WirePreview


def preview(body: bytes = b"a\n", **more: Any) -> Preview:
    wire = {name: more.pop(name) for name in ("facts", "headers") if name in more}
    return Preview(
        "logs", "json_lines", "tcp", 1, WirePreview("a:1", "one line", body, **wire), **more
    )


def test_bytes_that_are_text_are_shown_as_text() -> None:
    """The keys come in one order, and what is not there is left out."""
    assert preview().document() == {
        "encoder": "json_lines",
        "sink": "tcp",
        "target": "a:1",
        "timestamp": "1970-01-01T00:00:00.000000001Z",
        "framing": "one line",
        "bytes": 2,
        "text": "a\n",
    }


def test_bytes_that_are_none_are_shown_with_what_they_mean() -> None:
    """As hex: they need not be UTF-8."""
    document = preview(b"\xff\x00", decoded={"name": "x"}).document()
    assert (document["hex"], document["decoded"], document["bytes"]) == ("ff00", {"name": "x"}, 2)
    assert "text" not in document


def test_what_else_the_destination_gets() -> None:
    """Facts stand beside the target, headers in their order."""
    headers = (("Host", "a"), ("X-Token", "***"))
    document = preview(facts={"request": "POST / HTTP/1.1"}, headers=headers).document()
    assert list(document)[3:6] == ["timestamp", "request", "headers"]
    assert document["headers"] == headers


def test_the_answer_of_a_dry_run() -> None:
    """Nothing was sent; warnings are there where there are any, and last."""
    assert preview().answer() == {
        "sent": False,
        "signal_type": "logs",
        "preview": preview().document(),
    }
    warned = preview(warnings=("w",))
    assert list(warned.answer().items())[-1] == ("warnings", ("w",))
    assert "w" in str(warned)
    assert "<" in warned._repr_html_()


def test_a_card_escapes_what_it_shows() -> None:
    """A body is no markup."""
    assert "<b>" not in preview(b"<b>")._repr_html_()
