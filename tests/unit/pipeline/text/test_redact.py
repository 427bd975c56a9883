"""Secrets are found however a destination escapes them, and nothing else is taken for one."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from itertools import product
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.text.redact import (
    quote_words,
    replace_secrets,
    scrub,
    secrets_of_body,
    secrets_of_headers,
    secrets_of_userinfo,
)
from sonda.pipeline.text.unescape import LAYERS

TOKEN: Final = "a/b&c<d>\"e'f+g=h%i j\\kéü😀"

Spell = Callable[[str], str]


def json_slashed(text: str) -> str:
    return json.dumps(text).replace("/", "\\/")


def all_json(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def all_decimal(text: str) -> str:
    return "".join(f"&#{ord(c)};" for c in text)


def all_hex(text: str) -> str:
    return "".join(f"&#x{ord(c):X};" for c in text)


def all_percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def all_braced(text: str) -> str:
    return "".join(f"\\u{{{ord(c):x}}}" for c in text)


def quoted_whole(text: str) -> str:
    return quote(text, safe="")


def bytes_repr(text: str) -> str:
    return repr(text.encode())


def mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


SPELLINGS: Final[tuple[Spell, ...]] = (
    str,
    repr,
    json.dumps,
    json_slashed,
    html.escape,
    quote,
    quote_plus,
    quoted_whole,
    all_json,
    all_decimal,
    all_hex,
    all_percent,
    all_braced,
    bytes_repr,
    mojibake,
)


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        pair
        for pair in product(SPELLINGS, SPELLINGS)
        if pair != (mojibake, mojibake)  # twice garbled it is no token any more
    ],
)
def test_a_secret_is_found_in_any_spelling(inner: Spell, outer: Spell) -> None:
    """However it is escaped, and escaped again, nothing of it stays, and the rest does."""
    spelled = outer(inner(TOKEN))
    shown = scrub(f"no: <<{spelled}>> is no token", [TOKEN])
    assert shown.startswith("no: <<")
    assert shown.endswith(">> is no token")
    assert "***" in shown
    assert len(shown) < len(f"no: <<{spelled}>> is no token") - len(TOKEN) // 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token tok\\/en\\u0026x!", "token ***!"),
        ("token tok/en&amp;x!", "token ***!"),
        ("token tok%2Fen%26x!", "token ***!"),
        ("token tok%2fen&amp;x!", "token ***!"),
        ("token tok\\\\/en\\\\u0026amp;x!", "token ***!"),
        ("tok/en&x tok\\/en\\u0026x", "*** ***"),
        ("tok/en&xtok/en&x", "******"),
        ("tok/en", "tok/en"),
        ("nothing & 100% \\o/", "nothing & 100% \\o/"),
        ("", ""),
        ("token TOK/EN&X!", "token ***!"),
        ("token %u0074%u006f%u006B/en%u0026x!", "token ***!"),
        ("token tok\\57en\\46x!", "token ***!"),
        ("token tok\\x{2f}en\\x{26}x!", "token ***!"),
        ("token dG9rL2VuJng=!", "token ***=!"),
        ("token 746f6b2f656e2678!", "token ***!"),
        ("token 746F6B2F656E2678!", "token ***!"),
        ("\u0130 tok/en&x!", "\u0130 ***!"),  # a letter that is two in lower case
    ],
)
def test_only_the_secret_is_replaced(text: str, shown: str) -> None:
    """What stands around it stays as it was, escapes and all."""
    assert scrub(text, ["tok/en&x"]) == shown


@pytest.mark.parametrize("mark", ["'", '"'])
def test_a_secret_is_found_with_its_quotes_doubled(mark: str) -> None:
    """As CSV and SQL write them."""
    assert scrub(f"no: {mark}to{mark * 2}ken{mark}", [f"to{mark}ken"]) == f"no: {mark}***{mark}"


@pytest.mark.parametrize("secret", ["abc%", "abc\\", "abc&", "50%25off", "a\\nb\\u0041", "a+b c+d"])
def test_a_secret_that_looks_like_an_escape(secret: str) -> None:
    """What is an escape in the secret itself is none of the destination's."""
    for spelled in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret)):
        assert scrub(f"41 {spelled}41 {spelled} x", [secret]) == "41 ***41 *** x"


def test_a_secret_within_another() -> None:
    """The longer one goes whole."""
    assert scrub("Bearer abcdef", ["abcdef", "Bearer abcdef"]) == "***"


def test_names_for_secrets() -> None:
    """Each secret can have a replacement of its own."""
    names = {"tok/en-a": "env:A", "tok/en-b": "env:B"}
    assert replace_secrets("tok\\/en-a, tok%2Fen-b", names) == "env:A, env:B"


def test_escapes_without_end() -> None:
    """Where more escapes are inside one another than are undone, nothing is quoted."""
    deep = "tok%" + "25" * (LAYERS + 2) + "2Fen"
    assert scrub(deep, ["tok/en"]) == "***"


def test_too_many_escapes() -> None:
    """What would take long to look through is not quoted, where there is something to hide."""
    text = "%41" * 3000
    assert quote_words(text, ["a secret"]) == "***"
    assert quote_words(text, []).startswith("%41%41")


def test_words_are_shortened_in_the_middle() -> None:
    """The series comes first, the reason last."""
    text = "stream a has " + "x" * 5000 + " value too long"
    shown = quote_words(text, [], 100)
    assert shown.startswith("stream a has xxx")
    assert shown.endswith("xxx value too long")
    assert len(shown) == 101
    assert quote_words("x" * 500, [], 100, whole=False) == "x" * 100 + "…"


@pytest.mark.parametrize("password", ["pass/word>?", "~~~~~~", "p\xe4ss"])
def test_a_login_in_base64(password: str) -> None:
    """Padded or not, in either alphabet, and decoded."""
    login = f"me:{password}".encode()
    spellings = [b64encode(login), urlsafe_b64encode(login)]
    for secrets in (
        secrets_of_headers({"Authorization": "Basic " + spellings[0].decode()}),
        secrets_of_userinfo(f"me:{quote(password, safe='')}"),
    ):
        known = list(secrets)
        for spelled in (*(each.decode() for each in spellings), password, quote(password)):
            assert scrub(f"<{spelled}>", known).replace("=", "") == "<***>", spelled
            bare = spelled.rstrip("=")
            assert scrub(f"<{bare}>", known) == "<***>", bare


def test_parts_of_a_header() -> None:
    """A scheme, a cookie's name and a parameter's are no secrets, but what they name is."""
    headers = {
        "Authorization": 'Digest username="alice", response="6629fae49393"',
        "Cookie": "theme=dark; sid=0123456789",
        "X-Env": "prod-env",
    }
    known = list(secrets_of_headers(headers))
    text = "6629fae49393 0123456789 Digest sid prod-env"
    assert scrub(text, known) == "*** *** Digest sid prod-env"


SINK: Final = {"type": "tcp", "address": "tcp://me:pass-1234@h:1"}
SECRET_SINK: Final = {"type": "loki", "url": "http://h", "headers": {"X-Token": "tok-5678"}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (json.dumps({"sink": SINK}), {"pass-1234"}),
        (
            json.dumps({"sink": SINK}) + "\n\nnot JSON\n" + json.dumps({"sink": SECRET_SINK}),
            {"pass-1234", "tok-5678"},
        ),
        (json.dumps({"scenarios": [{"base": {"sink": SECRET_SINK}}]}), {"tok-5678"}),
        ("[" * 100_000, set()),
        ('{"sink": 1}', set()),
        ("null", set()),
        ("", set()),
    ],
    ids=["event", "lines", "scenario", "deep", "number", "null", "empty"],
)
def test_secrets_of_a_body(raw: str, expected: set[str]) -> None:
    """Wherever a sink stands, what it holds is known."""
    found = set(secrets_of_body(raw.encode()))
    assert expected <= found
    assert bool(found) is bool(expected)


@given(
    st.text(min_size=8, max_size=16, alphabet="abc/&%+é😀#;u0<>"),
    st.lists(st.sampled_from(SPELLINGS[:-1]), max_size=3),
    st.text(max_size=8),
)
def test_nothing_is_found_by_undoing(secret: str, spell: list[Spell], around: str) -> None:
    """Whatever the secret and the escapes, it is not to be read in what is left."""
    spelled = secret
    for each in spell:
        spelled = each(spelled)
    shown = scrub(f"{around}<{spelled}>{around}", [secret])
    assert spelled not in shown or secret in around


@given(st.text(max_size=50))
def test_texts_without_secrets_stay(text: str) -> None:
    """Nothing is changed where there is nothing to hide."""
    assert scrub(text, []) == text
    assert scrub(text, ["\x01no such secret"]) in (text, "***")
