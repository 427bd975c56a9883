"""One entry of a document, compiled: its schedule, its labels, its values, and what they may not be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from math import lcm
from typing import Any, Final

from returns.result import Failure

from sonda.pipeline.model import ValidatedEvent
from sonda.pipeline.problems import MAX_ISSUES, Invalid, Malformed, Problem
from sonda.pipeline.scenarios import generators, log_generators
from sonda.pipeline.scenarios.compile_csv import replay_schedule, replaying
from sonda.pipeline.scenarios.compile_observations import ObservedReader
from sonda.pipeline.scenarios.compile_series import (
    ContentOf,
    are_labels,
    check_rate,
    check_spread,
    fleet,
    is_spread,
    read_series,
)
from sonda.pipeline.scenarios.compile_spikes import SpikeReader
from sonda.pipeline.scenarios.compile_stages import read_stages
from sonda.pipeline.scenarios.csv_replay import ReplayedMessages
from sonda.pipeline.scenarios.draw import draw
from sonda.pipeline.scenarios.entry_limits import (
    ends_too_late,
    stamps_too_close,
    values_in_range,
)
from sonda.pipeline.scenarios.limits import MOST_RATE, MOST_SERIES
from sonda.pipeline.scenarios.metadata import metadata_of
from sonda.pipeline.scenarios.numbers import as_number, ceil_ns, fraction, seconds
from sonda.pipeline.scenarios.observations import Observed
from sonda.pipeline.scenarios.parameters import read_parameters
from sonda.pipeline.scenarios.plan import DynamicLabel, Entry, Labels, LabelSet, Route, Start
from sonda.pipeline.scenarios.rate_profile import Cycle
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.schedule import Schedule
from sonda.pipeline.scenarios.structure import Issues, Piece
from sonda.pipeline.scenarios.timing import Timing
from sonda.pipeline.scenarios.values import Values
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.timestamps import parse_rfc3339

_OFFSET: Final = re.compile(r"([+-])(.+)")
_PARTS: Final = {"metric.name": "name", "metric.value": "generator", "log.message": "log_generator"}


def add_problem(issues: Issues, path: Path, problem: Problem) -> None:
    """Add what a stage of the pipeline has found wrong with an event of the entry at *path*."""
    assert isinstance(problem, (Malformed, Invalid))  # noqa: S101  # what these stages fail with
    found = [replace(issue, path=_PARTS.get(issue.path, issue.path)) for issue in problem.issues]
    issues.extend(path, found, structural=isinstance(problem, Malformed))


@dataclass(frozen=True, slots=True)
class EntryCompiler:
    """Compiles entries whose structure is right; what is wrong with their values goes to *issues*."""

    issues: Issues
    seed: int
    now_ns: int

    def compile(self, piece: Piece, entry_id: str, route: Route | None) -> Entry | None:
        """Compile one entry; `None` where something is wrong with it."""
        before = len(self.issues.values)
        schedule = self._schedule(piece)
        labels = self._labels(piece)
        if schedule is None or labels is None:
            return None
        start = self._start(piece)
        self._check_pace(piece, schedule)
        seed, written = self.seed, piece.written
        own_labels = read_series(written, piece.path, labels, self.issues)
        spikes = SpikeReader(piece.path, self.issues, seed, entry_id).read(
            written, labels, own_labels
        )
        observed = ObservedReader(piece.path, self.issues, seed, entry_id)
        content_of: ContentOf | None
        rewritten = None
        match written["signal_type"]:
            case "metrics":
                content_of, rewritten = self._values(piece, entry_id, seed, schedule)
            case "logs":
                content_of = self._messages(piece, entry_id, seed)
            case _:
                content_of = observed.read(written, schedule)
        if own_labels and content_of is not None:
            check_spread(written, piece.path, content_of({}), self.issues)
            check_rate(piece.path, schedule.peak_rate * len(own_labels), self.issues)
        if len(self.issues.values) > before or content_of is None or start is None or route is None:
            return None
        max_lag = written.get("max_lag")
        entry = Entry(
            id=entry_id,
            name=written["name"],
            signal_type="logs" if written["signal_type"] == "logs" else "metrics",
            schedule=schedule,
            phase=seconds(written.get("phase_offset", "0s")),
            start=start,
            pace=written.get("pace", "real"),
            max_lag=None if max_lag is None else seconds(max_lag),
            labels=labels,
            spikes=spikes,
            content=content_of({}),
            route=route,
            on_sink_error=written.get("on_sink_error", "warn"),
            rewritten=rewritten,
            now_ns=self.now_ns,
            metadata=None if written["signal_type"] == "logs" else metadata_of(written, entry_id),
        )
        if isinstance(entry.content, Observed):
            observed.check_labels(entry, own_labels)
        if own_labels:
            entry = fleet(entry, own_labels, content_of, is_spread=is_spread(written))
        is_sound = len(self.issues.values) == before and self._check_times(piece, entry)
        return entry if is_sound and self._check_bytes(piece, entry) else None

    def _seconds(self, piece: Piece, *path: str) -> Fraction | None:
        value: Any = piece.written
        for name in path:
            value = value[name]
        try:
            return seconds(value)
        except ValueError as exc:
            self.issues.value((*piece.path, *path), str(exc))
            return None

    def _schedule(self, piece: Piece) -> Timing | None:
        written = piece.written
        if piece.replay is not None:
            return replay_schedule(piece, piece.replay, self.issues)
        if "stages" in written:
            return read_stages(written, piece.path, self.issues)
        rate = fraction(written["rate"])
        if rate > MOST_RATE:
            self.issues.value((*piece.path, "rate"), f"must be at most {MOST_RATE:,}")
            return None
        cycles: dict[str, Cycle | None] = {"gaps": None, "bursts": None}
        for name in [name for name in cycles if name in written]:
            every, length = (self._seconds(piece, name, part) for part in ("every", "for"))
            if every is None or length is None:
                return None
            if length >= every:
                self.issues.value((*piece.path, name, "for"), "must be below every")
                return None
            cycles[name] = Cycle(every, length)
        multiplier = fraction(written.get("bursts", {}).get("multiplier", 1))
        if rate * multiplier > MOST_RATE:
            reason = f"rate times multiplier must be at most {MOST_RATE:,}"
            self.issues.value((*piece.path, "bursts", "multiplier"), reason)
            return None
        duration = self._seconds(piece, "duration") if "duration" in written else None
        if duration is None and "duration" in written:
            return None
        count = written.get("count")
        count = None if count is None else int(count)
        return Schedule(rate, cycles["gaps"], cycles["bursts"], multiplier, duration, count)

    def _labels(self, piece: Piece) -> Labels | None:
        """Read the labels; the series they make are counted before any is made."""
        dynamic: list[DynamicLabel] = []
        known: set[str] = set()
        together = 1
        for place, label in enumerate(piece.written.get("dynamic_labels", ())):
            where = (*piece.path, "dynamic_labels", place, "key")
            key, values = label["key"], tuple(label.get("values", ()))
            if not are_labels(
                {key: ""}, piece.written["signal_type"], where, self.issues, by_name=False
            ):
                return None
            if key in known:
                self.issues.value(where, f"{quote(key)} is another dynamic label's, too")
                return None
            known.add(key)
            count = len(values) or int(label["cardinality"])
            dynamic.append(DynamicLabel(key, count, values, label.get("prefix", f"{key}_")))
            together = lcm(together, count)
            if together > MOST_SERIES:
                self.issues.value(
                    (*piece.path, "dynamic_labels"), f"make more than {MOST_SERIES:,} series"
                )
                return None
        fixed = dict(piece.written.get("labels", {}))
        return Labels(fixed, tuple(dynamic))

    def _start(self, piece: Piece) -> Start | None:
        written = piece.written.get("start_time", "now")
        if written == "now":
            return Start(0, from_now=True)
        try:
            if offset := _OFFSET.fullmatch(written):
                sign = -1 if offset[1] == "-" else 1
                return Start(sign * ceil_ns(seconds(offset[2])), from_now=True)
            return Start(parse_rfc3339(written), from_now=False)
        except ValueError as exc:
            hint = "now, an offset such as -6h, or RFC 3339"
            reason = f"invalid value {quote(written)}: {exc} (expected {hint})"
            self.issues.value((*piece.path, "start_time"), reason)
            return None

    def _check_pace(self, piece: Piece, schedule: Timing) -> None:
        written = piece.written
        if written.get("pace") == "max":
            if schedule.planned is None:
                self.issues.value((*piece.path, "pace"), "max needs a duration or a count")
            if "max_lag" in written:
                self.issues.value(
                    (*piece.path, "max_lag"), "goes without pace max, which has no lag"
                )
        for name in ("max_lag", "phase_offset"):
            if name in written:
                self._seconds(piece, name)

    def _values(
        self, piece: Piece, entry_id: str, seed: int, schedule: Timing
    ) -> tuple[ContentOf | None, Mapping[str, Any] | None]:
        """Return what makes the values of each series, and what an alias stands for."""
        written, where = piece.written, (*piece.path, "generator")
        name = written["generator"]["type"]
        parameters = read_parameters("generator", written["generator"], where, self.issues)
        if parameters is None:
            return None, None
        generator = replaying(piece) or generators.load(name)
        jitter, jitter_seed = written.get("jitter"), written.get("jitter_seed")
        noise = None if jitter is None else fraction(jitter)
        if (wrong := generator.check(parameters)) is not None:
            self.issues.value((*where, wrong[0]), wrong[1])
            return None, None
        rewritten = None
        if isinstance(generator, generators.Alias):
            if generator.must_not_reset:
                if is_spread(written):
                    reason = f"spread would let {name} begin again: leave it out, or use saturation"
                    self.issues.value((*piece.path, "series_phase"), reason)
                self._check_reset(piece, generator.rewrite(parameters).parameters, schedule)
            stands_for = generator.rewrite(parameters)
            parameters = dict(stands_for.parameters)
            if noise is None:
                noise = stands_for.jitter
                jitter_seed = stands_for.jitter_seed if jitter_seed is None else jitter_seed
            rewritten = _rewritten(stands_for, noise, jitter_seed)
            generator = generators.load(stands_for.type)
        assert isinstance(generator, generators.Generator)  # noqa: S101  # an alias stands for a plain one
        own = parameters.get("seed", seed)
        shape = generator.build(parameters, draw(own, entry_id, "value"))
        noise = noise or Fraction(0)
        if not values_in_range(shape, noise, schedule.planned):
            self.issues.value(where, "makes values beyond the range of a double")
            return None, None
        noise_seed = seed if jitter_seed is None else int(jitter_seed)
        build = generator.build

        def values_of(series: LabelSet) -> Values:
            shape = build(parameters, draw(own, entry_id, "value", series))
            return Values(shape, noise, draw(noise_seed, entry_id, "jitter", series))

        return values_of, rewritten

    def _check_reset(self, piece: Piece, sawtooth: Mapping[str, Any], schedule: Timing) -> None:
        where = (*piece.path, "generator")
        planned, period = schedule.planned, sawtooth["period_secs"]
        ends = None if "count" in piece.written else schedule.duration
        if planned is None:
            self.issues.value(where, "leak needs an end: a duration or a count")
        elif schedule.due(planned - 1) >= period or (ends is not None and period < ends):
            reason = f"leak would begin again after {as_number(period)} s, before the entry ends"
            self.issues.value(where, reason)

    def _messages(self, piece: Piece, entry_id: str, seed: int) -> ContentOf | None:
        """Return what makes the messages of each stream."""
        written, where = piece.written["log_generator"], (*piece.path, "log_generator")
        parameters = read_parameters("log_generator", written, where, self.issues)
        if parameters is None:
            return None
        if piece.replay is not None:
            messages = ReplayedMessages(piece.replay.messages or ())
            return lambda _: messages
        generator = log_generators.load(written["type"])
        wrong = list(islice(generator.check(parameters), 3 * MAX_ISSUES))
        for inside, reason in wrong:
            self.issues.value((*where, *inside), reason)
        if wrong:
            return None
        own = parameters.get("seed", seed)
        return lambda series: generator.build(
            parameters, partial(draw, own, entry_id, series=series)
        )

    def _check_times(self, piece: Piece, entry: Entry) -> bool:
        if entry.start_ns < 0:
            self.issues.value((*piece.path, "start_time"), "is before 1970")
            return False
        if (reason := ends_too_late(entry)) is not None:
            self.issues.value(piece.path, reason)
            return False
        if (reason := stamps_too_close(entry)) is not None:
            names = ("stages", "rate")
            name = next((one for one in names if one in piece.written), "generator")
            self.issues.value((*piece.path, name), reason)
            return False
        return True

    def _check_bytes(self, piece: Piece, entry: Entry) -> bool:
        """Render the first event: what only the encoder or the sink's framing can see."""
        event = ValidatedEvent(entry.event(0), entry.route.encoder, entry.route.sink)
        rendered = encode(event)
        if isinstance(rendered, Failure):
            add_problem(self.issues, piece.path, rendered.failure())
            return False
        return True


def _rewritten(
    stands_for: generators.Rewritten, jitter: Fraction | None, seed: int | None
) -> Mapping[str, Any]:
    """Write what an alias stands for as a document would."""
    shown = {name: as_number(value) for name, value in stands_for.parameters.items()}
    optional = {"jitter": None if jitter is None else as_number(jitter), "jitter_seed": seed}
    given = {name: value for name, value in optional.items() if value is not None}
    return {"generator": {"type": stands_for.type, **shown}, **given}
