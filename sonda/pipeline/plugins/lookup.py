"""An encoder or a sink by its name: built in, or of another package."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sonda.pipeline import encoders, sinks
from sonda.pipeline.schemas.registry import PLUGINS, Kind, Schema, compile_fast

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from sonda.pipeline.plugins.entry_points import BrokenPlugin, Plugin

_PACKAGES: Final[dict[Kind, ModuleType]] = {"encoder": encoders, "sink": sinks}


def facts_of(kind: Kind, name: str) -> Schema | None:
    """Return the schema of the plug-in *name*, or `None` if there is none that can be used."""
    built_in = PLUGINS[kind].get(name)
    if built_in is not None:
        return built_in
    external = external_plugin(kind, name)
    return getattr(external, "schema", None)


def external_plugin(kind: Kind, name: str) -> Plugin | BrokenPlugin | None:
    """Return the plug-in *name* of another package, one that cannot be used too."""
    from sonda.pipeline.plugins.entry_points import find  # importlib.metadata takes 15 ms

    return find(kind, name) if len(name) <= _LONGEST_NAME else None


_LONGEST_NAME: Final = 64  # what was looked for is kept, and a name may be a megabyte long


def names_of(kind: Kind) -> list[str]:
    """Return the names of all plug-ins, those of other packages too."""
    from sonda.pipeline.plugins.entry_points import names

    return [*PLUGINS[kind], *names(kind)]


def load(kind: Kind, name: str) -> Any:
    """Return the `Encoder` or `Sink` *name*, whose extra must be installed."""
    if name in PLUGINS[kind]:
        return _PACKAGES[kind].load(name)
    external = external_plugin(kind, name)
    return getattr(external, "made")  # noqa: B009  # a broken one never gets here


@cache
def fast_options(kind: Kind, name: str) -> Any:
    """Return the validator of a plug-in's options that only says yes or no."""
    return compile_fast(facts_of(kind, name) or {})


@cache
def explaining_options(kind: Kind, name: str) -> Validator:
    """Return the validator of a plug-in's options that explains what is wrong."""
    from sonda.pipeline.schemas.validators import compile_explaining

    return compile_explaining(facts_of(kind, name) or {})
