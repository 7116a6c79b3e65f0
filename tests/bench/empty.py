"""An empty Litestar application on the server that the box runs on: what the framework alone costs.

`python -m tests.bench.empty` serves `GET /` and `POST /` on a free port of 127.0.0.1 and prints its address.
"""

from __future__ import annotations

from functools import partial

import uvloop
from litestar import Litestar, get, post

from web.connections import for_this_process
from web.http_protocol import HttpProtocol
from web.server import _bind, _server


@get("/", sync_to_thread=False)
def read() -> dict[str, str]:
    """A small JSON object."""
    return {"status": "ok"}


@post("/", sync_to_thread=False)
def write(data: dict[str, str]) -> dict[str, str]:
    """The same after reading a small JSON body."""
    return {"status": "ok"}


def main() -> None:
    app = Litestar([read, write], openapi_config=None, logging_config=None)
    bound = _bind("127.0.0.1:0")
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)  # noqa: T201
    protocol = partial(HttpProtocol, limiter=for_this_process())
    uvloop.run(_server(app, protocol)._serve([bound]))


if __name__ == "__main__":
    main()
