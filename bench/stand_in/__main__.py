"""Run one stand-in until SIGTERM.

    python -m bench.stand_in http --delay-ms 5 --cert server.pem --key server.key

It listens on free ports of 127.0.0.1 and prints them as `port=… counts=…`: to whoever connects to
the second one it says, as JSON, what it has counted, and hangs up.
"""

from __future__ import annotations

import asyncio
import ssl
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import Final

import uvloop

from .counts import Tally, tell
from .grpc import Grpc
from .http import Http
from .lines import Datagrams, Lines

BACKLOG: Final = 1024
KINDS: Final = ("http", "grpc", "tcp", "udp")


def main() -> None:
    """Read the options and serve."""
    parser = ArgumentParser(prog="python -m bench.stand_in", description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="answer after so long")
    parser.add_argument("--cert", help="speak TLS, with this certificate (PEM)")
    parser.add_argument("--key", help="and its key (PEM)")
    uvloop.run(serve(parser.parse_args()))


async def serve(options: Namespace) -> None:
    """Listen, say where, and stay."""
    tally = Tally()
    port = await _listen(options, tally)
    print(f"port={port} counts={await tell(tally)}", flush=True)
    await asyncio.Event().wait()


async def _listen(options: Namespace, tally: Tally) -> int:
    loop = asyncio.get_running_loop()
    if options.kind == "udp":
        where = ("127.0.0.1", 0)
        transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(tally), where)
        return int(transport.get_extra_info("sockname")[1])
    delay_s = options.delay_ms / 1000
    kinds: dict[str, Callable[[], asyncio.Protocol]] = {
        "http": partial(Http, tally, delay_s),
        "grpc": partial(Grpc, tally, delay_s),
        "tcp": partial(Lines, tally),
    }
    server = await loop.create_server(
        kinds[options.kind], "127.0.0.1", 0, backlog=BACKLOG, ssl=_context(options)
    )
    return int(server.sockets[0].getsockname()[1])


def _context(options: Namespace) -> ssl.SSLContext | None:
    if options.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.cert, options.key)
    if options.kind == "grpc":
        context.set_alpn_protocols(["h2"])
    return context


if __name__ == "__main__":
    main()
