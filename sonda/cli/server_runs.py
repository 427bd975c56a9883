"""Runs of a server's, as the command line sees them: by its `/scenarios`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from sonda.cli.outcomes import Exit, exit_status
from sonda.cli.server_access import bearer, read_api_key
from sonda.pipeline.net.sockets import words
from sonda.pipeline.scenarios.ledger import Ledger, ProblemCount
from sonda.pipeline.scenarios.report import EntryProgress, Progress, Report
from sonda.pipeline.scenarios.states import Outcome, State
from sonda.pipeline.text.escape import escape
from sonda.pipeline.values.timestamps import parse_rfc3339

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 60.0
_ERROR: Final = 400
_SERVERS_ERROR: Final = 500
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class ServerError(Exception):
    """What a server refused, or why it could not be asked; *exit* is the status of the command.

    *was_worked* is whether the server may have done what it was asked for.
    """

    def __init__(
        self, verdict: Exit, detail: str, answer: Mapping[str, Any], *, was_worked: bool = False
    ) -> None:
        super().__init__(detail)
        self.exit = verdict
        self.answer = answer
        self.was_worked = was_worked

    def unknown(self, what: str) -> ServerError:
        """Return this as an error that leaves *what* unknown."""
        detail = f"{self}; {what}"
        return ServerError(Exit.UNKNOWN, detail, {"error": "gateway_timeout", "detail": detail})


class ScenarioServer:
    """A server's `/scenarios`; its key is from the environment, as `read_api_key` says.

    Use it as an async context manager. A call raises `ServerError` for what is no success.
    """

    def __init__(self, url: str, trusted: SSLContext, *, proxy_from_env: bool = False) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            headers=httpx.Headers(bearer(read_api_key()), encoding="utf-8"),
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=proxy_from_env,
            verify=trusted,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def start(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run; return what the server answers."""
        try:
            return dict(await self._json("POST", "", body=document))
        except ServerError as exc:
            if exc.was_worked:
                raise exc.unknown("the run may have begun (sonda scenarios list)") from None
            raise

    async def plan(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of a run, which is not started."""
        return dict(await self._json("POST", "", {"dry_run": "true"}, body=document))

    async def listed(self, state: str | None) -> list[dict[str, Any]]:
        """Return all runs, those of *state* alone where it is given."""
        asked = {} if state is None else {"state": state}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._json("GET", "", asked)
            found += page["scenarios"]
            if "next" not in page:
                return found
            asked = {**asked, "after": page["next"]}

    async def show(self, run: str, wait: str = "0s") -> dict[str, Any]:
        """Return a run, or an entry of one, once it has finished or after *wait*."""
        return dict(await self._json("GET", f"/{quote(run, safe='')}", {"wait": wait}))

    async def stop(self, run: str, drain: str, *, forget: bool = False) -> dict[str, Any]:
        """Stop a run, and return what it has come to."""
        asked = {"drain": drain, "forget": "true" if forget else "false"}
        return dict(await self._json("DELETE", f"/{quote(run, safe='')}", asked, answer_s=None))

    async def undelivered(self, entry: str) -> list[dict[str, Any]]:
        """Return the events of an entry that were not delivered, as the server makes them again.

        Each has its `tick`, its `outcome` and the body in `event`. A server makes a bounded number.
        """
        answer = await self._call("GET", f"/{quote(entry, safe='')}/events", {})
        return [json.loads(line) for line in answer.content.split(b"\n") if line]

    async def _json(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        answer_s: float | None = _ANSWER_S,
    ) -> Any:
        answer = await self._call(method, path, params or {}, body, answer_s)
        try:
            return answer.json()
        except ValueError:
            raise self._foreign(answer) from None

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        answer_s: float | None = _ANSWER_S,
    ) -> httpx.Response:
        try:
            answer = await self._client.request(
                method,
                f"{self._url}/scenarios{path}",
                params=params,
                json=body,
                timeout=httpx.Timeout(answer_s, connect=_CONNECT_S),
            )
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            detail = f"no answer from the server {escape(self._url)}: {_reason(exc)}"
            answered = {"error": "bad_gateway", "detail": detail}
            was_sent = not isinstance(exc, _NEVER_SENT)
            raise ServerError(Exit.REJECTED, detail, answered, was_worked=was_sent) from None
        if answer.status_code < _ERROR and not answer.is_redirect:
            return answer
        try:
            document = answer.json()
            detail = document["detail"]
        except (ValueError, KeyError, TypeError):
            raise self._foreign(answer) from None
        raise ServerError(exit_status(answer.status_code), str(detail), document)

    def _foreign(self, answer: httpx.Response) -> ServerError:
        detail = f"the answer {answer.status_code} of {escape(self._url)} is not one of Sonda's"
        said = {"error": "bad_gateway", "detail": detail}
        was_worked = answer.is_success or answer.status_code >= _SERVERS_ERROR  # or a proxy's
        return ServerError(Exit.REJECTED, detail, said, was_worked=was_worked)


def _reason(exc: Exception) -> str:
    """Return the operating system's own words where there are any, which httpx wraps in others."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return words(cause)
        cause = cause.__cause__ or cause.__context__
    return str(exc) or type(exc).__name__


def progress_of(detail: Mapping[str, Any], elapsed_s: float) -> Progress:
    """Return how far a run has got, of what a server says of it or of one of its entries."""
    parts = detail.get("scenarios", [detail])
    entries = tuple(_entry(part) for part in parts)
    return Progress(detail["name"], State(detail["state"]), elapsed_s, entries)


def report_of(detail: Mapping[str, Any]) -> Report:
    """Return what a finished run has come to, of what a server says of it."""
    started, ended = (
        parse_rfc3339(detail[name]) if detail.get(name) else 0 for name in ("started", "ended")
    )
    entries = progress_of(detail, 0.0).entries
    return Report(detail["name"], Outcome(detail["outcome"]), started, ended, entries)


def _entry(part: Mapping[str, Any]) -> EntryProgress:
    columns = {one.name for one in fields(Ledger)}
    ledger = {name: value for name, value in part["ledger"].items() if name in columns}
    outcome = part["outcome"]
    return EntryProgress(
        id=part["id"].partition(".")[2] or part["id"],
        name=part["name"],
        state=State(part["state"]),
        outcome=None if outcome is None else Outcome(outcome),
        ledger=Ledger(**ledger),
        target_rate=part["rate"]["target"],
        last_1s=part["rate"]["last_1s"],
        last_10s=part["rate"]["last_10s"],
        lag_s=part["lag_s"],
        latency_ms=part["latency_ms"],
        problems=tuple(ProblemCount(**problem) for problem in part["problems"]),
    )
