"""The app that a server serves: `sonda.http` with its pipeline, middleware and documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sonda.http import RequestLimits, create_app
from sonda.observe.access_log import log_warning
from sonda.observe.metrics import Metrics
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.resolve import listening_on
from sonda.pipeline.policy.destinations import Policy
from sonda.pipeline.values.addresses import Address, is_loopback
from sonda.resources.destinations import Destinations
from sonda.resources.pipeline import PipelineProtocol
from sonda.resources.probes import Readiness
from sonda.resources.request import BearerAuth
from sonda.server.config import Source, build
from sonda.server.docs.page import documentation
from sonda.server.host_check import HostCheck
from sonda.server.idempotency_store import IdempotencyStore
from sonda.server.live_config import LiveConfig
from sonda.server.request_middleware import RequestMiddleware
from sonda.server.scenarios.gateway import Gateway
from sonda.server.scenarios.probes import ScenarioExposition, ScenarioReady
from sonda.server.scenarios.routes import add_scenarios
from sonda.server.scenarios.runner_home import RunnerHome
from sonda.server.settings import Settings
from sonda.server.state import DATABASE
from sonda.statuses import http_status

_WORTH_SHARING: Final = 16


class ServerApp(RequestMiddleware):
    """The app of a server, and whether the server is ready for events."""

    readiness: Readiness


def assemble(
    settings: Settings,
    pipeline: PipelineProtocol | None = None,
    listening: Sequence[Address] = (),
    metrics: Metrics | None = None,
    config: LiveConfig | None = None,
    runner_home: RunnerHome | None = None,
) -> ServerApp:
    """Return the app of a server; without a *pipeline* it opens one, confined by the settings.

    *runner_home* is where the runner of scenarios lives; without one they are 503.

    *listening* is what the server really listens on: one address may have several, and a free port.
    Without a *config* there is at most the key of the settings.
    """
    listening = listening or [Address(settings.bind, settings.port)]
    metrics = metrics or Metrics()
    state = [
        folder for folder in (settings.state_dir, runner_home and runner_home.folder) if folder
    ]
    config = config or LiveConfig(build(Source(settings.api_key)))
    auth = BearerAuth(config)
    inner = create_app(
        pipeline or confined_pipeline(settings, listening, metrics, config, state),
        RequestLimits(
            settings.request_timeout_s,
            settings.max_body_bytes,
            settings.max_batch_events,
            settings.max_batch_bytes,
        ),
        auth,
        metrics.answer,
        {
            **documentation(http_status),
            "/destinations": Destinations(auth, config.destinations),
        },
        key_store(settings, state),
    )

    def is_ready() -> bool:
        return inner.readiness.is_ready

    gateway = Gateway(settings, config, listening, runner_home, is_ready)
    add_scenarios(
        inner, gateway, auth=auth, timeout_s=settings.request_timeout_s, is_ready=is_ready
    )
    inner.add_route("/metrics", ScenarioExposition(auth, metrics, gateway))  # in place of its own
    inner.add_route("/ready", ScenarioReady(inner.readiness, gateway))
    is_private = not config.keys() and all(is_loopback(address.host) for address in listening)
    app = ServerApp(
        inner,
        settings.max_inflight_requests,
        settings.max_inflight_bytes,
        metrics,
        HostCheck(settings.allow_host) if is_private else None,
    )
    app.readiness = inner.readiness
    return app


def key_store(settings: Settings, folders: Sequence[Path]) -> IdempotencyStore | None:
    """Return where Idempotency-Keys are kept: in the first of *folders*; `None` if there is none."""
    if not folders:
        return None
    return IdempotencyStore(
        folders[0] / DATABASE, ttl_s=settings.idempotency_ttl_s, most_keys=settings.idempotency_keys
    )


def confined_pipeline(
    settings: Settings,
    listening: Sequence[Address],
    metrics: Metrics,
    config: LiveConfig,
    state: Sequence[Path],
) -> Pipeline:
    """Return a pipeline that reaches only what the operator allows, and no folder of *state*."""
    policy = Policy(settings.allow_destination, listening_on(listening))
    return Pipeline(
        access_policy=AccessPolicy(
            settings.file_root,
            settings.tls_root,
            policy,
            protected=lambda: (*config.files(), *state),
        ),
        in_server=True,
        share=share_of(settings.max_inflight_requests),
        warn=log_warning,
        observer=metrics,
        directory=config.destinations,
    )


def share_of(max_inflight_requests: int) -> int | None:
    """Return how many events one destination may have: half, so that others have places left."""
    return max_inflight_requests // 2 if max_inflight_requests >= _WORTH_SHARING else None
