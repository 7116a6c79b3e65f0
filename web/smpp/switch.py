"""Runs the SMPP server while it is switched on, and tries again while it cannot listen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from appliance.admin.smpp import SmppStatus
from appliance.monitoring.metrics import SmppFigures
from appliance.services import Services
from web.smpp.server import SmppServer

log = structlog.get_logger(__name__)

# While another program has the port.
AGAIN_SECONDS = 30.0


async def run(services: Services, data: Path, bind: Callable[[str], socket.socket]) -> None:
    """Serve engines until the server is switched off; `bind` returns a listening socket for HOST:PORT."""
    admin = services.admin.smpp
    while admin.on:
        admin.changed.clear()
        try:
            with contextlib.ExitStack() as opened:
                sockets = _sockets(services, data, bind, opened)
                await _serve(services, sockets)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            admin.status = SmppStatus(error=str(error))
            log.error("smpp_not_listening", listen=admin.listen, reason=str(error))
            await _changed(services, AGAIN_SECONDS)
    admin.status = SmppStatus()


def _sockets(
    services: Services,
    data: Path,
    bind: Callable[[str], socket.socket],
    opened: contextlib.ExitStack,
) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
    """Return the listening sockets with their TLS. Raises OSError, ValueError."""
    settings = services.context.config
    found: list[tuple[socket.socket, ssl.SSLContext | None]] = [
        (opened.enter_context(bind(listen)), None)
        for listen in filter(None, services.admin.smpp.listen.split(","))
    ]
    if settings.smpp.tls_listen:
        from web import certificate  # cryptography takes 7 MiB of memory

        tls = certificate.context(data, settings.server.certificate, settings.server.private_key)
        found += [
            (opened.enter_context(bind(listen)), tls)
            for listen in settings.smpp.tls_listen.split(",")
        ]
    return found


async def _serve(
    services: Services, sockets: list[tuple[socket.socket, ssl.SSLContext | None]]
) -> None:
    server = SmppServer(services)
    admin = services.admin.smpp
    names = tuple(_name(bound) + (" (TLS)" if tls else "") for bound, tls in sockets)
    await server.start(sockets)
    services.metrics.smpp = lambda: _figures(server)
    admin.status = SmppStatus(listening=names)
    log.info("smpp_listening", listen=", ".join(names))
    try:
        while admin.on:
            await _changed(services, None)
    finally:
        services.metrics.smpp = None
        admin.status = SmppStatus()
        await server.stop()
        log.info("smpp_stopped")


async def _changed(services: Services, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await services.admin.smpp.changed.wait()
    services.admin.smpp.changed.clear()


def _name(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _figures(server: SmppServer) -> SmppFigures:
    submissions, deliveries = server.gateway.submissions, server.gateway.deliveries
    return SmppFigures(
        bound=server.bound,
        submissions={"accepted": submissions.accepted, "repeated": submissions.adopted},
        deliveries={"confirmed": deliveries.delivered, "refused": deliveries.refused},
        refused_connections=server.refused_connections,
    )
