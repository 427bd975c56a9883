"""Escapes are undone, layer by layer, with the places where they stood."""

from __future__ import annotations

import pytest

from sonda.pipeline.text.unescape import (
    LAYERS,
    count_marks,
    folded,
    split_astral,
    unescaped,
)


def meanings(text: str) -> list[str]:
    return [layer.text for layer in unescaped(text)[0]]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\/b", "a/b"),
        (r"a\u0026b", "a&b"),
        (r"a\U00000026b", "a&b"),
        (r"a\x26b", "a&b"),
        (r"a\x{26}b", "a&b"),
        (r"a\46b", "a&b"),
        (r"a\nb", "a\nb"),
        ("a&amp;b", "a&b"),
        ("a&ampb", "a&b"),
        ("a&#x26;b", "a&b"),
        ("a&#38;b", "a&b"),
        ("a%26b", "a&b"),
        ("a%u0026b", "a&b"),
        ("%C3%A9", "é"),
        ("%E9", "é"),
        (r"\xc3\xa9", "é"),
    ],
)
def test_one_escape(written: str, meant: str) -> None:
    """As JSON, HTML, a URL or source code writes it."""
    assert meant in meanings(written)


def test_escapes_inside_one_another() -> None:
    """Each layer is returned, so that a text can be found in any of them."""
    assert meanings("%2526amp%253B")[:4] == ["%2526amp%253B", "%26amp%3B", "&amp;", "&"]


def test_too_many_layers_are_told() -> None:
    """What is left of them may hide anything."""
    text = "&"
    for _ in range(LAYERS + 1):
        text = text.replace("&", "&amp;")
    assert unescaped(text)[1]
    assert not unescaped("&amp;")[1]


def test_a_kind_alone() -> None:
    r"""`\&quot;` may be a backslash and a quote."""
    assert '\\"' in meanings(r"\&quot;")


def test_each_character_knows_where_it_stood() -> None:
    """What is found in an inner layer can be hidden in the outermost."""
    (_, inner, *_), _ = unescaped("ab%26cd")
    at = inner.text.index("&")
    assert (inner.starts[at], inner.ends[at]) == (2, 5)
    assert (inner.starts[at + 1], inner.ends[at + 1]) == (5, 6)


def test_plain_text_has_one_layer() -> None:
    """Nothing is worked out where there is no mark."""
    assert meanings("plain text") == ["plain text"]
    assert count_marks("plain") == 0
    assert count_marks(r"a%b\c&") == 3


def test_what_means_nothing_stays() -> None:
    """An unknown entity is itself, a number beyond Unicode is nothing."""
    assert meanings("a&nosuch;b")[-1] == "a&nosuch;b"
    assert "ab" in meanings("a&#99999999;b")


def test_spellings_that_mean_the_same_are_equal() -> None:
    """The length stays, so that places do."""
    assert folded("A+B\x00C") == "a b c"
    assert len(folded("\u0130x")) == 2
    assert folded("\u0130X")[1] == "x"


def test_an_astral_character_is_two_units() -> None:
    """JSON escapes it as a pair of surrogates."""
    assert split_astral("a😀") == "a\ud83d\ude00"
    assert split_astral("é") == "é"
