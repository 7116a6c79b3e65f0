"""An empty Litestar application: what the framework alone costs.

`python -m tests.bench.empty` serves `GET /` and `POST /` on a free port of 127.0.0.1 and prints its address. It runs on
the server of the box, or with the word `plain` on uvicorn alone, without any module of the box in its memory.
"""

from __future__ import annotations

import socket
import sys
from functools import partial

import uvicorn
import uvloop
from litestar import Litestar, get, post


@get("/", sync_to_thread=False)
def read() -> dict[str, str]:
    """A small JSON object."""
    return {"status": "ok"}


@post("/", sync_to_thread=False)
def write(data: dict[str, str]) -> dict[str, str]:
    """The same after reading a small JSON body."""
    return {"status": "ok"}


def serve_plain(app: Litestar) -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    _print_address(bound)
    config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none")
    uvloop.run(uvicorn.Server(config).serve([bound]))


def serve_as_the_box(app: Litestar) -> None:
    from web.connections import for_this_process
    from web.http_protocol import HttpProtocol
    from web.server import _bind, _server

    bound = _bind("127.0.0.1:0")
    _print_address(bound)
    protocol = partial(HttpProtocol, limiter=for_this_process())
    uvloop.run(_server(app, protocol)._serve([bound]))


def _print_address(bound: socket.socket) -> None:
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)  # noqa: T201


def main(words: list[str]) -> None:
    app = Litestar([read, write], openapi_config=None, logging_config=None)
    (serve_plain if words == ["plain"] else serve_as_the_box)(app)


if __name__ == "__main__":
    main(sys.argv[1:])
