"""Messages made of templates, with values drawn from pools."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, product
from math import prod
from typing import Any, Final
from uuid import UUID

from sonda.pipeline.encoders import LogValues
from sonda.pipeline.model import Severity
from sonda.pipeline.scenarios.draw import U_BITS, Draw
from sonda.pipeline.scenarios.generators import Parameters
from sonda.pipeline.scenarios.log_generators import DrawFor, LogGenerator, Message
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.timestamps import rfc3339_ms_of_each

BUILT_IN: Final = ("tick", "timestamp", "uuid")
_NONE: Final[Mapping[str, str]] = {}
_PARTS: Final = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")
_BRACES: Final = {"{{": "{", "}}": "}"}
_MOST_KNOWN: Final = 1000  # combinations of what pools may give: their fields are made once


@dataclass(frozen=True, slots=True)
class Template:
    """A text as printf would have it, and the names that fill its gaps, in their order."""

    text: str
    names: tuple[str, ...]
    pools: Mapping[str, tuple[str, ...]]
    known: tuple[Mapping[str, str], ...] | None
    """The fields that all the pools may give, where they are few; the last pool's turn the fastest."""

    def fields(self, places: Mapping[str, Sequence[int]]) -> Sequence[Mapping[str, str]]:
        """Return the fields of many events; of each pool *places* has where its values stand."""
        pools, known = self.pools, self.known
        if known is None:
            columns = [list(map(pools[name].__getitem__, places[name])) for name in pools]
            return [dict(zip(pools, row, strict=True)) for row in zip(*columns, strict=True)]
        together, *others = places.values()
        for name, of in zip(list(pools)[1:], others, strict=True):
            count = len(pools[name])
            together = [one * count + place for one, place in zip(together, of, strict=True)]
        return list(map(known.__getitem__, together))


@dataclass(frozen=True, slots=True)
class Templates:
    """Template number tick mod n; each pool and the severity have a stream of their own."""

    templates: tuple[Template, ...]
    severities: tuple[Severity, ...]
    thresholds: tuple[int, ...]
    draws: Mapping[str, Draw]
    severity: Draw
    uuid: Draw

    def at(self, tick: int, time_ns: int) -> Message:
        return self.over(range(tick, tick + 1), (time_ns,))[0]

    def over(self, ticks: range, times_ns: Sequence[int]) -> LogValues:
        messages, fields = [""] * len(ticks), [_NONE] * len(ticks)
        drawn = {name: draw.words(ticks) for name, draw in self.draws.items()}
        count = len(self.templates)
        for first, tick in enumerate(ticks[:count]):
            every = slice(first, None, count)
            template = self.templates[tick % count]
            places = {
                name: [word * len(pool) >> 64 for word in drawn[name][every]]
                for name, pool in template.pools.items()
            }
            messages[every] = self._messages(template, ticks[every], times_ns[every], places)
            if places:
                fields[every] = template.fields(places)
        return LogValues(self._severities(ticks), messages, fields)

    def _severities(self, ticks: range) -> Sequence[Severity]:
        if not self.thresholds:
            return self.severities * len(ticks)
        return [
            self.severities[bisect_right(self.thresholds, fraction)]
            for fraction in self.severity.fractions(ticks)
        ]

    def _messages(
        self,
        template: Template,
        ticks: range,
        times_ns: Sequence[int],
        places: Mapping[str, Sequence[int]],
    ) -> Sequence[str]:
        """Return the texts of one template; of each pool *places* has where its values stand."""
        if not template.names:
            return [template.text % ()] * len(ticks)
        filled: list[Iterable[Any]] = []
        for name in template.names:
            match name:
                case "tick":
                    filled.append(ticks)
                case "timestamp":
                    filled.append(rfc3339_ms_of_each(times_ns))
                case "uuid":
                    filled.append(map(self._uuid, ticks))
                case _:
                    filled.append(map(template.pools[name].__getitem__, places[name]))
        return list(map(template.text.__mod__, zip(*filled, strict=True)))

    def _uuid(self, tick: int) -> str:
        """Write 122 of 128 drawn bits as a UUID of version 4."""
        high, low = self.uuid.words(range(2 * tick, 2 * tick + 2))
        return str(UUID(int=high << 64 | low, version=4))


def _read(written: Any) -> Template:
    message, pools = (
        (written, {})
        if isinstance(written, str)
        else (written["message"], written.get("field_pools", {}))
    )
    text, names = "", []
    for part in _PARTS.split(message):
        if part in _BRACES:
            text += _BRACES[part]
        elif part.startswith("{"):
            text += "%s"
            names.append(part[1:-1])
        else:
            text += part.replace("%", "%%")
    pools = {name: tuple(pool) for name, pool in pools.items()}
    return Template(text, tuple(names), pools, _known(pools))


def _known(pools: Mapping[str, tuple[str, ...]]) -> tuple[Mapping[str, str], ...] | None:
    """Return all that *pools* may give together, unless that is a lot."""
    if prod(map(len, pools.values())) > _MOST_KNOWN:
        return None
    return tuple(dict(zip(pools, row, strict=True)) for row in product(*pools.values()))


def _build(parameters: Parameters, draw_for: DrawFor) -> Templates:
    templates = tuple(map(_read, parameters["templates"]))
    weights: Mapping[Severity, Fraction] = parameters.get("severity_weights", {})
    weights = {name: weight for name, weight in weights.items() if weight} or {"info": Fraction(1)}
    sums = list(accumulate(weights.values()))
    thresholds = tuple(
        -((-part.numerator << U_BITS) // part.denominator)
        for part in (reached / sums[-1] for reached in sums[:-1])
    )
    return Templates(
        templates,
        tuple(weights),
        thresholds,
        {name: draw_for(f"pool:{name}") for template in templates for name in template.pools},
        draw_for("severity"),
        draw_for("uuid"),
    )


def _check(parameters: Parameters) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for place, written in enumerate(parameters["templates"]):
        where: tuple[str | int, ...] = ("templates", place)
        message, pools = (
            (written, {})
            if isinstance(written, str)
            else (written["message"], written.get("field_pools", {}))
        )
        if not isinstance(written, str):
            where = (*where, "message")
        for part in _PARTS.split(message):
            if part in ("{", "}"):
                yield where, "a brace stands alone: write {{ or }} for one"
            elif part not in _BRACES and part.startswith("{"):
                name = part[1:-1]
                if name not in pools and name not in BUILT_IN:
                    known = ", ".join(f"{{{one}}}" for one in (*pools, *BUILT_IN))
                    yield where, f"there is no pool {quote(name)}; placeholders: {known}"
        for name in pools:
            if name in BUILT_IN:
                yield ("templates", place, "field_pools", name), "is built in: choose another name"
    weights = parameters.get("severity_weights")
    if weights is not None and not any(weights.values()):
        yield ("severity_weights",), "at least one weight must be above 0"


LOG_GENERATOR: Final = LogGenerator(_build, _check)
