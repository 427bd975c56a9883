"""What all network sinks share: kept connections, TLS contexts, tries, and look-ups that hang."""

from __future__ import annotations

import asyncio
import gc
import os
import pty
import random
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net import AccessPolicy, pool, tls
from sonda.pipeline.net.retry import Retry, deliver_with_retries
from sonda.pipeline.net.tls import Tls, TlsContexts
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Refused, Unreachable
from tests.support.destinations import (
    PATIENCE_S,
    NewLoop,
    Outcome,
    both_loops,
    deliver,
    http_destination,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import Certificates, Peer, answering, faulty, make_certificates, serving

NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for this file's servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("pki"))


def post_to(url: str, **options: Any) -> dict[str, Any]:
    """Write an event for `http_push`."""
    return log_event({"type": "http_push", "url": url, **options})


# --- kept connections ----------------------------------------------------------------------------


@both_loops
def test_idle_connections_are_closed(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody has used for a while is closed, and nothing is left of it."""
    monkeypatch.setattr(pool, "IDLE_S", 0.01)

    async def idle(pipeline: Pipeline) -> dict[Any, Any]:
        assert isinstance(await outcome(pipeline, post_to(server.url)), Success)
        await asyncio.to_thread(server.ended.wait_for)
        return pipeline._network.pool._destinations

    with faulty(serving(NO_CONTENT)) as server:
        assert run(idle, loop=loop) == {}


def test_a_connection_in_use_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The idle timer does not run while an event waits for its answer."""
    monkeypatch.setattr(pool, "IDLE_S", 0.05)

    def answer_late(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
            server.over.wait(0.15)
            peer.send(NO_CONTENT)
        peer.read_all()

    async def two_at_once(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, post_to(server.url))
        return [first, await outcome(pipeline, post_to(server.url))]

    with faulty(answer_late) as server:
        assert all(isinstance(each, Success) for each in run(two_at_once))
        assert len(server.connections.items) == 1


@both_loops
def test_idle_connections_are_bounded(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many idle connections the one unused for longest is closed."""
    monkeypatch.setattr(pool, "IDLE_CONNECTIONS", 2)

    async def three(pipeline: Pipeline) -> None:
        for server in servers:
            assert isinstance(await outcome(pipeline, post_to(server.url)), Success)
        await asyncio.to_thread(servers[0].ended.wait_for)
        assert isinstance(await outcome(pipeline, post_to(servers[2].url)), Success)

    script = serving(NO_CONTENT)
    with faulty(script) as first, faulty(script) as second, faulty(script) as third:
        servers = [first, second, third]
        run(three, loop=loop)
        assert [len(server.connections.items) for server in servers] == [1, 1, 1]


@both_loops
def test_closing_the_pipeline_closes_all_connections(loop: NewLoop, pki: Certificates) -> None:
    """When the pipeline ends, so does every connection it has kept."""

    async def some(pipeline: Pipeline) -> None:
        sinks: list[Any] = [
            {"type": "tcp", "address": plain.address},
            {"type": "tcp", "address": secured.address, "tls": {"ca_cert": pki.path("ca.pem")}},
            {"type": "http_push", "url": web.url},
        ]
        events = [log_event(sink) for sink in sinks * 5]
        await asyncio.gather(*(outcome(pipeline, event) for event in events))

    with (
        faulty(Peer.read_all) as plain,
        faulty(Peer.read_all, tls=pki.server()) as secured,
        faulty(serving(NO_CONTENT)) as web,
    ):
        run(some, loop=loop)
        for server in (plain, secured, web):
            server.ended.wait_for(len(server.connections.items))


def test_closing_waits_little_for_a_silent_tls_peer(pki: Certificates) -> None:
    """A peer that does not answer TLS's goodbye does not hold up the end."""

    def read_one_and_hang(peer: Peer) -> None:
        peer.read()
        peer.hang()

    with faulty(read_one_and_hang, tls=pki.server()) as server:
        sink = {"type": "tcp", "address": server.address, "tls": {"ca_cert": pki.path("ca.pem")}}
        assert isinstance(deliver(log_event(sink))[0], Success)
        assert not server.over.is_set()


@both_loops
def test_waiting_for_a_connection_counts(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that never got one of the connections has not been sent."""
    monkeypatch.setattr(pool, "CONNECTIONS_PER_DESTINATION", 1)

    async def two(pipeline: Pipeline) -> Outcome:
        first = asyncio.ensure_future(outcome(pipeline, post_to(server.url, timeout="30s")))
        await asyncio.to_thread(server.posts.wait_for)
        second = await outcome(pipeline, post_to(server.url, timeout="200ms"))
        first.cancel()
        await asyncio.wait([first])
        return second

    with faulty(answering(then=Peer.hang)) as server:
        waited = Unreachable(f"HTTP connect to {server.address}", "timed out after 0.2s")
        assert run(two, loop=loop) == Failure(waited)
        assert len(server.posts.items) == 1


@both_loops
def test_a_place_is_given_back(loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However an event ends, cancelled or not, its place goes to the next one."""
    monkeypatch.setattr(pool, "CONNECTIONS_PER_DESTINATION", 1)

    async def one_after_another(pipeline: Pipeline) -> Outcome:
        for ended in range(3):
            cut_off = asyncio.ensure_future(outcome(pipeline, post_to(server.url)))
            await asyncio.to_thread(server.posts.wait_for, ended + 1)
            waiting = asyncio.ensure_future(outcome(pipeline, post_to(server.url)))
            await asyncio.sleep(0)
            for task in (waiting, cut_off):
                task.cancel()
                await asyncio.wait([task])
        await outcome(pipeline, post_to(server.url, timeout="100ms"))
        return await outcome(pipeline, post_to(server.url))

    hanging = answering(then=Peer.hang)
    with faulty(hanging, hanging, hanging, hanging, serving(NO_CONTENT)) as server:
        assert isinstance(run(one_after_another, loop=loop), Success)


@both_loops
def test_a_hanging_destination_holds_up_no_other(loop: NewLoop) -> None:
    """While every connection to one destination hangs, another one's events are delivered."""

    async def both(pipeline: Pipeline) -> list[Outcome]:
        stuck = [
            asyncio.ensure_future(outcome(pipeline, post_to(server.url, timeout="30s")))
            for _ in range(pool.CONNECTIONS_PER_DESTINATION + 5)
        ]
        await asyncio.to_thread(server.posts.wait_for, pool.CONNECTIONS_PER_DESTINATION)
        delivered = [await outcome(pipeline, post_to(destination.url)) for _ in range(3)]
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
        return delivered

    with faulty(answering(then=Peer.hang)) as server, http_destination() as destination:
        assert all(isinstance(each, Success) for each in run(both, loop=loop))
        assert len(server.posts.items) == pool.CONNECTIONS_PER_DESTINATION


@both_loops
def test_no_descriptor_is_left_behind(loop: NewLoop, pki: Certificates) -> None:
    """Deliveries that fail in any way close what they have opened."""

    def reset_late(peer: Peer) -> None:
        peer.read(1)
        peer.reset()

    loop().close()  # libuv keeps a pipe from a process's first loop on
    gc.collect()  # what other tests have left
    before, others = _descriptors(), set(threading.enumerate())
    tls = {"ca_cert": pki.path("ca.pem")}
    late = pki.server(version=ssl.TLSVersion.TLSv1_3, wants_client=True)
    with (
        faulty(reset_late) as resetting,
        faulty(Peer.hang) as hanging,
        faulty(Peer.read_all, tls=late) as rejecting,
    ):
        addresses = ["127.0.0.1:1", resetting.address, hanging.address, rejecting.address]
        sinks: list[dict[str, Any]] = []
        for address in addresses:
            sinks.append({"type": "http_push", "url": f"http://{address}"})
            sinks.append({"type": "http_push", "url": f"https://{address}", "tls": tls})
            sinks.append({"type": "tcp", "address": address, "tls": tls})
        events = [log_event({**sink, "timeout": "100ms"}) for sink in sinks]
        assert not any(isinstance(each, Success) for each in deliver(*events, loop=loop))
    for thread in {*threading.enumerate()} - others:  # one may be reading a TLS file, past its time
        thread.join(PATIENCE_S)
    gc.collect()
    assert _descriptors() == before


def _descriptors() -> dict[str, str]:
    """Return what this process has open."""
    found: dict[str, str] = {}
    for path in Path("/dev/fd").iterdir():
        with suppress(OSError):  # that of the folder itself
            found[path.name] = str(path.readlink())
    return found


# --- look-ups ------------------------------------------------------------------------------------


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that does not come back for names of `.example`."""
    real, over = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *args: Any, **options: Any) -> Any:
        if host.endswith(".example") and not options.get("flags"):
            assert over.wait(PATIENCE_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    over.set()


@both_loops
@pytest.mark.parametrize("sink", ["tcp", "udp", "http_push"])
def test_a_resolver_that_hangs(sink: str, loop: NewLoop, hanging_resolver: None) -> None:
    """A look-up ends at the deadline as a no; until then the loop serves other events."""

    async def both(pipeline: Pipeline) -> list[Outcome]:
        patient = {**hanging, "timeout": f"{PATIENCE_S:g}s"}
        waiting = asyncio.ensure_future(outcome(pipeline, log_event(patient)))
        quick = await outcome(pipeline, post_to(destination.url))
        slow = await outcome(pipeline, log_event(hanging))
        assert waiting.cancel()  # its look-up hangs as long as all this takes
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return [quick, slow]

    hanging: dict[str, Any] = {"type": sink, "timeout": "300ms", "address": "slow.example:514"}
    attempt = {"tcp": "TCP connect", "udp": "UDP send", "http_push": "HTTP connect"}[sink]
    if sink == "http_push":
        hanging["url"] = f"http://{hanging.pop('address')}"
    with http_destination() as destination:
        quick, slow = run(both, loop=loop)
    assert isinstance(quick, Success)
    timed_out = Unreachable(f"{attempt} to slow.example:514", "timed out after 0.3s")
    assert slow == Failure(timed_out)


_HANG_AND_EXIT: Final = """
import asyncio, socket, threading
from sonda.pipeline.deliver import Pipeline

real = socket.getaddrinfo
def look_up(host, *args, **options):
    if options.get("flags"):
        return real(host, *args, **options)
    threading.Event().wait()
socket.getaddrinfo = look_up

async def main():
    async with Pipeline() as pipeline:
        print(await pipeline.emit({
            "signal_type": "logs", "labels": {}, "log": {"severity": "info", "message": "x"},
            "encoder": {"type": "json_lines"},
            "sink": {"type": "tcp", "address": "slow.example:514", "timeout": "200ms"},
        }))

asyncio.run(main())
"""


def test_a_resolver_that_hangs_does_not_keep_the_process() -> None:
    """The program ends, although a look-up that it has given up still runs."""
    ended = subprocess.run(
        [sys.executable, "-c", _HANG_AND_EXIT], capture_output=True, timeout=120, check=True
    )
    assert b"TCP connect to slow.example:514: timed out after 0.2s" in ended.stdout


# --- TLS files -----------------------------------------------------------------------------------


def load(
    tls: Tls | None, *, contexts: TlsContexts | None = None
) -> Result[ssl.SSLContext, Problem]:
    """Load the context of some options."""
    return asyncio.run((contexts or TlsContexts(None)).load(tls))


def test_equal_files_give_one_context(pki: Certificates) -> None:
    """Who names the same files shares a context, and so connections; others do not."""
    contexts = TlsContexts(None)
    mine = Tls(ca_cert=pki.path("ca.pem"), client_cert=pki.path("client-both.pem"))
    other_name = Tls(ca_cert=mine.ca_cert, client_cert=mine.client_cert, server_name="x.example")
    other_role = Tls(ca_cert=pki.path("client-both.pem"), client_cert=pki.path("client-both.pem"))
    first = load(mine, contexts=contexts).unwrap()
    assert load(mine, contexts=contexts).unwrap() is first
    assert load(other_name, contexts=contexts).unwrap() is first
    assert load(other_role, contexts=contexts).unwrap() is not first
    assert load(None, contexts=contexts).unwrap() is load(Tls(), contexts=contexts).unwrap()


def test_events_at_once_find_one_context(pki: Certificates) -> None:
    """However many events ask for a context at the same moment, it is built once."""

    async def load_many() -> set[ssl.SSLContext]:
        contexts = TlsContexts(None)
        tls = Tls(ca_cert=pki.path("ca.pem"))
        loaded = await asyncio.gather(*(contexts.load(tls) for _ in range(50)))
        return {each.unwrap() for each in loaded}

    assert len(asyncio.run(load_many())) == 1


@pytest.mark.parametrize("in_place", [True, False], ids=["rewritten", "replaced"])
def test_rotated_files_are_noticed(in_place: bool, pki: Certificates, tmp_path: Path) -> None:
    """A file that has changed gives a new context, also with the size and date of the old one."""
    ca, contexts = tmp_path / "ca.pem", TlsContexts(None)
    text = Path(pki.path("ca.pem")).read_text()
    ca.write_text(text)
    dates = ca.stat()
    before = load(Tls(ca_cert=str(ca)), contexts=contexts).unwrap()
    changed = ca if in_place else tmp_path / "new.pem"
    changed.write_text(text)
    os.utime(changed, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    changed.rename(ca)
    assert load(Tls(ca_cert=str(ca)), contexts=contexts).unwrap() is not before
    assert ca.stat().st_mtime_ns == dates.st_mtime_ns


def test_a_rotated_authority_decides(pki: Certificates, tmp_path: Path) -> None:
    """The event after a rotation is verified by the new file, not on the old connection."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Path(pki.path("ca.pem")).read_bytes())
    stranger = Path(pki.path("stranger-ca.pem")).read_bytes()

    async def rotate(pipeline: Pipeline) -> list[Outcome]:
        first = await outcome(pipeline, log_event(sink))
        ca.write_bytes(stranger)
        return [first, await outcome(pipeline, log_event(sink))]

    with faulty(Peer.read_all, tls=pki.server()) as server:
        sink = {"type": "tcp", "address": server.address, "tls": {"ca_cert": str(ca)}}
        before, after = run(rotate)
    assert isinstance(before, Success)
    reason = "certificate verification failed: unable to get local issuer certificate"
    assert after == Failure(Unreachable(f"TCP connect to {server.address}", reason))


def test_the_kept_contexts_are_bounded(pki: Certificates, tmp_path: Path) -> None:
    """Contexts of files that nobody uses any more do not pile up."""
    contexts = TlsContexts(None)
    pem = Path(pki.path("ca.pem")).read_bytes()
    for n in range(70):
        (tmp_path / f"{n}.pem").write_bytes(pem)
        load(Tls(ca_cert=str(tmp_path / f"{n}.pem")), contexts=contexts).unwrap()
    assert len(contexts._kept) == 64


@pytest.fixture
def files(pki: Certificates, tmp_path: Path) -> Path:
    """A folder of files that are no use."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("no certificate\n")
    (tmp_path / "folder.pem").mkdir()
    os.mkfifo(tmp_path / "fifo.pem")
    key = serialization.load_pem_private_key(Path(pki.path("client.key")).read_bytes(), None)
    (tmp_path / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for name in ("ca.pem", "client.pem", "client.key", "stranger.key"):
        (tmp_path / name).write_bytes(Path(pki.path(name)).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("ca_cert", "reason"),
    [
        ("missing.pem", "No such file or directory"),
        ("ca.pem/below.pem", "Not a directory"),
        ("x" * 5000, "File name too long"),
        ("empty.pem", "TLS: no certificate or crl found"),
        ("text.pem", "TLS: no certificate or crl found"),
        ("client.key", "TLS: no certificate or crl found"),
        ("folder.pem", "not a regular file"),
        ("fifo.pem", "not a regular file"),
    ],
    ids=lambda text: text[:16],
)
def test_an_authority_that_cannot_be_read(ca_cert: str, reason: str, files: Path) -> None:
    """An unreadable file is a no with its name, and nothing waits for the end of a FIFO."""
    path = f"{files}/{ca_cert}"
    problem = load(Tls(ca_cert=path)).failure()
    assert isinstance(problem, Unreachable)
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    assert problem.attempt == f'read TLS file "{shown}"'
    assert problem.reason == reason


@pytest.mark.parametrize(
    ("client_key", "reason"),
    [
        ("locked.key", "the private key has a passphrase"),
        ("stranger.key", "TLS: key values mismatch"),
        ("client.pem", "no certificate or no key in PEM format"),
        ("empty.pem", "no certificate or no key in PEM format"),
        ("fifo.pem", "not a regular file"),
    ],
)
def test_a_key_that_cannot_be_used(client_key: str, reason: str, files: Path) -> None:
    """A key that is locked, or another certificate's, is a no."""
    tls = Tls(client_cert=str(files / "client.pem"), client_key=str(files / client_key))
    problem = load(tls).failure()
    assert isinstance(problem, Unreachable)
    assert str(files / client_key) in problem.attempt
    assert problem.reason == reason


_LOAD_LOCKED_KEY: Final = """
import asyncio, fcntl, sys, termios
from sonda.pipeline.net.tls import Tls, TlsContexts

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
cert, key = sys.argv[1:]
print(asyncio.run(TlsContexts(None).load(Tls(client_cert=cert, client_key=key))))
"""


def test_a_locked_key_does_not_ask_on_the_terminal(files: Path) -> None:
    """Nobody may be sitting at the server's terminal: no passphrase is asked for."""
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        _LOAD_LOCKED_KEY,
        *map(str, (files / "client.pem", files / "locked.key")),
    ]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as asking:
        os.close(theirs)
        assert asking.wait(30) == 0
        shown = os.read(ours, 65536)
        os.close(ours)
    assert b"the private key has a passphrase" in shown
    assert b"Enter" not in shown


@pytest.fixture
def access_policy(files: Path, tmp_path_factory: pytest.TempPathFactory) -> AccessPolicy:
    """A file root that holds the files, and a TLS root beside it."""
    return AccessPolicy(files, tmp_path_factory.mktemp("tls"))


def _outside(path: str) -> Forbidden:
    return Forbidden(
        f'TLS file "{path}" is outside the folders for TLS files',
        "sonda-server --tls-root DIR would allow its folder",
    )


def test_files_outside_the_roots_are_forbidden(
    access_policy: AccessPolicy, pki: Certificates, files: Path
) -> None:
    """A server reads TLS files below its roots only, whichever way a path leads out of them."""
    contexts = TlsContexts(access_policy)
    (files / "link.pem").symlink_to(pki.path("ca.pem"))
    (files / "folder.pem" / "up").symlink_to("/etc")
    for path in (pki.path("ca.pem"), "/etc/passwd", "/no/such/file"):
        assert load(Tls(ca_cert=path), contexts=contexts) == Failure(_outside(path))
    for path in ("link.pem", "../x.pem", "folder.pem/up/passwd"):
        problem = load(Tls(client_cert=path), contexts=contexts).failure()
        assert problem == _outside(str(files / path))


def test_files_below_the_roots_are_read(access_policy: AccessPolicy, files: Path) -> None:
    """A relative path is taken from the file root; the TLS root is open as well."""
    contexts = TlsContexts(access_policy)
    (access_policy.tls_root / "ca.pem").symlink_to(files / "ca.pem")
    for path in ("ca.pem", str(files / "ca.pem"), str(access_policy.tls_root / "ca.pem")):
        assert isinstance(load(Tls(ca_cert=path), contexts=contexts), Success)


@pytest.mark.parametrize("name", ["fifo.pem", "folder.pem", "device.pem"])
def test_only_regular_files_are_allowed(
    name: str, access_policy: AccessPolicy, files: Path
) -> None:
    """A server reads no FIFO, folder or device, and does not suggest a flag that would help."""
    if name == "device.pem":
        access_policy = AccessPolicy(Path("/dev"), access_policy.tls_root)
        name = "null"
    path = access_policy.file_root / name
    assert load(Tls(ca_cert=name), contexts=TlsContexts(access_policy)) == Failure(
        Forbidden(
            f'TLS file "{path}" is no regular file',
            "no --tls-root of sonda-server allows any other",
        )
    )


def test_a_device_is_not_even_opened(
    access_policy: AccessPolicy, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening some devices is an action: a server looks before."""
    opened: list[object] = []
    really_open = os.open

    def note(path: str, *args: Any, **options: Any) -> int:
        opened.append(path)
        return really_open(path, *args, **options)

    monkeypatch.setattr(os, "open", note)
    load(Tls(ca_cert="fifo.pem"), contexts=TlsContexts(access_policy)).failure()
    assert opened == [str(files)]


@pytest.mark.parametrize("swapped", ["folder", "name"])
def test_a_link_that_is_put_there_meanwhile(
    swapped: str,
    access_policy: AccessPolicy,
    pki: Certificates,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the check and the opening no link leads a server out of its roots."""
    (files / "folder").mkdir()
    (files / "folder" / "ca.pem").write_bytes((files / "ca.pem").read_bytes())
    way = tls._steps

    def swap_after(path: str, access_policy: AccessPolicy) -> tuple[str, ...]:
        found = way(path, access_policy)
        if swapped == "folder" and not (files / "folder").is_symlink():
            (files / "folder").rename(files / "moved")
            (files / "folder").symlink_to(Path(pki.path("ca.pem")).parent)
        elif swapped == "name" and not (files / "folder" / "ca.pem").is_symlink():
            (files / "folder" / "ca.pem").unlink()
            (files / "folder" / "ca.pem").symlink_to(pki.path("ca.pem"))
        return found

    monkeypatch.setattr(tls, "_steps", swap_after)
    contexts = TlsContexts(access_policy)
    expected = Failure(_outside(str(files / "folder/ca.pem")))
    assert load(Tls(ca_cert="folder/ca.pem"), contexts=contexts) == expected


@pytest.mark.parametrize("sink", ["tcp", "http_push", "loki"])
def test_a_forbidden_file_opens_no_connection(
    sink: str, access_policy: AccessPolicy, pki: Certificates
) -> None:
    """With a forbidden file nothing is sent, and the destination is not even asked."""
    with faulty(Peer.read_all) as server:
        event = log_event(
            {
                "type": sink,
                "tls": {"ca_cert": pki.path("ca.pem")},
                **(
                    {"address": server.address}
                    if sink == "tcp"
                    else {"url": f"https://{server.address}"}
                ),
            }
        )
        forbidden = Failure(_outside(pki.path("ca.pem")))
        assert deliver(event, access_policy=access_policy) == [forbidden]
        assert server.connections.items == []


# --- tries ---------------------------------------------------------------------------------------

RETRY: Final = Retry(max_attempts=4, initial_backoff="100ms", max_backoff="300ms")
YES: Final = Ack(Confirmed.ACCEPTED)
BUSY: Final = Refused("http://x", "503 Busy")
SILENT: Final = OutcomeUnknown("http://x", "(Broken pipe)", 0)
AWAY: Final = Unreachable("HTTP connect to x", "Connection refused")

Attempt = Result[Ack, AttemptFailure]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, each the longest that is allowed, and none really waited."""
    waited: list[float] = []

    async def note(wait_s: float) -> None:
        waited.append(wait_s)

    def longest(low: float, high: float) -> float:
        assert low == 0
        return high

    monkeypatch.setattr("sonda.pipeline.net.retry.asyncio", SimpleNamespace(sleep=note))
    monkeypatch.setattr(random, "uniform", longest)
    return waited


def try_with(
    *attempts: Attempt, retry: Retry | None = RETRY, within_s: float = 60.0
) -> tuple[Result[Ack, Problem], int]:
    """Let the attempts come about one after another; gives the verdict and how many did."""
    due = iter(attempts)
    done: list[Attempt] = []

    async def attempt() -> Attempt:
        done.append(next(due))
        return done[-1]

    async def main() -> Result[Ack, Problem]:
        return await deliver_with_retries(attempt, retry, Deadline.within(within_s))

    return asyncio.run(main()), len(done)


def no(problem: Problem, *, retryable: bool = True, wait_s: float | None = None) -> Attempt:
    """A try that failed."""
    return Failure(AttemptFailure(problem, retryable, wait_s))


def test_without_retry_there_is_one_try(waits: list[float]) -> None:
    """One try, whatever comes of it."""
    assert try_with(no(BUSY), Success(YES), retry=None) == (Failure(BUSY), 1)
    assert waits == []


def test_a_yes_counts_its_tries(waits: list[float]) -> None:
    """The receipt says after how many tries the yes came."""
    third = Ack(Confirmed.ACCEPTED, tries=3)
    assert try_with(no(BUSY), no(SILENT), Success(YES)) == (Success(third), 3)


def test_waits_double_up_to_the_longest(waits: list[float]) -> None:
    """Full jitter from zero up to a bound that doubles, and stops at `max_backoff`."""
    assert try_with(*[no(BUSY)] * 9) == (Failure(BUSY), 5)
    assert waits == [0.1, 0.2, 0.3, 0.3]


def test_thousands_of_retries(waits: list[float]) -> None:
    """The bound does not overflow, however many retries are asked for."""
    many = Retry(max_attempts=2000, initial_backoff="1ms", max_backoff="1ms")
    assert try_with(*[no(BUSY)] * 3000, retry=many) == (Failure(BUSY), 2001)
    assert set(waits) == {0.001}


def test_what_does_not_pass_is_not_tried_again(waits: list[float]) -> None:
    """A failure that will not pass ends the tries."""
    assert try_with(no(BUSY), no(AWAY, retryable=False)) == (Failure(AWAY), 2)


def test_the_destinations_wait_is_cut(waits: list[float]) -> None:
    """A wait that the destination asks for replaces ours, up to `max_backoff`."""
    attempts = [no(BUSY, wait_s=wait_s) for wait_s in (0.0, 0.25, 99.0)]
    assert try_with(*attempts, Success(YES))[1] == 4
    assert waits == [0.0, 0.25, 0.3]


def test_a_wait_beyond_the_deadline_is_not_begun(waits: list[float]) -> None:
    """The last outcome is answered at once, rather than after a wait without a try."""
    assert try_with(no(BUSY), Success(YES), within_s=0.09) == (Failure(BUSY), 1)
    assert waits == []


@pytest.mark.parametrize("last", [BUSY, AWAY])
def test_unknown_once_is_unknown(last: Problem, waits: list[float]) -> None:
    """After a try with an unknown outcome only a yes makes it known."""
    attempts = [no(BUSY), no(SILENT), no(last), no(last, retryable=False)]
    assert try_with(*attempts) == (Failure(SILENT), 4)


@pytest.mark.parametrize("tries_before", [0, 1, 3])
def test_an_unknown_last_try(tries_before: int, waits: list[float]) -> None:
    """It is unknown wherever in the row the unknown try stands."""
    attempts = [*[no(BUSY)] * tries_before, no(SILENT, retryable=False)]
    assert try_with(*attempts) == (Failure(SILENT), tries_before + 1)
