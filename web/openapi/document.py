"""The OpenAPI 3.1 document, generated from the handlers.

Litestar's generator adds answers that this box never gives (its own 400 body, an HTML 404), and cannot
describe a field with an error code of its own. msgspec generates the JSON Schema of the structs that
validate requests and encode answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from inspect import getdoc
from typing import Any, cast, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.routes import HTTPRoute

from appliance import __version__
from appliance.core.i18n import DEFAULT
from appliance.domain.errors import ERROR_SPECS, Code, Reason
from appliance.domain.parsing import fields_of
from appliance.domain.schemas import BulkEntry
from web.error_responses import ErrorAnswer, error_body
from web.openapi.examples import ANSWERS
from web.openapi.metadata import Operation, Parameter

Json = dict[str, Any]

_TAGS = {
    "Sending": "Send one SMS or many. A 202 means that the message is on disk.",
    "Tracking": "Status, history, statistics, cancelling and export.",
    "One-time codes": "One-time codes: the box creates, sends and verifies them.",
    "Webhooks": "Notifications to your own server.",
    "Receiving": "Received messages and the block list.",
    "Account": "The API key and the modems that it may use.",
    "Service": "Health and metrics. No key required.",
}
_DESCRIPTION = (
    "JSON in UTF-8. Times are RFC 3339 in UTC, to the second. Every success has "
    '`"success": true`; every failure is `{"success": false, "error": {"code", "message"}}` '
    "with a `message` in French, or in the language that `Accept-Language` prefers. Unknown fields of a body "
    "are ignored and named in `warnings`; `null` in an optional field means absent."
)

# Of every operation, of those under /v1, of those that write, and of those with a body.
_ALWAYS: tuple[Code, ...] = ("INTERNAL_ERROR",)
_KEYED: tuple[Code, ...] = (
    *("MISSING_AUTH_HEADERS", "INVALID_API_KEY", "INVALID_CLIENT_ID", "INVALID_DEVICE_ID"),
    *("KEY_NOT_ALLOWED", "RATE_LIMIT_EXCEEDED", "INVALID_REQUEST"),
)
_WRITES: tuple[Code, ...] = ("PAYLOAD_TOO_LARGE", "STORAGE_FULL")
_BODIED: tuple[Code, ...] = ("INVALID_REQUEST", "UNSUPPORTED_MEDIA_TYPE")

# A name that a browser on the LAN finds; a client sets the address of its own box.
_SERVER: Json = {
    "url": "http://{host}",
    "description": "The box",
    "variables": {"host": {"default": "zimbox.local", "description": "Name or address, and port."}},
}
# A parameter, not a second security scheme: Postman keeps one scheme of a requirement.
_CLIENT = Parameter(
    "X-Client-ID",
    "header",
    "The client that the key belongs to.",
    {"type": "string"},
    required=True,
    example="client_1",
)
_DEVICE = Parameter(
    "X-Device-ID",
    "header",
    "The modem to use. By default the box picks one.",
    {"type": "string"},
    example="device_1",
)
_LANGUAGE = Parameter(
    "Accept-Language",
    "header",
    "Language of messages for people: the preferred one of those that the box has.",
    {"type": "string", "default": DEFAULT},
    example="en",
)


def document(app: Litestar) -> Json:
    """Return the OpenAPI document of the registered routes."""
    found = list(_operations(app))
    paths: dict[str, Json] = {}
    for path, method, handler in found:
        paths.setdefault(path, {})[method] = _operation(path, method, handler)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ZimBox",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [_SERVER],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas([handler for _, _, handler in found]),
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "BearerKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The API key, where `X-API-Key` cannot be set.",
                },
                "KeyField": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "key",
                    "description": "The API key in the address, for devices that can set no header.",
                },
                "MetricsToken": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            # In a fixed order: Litestar keeps the methods of a path in a set.
            for method, (handler, _) in sorted(
                route.route_handler_map.items(), key=lambda entry: entry[0]
            ):
                if "operation" in handler.opt:
                    yield route.path_format, method.lower(), handler


def _operation(path: str, method: str, handler: HTTPRouteHandler) -> Json:
    more: Operation = handler.opt["operation"]
    keyed = path.startswith("/v1/")
    body = more.body
    client = [] if more.key_only else [_CLIENT]
    parameters = (*more.parameters, *([*client, _DEVICE] if keyed else []), _LANGUAGE)
    codes = (
        *_ALWAYS,
        *(_KEYED if keyed else ()),
        *(_WRITES if method != "get" or more.in_address else ()),
        *(_BODIED if body else ()),
        *more.errors,
    )
    codes = tuple(c for c in codes if not (more.any_key and c == "KEY_NOT_ALLOWED"))
    operation: Json = {
        "operationId": handler.handler_name,
        "summary": handler.summary,
        "description": getdoc(handler.fn) or "",
        "tags": list(handler.resolve_tags()),
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": {str(handler.status_code): _success(handler, more), **_errors(codes, more)},
        "security": _security(keyed, more),
    }
    if body:
        content: Json = {"schema": _reference(body)}
        if more.example is not None:
            content["example"] = more.example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _security(keyed: bool, more: Operation) -> list[Json]:
    if keyed:
        in_address = [{"KeyField": list[str]()}] if more.in_address else []
        return [{"ApiKey": []}, {"BearerKey": []}, *in_address]
    return [{}, {"MetricsToken": []}] if "INVALID_API_KEY" in more.errors else []


def _parameter(parameter: Parameter) -> Json:
    operation: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }
    if parameter.place == "query":
        operation["allowEmptyValue"] = True  # it means absent
    if parameter.example is not None:
        operation["example"] = parameter.example
    return operation


def _success(handler: HTTPRouteHandler, more: Operation) -> Json:
    answer = _answer(handler)
    phrase = HTTPStatus(handler.status_code).phrase
    if more.media:
        text = {"schema": {"type": "string"}}
        return {"description": phrase, "content": dict.fromkeys(more.media, text)}
    if answer is None:
        return {"description": phrase}
    content: Json = {"schema": _reference(answer)}
    if handler.handler_name in ANSWERS:
        content["example"] = ANSWERS[handler.handler_name]
    return {"description": getdoc(answer) or phrase, "content": {"application/json": content}}


def _errors(codes: tuple[Code, ...], more: Operation) -> dict[str, Json]:
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(ERROR_SPECS[code].status, []).append(code)
    of_kind = _error_line if more.in_address else _error
    return {str(status): of_kind(by_status[status]) for status in sorted(by_status)}


def _error(codes: list[Code]) -> Json:
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {
            "application/json": {
                "schema": _reference(ErrorAnswer),
                "examples": {
                    code: {
                        "value": msgspec.to_builtins(
                            ErrorAnswer(error=error_body(Reason(code), DEFAULT))
                        )
                    }
                    for code in codes
                },
            }
        },
    }


def _error_line(codes: list[Code]) -> Json:
    """The errors of a route that answers in one line."""
    lines = {code: {"value": f"ERROR {code}: {Reason(code).message()}\n"} for code in codes}
    text = {"schema": {"type": "string"}, "examples": lines}
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {"text/plain": text},
    }


# --- schemas -----------------------------------------------------------------------------------

_PLACE = "#/components/schemas/{name}"


def _reference(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": _PLACE.format(name=kind.__name__)}


def _answer(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    kind = handler.parsed_fn_signature.return_type.annotation
    if kind in (None, type(None)) or kind is Stream or get_origin(kind) is Response:
        return None
    return _struct(kind)


def _struct(kind: Any) -> type[msgspec.Struct]:
    if not issubclass(kind, msgspec.Struct):
        raise TypeError(f"{kind} is neither a body nor an answer")
    return cast("type[msgspec.Struct]", kind)


def _schemas(handlers: list[HTTPRouteHandler]) -> Json:
    bodies = [body for handler in handlers if (body := handler.opt["operation"].body)]
    answers = [answer for handler in handlers if (answer := _answer(handler))]
    request_schemas = {body.__name__: _body_schema(body) for body in (*bodies, BulkEntry)}
    _, response_schemas = msgspec.json.schema_components(
        [*answers, ErrorAnswer], ref_template=_PLACE
    )
    for schema in response_schemas.values():
        _as_answered(schema)
    for schema in response_schemas.values():
        schema["properties"] = {
            name: _for_generators(field) for name, field in schema.get("properties", {}).items()
        }
    # A name of its own, or generators name it after the first body that has it.
    priority = request_schemas["SendBody"]["properties"]["priority"]
    for schema in request_schemas.values():
        if "priority" in schema["properties"]:
            schema["properties"]["priority"] = {"$ref": _PLACE.format(name="Priority")}
    return dict(sorted({**request_schemas, **response_schemas, "Priority": priority}.items()))


def _body_schema(body: type[msgspec.Struct]) -> Json:
    fields = fields_of(body)
    any_object = {} if fields else {"additionalProperties": True}
    return {
        "title": body.__name__,
        "description": getdoc(body),
        "type": "object",
        # What must be given is read first.
        "properties": {
            name: field.schema for name, _, field in sorted(fields, key=lambda field: not field[1])
        },
        "required": [name for name, required, _ in fields if required],
        **any_object,
    }


def _for_generators(field: Json) -> Json:
    """The same field in the subset of JSON Schema that client generators agree on.

    openapi-generator and openapi-python-client generate code that does not compile, or that refuses
    the box's own answers, for `const`, for a null default, and for `anyOf` beside other keywords.
    """
    field = dict(field)
    if field.get("default", ...) is None:
        del field["default"]
    if "const" in field:
        constant = field.pop("const")
        if not isinstance(constant, bool):
            field["enum"] = [constant]
    choices: list[Json] = field.get("anyOf", [])
    if len(choices) == 2 and choices[1] == {"type": "null"} and "type" in choices[0]:
        del field["anyOf"]
        if None in field.get("enum", ()):
            names = [name for name in field.pop("enum") if name is not None]
            field["oneOf"] = [{**choices[0], "enum": names}, {"type": "null"}]
        else:
            field |= {**choices[0], "type": [choices[0]["type"], "null"]}
    return field


def _as_answered(schema: Json) -> None:
    """An answer always has the fields that have a default: only UNSET ones may be missing."""
    fields: Json = schema.get("properties", {})
    required = set(schema.get("required", ()))
    schema["required"] = [name for name in fields if name in required or "default" in fields[name]]
    for field in fields.values():
        field.pop("default", None)
