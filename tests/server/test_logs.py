"""The log's lines, each in a process of its own: logging is set up once in a process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any, Final

WHEN: Final = r"20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}"


def logged(statements: str, level: str = "info") -> list[str]:
    """Run *statements* with the server's log, and give its lines, which all begin with a time."""
    script = f"import logging; from sonda.observe.access_log import *; from sonda.observe.log_setup import *; configure_logging({level!r})\n"
    script += f"log = logging.getLogger('sonda')\n{statements}"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout == ""
    assert all(re.match(f"{WHEN} |    ", line) for line in run.stderr.splitlines())
    return [re.sub(f"^{WHEN} ", "", line) for line in run.stderr.splitlines()]


def test_a_record_is_one_line() -> None:
    """Level, logger and text, whatever is in it, arguments by place and by name."""
    statements = r"""
log.info("plain 100%")
log.warning("%s and %d", "a\nforged\x1b[31m é", 7)
log.error("%(name)s", {"name": "by name"})
log.debug("too quiet")
"""
    assert logged(statements) == [
        "INFO sonda: plain 100%",
        r"WARNING sonda: a\nforged\u001b[31m é and 7",
        "ERROR sonda: by name",
    ]


def test_a_traceback_is_indented() -> None:
    """The lines of a traceback can be told from those of the log."""
    statements = "try: 1/0\nexcept ZeroDivisionError as exc: log.error('a bug', exc_info=exc)"
    first, second, *_, last = logged(statements)
    assert first == "ERROR sonda: a bug"
    assert second == "    Traceback (most recent call last):"
    assert last == "    ZeroDivisionError: division by zero"


def test_a_library_logs_what_is_wrong() -> None:
    """Only that: httpx would log every URL at level info."""
    statements = "for level in (20, 30): logging.getLogger('httpx').log(level, 'said')"
    assert logged(statements, "debug") == ["WARNING httpx: said"]


def test_a_bad_log_call_ends_nothing() -> None:
    """What is wrong with a log call is said, and the program goes on."""
    script = (
        "import logging; from sonda.observe.access_log import *; from sonda.observe.log_setup import *; configure_logging('info')\n"
        "log = logging.getLogger('sonda'); log.info('%d', 'x'); log.info('goes on')"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "TypeError: %d format" in run.stderr
    assert run.stderr.endswith("INFO sonda: goes on\n")


def test_an_access_line_follows_the_level() -> None:
    """Requests are logged at level info, probes that find all well at level debug."""
    statements = r"""
log_access("127.0.0.1:5", "POST", "/events", "1.1", 200)
log_access("127.0.0.1:5", "GET", "/health", "1.1", 200)
log_access("127.0.0.1:5", "GET", "/health", "1.1", 503)
log_access("127.0.0.1:5", "GET", "/healthy", "1.1", 404)
"""
    event = 'uvicorn.access: 127.0.0.1:5 - "POST /events HTTP/1.1" 200'
    probe = 'uvicorn.access: 127.0.0.1:5 - "GET /health HTTP/1.1" 200'
    busy = 'uvicorn.access: 127.0.0.1:5 - "GET /health HTTP/1.1" 503'
    wrong = 'uvicorn.access: 127.0.0.1:5 - "GET /healthy HTTP/1.1" 404'
    assert logged(statements) == [f"INFO {event}", f"INFO {busy}", f"INFO {wrong}"]
    assert logged(statements, "debug") == [
        f"INFO {event}",
        f"DEBUG {probe}",
        f"INFO {busy}",
        f"INFO {wrong}",
    ]
    assert logged(statements, "warning") == []


def test_a_closed_standard_error_ends_nothing() -> None:
    """A server whose log nobody can read any more serves on."""
    script = (
        "import os; from sonda.observe.access_log import *; from sonda.observe.log_setup import *; configure_logging('info'); os.close(2)\n"
        "log_access('127.0.0.1:5', 'POST', '/events', '1.1', 200); print('on')"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout == "on\n"


def logged_as_json(statements: str) -> list[dict[str, Any]]:
    """Run *statements* with the server's log as JSON, and give its lines without their times."""
    script = "import logging; from sonda.observe.access_log import *; from sonda.observe.log_setup import *; configure_logging('info', 'json')\n"
    script += f"log = logging.getLogger('sonda')\n{statements}"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout == ""
    assert run.stderr.replace("\n", "").isprintable()
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.stderr.splitlines()]
    assert all(re.fullmatch(r"20[0-9T:.-]{21}Z", line.pop("time")) for line in lines)
    return lines


def test_a_record_is_one_object() -> None:
    """Whatever is in it, it is on one line, and nothing in it reaches a terminal as it is."""
    statements = r"""
log.warning("%s and %d", "a\nforged\x1b[31m é \u2028 \x9b \x7f \U000e0001", 7)
log.debug("too quiet")
log_access("127.0.0.1:5", "GET", "/\u2028", "1.1", 404, "an-id")
"""
    assert logged_as_json(statements) == [
        {
            "level": "warning",
            "logger": "sonda",
            "message": "a\nforged\x1b[31m é \u2028 \x9b \x7f \U000e0001 and 7",
        },
        {
            "level": "info",
            "logger": "uvicorn.access",
            "id": "an-id",
            "client": "127.0.0.1:5",
            "method": "GET",
            "path": "/\u2028",
            "http_version": "1.1",
            "status": 404,
        },
    ]


def test_a_traceback_is_a_field_without_secrets() -> None:
    """It stays on the line, and what its record names as secret is left out."""
    statements = (
        "try: raise KeyError('pass-word')\n"
        "except KeyError as exc: log.error('a bug', exc_info=exc, extra={'secrets': ('pass-word',)})"
    )
    (line,) = logged_as_json(statements)
    traceback = line.pop("exception")
    assert line == {"level": "error", "logger": "sonda", "message": "a bug"}
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert traceback.endswith("KeyError: '***'")
