"""HTTP/1.1 over one connection: uvicorn's h11 protocol with our limits and error responses."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from appliance.refusals import KINDS, Words
from web.envelope import ErrorAnswer, ErrorBody

# RFC 9112 3: a server should take request lines of at least 8,000 octets.
MAX_TARGET_BYTES = 8 * 1024
# Request line and headers together: what nginx, Apache and Node take by default, or more.
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
# An idle connection is kept longer than the pools of common clients keep theirs (60 s at most).
KEEP_ALIVE_SECONDS = 90

# After an error response the rest of the request is read and thrown away up to these bounds: closing over
# unread bytes resets the connection, and the client may never see the response (RFC 9112 9.6).
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0

_TOO_LONG = {
    HTTPStatus.REQUEST_URI_TOO_LONG: Words(
        f"L'adresse dépasse {MAX_TARGET_BYTES} octets.",
        f"The URL is longer than {MAX_TARGET_BYTES} bytes.",
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Words(
        f"Les en-têtes dépassent {MAX_HEADER_BYTES} octets ou {MAX_HEADERS} lignes.",
        f"The headers are longer than {MAX_HEADER_BYTES} bytes or {MAX_HEADERS} lines.",
    ),
}


class _LimitedConnection(h11.Connection):
    """An h11 connection that also limits the URL and the number of headers.

    h11 itself limits an event while it is incomplete; one that arrives whole in one read is measured here.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADER_BYTES)
        self.rejected_with = HTTPStatus.BAD_REQUEST

    def next_event(self) -> Any:
        """Return the next event. Raises h11.RemoteProtocolError; `rejected_with` is its status."""
        in_head = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.rejected_with = self._status(error, in_head)
            raise
        if isinstance(event, h11.Request) and (status := _too_large(event)):
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


def _too_large(request: h11.Request) -> HTTPStatus | None:
    """The status for a URL or headers beyond the limits."""
    if len(request.target) > MAX_TARGET_BYTES:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    size = sum(len(name) + len(value) + 4 for name, value in request.headers)
    if len(request.headers) > MAX_HEADERS or size + len(request.target) > MAX_HEADER_BYTES:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


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
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: _LimitedConnection = _LimitedConnection()
        self._lingering: asyncio.TimerHandle | None = None
        self._discarded = 0

    def data_received(self, data: bytes) -> None:
        if self._lingering is None:
            super().data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close when the current response is complete."""
        if self._lingering is None:
            super().shutdown()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 rejects with its status, then close once the client had time to read it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the body is broken: whoever reads it stops
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # a response is under way already: nothing can follow it
            return
        status = self.conn.rejected_with
        words = _TOO_LONG.get(status, KINDS["INVALID_REQUEST"].words)
        body = msgspec.json.encode(ErrorAnswer(error=ErrorBody("INVALID_REQUEST", words.french)))
        response = h11.Response(
            status_code=status,
            reason=status.phrase.encode(),
            headers=[
                *self.server_state.default_headers,
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ],
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        if self.transport.can_write_eof():  # TLS cannot end one direction
            self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _should_upgrade(self) -> bool:
        return False
