"""The benchmark's instruments: what they count and print is right. Nothing here looks at a clock."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import cast

import cramjam
import grpc
import pytest

from bench import direct, load, processes, visible
from bench.load import BenchError, Load, Request, parse, post
from bench.measure import Cell, Echo, Plan, Result, measure
from bench.programs import run
from bench.report import events_table, results_page, table, tables
from bench.rows import ROWS, Destination, Row
from bench.server_costs import Command, Start, cpu_ms
from bench.stand_in.counts import Counts
from bench.stand_in.running import StandIn, run_stand_in
from bench.summary import DOCUMENT, NOT_WHOLE, RESULTS, summary, with_summary
from bench.system_calls import SystemCalls, per_event
from bench.targets import Figures, Target, targets
from sonda.pipeline.schemas.registry import PLUGINS
from tests.support.destinations import PATIENCE_S, HttpDestination, http_destination

from .backends.certificates import make_certificates
from .backends.conftest import installed

RESULT = (
    'LOAD {"answers":%d,"duration_us":2000000,"p50_us":1500,"p99_us":9000,"above_399":%d,'
    '"broken":%d,"late":%d,"statuses":{%s},"refusal":"sink says \\u0022no\\u0022"}'
)
CELL = Cell(
    clients=64,
    per_s=8123.4,
    p50_ms=1.234,
    p99_ms=5.678,
    of_echo=0.56,
    p50_of_echo=3.0,
    cpu_us=98.7,
    of_direct=1.25,
    counts=Counts(connections=2, requests=2_500, events=10_000),
    arrived=1.0,
)


# --- the stand-ins -------------------------------------------------------------------------------


def ask(connection: HTTPConnection, body: bytes, **headers: str) -> int:
    connection.request("POST", "/loki/api/v1/push", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_http_counts_connections_requests_and_events(tmp_path: Path) -> None:
    """Each body counts as a request, with as many events as it has; also compressed ones."""
    two = b'{"streams":["bench_event 1","bench_event 2"]}'
    block = bytes(cramjam.snappy.compress_raw(two * 20))
    with run_stand_in(tmp_path / "http", "http") as stand_in:
        for bodies in ((two, b"", two), (two,)):
            connection = HTTPConnection(stand_in.address, timeout=PATIENCE_S)
            assert [ask(connection, body) for body in bodies] == [204] * len(bodies)
            assert ask(connection, block, **{"Content-Encoding": "snappy"}) == 204
            connection.close()
        assert stand_in.counts() == Counts(connections=2, requests=6, events=86)


def test_http_answers_over_tls_and_after_a_delay(tmp_path: Path) -> None:
    """It shows the certificate that it was given, and counts the same."""
    certificates = make_certificates(tmp_path / "tls")
    context = certificates.client_context(with_certificate=False)
    options = {"delay_ms": 1.0, "certificates": certificates}
    with run_stand_in(tmp_path / "http", "http", **options) as stand_in:  # type: ignore[arg-type]
        connection = HTTPSConnection(stand_in.address, timeout=PATIENCE_S, context=context)
        assert [ask(connection, b"bench_event") for _ in range(3)] == [204] * 3
        connection.close()
        assert stand_in.counts() == Counts(connections=1, requests=3, events=3)


def test_tcp_counts_an_event_that_is_torn(tmp_path: Path) -> None:
    """An event counts once, wherever the end of a read cuts it."""
    with run_stand_in(tmp_path / "tcp", "tcp") as stand_in:
        with socket.create_connection(("127.0.0.1", stand_in.port), timeout=PATIENCE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, piece in enumerate((b"bench_event\nbench_", b"event\nbench_even", b"t\n")):
                sock.sendall(piece)
                wait_for_requests(stand_in, number + 1)
        assert stand_in.counts() == Counts(connections=1, requests=3, events=3)


def wait_for_requests(stand_in: StandIn, requests: int) -> None:
    """Ask until so much has been read; what never comes fails at the comparison that follows."""
    for _ in range(1000):
        if stand_in.counts().requests >= requests:
            return


def test_udp_counts_datagrams(tmp_path: Path) -> None:
    """Each datagram is a request."""
    with (
        run_stand_in(tmp_path / "udp", "udp") as stand_in,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        for _ in range(3):
            sock.sendto(b"bench_event", ("127.0.0.1", stand_in.port))
        wait_for_requests(stand_in, 3)
        assert stand_in.counts() == Counts(connections=0, requests=3, events=3)


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_answers_calls_of_every_size(tmp_path: Path, tls: bool) -> None:
    """A real client gets OK for many calls on one connection, large ones among them."""
    certificates = make_certificates(tmp_path / "tls") if tls else None
    bodies = [b"bench_event" + b"." * size for size in (0, 1, 100, 70_000, 3_000_000)] * 5
    with run_stand_in(tmp_path / "grpc", "grpc", certificates=certificates) as stand_in:
        credentials = certificates and grpc.ssl_channel_credentials(
            certificates.ca_cert.read_bytes()
        )
        open_channel = (
            grpc.secure_channel(stand_in.address, credentials)
            if credentials
            else grpc.insecure_channel(stand_in.address)
        )
        with open_channel as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/any.Service/Call"
            )
            calls = [call.future(body, timeout=PATIENCE_S) for body in bodies]
            assert [each.result() for each in calls] == [b""] * len(bodies)
        assert stand_in.counts() == Counts(connections=1, requests=25, events=25)


# --- the load ------------------------------------------------------------------------------------


@pytest.fixture
def wrk() -> None:
    """Skip the test where there is no wrk; in CI fail it."""
    if load.find_wrk() is None:
        installed("wrk")


@pytest.fixture
def recording() -> Iterator[HttpDestination]:
    """Run a destination that keeps what it gets."""
    with http_destination() as destination:
        yield destination


@pytest.mark.usefixtures("wrk")
def test_every_request_has_contents_of_its_own(recording: HttpDestination) -> None:
    """Placeholders are filled from a counter, at the same length; what surrounds them stays."""
    body = b'{"a":"<<NUMBER>>","b":"<<SERIES>>","t":"<<NANOSECONDS_19>>_","c":"<kept>"}'
    result = post(Request(f"{recording.url}/x", body), clients=2, seconds=1, check=True)
    posts = [posted.body for posted in recording.posts.items]
    assert len(posts) >= result.answers > 0
    assert len(set(posts)) == len(posts)
    assert {len(each) for each in posts} == {len(body)}
    assert all(b"<<" not in each and b'"c":"<kept>"' in each for each in posts)
    assert {posted.headers["content-type"] for posted in recording.posts.items} == {
        "application/json"
    }


@pytest.mark.usefixtures("wrk")
def test_remote_writes_differ_in_series(recording: HttpDestination) -> None:
    """Posted directly, too, each sample has a series of its own, and a time that is a time."""
    request = direct.remote_write(f"{recording.url}/w", run="one")
    post(request, clients=1, seconds=1)
    blocks = [posted.body for posted in recording.posts.items]
    writes = [bytes(cramjam.snappy.decompress_raw(block)) for block in blocks[:100]]
    assert len(set(writes)) == len(writes) > 0
    assert {len(write) for write in writes} == {len(writes[0])}
    assert all(b"bench_event" in write and b"<<" not in write for write in writes)
    value, head, *time = struct.unpack("<dB6B", writes[0][-15:])
    assert (value, head) == (1.0, 0x10)
    time_ms = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(time))
    assert 1_600_000_000_000 < time_ms < 4_398_046_511_104  # the most that six bytes hold


@pytest.mark.usefixtures("wrk")
def test_a_refusal_fails_the_load_and_is_quoted(recording: HttpDestination) -> None:
    """Whoever measures is told which status came, and what it said."""
    with pytest.raises(
        BenchError, match=r"^1 clients: \d+ times 500: destination says no \(of \d+ answers\)"
    ):
        post(Request(f"{recording.url}/s/500", b"{}"), clients=1, seconds=1, check=True)
    with pytest.raises(BenchError, match="times a status above 399"):
        post(Request(f"{recording.url}/s/500", b"{}"), clients=1, seconds=1)


def test_a_result_is_read() -> None:
    """Times come in microseconds and leave in the units that their names say."""
    printed = f"Running 2s test\n{RESULT % (3000, 0, 0, 0, '')}\n"
    assert parse(printed) == Load(answers=3000, duration_s=2.0, p50_ms=1.5, p99_ms=9.0)
    assert parse(printed).per_s == 1500.0


@pytest.mark.parametrize(
    ("counts", "flaw"),
    [
        ((10, 4, 0, 0, ""), "4 times a status above 399 (of 10 answers)"),
        ((10, 4, 0, 0, '"200":6,"503":4'), '4 times 503: sink says "no" (of 10 answers)'),
        ((10, 0, 0, 0, '"302":10'), '10 times 302: sink says "no" (of 10 answers)'),
        ((10, 0, 2, 1, ""), "2 broken connections, 1 answers after 15 s (of 10 answers)"),
        ((0, 0, 0, 0, ""), "no answer at all (of 0 answers)"),
    ],
)
def test_anything_but_a_yes_is_no_result(counts: tuple[object, ...], flaw: str) -> None:
    """A number that counts refusals is never shown."""
    with pytest.raises(BenchError) as raised:
        parse(RESULT % counts)
    assert str(raised.value) == flaw


def test_no_result_is_said_so() -> None:
    """What wrk has printed instead is shown."""
    with pytest.raises(BenchError, match="no result: unable to connect"):
        parse("unable to connect\n")


# --- the tables ----------------------------------------------------------------------------------


def test_a_table_is_aligned_and_keeps_its_columns() -> None:
    """A bar within a text opens no column."""
    assert table(("a", "long"), [("1", "2"), ("x|y", "")]) == (
        "| a    | long |\n|------|------|\n| 1    | 2    |\n| x\\|y |      |"
    )


def test_each_row_shows_its_numbers_or_why_it_has_none() -> None:
    """What is not installed leaves a blank, what went wrong is marked."""
    one_client = replace(CELL, clients=1, system_calls=SystemCalls(14.04, 2.2))
    results = (
        Result("loki", (one_client, CELL), rss_before_mb=50, rss_after_mb=60),
        Result("udp", (replace(CELL, of_direct=None, arrived=0.5),)),
        Result("kafka", problem="kafka is not installed", absent=True),
        Result("tcp", problem="3 times 502: a\nb"),
    )
    lines = events_table(Figures({result.name: result for result in results})).splitlines()
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    numbers = ["8,123", "0.56", "1.25", "1.23", "5.68", "99", "2", "0.250"]
    assert shown == [
        ["loki", "1", *numbers, "14.0", "2.2", "", ""],
        ["loki", "64", *numbers, "", "", "50 → 60", ""],
        ["udp", "64", *numbers[:2], "", *numbers[3:], "", "", "0 → 0", "50.0% arrived"],
        ["kafka", *[""] * 12, "kafka is not installed"],
        ["tcp", *[""] * 12, "**failed**: 3 times 502: a b"],
    ]


def test_targets_are_met_or_missed_or_not_measured() -> None:
    """The verdict follows from the figures alone."""
    counted = replace(CELL, clients=1, system_calls=SystemCalls(14.0, 2.3))
    results = {
        "loki": Result("loki", (counted, CELL)),
        "tcp": Result("tcp", (replace(CELL, of_echo=0.41),)),
    }
    judged = {target.what: target for target in targets(Figures(results))}
    loki, tcp = "loki: events/s ÷ echo, 64 clients", "tcp: events/s ÷ echo, 64 clients"
    kafka = "kafka: events/s ÷ echo, 64 clients"
    assert judged[loki] == Target(loki, "≥ 0.55", "0.56", met=True)
    assert judged[tcp] == Target(tcp, "≥ 0.55", "0.41", met=False)
    assert judged[kafka] == Target(kafka, "≥ 0.40")
    calls = "loki: system calls and wake-ups per event, one client"
    assert judged[calls] == Target(calls, "≤ 14; ≤ 2.2", "14.0; 2.3", met=False)
    connections = "connections opened for 10000 events or more to one HTTP destination"
    assert judged[connections] == Target(connections, "≤ 64", "loki 4", met=True)


def test_system_calls_are_read_from_the_table_of_strace() -> None:
    """With or without errors in it; the sum below is no call."""
    report = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000012           1        20        10 recvfrom
 40.00    0.000008           1        25           epoll_pwait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000020           0        45        10 total
"""
    assert per_event(report, 10) == SystemCalls(4.5, 2.5)


def test_the_page_tells_what_it_stands_on() -> None:
    """Both tables and the versions are in it."""
    figures = Figures({"loki": Result("loki", (CELL,))})
    page = results_page(figures, Plan(rounds=3), [("Python", "3.11.7")], is_whole=True)
    assert "medians of 3 rounds" in page
    assert events_table(figures) in page
    assert "**not met**" not in page
    assert page.endswith("- Python: 3.11.7\n")


def test_what_was_seen_is_shown_and_what_was_not_is_counted() -> None:
    """There is no percentile of a single event."""
    some = visible.Visible([*map(float, range(1, 101))], unseen=2)
    assert visible.row("loki", some) == ("loki", "50.5 ms", "100.0 ms", "100 of 102")
    assert visible.row("loki", visible.Visible([7.0], unseen=1)) == ("loki", "", "", "1 of 2")
    page = visible.page(table(visible.COLUMNS, [visible.row("loki", some)]), [("Python", "3.11")])
    assert "| loki        | 50.5 ms | 100.0 ms |" in page
    assert "3 rounds of 100 events" in page
    assert "load average of 1, 5 and 15 minutes" in page


def test_the_document_shows_the_times_that_were_measured() -> None:
    """Those of `VISIBLE.md`, to the letter; each destination that can be asked has a row there."""
    shown = "\n".join(
        line for line in visible.PAGE.read_text("utf-8").splitlines() if line.startswith("|")
    )
    document = visible.DOCUMENT.read_text("utf-8")
    assert visible.with_table(document, shown) == document
    assert f"{shown}\n\n<!-- end -->" in document
    rows = [line.split("|")[1].strip() for line in shown.splitlines()[2:]]
    assert rows == [*(product.name for product in visible.PRODUCTS), "file"]


def test_every_sink_has_a_row() -> None:
    """A new sink is measured, too."""
    sinks = {
        "stdout",
        "file",
        "tcp",
        "udp",
        "http_push",
        "loki",
        "remote_write",
        "otlp_grpc",
        "otlp_http",
        "kafka",
    }
    assert {row.name.partition("/")[0] for row in ROWS} == sinks >= set(PLUGINS["sink"])


def test_a_process_is_measured_with_its_children() -> None:
    """Memory and CPU time of a child are added to those of its parent."""
    alone_mb = processes.rss_mb(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(processes.family(os.getpid()))
        assert processes.rss_mb(os.getpid()) > alone_mb > processes.rss_mb(child.pid) > 0
        assert processes.cpu_s(os.getpid()) >= processes.cpu_s(child.pid) >= 0
        child.communicate()


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_row_with_a_bug_is_reported_and_not_raised(tmp_path: Path) -> None:
    """The rows behind it are measured all the same."""

    def broken(_: Path) -> AbstractContextManager[Destination]:
        raise KeyError("port")

    result = measure(Row("broken", {}, broken), cast("Echo", None), Plan(), tmp_path / "broken")
    assert result == Result("broken", problem="KeyError: 'port'")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('| a |')", "| a |"),
        ("print('| a |'); raise SystemExit('no wrk')", "| a |\n\n**failed**: no wrk"),
        ("raise SystemExit(3)", "**failed**: 3"),
        ("import signal; signal.pause()", "**failed**: not done within 0.1 s"),
    ],
)
def test_a_program_shows_what_it_has_printed_and_how_it_failed(code: str, shown: str) -> None:
    """What it has measured before is not lost."""
    timeout_s = 0.1 if "pause" in code else PATIENCE_S
    assert run((sys.executable, "-c", code), timeout_s=timeout_s) == shown


def test_a_command_that_fails_is_no_figure() -> None:
    """Its time would be that of something else."""
    with pytest.raises(subprocess.CalledProcessError):
        cpu_ms((sys.executable, "-c", "raise SystemExit(1)"))
    assert cpu_ms((sys.executable, "-c", "pass")) > 0


def test_the_page_has_the_start_and_what_programs_have_printed() -> None:
    """Each below a title of its own."""
    start = Start(0.5, 10.0, {"file": Command(90.0, 9.0), "sonda --help": Command(50.0, 5.0)})
    shown = tables(Figures({}, start=start, programs={"Streams": "| a |"}))
    assert "| file           | 90.0   | 9.0                |" in shown
    assert shown.endswith("## Streams\n\n| a |")
    judged = {target.what: target.met for target in targets(Figures({}, start=start))}
    assert judged["`sonda emit` ÷ `python -c pass`: file"] is True
    assert judged["`sonda emit` ÷ `python -c pass`: tcp"] is None


def test_documents_show_the_figures_of_the_results() -> None:
    """`python -m bench.summary` writes them."""
    document, results = (path.read_text(encoding="utf-8") for path in (DOCUMENT, RESULTS))
    assert summary(results) in document
    assert with_summary(document, results) == document


def test_figures_of_less_than_a_whole_run_say_so() -> None:
    """In the results and wherever they are quoted; those that are kept, too."""
    whole, part = (
        results_page(Figures({}), Plan(seconds=1), [], is_whole=is_whole)
        for is_whole in (True, False)
    )
    assert NOT_WHOLE not in whole
    assert part.replace(f"{NOT_WHOLE}\n\n", "") == whole
    document, results = (path.read_text(encoding="utf-8") for path in (DOCUMENT, RESULTS))
    usual = f"medians of {Plan().rounds} rounds of {Plan().seconds} s"
    assert (usual in results) or (NOT_WHOLE in results and NOT_WHOLE in document)
