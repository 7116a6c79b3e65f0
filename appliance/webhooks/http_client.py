"""The HTTP client of webhooks. The only module that sends with httpx.

It sends one POST to an allowed address and reads one response within a time limit. It follows no redirects, uses
no proxies and cookies, keeps no connections, and reads only as much of a body as the receiver needs to finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import cast

import certifi
import httpx
import msgspec

from appliance.core.config import WebhookSettings
from appliance.core.i18n import Text, _
from appliance.webhooks.egress import Address, Egress, address_in, bare_host

# Only the status matters. The body is read up to these limits, so that an ordinary receiver can finish
# its answer.
BODY_OCTETS = 16 * 1024
BODY_SECONDS = 0.5
ADDRESSES_MOST = 4  # of one name; each gets a share of the time to connect
LOOKUPS_MOST = (
    64  # names resolved at once; a dead name server must not fill the memory with threads
)


NOBODY_LISTENS = _("nothing listens there: check the port, and that the program runs")


def _lost(detail: str) -> Text:
    return _("the connection was lost ({detail})", detail=detail)


class CallResult(msgspec.Struct, frozen=True):
    """The result of a call: the receiver's status, or None and the reason."""

    status: int | None
    milliseconds: int
    reason: str = ""  # one English sentence after a failure
    why: Text | None = None  # the same for the owner, with what to do

    @property
    def success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class NoCall(Exception):
    """No connection was made; the message says why in English, `why` says it to the owner."""

    def __init__(self, reason: str, why: Text | None = None) -> None:
        super().__init__(reason)
        self.why = why or _lost(reason)


Resolve = Callable[[str], Sequence[Address]]


def resolve(host: str) -> Sequence[Address]:
    """Return the addresses of a name in the resolver's order. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ip_address(_scoped(entry[4])) for entry in found]


def _scoped(place: tuple[object, ...]) -> str:
    """Return the address in a sockaddr; a link-local one with its zone."""
    text = str(place[0])
    zone = place[3] if len(place) > 3 else 0
    return f"{text}%{zone}" if zone and "%" not in text else text


def is_own(address: Address) -> bool:
    """Return whether an interface of this machine has an address: only then can it be bound."""
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        # EINVAL: a link-local address without its zone; EAFNOSUPPORT: a machine without IPv6.
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT, errno.ENODEV):
            return False
        raise
    return True


def egress_rules(settings: WebhookSettings) -> Egress:
    """Return the rules for this machine: an address of its own leads to the box itself."""
    return Egress(is_own, allow_loopback=settings.allow_loopback)


class Lookups:
    """Resolves each name in its own thread, so that a dead name server delays only its names.

    A name is not resolved twice at the same time: a caller that gives up (5 s) leaves the thread to the
    resolver's time-outs (up to 30 s), and the next caller of that name joins it.
    """

    def __init__(self, ask: Resolve = resolve) -> None:
        self._ask = ask
        self._open: dict[str, asyncio.Future[Sequence[Address] | str]] = {}

    async def addresses(self, host: str) -> Sequence[Address]:
        """Return the addresses of a host. Raises NoCall."""
        found = await asyncio.shield(self._question(host))
        if isinstance(found, str):
            raise NoCall(
                found,
                _(
                    "the name {host} was not found: check how it is written, or use the address",
                    host=host,
                ),
            )
        return found

    def _question(self, host: str) -> asyncio.Future[Sequence[Address] | str]:
        question = self._open.get(host)
        if question is None:
            if len(self._open) >= LOOKUPS_MOST:
                raise NoCall("too many names are being looked up already")
            loop = asyncio.get_running_loop()
            thread = threading.Thread(
                target=self._look_up, args=(loop, host), name=f"look-up {host}", daemon=True
            )
            try:
                thread.start()
            except (
                RuntimeError
            ) as error:  # no memory for another thread: the future would never be answered
                raise NoCall(f"the name {host} was not looked up: {error}") from None
            question = self._open[host] = loop.create_future()
        return question

    def _look_up(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        try:
            found: Sequence[Address] | str = list(dict.fromkeys(self._ask(host)))
        except (OSError, ValueError) as error:  # ValueError: not a valid name
            found = f"the name {host} was not resolved: {error}"
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, so nobody waits
            loop.call_soon_threadsafe(self._answered, host, found)

    def _answered(self, host: str, found: Sequence[Address] | str) -> None:
        question = self._open.pop(host)
        if not question.done():
            question.set_result(found)


@functools.cache
def trust(ca_file: str = "") -> ssl.SSLContext:
    """Return the TLS context: the authorities of the system (or Mozilla's), or those of `ca_file`.

    Raises OSError (including ssl.SSLError) if the file is not PEM.
    """
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


class WebhookClient:
    """The HTTP client of webhooks. Call `close` at the end."""

    def __init__(
        self,
        rules: Egress,
        *,
        timeout_seconds: float,
        trusted: ssl.SSLContext | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        self._rules = rules
        self._seconds = timeout_seconds
        self._lookups = lookups or Lookups()
        self._transport = httpx.AsyncHTTPTransport(
            verify=trusted or trust(),
            trust_env=False,
            # A connection per event: its address is checked, and no idle time-out of a receiver can
            # race with our next event.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        await self._transport.aclose()

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> CallResult:
        """Send one POST request within the time-out. Network errors are part of the result, not raised."""
        started = time.monotonic()
        status, reason, why = None, "", None
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._open(httpx.URL(url), headers, body)
            status = response.status_code
            if not 200 <= status < 300:
                reason, why = (
                    f"answered {status}",
                    _("it answered with the error {status}", status=status),
                )
            milliseconds = _since(started)
            await _get_rid(response)
        except (TimeoutError, httpx.TimeoutException):
            seconds = f"{self._seconds:g}"
            milliseconds, reason = _since(started), f"no answer within {seconds} s"
            why = _("it did not answer within {seconds} seconds", seconds=seconds)
        except NoCall as error:
            milliseconds, reason, why = _since(started), str(error), error.why
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            milliseconds, (reason, why) = _since(started), _in_words(error)
        return CallResult(status, milliseconds, reason, why)

    async def _open(
        self, url: httpx.URL, headers: Sequence[tuple[str, str]], body: bytes
    ) -> httpx.Response:
        """Connect to the first allowed address that accepts; return the response head. Raises NoCall."""
        host = bare_host(url)
        addresses = await self._allowed(url.scheme, host)
        share = self._seconds / len(addresses)
        for tried, address in enumerate(addresses, start=1):
            request = httpx.Request(
                "POST",
                url.copy_with(host=str(address)),
                headers=[("Host", url.netloc.decode("ascii")), *headers],
                content=body,
                extensions={
                    "timeout": dict.fromkeys(("read", "write", "pool"), self._seconds)
                    | {"connect": share},
                    # The certificate must match the name, not the address.
                    "sni_hostname": host if address_in(host) is None else None,
                },
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if tried == len(addresses):
                    raise
        raise AssertionError("there is at least one address")

    async def _allowed(self, scheme: str, host: str) -> Sequence[Address]:
        """Return the allowed addresses of a host. Raises NoCall if there is none."""
        literal = address_in(host)
        found = [literal] if literal is not None else await self._lookups.addresses(host)
        objections = [(a, self._rules.objection_to(scheme, a)) for a in found]
        allowed = [address for address, objection in objections if objection is None]
        if not allowed:
            raise NoCall(
                "; ".join(
                    f"not connected to {address}: {objection}"
                    for address, objection in objections
                    if objection
                )
                or f"the name {host} has no address",
                next((objection for _address, objection in objections if objection), None),
            )
        return allowed[:ADDRESSES_MOST]


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


async def _get_rid(response: httpx.Response) -> None:
    """Read the rest of a short, quick response, then close the connection."""
    read = 0
    chunks = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
    # The status has been received, whatever fails from here on.
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(BODY_SECONDS), contextlib.aclosing(chunks):
            async for chunk in chunks:
                read += len(chunk)
                if read >= BODY_OCTETS:
                    break
    await response.aclose()


def _in_words(error: Exception) -> tuple[str, Text]:
    """Return what failed, with the reason from the system or TLS: for the log, and for the owner."""
    text = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            detail = f"{getattr(cause, 'verify_message', '') or cause.reason or cause}"
            return f"TLS: {detail}", _("its certificate was not accepted ({detail})", detail=detail)
        if isinstance(cause, OSError) and cause.errno:
            detail = os.strerror(cause.errno)
            if cause.errno == errno.ECONNREFUSED:
                return f"not connected: {detail}", NOBODY_LISTENS
            return f"not connected: {detail}", _(
                "its address cannot be reached ({detail})", detail=detail
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return f"no HTTP answer: {text}", _("it did not answer in HTTP ({detail})", detail=text)
    text = text or type(error).__name__
    return f"connection lost: {text}", _lost(text)
