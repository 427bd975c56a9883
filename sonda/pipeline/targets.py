"""Where a sink's options lead to: as it is shown, and as what two events have in common."""

from __future__ import annotations

from os.path import normpath
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from sonda.pipeline.plugins.lookup import facts_of
from sonda.pipeline.text.escape import shown
from sonda.pipeline.values.addresses import address_of, basic_auth, literal, parse_http_url

_APPENDED: Final = ("/loki/api/v1/push", "/v1/logs", "/v1/metrics")


def target_of(sink: str, options: Any) -> str:
    """Return the target as the client wrote it, fit to be shown; of a sink without one its name."""
    option = _target_option(sink)
    return shown(sink if option is None else getattr(options, option))


def destination_of(sink: str, options: Any) -> str:
    """Return a name of what a sink delivers to, equal for all options that lead to the same place."""
    option = _target_option(sink)
    if option is None:
        return sink
    target = str(getattr(options, option))
    if not target.lower().startswith("http"):  # httpx costs 0.1 s to import
        return target
    try:
        return str(address_of(parse_http_url(target))).lower()
    except ValueError:  # an address, brokers or a path
        return target


def receiver_of(sink: str, options: Any, plugin: Any) -> str:
    """Return a name of what takes a sink's events at their destination, equal for all its options.

    At one address URLs with other paths lead to others and, where headers name a tenant, so do those.
    However a receiver is written, it has one name: its events would pass each other else.
    """
    option = _target_option(sink)
    target = sink if option is None else str(getattr(options, option))
    destination = destination_of(sink, options)
    if destination == target:  # no URL
        return normpath(target) if option == "path" else target.lower()
    url = parse_http_url(target)
    host, port = address_of(url)
    path, _, query = url.raw_path.partition(b"?")
    place = f"{literal(host) or host.lower().rstrip('.')}:{port}{_path(path)} {query!r}"
    if not getattr(plugin, "headers_name_tenant", False):
        return place
    headers = {name.lower(): value for name, value in options.headers.items()}
    if (login := basic_auth(url)) is not None:
        headers.setdefault("authorization", login)
    return f"{place} {sorted(headers.items())}"


def _path(written: bytes) -> str:
    """Return a URL's path without the end that a sink appends itself where it is missing."""
    path = unquote_to_bytes(written).decode(errors="backslashreplace").rstrip("/")
    for end in _APPENDED:
        path = path.removesuffix(end)
    return path.rstrip("/")


def _target_option(sink: str) -> str | None:
    """Return the option that says where a sink's events go."""
    option: str | None = (facts_of("sink", sink) or {}).get("x-target")
    return option
