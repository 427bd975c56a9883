"""What `make run` does: say where Sonda answers and how to try it, then become `sonda-server`."""

from __future__ import annotations

import argparse
import errno
import os
import re
import socket
import sys
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parents[1] / "README.md"
ADDRESS_IN_README: Final = "http://localhost:8080"
_LAST_PORT: Final = 65535
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


def main() -> None:
    """Serve, or end with status 2 where the port is taken."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", type=_port, default=8080, help="0 takes a free one")
    port = parser.parse_args().port
    host = os.environ.get("SONDA_BIND") or "127.0.0.1"
    try:
        port = _free_port(host, port)
    except OSError as exc:
        parser.error(f"cannot listen on {host} port {port}: {exc.strerror}; {_remedy(exc)}")
    print(_banner(host, port), flush=True)
    command = [sys.executable, "-m", "sonda.server", "--port", str(port)]
    os.execv(sys.executable, command)  # noqa: S606  # signals shall reach the server itself


def _port(text: str) -> int:
    """Return the port that *text* is; raise argparse's error if it is none."""
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port: a number from 0 to {_LAST_PORT}, as in make run PORT=9000"
        )
    return int(text)


def _remedy(exc: OSError) -> str:
    """Return what to type instead: a port may be taken, or an address not this machine's."""
    if exc.errno in (errno.EADDRINUSE, errno.EACCES):
        return "another: make run PORT=9000"
    return "SONDA_BIND takes an address of this machine, such as 127.0.0.1"


def _free_port(host: str, port: int) -> int:
    """Return *port*, or a free one in place of 0; raises `OSError` where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # two may bind with SO_REUSEADDR, only one may listen
        return int(listener.getsockname()[1])


def _banner(host: str, port: int) -> str:
    """Return the address, the page, and the first curl of the README for this address."""
    name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    url = f"http://{name}:{port}"
    found = re.search(
        r"<!-- first curl -->\n```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    curl = found[1].replace(ADDRESS_IN_README, url)
    if os.environ.get("SONDA_API_KEY"):
        header = '-H "Authorization: Bearer $SONDA_API_KEY"'
        curl = curl.replace(" -d '", f" \\\n  {header} -d '")
    return (
        f"Sonda answers on {url} in a moment, and {url}/docs is a page to try it on.\n"
        f"From another terminal:\n\n{curl}"
    )


if __name__ == "__main__":
    main()
