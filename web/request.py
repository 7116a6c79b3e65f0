"""The door: what a request carries (body, query, idempotency key), checked before a handler sees it."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import InternalServerException
from litestar.params import SkipValidation

from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import BulkEntry, taken
from appliance.domain.views import Caller, Gateway
from web.error_responses import language

BODY_BYTES = 256 * 1024
BULK_BYTES = 16 * 1024 * 1024
WARNINGS = 20  # unknown fields that are named; a body can contain a million
NAME_CHARACTERS = 64

Box = NamedDependency[SkipValidation[Gateway]]
Asker = NamedDependency[SkipValidation[Caller]]


class NoBody(msgspec.Struct):
    """The schema of a request without a body."""


class ApiRequest(Request[Caller, str, State]):
    """A request whose JSON body is decoded to the schema of the handler's `data`."""

    async def json(self) -> Any:
        """Return the decoded body and note its unknown fields. Raises UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST."""
        self._only_json()
        self.state.body = decoded(await self.body())
        field = self.route_handler.parsed_data_field
        assert field is not None  # Litestar decodes the body only for handlers with `data`
        self.state.unknown = unknown_fields(self.state.body, field.annotation)
        return taken(self.state.body, field.annotation)

    async def body(self) -> bytes:
        """Its octets. INVALID_REQUEST when the connection ends before they are all there."""
        try:
            return await super().body()
        except InternalServerException:  # Litestar's only one here: the client hung up
            raise invalid("body", "est incomplet", "is incomplete") from None

    async def note_unread(self) -> None:
        """Note the fields of an unexpected body: all of them are unknown."""
        with contextlib.suppress(ApiError):
            self.state.unknown = unknown_fields(decoded(await self.body()), NoBody)

    def _only_json(self) -> None:
        # Without a Content-Type the body is taken for JSON (RFC 9110 8.3).
        kind = self.content_type[0].strip().lower()
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
        key = self.headers.get("Idempotency-Key")
        if key is None:
            return None
        canonical = msgspec.json.encode(self.state.body, order="sorted")
        route = self.scope["path_template"].encode()
        return Idempotency(
            validation.idempotency_key(key), hashlib.sha256(route + b"\n" + canonical).digest()
        )

    @property
    def language(self) -> Any:
        """The language of the answer: `fr` or `en`."""
        return language(self)


def decoded(body: bytes) -> Any:
    """Decode a JSON body to plain values. Raises INVALID_REQUEST."""
    try:
        # Some clients write a byte order mark (RFC 8259 8.1: it may be ignored).
        return msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError:
        raise invalid("body", "n'est pas en UTF-8 valide", "is not valid UTF-8") from None
    except RecursionError:
        raise invalid("body", "est trop imbriqué", "is nested too deeply") from None
    except ValueError as error:  # errors of msgspec are ValueErrors too
        raise invalid(
            "body", f"n'est pas du JSON valide ({error})", f"is not valid JSON ({error})"
        ) from None


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
