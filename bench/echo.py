"""The yardstick: a Falcon app that only reads a body and answers, on the server that Sonda uses.

    python -m bench.echo [--access-log]

It listens on a free port and prints its URL. Without the option no access log is written, which
makes it as bare as it can be.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from argparse import ArgumentParser

import falcon
import falcon.asgi
import uvicorn


class Echo:
    """Says how long the body was."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Read it whole, and answer in compact JSON."""
        body = await req.stream.read()
        resp.text = json.dumps({"received": len(body)}, separators=(",", ":"))


def main() -> None:
    """Serve until SIGTERM."""
    parser = ArgumentParser(prog="python -m bench.echo", description=main.__doc__)
    parser.add_argument("--access-log", action="store_true")
    access_log = parser.parse_args().access_log
    if access_log:
        logging.basicConfig(
            stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    app = falcon.asgi.App()
    app.add_route("/events", Echo())
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=access_log,
        proxy_headers=False,
        server_header=False,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/events", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
