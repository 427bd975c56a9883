"""Where an event goes, as a person says it: `--to loki=http://loki:3100`, `--to staging`.

What a target is, and which encoder fits, is read from the schemas. A named destination stands in
`sonda.toml`; its secrets are `env:NAME` or `file:PATH`, and are looked up when they are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct
from msgspec.structs import replace
from returns.result import Failure

from sonda.cli import aliases
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.escape import hide_userinfo

_FILLED_IN: Final = ("type", "signal_type")  # by the name of the sink, and from the event


class Options(Struct, frozen=True):
    """What the options say of every destination, beside `--to`."""

    encoder: str | None = None
    settings: Sequence[str] = ()
    retry: int | None = None
    timeout: str | None = None
    ca_cert: Path | None = None
    config: Path | None = None
    verify: str | None = None
    verify_url: str | None = None
    names_are_servers: bool = False
    """Whether the `destination` of an event is one of a server's."""


class Destination(Struct, frozen=True):
    """A sink and perhaps an encoder, as written: a secret is still `env:NAME` here.

    An encoder that nobody asked for is *assumed*: it gives way to an event's own. The secrets of
    a *named* destination are looked up in the environment and in the folder of its *file*. *for_metrics*
    takes the place of a destination whose sink differs by signal.
    """

    sink: Mapping[str, Any]
    encoder: Mapping[str, Any] | None = None
    assumed: bool = False
    named: str | None = None
    spoken: str = ""
    labels: Mapping[str, str] = {}
    verify_url: str | None = None
    file: Path | None = None
    secrets: Mapping[str, str] = {}
    for_metrics: Destination | None = None

    def __repr__(self) -> str:
        return f"Destination({self.spoken!r})"

    def of(self, event: Mapping[str, Any]) -> Destination:
        """Return the destination for the signal of *event*."""
        if self.for_metrics is not None and event.get("signal_type") == "metrics":
            return self.for_metrics
        return self

    @property
    def folder(self) -> Path:
        """Where a relative path of a secret file begins."""
        return Path() if self.file is None else self.file.parent

    @property
    def has_secrets(self) -> bool:
        """Whether the options, as written, refer to values that are kept elsewhere."""
        return bool(self.secrets) or "env:" in str((self.sink, self.encoder))


def destinations(to: Sequence[str], options: Options) -> list[Destination]:
    """Return what each `--to` means together with the other options; raise click's `UsageError`."""
    found = [destination(one, options) for one in to]
    was_typed = os.environ.get("SONDA_RETRY") != str(options.retry)
    if options.retry is not None and was_typed and not any(_takes(one, "retry") for one in found):
        sinks = ", ".join(repr(one.sink.get("type")) for one in found)
        raise click.BadParameter(f"sink {sinks} does not retry", param_hint="'--retry'")
    return found


def _takes(chosen: Destination, option: str) -> bool:
    sinks = [one.sink for one in (chosen, chosen.for_metrics) if one is not None]
    facts = [PLUGINS["sink"].get(str(sink.get("type")), {}) for sink in sinks]
    return any(option in one.get("properties", {}) for one in facts)


def named_destination(name: str, options: Options) -> Destination:
    """Return the destination that an event names; raise click's `UsageError`."""
    return _with_options(replace(_named(name, options.config), spoken=name), options)


def destination(to: str, options: Options) -> Destination:
    """Find what `--to` and the other options mean together; raise click's `UsageError`."""
    chosen = _direct(to) or _alias(to) or _named(to, options.config)
    chosen = _with_options(replace(chosen, spoken=_without_userinfo(to)), options)
    if chosen.for_metrics is None:
        return chosen
    return replace(chosen, for_metrics=_with_options(chosen.for_metrics, options))


def _with_options(chosen: Destination, options: Options) -> Destination:
    """Return the destination with `--encoder`, `--set`, `--retry`, `--timeout` and `--ca-cert`."""
    if options.encoder is not None:
        chosen = replace(chosen, encoder={"type": options.encoder})
    elif chosen.encoder is None:
        assumed = not any(setting.startswith("encoder.") for setting in options.settings)
        chosen = replace(chosen, encoder=default_encoder(chosen.sink), assumed=assumed)
    chosen = replace(chosen, sink=_with_common(chosen.sink, options))
    if not options.settings:
        return chosen
    from sonda.cli import settings_by_path

    written = {"encoder": chosen.encoder, "sink": chosen.sink}
    changed = settings_by_path.apply(written, options.settings)
    return replace(chosen, sink=changed["sink"], encoder=changed["encoder"])


def _with_common(sink: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Return the options of a sink with those that have an option of their own, where it has them."""
    changed = dict(sink)
    has = PLUGINS["sink"].get(str(sink.get("type")), {}).get("properties", {})
    if options.retry is not None and "retry" in has:
        retry = sink.get("retry", {})
        changed["retry"] = {
            **(retry if isinstance(retry, Mapping) else {}),
            "max_attempts": options.retry,
        }
    if options.timeout is not None and "timeout" in has:
        changed["timeout"] = options.timeout
    tls = sink.get("tls", {})
    secure = "tls" in sink or str(sink.get("url", sink.get("endpoint", ""))).lower().startswith(
        "https://"
    )
    if options.ca_cert is not None and "tls" in has and secure and isinstance(tls, Mapping):
        changed["tls"] = {"ca_cert": str(options.ca_cert.absolute()), **tls}
    return changed


def default_encoder(sink: Mapping[str, Any]) -> dict[str, Any]:
    """Choose an encoder that the sink takes: `json_lines` for text, else the only one of its kind."""
    takes = PLUGINS["sink"].get(str(sink.get("type")), {}).get("x-payloads", ["text"])
    if "text" in takes:
        return {"type": "json_lines"}
    return {
        "type": next(n for n, facts in PLUGINS["encoder"].items() if facts["x-payload"] in takes)
    }


def target(sink: Mapping[str, Any]) -> str:
    """Return a sink's name for people: `loki http://loki:3100`, without userinfo."""
    name = str(sink.get("type"))
    parts = [hide_userinfo(str(sink[part])) for part in _target_fields(name) if part in sink]
    return " ".join((name, "/".join(parts))).rstrip()


def example(sink: str) -> str:
    """Return an example of `--to` for a sink, from its schema."""
    shown = PLUGINS["sink"][sink]["examples"][0]
    target = "/".join(str(shown[part]) for part in _target_fields(sink))
    return f"{sink}={target}" if target else sink


def _target_fields(sink: str) -> list[str]:
    required = PLUGINS["sink"].get(sink, {}).get("required", ())
    return [part for part in required if part not in _FILLED_IN]


def _direct(to: str) -> Destination | None:
    """Read `SINK=TARGET`, or the name of a sink that needs no target; `None` if it is neither."""
    sink, equals, target = to.partition("=")
    if sink not in PLUGINS["sink"]:
        return None
    fields = _target_fields(sink)
    if bool(fields) != bool(target):
        if not equals:
            return None
        wanted = f"needs a target, as in {example(sink)}" if fields else "takes no target"
        raise _bad_to(f"sink {sink!r} {wanted}")
    parts = target.rsplit("/", len(fields) - 1) if fields else []
    if len(parts) < len(fields):
        raise _bad_to(f"sink {sink!r} needs {' and '.join(fields)}, as in {example(sink)}")
    if sink == "file":
        parts = [os.path.expanduser(path) for path in parts]  # noqa: PTH111  # `~name` of nobody's stays
    return Destination({"type": sink, **dict(zip(fields, parts, strict=True))})


def _alias(to: str) -> Destination | None:
    """Read `ALIAS=TARGET`, or an alias that needs no target; `None` if it is neither."""
    name, equals, target = to.partition("=")
    if name not in aliases.EXAMPLES or (name != "otlp" and not equals):
        return None
    try:
        by_signal = aliases.expand(name, target)
    except ValueError as exc:
        raise _bad_to(str(exc)) from None
    found = [Destination(one.sink, one.encoder, secrets=one.secrets) for one in by_signal.values()]
    logs, metrics = found
    return logs if logs == metrics else replace(logs, for_metrics=metrics)


def _named(name: str, config: Path | None) -> Destination:
    known = [*PLUGINS["sink"], *aliases.EXAMPLES]
    if "=" in name or "/" in name or ":" in name:
        raise _no_sink(name, known)
    from sonda.cli.config_file import find_destination

    result = find_destination(name, config)
    if isinstance(result, Failure):
        if name in known:
            shown = aliases.EXAMPLES.get(name) or example(name)
            raise _bad_to(f"sink {name!r} needs a target, as in {shown}")
        reason = result.failure()
        if reason.startswith("there is no destination"):
            meant = aliases.guess(name, known)
            raise _bad_to(f"{reason}Or name a sink, as in {_in_full(meant) or example('loki')}")
        raise click.UsageError(reason)
    found = result.unwrap()
    return Destination(
        found.sink,
        found.encoder,
        named=name,
        labels=found.labels,
        verify_url=found.verify_url,
        file=found.file,
    )


def _in_full(name: str) -> str:
    if not name or "=" in name:
        return name
    return aliases.EXAMPLES.get(name) or example(name)


def _without_userinfo(to: str) -> str:
    """Return `SINK=TARGET` as it may be shown."""
    sink, equals, target = to.partition("=")
    return f"{sink}={hide_userinfo(target)}" if equals else hide_userinfo(to)


def _no_sink(to: str, known: list[str]) -> click.UsageError:
    """Report that a text names no sink, and suggest what was probably meant."""
    sink, equals, _ = to.partition("=")
    meant = aliases.guess(to, known)
    offered = f" (did you mean --to {_without_userinfo(meant)}?)" if meant else ""
    if equals and sink.replace("_", "").replace("-", "").isalnum():
        return _bad_to(f"there is no sink {sink!r}; sinks: {', '.join(known)}{offered}")
    return _bad_to(f"{hide_userinfo(to)!r} names no sink{offered}; as in {example('loki')}")


def _bad_to(reason: str) -> click.UsageError:
    return click.BadParameter(reason, param_hint="'--to'")
