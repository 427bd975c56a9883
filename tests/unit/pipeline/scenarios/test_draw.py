"""The frozen algorithm of drawing: whoever changes these numbers breaks people's seeds."""

from __future__ import annotations

import json
from hashlib import blake2b

from sonda.pipeline.scenarios.draw import draw

WORDS = {
    (0, "cpu", "value", 0): 13298878348649626397,
    (0, "cpu", "value", 1): 1614040666401842743,
    (0, "cpu", "value", 8): 6332912741540583378,
    (0, "cpu", "value", 1000000000000000): 7730171929150183848,
    (42, "cpu", "jitter", 0): 11496301739441086457,
    (-1, "app", "severity", 7): 10240848316230298234,
    (18446744073709551616, "app", "pool:user", 123456789): 14295156856037321892,
}


def test_words_are_those_of_the_decision_record() -> None:
    """The test vectors of the decision record hold."""
    vectors = {
        (seed, entry, purpose, tick): draw(seed, entry, purpose).word(tick)
        for seed, entry, purpose, tick in WORDS
    }
    assert vectors == WORDS


def test_a_word_is_one_of_eight_in_a_keyed_hash() -> None:
    """The algorithm, written out a second time."""
    key = blake2b(b'[7,"cpu","jitter"]', person=b"sonda draw v1").digest()
    block = blake2b((123).to_bytes(16, "little"), key=key).digest()
    expected = [int.from_bytes(block[at : at + 8], "little") for at in range(0, 64, 8)]
    assert list(draw(7, "cpu", "jitter").words(range(984, 992))) == expected
    assert json.loads('[7,"cpu","jitter"]') == [7, "cpu", "jitter"]


def test_ranges_have_the_words_of_their_ticks() -> None:
    """The vector form equals the plain one wherever a range begins and ends."""
    stream = draw(1, "a", "value")
    for first in range(20):
        for count in (0, 1, 7, 8, 9, 30):
            ticks = range(first, first + count)
            assert list(stream.words(ticks)) == [stream.word(tick) for tick in ticks]
            assert stream.fractions(ticks) == [stream.fraction(tick) for tick in ticks]
            assert stream.choices(ticks, 10) == [stream.choice(tick, 10) for tick in ticks]


def test_streams_of_neighbouring_seeds_are_unrelated() -> None:
    """Neither seed, entry nor purpose shares a word with its neighbour."""
    streams = [draw(0, "a", "value"), draw(1, "a", "value"), draw(0, "b", "value")]
    streams += [draw(0, "a", "jitter"), draw(-1, "a", "value"), draw(10**30, "a", "value")]
    words = [word for stream in streams for word in stream.words(range(100))]
    assert len(set(words)) == len(words)


def test_drawn_fractions_are_even() -> None:
    """Ten thousand draws fill each tenth of the range within five standard deviations."""
    drawn = [u / 2**53 for u in draw(42, "even", "value").fractions(range(10_000))]
    tenths = [sum(part / 10 <= u < (part + 1) / 10 for u in drawn) for part in range(10)]
    assert sum(tenths) == 10_000
    assert all(abs(count - 1000) < 150 for count in tenths)
