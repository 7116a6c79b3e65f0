"""A page instead of the box while it cannot start or prepares its database: what is wrong and what to do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
import structlog

from appliance import __version__
from appliance.core.i18n import SOURCE, Language, languages
from appliance.core.systemd import keep_alive, notify
from appliance.domain.errors import ERROR_SPECS
from appliance.maintenance.start_failure import StartFailure, preparing
from web.error_responses import preferred, wants_page

log = structlog.get_logger(__name__)

HEAD_BYTES = 16 << 10
CONNECTION_SECONDS = 10.0
CONNECTIONS_MOST = 50
BODY_BYTES = 1 << 20  # of a request, read and dropped so that its sender gets the response

STYLE = (
    "body{font:1.1em/1.5 sans-serif;max-width:38em;margin:2em auto;padding:0 1em}"
    "code{background:#eee;padding:.1em .3em}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}
NOT_STARTED = "NOT_STARTED"
PREPARING_SECONDS = 3.0  # a start that takes longer is shown
PROGRESS_SECONDS = 10.0  # between two notifications to systemd; also what a client is asked to wait
START_EXTENSION_SECONDS = 240  # from each notification: as long as systemd gives a whole start

T = TypeVar("T")


def explain(failure: StartFailure, sockets: list[socket.socket], seconds: float) -> bool:
    """Answer every request with 503 for `seconds`. Return False if the process was asked to end.

    systemd is told that the service is ready, so that it neither restarts it nor falls back to an older release,
    which could not start on this data either.
    """
    print(f"zimbox: cannot start: {failure.detail}", file=sys.stderr)  # noqa: T201 - for whoever started it
    log.error("start_failed", reason=failure.code, again_in_seconds=seconds)
    return asyncio.run(_serve(failure, sockets, seconds))


async def _serve(failure: StartFailure, sockets: list[socket.socket], seconds: float) -> bool:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    servers = await _listen(lambda: failure, sockets, seconds)
    notify(f"READY=1\nSTATUS=cannot start: {failure.code}")
    signs = asyncio.create_task(keep_alive(_alive))
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return True
    finally:
        signs.cancel()
        for server in servers:
            server.close()
    notify("STOPPING=1")
    return False


async def while_preparing(
    start: Callable[[Callable[[int, int], None]], Awaitable[T]],
    sockets: list[socket.socket],
    after: float = PREPARING_SECONDS,
) -> T:
    """Return what `start` returns. Answer every request with 503 and its progress once it takes longer than `after`.

    `start` gets a function to call with the work done and its total, from any thread. The sockets stay open.
    The log and the status in systemd say how far it is. systemd is asked for more time, so that it does not end a
    migration that is under way.
    """
    state = preparing(0, 0)

    def report(done: int, total: int) -> None:
        nonlocal state
        state = preparing(done, total)

    loop = asyncio.get_running_loop()
    began = loop.time()
    task = asyncio.ensure_future(start(report))
    finished, _ = await asyncio.wait({task}, timeout=after)
    if not finished:
        # Closing a server closes its socket: a duplicate, so that the box can go on with the socket itself.
        servers = await _listen(lambda: state, [one.dup() for one in sockets], PROGRESS_SECONDS)
        try:
            while not finished:
                log.info(
                    "database_preparing", detail=state.detail, seconds=round(loop.time() - began)
                )
                notify(
                    f"EXTEND_TIMEOUT_USEC={START_EXTENSION_SECONDS * 1_000_000}\nSTATUS={state.detail}"
                )
                finished, _ = await asyncio.wait({task}, timeout=PROGRESS_SECONDS)
        finally:
            for server in servers:
                server.close()
    return await task


async def _listen(
    state: Callable[[], StartFailure], sockets: list[socket.socket], seconds: float
) -> list[asyncio.Server]:
    """Answer every request with 503 and the present state; clients are asked to come back after `seconds`."""
    places = asyncio.Semaphore(CONNECTIONS_MOST)

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with places:
            with contextlib.suppress(
                OSError, TimeoutError, asyncio.IncompleteReadError, ValueError
            ):
                async with asyncio.timeout(CONNECTION_SECONDS):
                    await _answer(state(), seconds, reader, writer)
            writer.close()

    return [await asyncio.start_server(visit, sock=bound, limit=HEAD_BYTES) for bound in sockets]


async def _alive() -> bool:
    return True


async def _answer(
    failure: StartFailure,
    seconds: float,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (h.partition(":") for h in head[1:])
    }
    kind, body = response(failure, path, fields)
    lines = [
        "HTTP/1.1 503 Service Unavailable",
        f"Content-Type: {kind}; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Retry-After: {round(seconds)}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body))
    await writer.drain()
    length = fields.get("content-length", "0")
    left = min(int(length) if length.isdigit() else 0, BODY_BYTES)
    while left > 0 and (read := await reader.read(min(left, 1 << 16))):
        left -= len(read)


def response(failure: StartFailure, path: str, fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Return media type and body: the page for a browser, JSON for the API and for programs."""
    route = path.partition("?")[0]
    program = route == "/health" or route.startswith(("/v1", "/metrics", "/schema"))
    if not program and wants_page(fields.get("accept", "")):
        return "text/html", _page(failure, preferred(fields.get("accept-language", ""))).encode()
    language = preferred(fields.get("accept-language", ""))
    full = failure.code == "storage_full"
    code = "STORAGE_FULL" if full else NOT_STARTED
    message = ERROR_SPECS["STORAGE_FULL"].text if full else failure.what
    body: dict[str, object] = {
        "success": False,
        "error": {
            "code": code,
            "message": message.plain(language),
            "details": {"reason": failure.code},
        },
    }
    if route == "/health":
        status = "starting" if failure.code == "preparing" else "failed"
        body |= {"status": status, "reason": failure.code, "version": __version__, "devices": []}
    return "application/json", msgspec.json.encode(body)


def _page(failure: StartFailure, first: Language) -> str:
    """Return the page in every language, the visitor's first: nobody can choose one here."""
    shown = f"<p><code>{html.escape(failure.shown)}</code></p>" if failure.shown else ""
    sections = "".join(
        f'<section lang="{language}"><h1>{html.escape(failure.what.typeset(language))}</h1>'
        f"<p>{html.escape(failure.advice.typeset(language))}</p>{shown}</section>"
        for language in sorted(languages(), key=lambda one: one != first)
    )
    return (
        f'<!doctype html><html lang="{first or SOURCE}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="10"><title>ZimBox</title><style>{STYLE}</style>'
        f"{sections}<p>ZimBox {html.escape(__version__)}</p></html>"
    )
