"""Sonda: send one log or metric event now, and know that it landed.

    import sonda

    receipt = sonda.send({"signal_type": "logs", ...})     # or raises sonda.NotDelivered
    receipt = await sonda.send_async(sonda.Log(message="...", ...))  # in a notebook

    result = sonda.emit(event)                            # a `Result`, which is always true
    results = sonda.emit_many(events)                     # one `Result` each, in order
    sonda.preview(event)                                  # what would be sent; nothing is

    async with sonda.Pipeline() as pipeline:              # keeps its connections
        await pipeline.emit(...)

    plan = sonda.load_scenario("demo.yaml").unwrap()      # a stream of events at a rate
    async with sonda.run(plan) as run: ...                # and what becomes of each

Only `send` and `send_async` raise for what a user or a destination did. Every other call returns a
`Result`: a `Receipt`, or the problem.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in `typing`, whose import costs more than all else here

if TYPE_CHECKING:
    from typing import Any, Final

    from sonda.about import version as version
    from sonda.library import NotDelivered as NotDelivered
    from sonda.library import emit as emit
    from sonda.library import emit_async as emit_async
    from sonda.library import emit_many as emit_many
    from sonda.library import emit_many_async as emit_many_async
    from sonda.library import encode as encode
    from sonda.library import preview as preview
    from sonda.library import send as send
    from sonda.library import send_async as send_async
    from sonda.notebook import as_row as as_row
    from sonda.pipeline import encoders as encoders
    from sonda.pipeline import problems as problems
    from sonda.pipeline import sinks as sinks
    from sonda.pipeline.deliver import Pipeline as Pipeline
    from sonda.pipeline.model import Confirmed as Confirmed
    from sonda.pipeline.model import Log as Log
    from sonda.pipeline.model import Metric as Metric
    from sonda.pipeline.model import Receipt as Receipt
    from sonda.pipeline.net.http_expect import Expect as Expect
    from sonda.pipeline.net.retry import Retry as Retry
    from sonda.pipeline.net.tls import KafkaTls as KafkaTls
    from sonda.pipeline.net.tls import Tls as Tls
    from sonda.pipeline.scenarios.report import Report as Report
    from sonda.pipeline.sinks.options import Sasl as Sasl
    from sonda.pipeline.wire_preview import Preview as Preview
    from sonda.scenarios import Scenario as Scenario
    from sonda.scenarios import load_scenario as load_scenario
    from sonda.scenarios import run as run
    from sonda.scenarios import run_scenario as run_scenario
    from sonda.scenarios import sample as sample

__all__ = [
    "Confirmed",
    "Expect",
    "KafkaTls",
    "Log",
    "Metric",
    "NotDelivered",
    "Pipeline",
    "Preview",
    "Receipt",
    "Report",
    "Retry",
    "Sasl",
    "Scenario",
    "Tls",
    "as_row",
    "emit",
    "emit_async",
    "emit_many",
    "emit_many_async",
    "encode",
    "encoders",
    "load_scenario",
    "preview",
    "problems",
    "run",
    "run_scenario",
    "sample",
    "send",
    "send_async",
    "sinks",
    "version",
]

_HOMES: Final = {
    "Confirmed": "sonda.pipeline.model",
    "Expect": "sonda.pipeline.net.http_expect",
    "KafkaTls": "sonda.pipeline.net.tls",
    "Log": "sonda.pipeline.model",
    "Metric": "sonda.pipeline.model",
    "NotDelivered": "sonda.library",
    "Pipeline": "sonda.pipeline.deliver",
    "Preview": "sonda.pipeline.wire_preview",
    "Receipt": "sonda.pipeline.model",
    "Report": "sonda.pipeline.scenarios.report",
    "Retry": "sonda.pipeline.net.retry",
    "Sasl": "sonda.pipeline.sinks.options",
    "Scenario": "sonda.scenarios",
    "Tls": "sonda.pipeline.net.tls",
    "as_row": "sonda.notebook",
    "emit": "sonda.library",
    "emit_async": "sonda.library",
    "emit_many": "sonda.library",
    "emit_many_async": "sonda.library",
    "encode": "sonda.library",
    "load_scenario": "sonda.scenarios",
    "preview": "sonda.library",
    "run": "sonda.scenarios",
    "run_scenario": "sonda.scenarios",
    "sample": "sonda.scenarios",
    "send": "sonda.library",
    "send_async": "sonda.library",
    "version": "sonda.about",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import sonda` costs next to nothing."""
    if sys.meta_path is None:  # a finalizer calls: nothing can be imported any more
        raise ImportError(
            f"sonda.{name} was not used before the interpreter ended; nothing is sent"
        )
    from importlib import import_module

    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in __all__:
        value = import_module(f"sonda.pipeline.{name}")
    else:
        raise AttributeError(f"module 'sonda' has no attribute {name!r}")
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Show results as what is in them, after `%load_ext sonda`."""
    from sonda.notebook import register

    register(shell)


def __dir__() -> list[str]:
    return __all__
