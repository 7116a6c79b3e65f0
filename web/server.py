"""Starts and stops the whole box: the gateway, and HTTP around it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

import structlog
import uvicorn
from litestar import Litestar
from structlog.typing import Processor

from appliance.assembly import Assembly
from appliance.core.config import Config, ModemSettings
from appliance.core.log_buffer import LOG_BUFFER
from appliance.core.systemd import keep_alive, notify
from appliance.core.tasks import forever
from appliance.maintenance import backup
from appliance.maintenance.start_failure import StartFailure
from appliance.services import Services
from web.app import create
from web.connections import ConnectionLimiter, for_this_process
from web.failed_start import explain, while_preparing
from web.http_protocol import HttpProtocol, HttpsProtocol
from web.page.routes import StatusPage
from web.request_log import RequestLog, without_empty_fields

log = structlog.get_logger(__name__)

# Open requests get this long to end when the box stops; event streams end at once.
DRAIN_SECONDS = 5
BACKLOG = 512
RECEIVE_BUFFER_BYTES = 32 * 1024
_GONE = {
    "TCP_KEEPIDLE": 60,  # seconds
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 60_000,  # milliseconds without progress of what was sent
}


for _codec in ("idna", "latin-1", "ascii"):  # host names and headers; loaded before they are needed
    codecs.lookup(_codec)


def run(
    data: Path,
    config: Config,
    listen: str,
    modems: Sequence[ModemSettings],
    *,
    sim_journal: Path | None = None,
    sim_control: Path | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT; True if the page has asked for a new start instead.

    Raises what keeps it from starting (see `Assembly.build`); exits with 1 if it cannot listen.
    """
    sys.setswitchinterval(0.0005)
    requests = _set_up_logging(config.log_level)
    sockets = bound_to(listen)
    try:
        with contextlib.ExitStack() as bound:
            for one in sockets:
                bound.enter_context(one)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(_serve(data, config, sockets, modems, sim_journal, sim_control))
    finally:
        requests.flush()


def wait_and_explain(failure: StartFailure, listen: str, seconds: float) -> bool:
    """Show why the box cannot start for `seconds`. Return False if the process was asked to end."""
    _set_up_logging("info")
    with contextlib.ExitStack() as bound:
        return explain(failure, [bound.enter_context(one) for one in bound_to(listen)], seconds)


def bound_to(listen: str) -> list[socket.socket]:
    """Return listening sockets for HOST:PORT,…; exits with 1 if one cannot be bound."""
    try:
        return [_bind(address) for address in listen.split(",")]
    except (OSError, ValueError) as error:
        _give_up(f"cannot listen on {listen}: {error}")


def _give_up(why: str) -> NoReturn:
    print(f"zimbox: {why}", file=sys.stderr)  # noqa: T201 - for whoever started it
    raise SystemExit(1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _bind(listen: str) -> socket.socket:
    """A listening socket for HOST:PORT. Raises OSError, ValueError."""
    host, colon, port = listen.strip().rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by each connection: who is gone, or never reads its response, is closed by the kernel.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # What the kernel holds of a request that is not read yet counts as the process's memory.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        for name, value in _GONE.items():
            if hasattr(socket, name):
                bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        bound.bind((host or "0.0.0.0", int(port)))
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


class _Server(uvicorn.Server):
    """Leaves signals to us, and calls us when it takes requests."""

    def install_signal_handlers(self) -> None:
        pass

    async def _wait_tasks_to_complete(self) -> None:
        """Wait until open requests have ended. Close the connections of those that are left, without an answer.

        uvicorn cancels them and answers 500. That may be untrue: the store finishes a write that has begun.
        """
        try:
            await super()._wait_tasks_to_complete()
        except asyncio.CancelledError:  # after DRAIN_SECONDS
            for connection in list(self.server_state.connections):
                cast("HttpProtocol", connection).give_way()
            raise


def _server(app: Litestar, protocol: Callable[..., asyncio.Protocol]) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            http=cast("type[asyncio.Protocol]", protocol),
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            lifespan="off",  # the assembly starts and stops what lives longer than a request
        )
    )


def _https(
    app: Litestar, data: Path, config: Config, limiter: ConnectionLimiter
) -> tuple[_Server, list[socket.socket]]:
    """The same application over TLS, next to HTTP. Ends the start with a word if it cannot be."""
    from web import certificate  # cryptography takes 7 MiB of memory, and HTTPS is off as shipped

    wanted = config.server
    try:
        bound = [_bind(address) for address in wanted.https_listen.split(",")]
        tls = certificate.context(data, wanted.certificate, wanted.private_key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        _give_up(f"no HTTPS on {wanted.https_listen}: {error}")

    def protocol(**options: Any) -> HttpsProtocol:
        return HttpsProtocol(HttpProtocol(**options, limiter=limiter), tls, limiter)

    return _server(app, protocol), bound


async def _serve_engines(services: Services, data: Path) -> None:
    """Serve SMPP while it is switched on. Its code is loaded when it first is."""
    admin = services.admin.smpp
    while True:
        if admin.on:
            from web.smpp import switch

            await switch.run(services, data, _bind)
        await admin.changed.wait()
        admin.changed.clear()


async def _serve(
    data: Path,
    config: Config,
    sockets: list[socket.socket],
    modems: Sequence[ModemSettings],
    sim_journal: Path | None,
    sim_control: Path | None,
) -> bool:
    assembly = await while_preparing(
        lambda progress: Assembly.build(data, config, progress=progress), sockets
    )
    try:
        await assembly.start(modems, sim_journal=sim_journal, sim_control=sim_control)
        page = StatusPage(assembly.services)
        app = create(
            assembly.services,
            page.handlers,
            page.lost,
            cors_origins=config.server.cors_origins,
        )
        limiter = for_this_process()
        servers = [(_server(app, partial(HttpProtocol, limiter=limiter)), sockets)]
        if config.server.https_listen:
            servers.append(_https(app, data, config, limiter))
        loop = asyncio.get_running_loop()
        anew = False

        def stop() -> None:
            for server, _ in servers:
                server.should_exit = True
            page.close()

        def start_anew() -> None:
            nonlocal anew
            anew = True
            stop()

        assembly.services.admin.maintenance.start_anew = start_anew
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if aside := await asyncio.to_thread(backup.settle, data):
            log.info("backup_restored", before=aside.name)
        for bound in sockets:
            host, port = bound.getsockname()[:2]
            print(f"ZimBox on http://{_written(host)}:{port}", flush=True)  # noqa: T201
        if code := assembly.services.admin.auth.setup_code:
            print(f"Setup code: {code}", flush=True)  # noqa: T201
        engines = asyncio.create_task(
            forever("smpp", partial(_serve_engines, assembly.services, data))
        )
        signs = asyncio.create_task(keep_alive(assembly.alive))
        # What there is by now stays: full collections look at what requests leave behind, and come soon enough.
        gc.collect()
        gc.freeze()
        notify("READY=1")
        try:
            await asyncio.gather(*(server._serve(bound) for server, bound in servers))
        finally:
            if not anew:
                notify("STOPPING=1")
            signs.cancel()
            engines.cancel()
            await asyncio.gather(engines, return_exceptions=True)
    finally:
        await assembly.stop()
    return anew


def _written(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


class _Patient:
    """Standard error that may be on a full disk or gone: a line is lost then, and nothing else."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


@functools.cache  # structlog keeps its first configuration
def _set_up_logging(least: str) -> RequestLog:
    """Write one line per event of at least this level to standard error: in colour on a terminal, else logfmt."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # a line for each malformed request
    terminal = sys.stderr.isatty()
    stderr = _Patient()
    level, rendered = structlog.processors.add_log_level, _renderers(terminal)
    requests = RequestLog([level, *rendered], stderr.write)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            requests,
            level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            *rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", stderr)),
        cache_logger_on_first_use=True,
    )
    return requests


def _renderers(terminal: bool) -> list[Processor]:
    """Keep an event for support, then make one line of it."""
    first: list[Processor] = [without_empty_fields, LOG_BUFFER]
    if terminal:
        console = structlog.dev.ConsoleRenderer(
            colors=True, exception_formatter=structlog.dev.plain_traceback
        )
        return [*first, structlog.processors.StackInfoRenderer(), console]
    return [
        *first,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
    ]
