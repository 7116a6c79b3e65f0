"""Settings: clients and keys, webhooks, the block list, the box itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args
from zoneinfo import available_timezones

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.core.i18n import _, languages
from appliance.domain.errors import ApiError, invalid
from appliance.domain.requests import PageFilter, WebhookEvent
from appliance.domain.schemas import WebhookBody
from appliance.domain.views import Permissions
from appliance.store.rows import KeyRow
from web.page.notices import NOTHING, Notice
from web.page.rendering import mark, page, sentence
from web.page.visitor import TOKEN_FIELD, Seen
from web.request import ServicesDep

LOG_ROWS = 50
# Beginnings of names that are kept for old systems only.
OLD_ZONES = {"Brazil", "Canada", "Chile", "Etc", "Mexico", "SystemV", "US", "posix", "right"}
# The API's names of fields, and the page's.
KEY_FIELDS = {name: name for name in ("name", "prefixes", "daily_cap", "simple", "alert_to")}
BLOCKED_FIELDS = {"number": "number", "to": "number", "reason": "reason"}
PREFERENCE_FIELDS = {"own_number": "own_number", "time_zone": "time_zone"}
CHANGED = _(
    "These settings have changed meanwhile in another window: nothing was saved. Here "
    "they are as they stand."
)


def whole(text: str) -> int | None:
    """Return the whole number of a field; None for anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def most_of(text: str) -> int | None:
    """Return a limit as typed: `200`, `1 000`, empty (0). None for anything else."""
    return whole("".join(text.split()) or "0")


def outdated(fields: dict[str, str], now: object, wanted: object) -> bool:
    """Return whether a form would undo a later change. A form sent twice does not."""
    return now != wanted and fields.get("shown", mark(now)) != mark(now)


# What is typed into these is kept nowhere.
SECRET = {"password", "again", "old", "new", "pin", "puk", TOKEN_FIELD}


def back(
    request: Seen,
    path: str,
    *,
    error: str = "",
    field: str = "",
    form: str = "",
    typed: Mapping[str, str] | None = None,
    saved: bool = False,
    answer: str = "",
) -> Redirect:
    """Redirect to the page of the form, with what is to be said there and, after an error, what was typed."""
    kept = {name: value for name, value in (typed or {}).items() if name not in SECRET}
    if error or saved or answer:
        request.leave_notice(path, Notice(error, field, form, kept, saved, answer))
    return Redirect(path, status_code=SEE_OTHER)


def refused_field(refusal: ApiError, names: Mapping[str, str]) -> str:
    """Return the field of the page that an error is about; `names` are those of the API and the page."""
    details = refusal.reason.details or {}
    return names.get(str(details.get("field", "")), "")


@get("/settings")
async def overview(request: Seen, services: ServicesDep) -> Response[str]:
    """Show the list of settings pages."""
    return page(request, "settings.html", preferences=services.admin.preferences.current)


# --- clients and keys ----------------------------------------------------------------------------


@get("/settings/keys")
async def keys(request: Seen, services: ServicesDep) -> Response[str]:
    """Show clients with their keys."""
    return await _keys(request, services)


async def _keys(
    request: Seen, services: ServicesDep, *, made: str = "", notice: Notice | None = None
) -> Response[str]:
    notice = notice or request.notice
    return page(
        request,
        "keys.html",
        status=400 if notice.error else 200,
        notice=notice,
        clients=await services.admin.clients.listed(),
        keys=[(key, _permissions(key)) for key in await services.admin.clients.keys()],
        now=services.context.clock.now(),
        made=made,
        made_client=request.state.get("made_client", 0),
        made_simple=request.state.get("made_simple", False),
        base=base(request, services),
        everything=Permissions(),
    )


def _permissions(key: KeyRow) -> Permissions:
    return msgspec.json.decode(key.permissions, type=Permissions)


def base(request: Seen, services: ServicesDep) -> str:
    """Return the address of this box: that of its reverse proxy, else the one that the browser used."""
    return (services.context.config.server.public_url or str(request.base_url)).rstrip("/")


@post("/settings/keys", status_code=200)
async def add_key(request: Seen, services: ServicesDep) -> Response[str]:
    """Create a key, shown in this answer only."""
    fields = await request.fields()
    try:
        may = permissions_of(fields)
        client = whole(fields.get("client", "")) or await services.admin.clients.first()
        made = await services.admin.clients.add_key(
            client, fields.get("name", ""), test=fields.get("mode") == "test", permissions=may
        )
    except ApiError as refusal:
        field = refused_field(refusal, KEY_FIELDS)
        wrong = Notice(sentence(request, refusal), field, "new", fields)
        return await _keys(request, services, notice=wrong)
    request.state.made_client = made.client
    request.state.made_simple = may.simple
    return await _keys(request, services, made=made.key)


def permissions_of(fields: dict[str, str]) -> Permissions:
    """Return the permissions of a form. Raises INVALID_REQUEST."""
    cap = fields.get("daily_cap", "").strip()
    most = most_of(cap) if cap else None
    if cap and most is None:
        raise invalid("daily_cap", _("is written in digits"))
    return Permissions(
        send="no_send" not in fields,
        read="no_read" not in fields,
        short_codes="short_codes" in fields,
        prefixes=tuple(fields.get("prefixes", "").replace(",", " ").split()),
        daily_cap=most,
        simple="simple" in fields,
        alert_to=tuple(
            number.strip()
            for number in re.split("[,;]", fields.get("alert_to", ""))
            if number.strip()
        ),
    )


@post("/settings/keys/{key:int}/restrict", status_code=SEE_OTHER)
async def restrict(request: Seen, services: ServicesDep, key: int) -> Response[str] | Redirect:
    """Change the permissions of a key."""
    fields = await request.fields()
    try:
        wanted = permissions_of(fields)
        now = next(
            (_permissions(row) for row in await services.admin.clients.keys() if row.id == key),
            wanted,
        )
        if outdated(fields, now, wanted):
            changed = Notice(request.visitor.language.say(CHANGED))
            return await _keys(request, services, notice=changed)
        await services.admin.clients.restrict(key, wanted)
    except ApiError as refusal:
        field = refused_field(refusal, KEY_FIELDS)
        wrong = Notice(sentence(request, refusal), field, str(key), fields)
        return await _keys(request, services, notice=wrong)
    return back(request, "/settings/keys", saved=True)


@post("/settings/keys/{key:int}/revoke", status_code=SEE_OTHER)
async def revoke(request: Seen, services: ServicesDep, key: int) -> Redirect:
    """Revoke a key; its queued messages are sent, unless they are to be cancelled."""
    await services.admin.clients.revoke(
        key, cancel_queued="cancel_queued" in await request.fields()
    )
    return back(request, "/settings/keys", saved=True)


@post("/settings/clients", status_code=200)
async def add_client(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Create a client."""
    fields = await request.fields()
    try:
        await services.admin.clients.add(fields.get("name", ""))
    except ApiError as refusal:
        wrong = Notice(sentence(request, refusal), "name", "client", fields)
        return await _keys(request, services, notice=wrong)
    return back(request, "/settings/keys", saved=True)


# --- webhooks ------------------------------------------------------------------------------------


@get("/settings/webhooks")
async def webhooks(request: Seen, services: ServicesDep) -> Response[str]:
    """Show the webhooks."""
    return await _webhooks(request, services, request.notice)


async def _webhooks(
    request: Seen,
    services: ServicesDep,
    notice: Notice,
    *,
    secret: str = "",
    chosen: Sequence[str] = ("sms.delivered", "sms.failed", "sms.received"),
) -> Response[str]:
    return page(
        request,
        "webhooks.html",
        status=400 if notice.typed else 200,
        notice=notice,
        chosen=chosen,
        hooks=await services.admin.webhooks.listed(),
        clients=await services.admin.clients.listed(),
        events=get_args(WebhookEvent),
        secret=secret,
    )


@post("/settings/webhooks", status_code=200)
async def add_webhook(request: Seen, services: ServicesDep) -> Response[str]:
    """Create a webhook; its secret is shown in this answer only."""
    fields = await request.fields()
    chosen = await request.values("events")
    events = tuple(name for name in get_args(WebhookEvent) if name in chosen)
    try:
        client = whole(fields.get("client", "")) or await services.admin.clients.first()
        if not events:
            raise invalid("events", _("at least one must be chosen"))
        made = await services.admin.webhooks.add(
            client, WebhookBody(fields.get("url", "").strip(), events)
        )
    except ApiError as refusal:
        field = refused_field(refusal, {"url": "url", "events": "events"})
        wrong = Notice(sentence(request, refusal), field, "", fields)
        return await _webhooks(request, services, wrong, chosen=events)
    return await _webhooks(request, services, NOTHING, secret=made.secret or "")


@post("/settings/webhooks/{tenant:int}/{webhook_id:str}", status_code=SEE_OTHER)
async def change_webhook(
    request: Seen, services: ServicesDep, tenant: int, webhook_id: str
) -> Redirect:
    """Delete or test a webhook."""
    wanted = (await request.fields()).get("do", "")
    try:
        if wanted == "remove":
            await services.webhooks.delete(tenant, webhook_id)
            return back(request, "/settings/webhooks", saved=True)
        tested = await services.webhooks.test(tenant, webhook_id)
    except ApiError as refusal:
        return back(request, "/settings/webhooks", error=sentence(request, refusal))
    language = request.visitor.language
    if tested.why is not None:
        error = language.say(_("Your server did not answer as it should: {why}.", why=tested.why))
        return back(request, "/settings/webhooks", error=error)
    answer = language.say(_("Your server answered {status}.", status=tested.response_status or 0))
    return back(request, "/settings/webhooks", answer=answer)


@get("/settings/webhooks/{tenant:int}/log")
async def webhook_log(request: Seen, services: ServicesDep, tenant: int) -> Response[str]:
    """Show the attempts to call webhooks, newest first."""
    asked = PageFilter(page=whole(request.query_params.get("page", "")) or 1, limit=LOG_ROWS)
    return page(
        request,
        "webhook_log.html",
        found=await services.webhooks.logs(tenant, asked),
        asked=asked,
        tenant=tenant,
        now=services.context.clock.now(),
        notice=request.notice,
    )


@post("/settings/webhooks/{tenant:int}/log/{log_id:str}/replay", status_code=SEE_OTHER)
async def replay(request: Seen, services: ServicesDep, tenant: int, log_id: str) -> Redirect:
    """Replay an event."""
    try:
        await services.webhooks.replay(tenant, log_id)
    except ApiError as refusal:
        error = sentence(request, refusal)
        return back(request, f"/settings/webhooks/{tenant}/log", error=error)
    return back(request, f"/settings/webhooks/{tenant}/log", saved=True)


# --- block list ----------------------------------------------------------------------------------


@get("/settings/blocked")
async def block_list(request: Seen, services: ServicesDep) -> Response[str]:
    """Show the block list."""
    return page(
        request,
        "blocked.html",
        rows=await services.block_list.all(),
        now=services.context.clock.now(),
        notice=request.notice,
    )


@post("/settings/blocked", status_code=SEE_OTHER)
async def block(request: Seen, services: ServicesDep) -> Redirect:
    """Block a number for every client."""
    fields = await request.fields()
    try:
        await services.block_list.block_for_all(
            fields.get("number", "").strip(), fields.get("reason", "")
        )
    except ApiError as refusal:
        error, field = sentence(request, refusal), refused_field(refusal, BLOCKED_FIELDS)
        return back(request, "/settings/blocked", error=error, field=field, typed=fields)
    return back(request, "/settings/blocked", saved=True)


@post("/settings/blocked/remove", status_code=SEE_OTHER)
async def unblock(request: Seen, services: ServicesDep) -> Redirect:
    """Remove a number from the block list."""
    fields = await request.fields()
    await services.block_list.take_off(
        whole(fields.get("tenant", "")) or 0, fields.get("number", "")
    )
    return back(request, "/settings/blocked", saved=True)


# --- the box -------------------------------------------------------------------------------------


@get("/settings/box")
async def box(request: Seen, services: ServicesDep) -> Response[str]:
    """Show time zone, language, own number, password, support file and power."""
    return page(
        request,
        "box.html",
        preferences=services.admin.preferences.current,
        zone=str(services.context.zone),
        zones=zones(),
        now=services.context.clock.now(),
        has_steward=services.admin.maintenance.has_steward,
        notice=request.notice,
    )


@post("/settings/box", status_code=SEE_OTHER)
async def prefer(request: Seen, services: ServicesDep) -> Redirect:
    """Save the preferences, in force at once."""
    fields = await request.fields()
    try:
        await services.admin.preferences.change(**chosen(fields))
    except ApiError as refusal:
        error, field = sentence(request, refusal), refused_field(refusal, PREFERENCE_FIELDS)
        return back(request, "/settings/box", error=error, field=field, typed=fields)
    return back(request, "/settings/box", saved=True)


def zones() -> list[tuple[str, list[str]]]:
    """Return the time zones that people live in, by continent, for a list to choose from."""
    found: dict[str, list[str]] = {}
    for name in sorted(available_timezones()):
        continent, slash, place = name.partition("/")
        if slash and continent not in OLD_ZONES:
            found.setdefault(continent, []).append(place)
    return list(found.items())


def chosen(fields: dict[str, str]) -> dict[str, object]:
    """Return the preferences of a form."""
    found: dict[str, object] = {}
    if fields.get("language") in languages():
        found["language"] = fields["language"]
    if "time_zone" in fields:
        found["time_zone"] = fields["time_zone"].strip()
    if "own_number" in fields:
        found["own_number"] = fields["own_number"].strip()
    return found


@get("/settings/box/support")
async def support(services: ServicesDep) -> Response[str]:
    """Download the support file."""
    return Response(
        await services.admin.support.text(),
        media_type="text/plain",
        headers={
            "Content-Disposition": 'attachment; filename="zimbox-support.txt"',
            "Cache-Control": "no-store",
        },
    )
