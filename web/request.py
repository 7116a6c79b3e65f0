"""Requests of the API: body, query and idempotency key, validated before a handler runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.types import Scope

from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import BulkEntry, Reading
from appliance.domain.views import Caller
from appliance.services import Services
from web.body import FREE_BYTES, LARGE_SECONDS, decode
from web.error_responses import preferred
from web.openapi.metadata import Operation

WARNINGS = 20  # unknown fields that are named; a body can contain a million
NAME_CHARACTERS = 64

ServicesDep = NamedDependency[SkipValidation[Services]]
CallerDep = NamedDependency[SkipValidation[Caller]]


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this lower-case name.

    A `Headers` object of Litestar costs several times as much as reading the few headers of a request.
    """
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


class NoBody(msgspec.Struct):
    """The schema of a request without a body."""


class ApiRequest(Request[Caller, str, State]):
    """A request with a JSON body: decoded before its handler runs, and read by the handler.

    In between the handler looks for an earlier answer, which must not depend on rules that know the time.
    """

    async def decode(self) -> None:
        """Decode the body and note its unknown fields. Raises UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST.

        All fields of a body that no handler reads are unknown.
        """
        operation: Operation | None = self.route_handler.opt.get("operation")
        kind = operation.body if operation else None
        if kind is None:
            if self.method != "GET":
                await self._note_unread()
            return
        raw = await self.body()
        if not raw:
            raise invalid("body", _("is required"))
        self._only_json()
        kept = self.kept
        kept["raw"] = b""  # `body` has what is needed of it
        body = kept["body"] = decode(raw, kind)
        del raw
        kept["warnings"] = [*unknown_fields(body, kind), *self._schedule_without_offset(body)]

    @property
    def kept(self) -> dict[str, Any]:
        """What is kept until the response is out. `state` makes an object of it each time."""
        return self.scope["state"]

    @property
    def reading(self) -> Reading:
        """What the rules need besides the body."""
        context = self.app.state.services.context
        return Reading(context.clock.now(), context.numbers, self.user.permissions.short_codes)

    @property
    def fields(self) -> Any:
        """The decoded body."""
        return self.kept["body"]

    async def body(self) -> bytes:
        """Return the body; a large one waits until there is room for it.

        Raises INVALID_REQUEST when it is incomplete, or too slow while others wait; PAYLOAD_TOO_LARGE.
        """
        kept = self.kept
        raw: bytes | None = kept.get("raw")
        if raw is not None:
            return raw
        most: int | None = self.route_handler.resolve_request_max_body_size()
        length = header(self.scope, b"content-length")  # h11 has checked that it is a number
        announced = None if length is None else int(length)
        if most is not None and (announced or 0) > most:
            raise ApiError("PAYLOAD_TOO_LARGE")
        event = cast("dict[str, Any]", await self.receive())
        # Most bodies are small and come whole.
        if event["type"] == "http.request" and not event.get("more_body"):
            raw = event["body"]
            if len(raw) <= min(FREE_BYTES, FREE_BYTES if most is None else most):
                kept["raw"] = raw
                return raw
            del raw
        # Not copied: both would take 32 MiB for a moment.
        raw = kept["raw"] = cast("bytes", await self._long_body(event, announced, most))
        return raw

    async def _long_body(
        self, event: dict[str, Any], announced: int | None, most: int | None
    ) -> bytearray:
        """Return a body of which `event` is the beginning."""
        body, room = bytearray(), self.kept["reservation"]
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    if event["type"] != "http.request":
                        raise invalid("body", _("is incomplete"))
                    body += event.pop("body", b"")
                    if most is not None and len(body) > most:
                        raise ApiError("PAYLOAD_TOO_LARGE")
                    await room.cover(len(body), announced)
                    if room.large and limit.when() is None:
                        limit.reschedule(asyncio.get_running_loop().time() + LARGE_SECONDS)
                    if not event.get("more_body"):
                        return body
                    event = cast("dict[str, Any]", await self.receive())
        except TimeoutError:
            raise invalid("body", _("does not arrive fast enough")) from None
        except ApiError:
            body = bytearray()  # the traceback keeps this frame for a while
            raise

    async def _note_unread(self) -> None:
        """Note the fields of an unexpected body: all of them are unknown."""
        with contextlib.suppress(ApiError):
            self.kept["warnings"] = unknown_fields(decode(await self.body(), NoBody), NoBody)

    def _schedule_without_offset(self, body: Any) -> list[str]:
        """Return a warning for a schedule that is read as UTC and was perhaps meant otherwise."""
        when = body.get("scheduled_at") if isinstance(body, dict) else None
        if not isinstance(when, str) or not validation.lacks_offset(when):
            return []
        found = validation.moment(when)
        if found is None:  # refused later
            return []
        read = validation.timestamp(found[0]) or ""
        warning = _("scheduled_at: no UTC offset was given, so it is read as {when}", when=read)
        return [warning.plain(self.language)]

    def _only_json(self) -> None:
        encoding = (header(self.scope, b"content-encoding") or "identity").strip().lower()
        if encoding != "identity":
            raise ApiError(
                "UNSUPPORTED_MEDIA_TYPE", {"content_encoding": encoding[:NAME_CHARACTERS]}
            )
        # Without a Content-Type the body is taken for JSON (RFC 9110 8.3).
        kind = (header(self.scope, b"content-type") or "").partition(";")[0].strip().lower()
        is_json = kind in ("", "application/json", "text/json") or (
            kind.startswith("application/") and kind.endswith("+json")
        )
        if not is_json:
            raise ApiError("UNSUPPORTED_MEDIA_TYPE", {"content_type": kind[:NAME_CHARACTERS]})

    @property
    def wanted(self) -> dict[str, str]:
        """The query parameters, the last value of each name."""
        raw = self.scope["query_string"].decode("latin-1")
        return dict(parse_qsl(raw, keep_blank_values=True, errors="replace"))

    @property
    def idempotency(self) -> Idempotency | None:
        """The Idempotency-Key with the fingerprint of its request, independent of the order of JSON fields."""
        key = header(self.scope, b"idempotency-key")
        if key is None:
            return None
        canonical = msgspec.json.encode(self.kept["body"], order="sorted")
        route = self.scope["path_template"].encode()
        return Idempotency(
            validation.idempotency_key(key), hashlib.sha256(route + b"\n" + canonical).digest()
        )

    @property
    def language(self) -> Any:
        """The language of the answer: `fr` or `en`."""
        return preferred(header(self.scope, b"accept-language") or "")


def unknown_fields(body: Any, kind: type[msgspec.Struct]) -> list[str]:
    """Return the unknown fields of a body, each once; those of bulk entries as `messages[].x`."""
    if not isinstance(body, dict):
        return []
    names = {f"{name}": None for name in body if name not in _known(kind)}
    entries = body.get("messages")
    if "messages" in _known(kind) and isinstance(entries, list):
        if body.get("message") is not None:  # the text of `recipients`
            names["message"] = None
        for entry in entries:
            if isinstance(entry, dict) and len(names) < WARNINGS:
                names |= {
                    f"messages[].{name}": None for name in entry if name not in _known(BulkEntry)
                }
    return [name[:NAME_CHARACTERS] for name in list(names)[:WARNINGS]]


def _known(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(kind.__struct_encode_fields__)
