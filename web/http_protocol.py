"""HTTP/1.1 over one connection: uvicorn's h11 protocol with limits, time-outs and error responses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from appliance.core.i18n import DEFAULT, Text, _
from appliance.domain.errors import ERROR_SPECS, Code
from web.connections import ConnectionLimiter, Occupation
from web.error_responses import ErrorAnswer, ErrorBody

# RFC 9112 3: a server should take request lines of at least 8,000 octets.
MAX_TARGET_BYTES = 8 * 1024
# Request line and headers together: what nginx, Apache and Node take by default, or more.
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100

# From the connection to the first byte: browsers open connections that they may never use.
FIRST_BYTE_SECONDS = 20.0
# From the first byte of a request to the end of its headers.
HEAD_SECONDS = 20.0
# A body has this long to begin, and must then keep a pace that the poorest link does.
BODY_SECONDS = 20.0
BODY_BYTES_A_SECOND = 4 * 1024
# An idle connection is kept longer than the pools of common clients keep theirs (60 s at most).
KEEP_ALIVE_SECONDS = 90
# Of a body that the application does not read yet; uvicorn would hold 64 KiB and the read that exceeds them.
UNREAD_BYTES = 16 * 1024
HANDSHAKE_SECONDS = 10.0

# A body that is left when its response is complete is read and thrown away up to this bound: closing over
# unread bytes resets the connection, and the client may never see the response (RFC 9112 9.6).
DISCARD_BYTES = 64 * 1024 * 1024
# The same after a response that ends the connection, whose sender is not expected to go on.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0
LINGER_BYTES_A_SECOND = 64 * 1024

_TOO_MANY = _("Too many connections are open.")
_REASONS = {
    HTTPStatus.REQUEST_TIMEOUT: _("The request did not arrive in time."),
    HTTPStatus.REQUEST_URI_TOO_LONG: _(
        "The URL is longer than {most} bytes.", most=MAX_TARGET_BYTES
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: _(
        "The headers are longer than {most} bytes or {lines} lines.",
        most=MAX_HEADER_BYTES,
        lines=MAX_HEADERS,
    ),
}


class _LimitedConnection(h11.Connection):
    """An h11 connection that also limits the URL and the number of headers.

    h11 itself limits an event while it is incomplete; one that arrives whole in one read is measured here.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADER_BYTES)
        self.rejected_with = HTTPStatus.BAD_REQUEST
        self._received = 0  # bytes since the last request

    def receive_data(self, data: bytes) -> None:
        """Take what came over the network."""
        self._received += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        """Return the next event. Raises h11.RemoteProtocolError; `rejected_with` is its status."""
        in_head = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.rejected_with = self._status(error, in_head)
            raise
        if isinstance(event, h11.Request):
            # Measuring costs 25 us a request, so only where more arrived than a head may have.
            measured = _size(event) if self._received > MAX_HEADER_BYTES else 0
            self._received = 0
            if status := _too_large(event, measured):
                self.rejected_with = status
                raise h11.RemoteProtocolError(status.phrase, status)
        return event

    def _status(self, error: h11.RemoteProtocolError, in_head: bool) -> HTTPStatus:
        """The status for what h11 rejected, in the request's head or after it."""
        status = HTTPStatus(error.error_status_hint)
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            waiting, _ = self.trailing_data
            if not in_head:  # the size line of a chunk, or trailers
                return HTTPStatus.BAD_REQUEST
            if b"\n" not in waiting[:MAX_HEADER_BYTES]:
                return HTTPStatus.REQUEST_URI_TOO_LONG
        return status


def _size(request: h11.Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)


def _too_large(request: h11.Request, size: int) -> HTTPStatus | None:
    """The status for a URL or headers beyond the limits."""
    if len(request.target) > MAX_TARGET_BYTES:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if len(request.headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


class _Transport(asyncio.Transport):
    """The transport as uvicorn sees it.

    The head of a response waits for its body, so that both are one system call and one packet; not longer
    than until the next turn of the loop. `close` may first let the client read its response.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        lingers: Callable[[], bool],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._lingers = lingers
        self._loop = loop
        self._closing = False
        self._head: bytes | None = None

    def close(self) -> None:
        self._flush()
        if not self._closing and self._lingers():
            self._closing = True
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head is not None:
            data, self._head = b"".join((self._head, data)), None
        elif isinstance(data, bytes) and data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        if data:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class _Flow(FlowControl):
    """Flow control that knows since when the client may send."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self.resumed_at = 0.0

    def resume_reading(self) -> None:
        if self.read_paused:
            self.resumed_at = self._loop.time()
        super().resume_reading()


class _Phase(Enum):
    CONNECTED = "before the first byte"
    HEAD = "within a request line or headers"
    BODY = "within a body that the application waits for"
    RESPONSE = "the request is whole, its response is not"
    DISCARD = "within a body whose response is complete"
    IDLE = "between two requests"
    LINGER = "the last response is out, what comes is thrown away"


_OCCUPATIONS = {
    _Phase.BODY: Occupation.RECEIVING,
    _Phase.RESPONSE: Occupation.ANSWERING,
}


class HttpProtocol(H11Protocol):
    """One client connection.

    An offered upgrade is ignored and the request answered, body and all (RFC 9110 7.8).
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limiter: ConnectionLimiter,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _LimitedConnection = _LimitedConnection()
        self._limiter = limiter
        self._connected = False
        self._early = b""  # what a TLS connection received before `connection_made`
        self._phase = _Phase.CONNECTED
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # when the phase began, by the loop's clock
        self._received = 0  # bytes in this phase
        self._may_discard = 0

    # --- connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the first time-out, or refuse where too many are connected."""
        super().connection_made(_Transport(transport, self._lingers, self.loop))
        self._connected = True
        self.flow: FlowControl = _Flow(self.transport, self.loop)
        if not self._limiter.admit(self, _address(transport)):
            if self._limiter.may_explain(self):
                self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", _TOO_MANY)
            else:
                self.transport.abort()
            return
        self._enter(_Phase.CONNECTED)
        if self._early:
            self.data_received(self._early)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if not self._connected:  # TLS ended with its handshake
            return
        self._limiter.release(self)
        self._cancel()
        if self.cycle is not None:
            self.cycle.body = bytearray()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that ends its side after a request have its response."""
        waits = self._phase is _Phase.RESPONSE and not self.cycle.response_started
        if not waits or self.transport.get_extra_info("sslcontext"):
            return False  # closes
        self.cycle.keep_alive = False
        return True

    def give_way(self) -> None:
        """Close at once, for a connection that needs the place."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    def shutdown(self) -> None:
        """Close when the current response is complete."""
        if self.transport.is_closing() or self.conn.our_state is h11.ERROR:
            self.transport.abort()
        else:
            super().shutdown()

    # --- requests -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what came, and watch how long the rest takes."""
        if not self._connected:
            self._early += data
            return
        self._received += len(data)
        if self._phase is _Phase.LINGER:
            if self._received > self._may_discard:
                self.transport.abort()
            return
        if self._phase is _Phase.DISCARD and self._received > DISCARD_BYTES:
            self._linger(LINGER_BYTES)
            return
        super().data_received(data)
        if self.cycle is not None and len(self.cycle.body) > UNREAD_BYTES:
            self.flow.pause_reading()
        self._follow()

    def on_response_complete(self) -> None:
        """Forget the body, and go on to the next request or to the rest of this one."""
        self.cycle.body = bytearray()
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the phases have a timer of their own
        self._follow()

    def _should_upgrade(self) -> bool:
        return False

    # --- phases -------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Enter the phase that the connection is in by now."""
        if self._phase is _Phase.LINGER or self.transport.is_closing():
            return
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            done = self.cycle is not None and self.cycle.response_complete
            phase = _Phase.DISCARD if done else _Phase.BODY
        elif theirs is not h11.IDLE:
            phase = _Phase.RESPONSE
        elif self.conn.trailing_data[0]:
            phase = _Phase.HEAD
        elif self._phase is _Phase.CONNECTED:
            return
        else:
            phase = _Phase.IDLE
        if phase is not self._phase:
            self._enter(phase)

    def _enter(self, phase: _Phase) -> None:
        self._cancel()
        self._phase, self._since, self._received = phase, self.loop.time(), 0
        self._limiter.occupy(self, _OCCUPATIONS.get(phase, Occupation.WAITING))
        if phase is not _Phase.RESPONSE:
            self._timer = self.loop.call_at(self._deadline(), self._late)

    def _deadline(self) -> float:
        """When the phase must be over, by the loop's clock."""
        match self._phase:
            case _Phase.CONNECTED:
                return self._since + FIRST_BYTE_SECONDS
            case _Phase.HEAD:
                return self._since + HEAD_SECONDS
            case _Phase.IDLE:
                return self._since + KEEP_ALIVE_SECONDS
            case _Phase.LINGER:
                return self._since + LINGER_SECONDS + self._received / LINGER_BYTES_A_SECOND
            case _:  # While the application does not read, the client cannot send.
                may_send = max(self._since, cast("_Flow", self.flow).resumed_at)
                return may_send + BODY_SECONDS + self._received / BODY_BYTES_A_SECOND

    def _late(self) -> None:
        """The timer of a phase: not yet over time, or closed, with 408 where somebody waits."""
        self._timer = None
        if self._phase is _Phase.BODY and self.flow.read_paused:
            self._timer = self.loop.call_later(BODY_SECONDS, self._late)
        elif self._deadline() > self.loop.time():  # it came some way
            self._timer = self.loop.call_at(self._deadline(), self._late)
        elif self._phase in (_Phase.HEAD, _Phase.BODY):
            self._reject(HTTPStatus.REQUEST_TIMEOUT)
        elif self._phase is _Phase.CONNECTED or self._phase is _Phase.IDLE:
            self.transport.close()
        else:
            self.transport.abort()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- error responses ----------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 rejects with its status, then close."""
        self._reject(self.conn.rejected_with)

    def _reject(self, status: HTTPStatus) -> None:
        text = _REASONS.get(status, ERROR_SPECS["INVALID_REQUEST"].text)
        self._refuse(status, "INVALID_REQUEST", text)

    def _refuse(self, status: HTTPStatus, code: Code, text: Text) -> None:
        """Answer with an error, then close once the client had time to read it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the body is broken: whoever reads it stops
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # a response is under way already: nothing can follow it
            return
        body = msgspec.json.encode(ErrorAnswer(error=ErrorBody(code, text.plain(DEFAULT))))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            headers.append((b"retry-after", b"1"))
        response = h11.Response(status_code=status, reason=status.phrase.encode(), headers=headers)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self._linger(LINGER_BYTES)

    def _lingers(self) -> bool:
        """Whether a client is still sending a body, so that closing has to wait for it."""
        if self._phase not in (_Phase.BODY, _Phase.DISCARD):
            return False
        self._linger(DISCARD_BYTES)
        return True

    def _linger(self, most: int) -> None:
        """End our side, and throw away up to `most` bytes for a while."""
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS cannot end one direction
            self.transport.write_eof()
        self._may_discard = most
        self._enter(_Phase.LINGER)


class HttpsProtocol(asyncio.Protocol):
    """The TLS handshake in front of an HttpProtocol, with a place and a time-out of its own."""

    def __init__(
        self, http: HttpProtocol, context: ssl.SSLContext, limiter: ConnectionLimiter
    ) -> None:
        self._http = http
        self._context = context
        self._limiter = limiter
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""

    def data_received(self, data: bytes) -> None:
        """Keep what comes before `start_tls` reads: uvloop reads whatever `connection_made` says."""
        self._early += data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands if there is a place."""
        self._transport = cast("asyncio.Transport", transport)
        if self._limiter.admit(self, _address(transport)):
            self._handshake = self._http.loop.create_task(self._shake_hands(self._transport))
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back: the connection ended before its handshake."""
        self._limiter.release(self)

    def give_way(self) -> None:
        """Close at once, for a connection that needs the place."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        loop = self._http.loop
        handshake = loop.create_task(
            loop.start_tls(
                transport,
                self._http,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )
        )
        try:
            await asyncio.sleep(0)  # it sets its protocol,
            await asyncio.sleep(0)  # and connects it
            if self._early:
                _feed(cast("asyncio.BufferedProtocol", transport.get_protocol()), self._early)
            secured = await handshake
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError; the transport is closed
            secured = None
        finally:
            self._limiter.release(self)
        if secured is not None and not secured.is_closing():
            self._http.connection_made(secured)


def _feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Give bytes to a protocol as its transport would."""
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        taken = min(len(buffer), len(data))
        buffer[:taken] = data[:taken]
        protocol.buffer_updated(taken)
        data = data[taken:]
