"""Settings: clients and keys, webhooks, the block list, the box itself."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlencode
from zoneinfo import available_timezones

from litestar import Response, get, post
from litestar.response import File, Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.interface import Permissions
from appliance.orders import PageFilter, WebhookEvent, WebhookOrder
from appliance.refusals import Refusal, Words
from appliance.steward import NoSteward
from web.page.rendering import page, sentence
from web.page.visitor import Host, Seen

LOG_ROWS = 50


def whole(text: str) -> int | None:
    """A field's whole number; None for anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def back(path: str, **query: str) -> Redirect:
    """To the page the form stood on, with what to say there."""
    told = {name: value for name, value in query.items() if value}
    return Redirect(path + ("?" + urlencode(told) if told else ""), status_code=SEE_OTHER)


def said(request: Seen) -> dict[str, Any]:
    """What the last form was answered: an error in words, or that it is kept."""
    return {
        "error": request.query_params.get("error", "")[:300],
        "saved": "saved" in request.query_params,
    }


@get("/settings")
async def overview(request: Seen, owner: Host) -> Response[str]:
    """What can be set, and where."""
    return page(request, "settings.html", preferences=owner.preferences)


# --- clients and keys ----------------------------------------------------------------------------


@get("/settings/keys")
async def keys(request: Seen, owner: Host) -> Response[str]:
    """Clients with their keys."""
    return await _keys(request, owner)


async def _keys(request: Seen, owner: Host, *, made: str = "", error: str = "") -> Response[str]:
    return page(
        request,
        "keys.html",
        status=400 if error else 200,
        clients=await owner.clients(),
        keys=await owner.keys(),
        now=owner.box.clock.now(),
        made=made,
        made_client=request.state.get("made_client", 0),
        base=base(request),
        error=error,
    )


def base(request: Seen) -> str:
    """This box's address as the browser wrote it."""
    return str(request.base_url).rstrip("/")


@post("/settings/keys", status_code=200)
async def add_key(request: Seen, owner: Host) -> Response[str]:
    """A new key: shown in this answer and never again."""
    fields = await request.fields()
    prefixes = fields.get("prefixes", "").replace(",", " ").split()
    may = Permissions(
        send="no_send" not in fields,
        read="no_read" not in fields,
        short_codes="short_codes" in fields,
        prefixes=tuple(prefixes),
        daily_cap=whole(fields.get("daily_cap", "")),
    )
    try:
        client = whole(fields.get("client", "")) or await owner.first_client()
        made = await owner.add_key(
            client, fields.get("name", ""), test=fields.get("mode") == "test", permissions=may
        )
    except Refusal as refusal:
        return await _keys(request, owner, error=sentence(request, refusal))
    request.state.made_client = made.client
    return await _keys(request, owner, made=made.key)


@post("/settings/keys/{key:int}/revoke", status_code=SEE_OTHER)
async def revoke(request: Seen, owner: Host, key: int) -> Redirect:
    """From now on the key is refused; what it queued goes, unless it is to be cancelled."""
    await owner.revoke(key, cancel_queued="cancel_queued" in await request.fields())
    return back("/settings/keys")


@post("/settings/clients", status_code=200)
async def add_client(request: Seen, owner: Host) -> Response[str] | Redirect:
    """Another program or shop, with messages of its own."""
    try:
        await owner.add_client((await request.fields()).get("name", ""))
    except Refusal as refusal:
        return await _keys(request, owner, error=sentence(request, refusal))
    return back("/settings/keys")


# --- webhooks ------------------------------------------------------------------------------------


@get("/settings/webhooks")
async def webhooks(request: Seen, owner: Host) -> Response[str]:
    """Who is told of what."""
    return await _webhooks(request, owner, **said(request))


async def _webhooks(
    request: Seen, owner: Host, *, secret: str = "", error: object = "", saved: object = False
) -> Response[str]:
    return page(
        request,
        "webhooks.html",
        hooks=await owner.webhooks(),
        clients=await owner.clients(),
        events=get_args(WebhookEvent),
        secret=secret,
        tested=request.query_params.get("tested", ""),
        error=error,
        saved=saved,
    )


@post("/settings/webhooks", status_code=200)
async def add_webhook(request: Seen, owner: Host) -> Response[str]:
    """A new webhook; its secret is shown in this answer and never again."""
    fields = await request.fields()
    chosen = await request.values("events")
    events = tuple(name for name in get_args(WebhookEvent) if name in chosen)
    try:
        client = whole(fields.get("client", "")) or await owner.first_client()
        order = WebhookOrder(fields.get("url", "").strip(), events or ("sms.delivered",))
        made = await owner.add_webhook(client * 2, order)
    except Refusal as refusal:
        return await _webhooks(request, owner, error=sentence(request, refusal))
    return await _webhooks(request, owner, secret=made.secret or "")


@post("/settings/webhooks/{partition:int}/{webhook_id:str}", status_code=SEE_OTHER)
async def change_webhook(request: Seen, owner: Host, partition: int, webhook_id: str) -> Redirect:
    """Remove it, or try it now."""
    wanted = (await request.fields()).get("do", "")
    try:
        if wanted == "remove":
            await owner.remove_webhook(partition, webhook_id)
            return back("/settings/webhooks")
        answer = await owner.test_webhook(partition, webhook_id)
    except Refusal as refusal:
        return back("/settings/webhooks", error=sentence(request, refusal))
    return back("/settings/webhooks", tested=str(answer) if answer else "none")


@get("/settings/webhooks/{partition:int}/log")
async def webhook_log(request: Seen, owner: Host, partition: int) -> Response[str]:
    """Every attempt to tell, the newest first."""
    asked = PageFilter(page=whole(request.query_params.get("page", "")) or 1, limit=LOG_ROWS)
    return page(
        request,
        "webhook_log.html",
        found=await owner.webhook_log(partition, asked),
        asked=asked,
        scope=partition,
        now=owner.box.clock.now(),
        **said(request),
    )


@post("/settings/webhooks/{partition:int}/log/{log_id:str}/replay", status_code=SEE_OTHER)
async def replay(request: Seen, owner: Host, partition: int, log_id: str) -> Redirect:
    """Tell this event once more."""
    try:
        await owner.replay(partition, log_id)
    except Refusal as refusal:
        return back(f"/settings/webhooks/{partition}/log", error=sentence(request, refusal))
    return back(f"/settings/webhooks/{partition}/log", saved="1")


# --- block list ----------------------------------------------------------------------------------


@get("/settings/blocked")
async def block_list(request: Seen, owner: Host) -> Response[str]:
    """Numbers that get no SMS."""
    return page(
        request,
        "blocked.html",
        rows=await owner.blocked(),
        now=owner.box.clock.now(),
        **said(request),
    )


@post("/settings/blocked", status_code=SEE_OTHER)
async def block(request: Seen, owner: Host) -> Redirect:
    """For every client."""
    fields = await request.fields()
    try:
        await owner.block(fields.get("number", "").strip(), fields.get("reason", ""))
    except Refusal as refusal:
        return back("/settings/blocked", error=sentence(request, refusal))
    return back("/settings/blocked")


@post("/settings/blocked/remove", status_code=SEE_OTHER)
async def unblock(request: Seen, owner: Host) -> Redirect:
    """This number may get SMS again."""
    fields = await request.fields()
    await owner.unblock(whole(fields.get("scope", "")) or 0, fields.get("number", ""))
    return back("/settings/blocked")


# --- the box -------------------------------------------------------------------------------------

_LANGUAGES = (("fr", "Français"), ("en", "English"))


@get("/settings/box")
async def box(request: Seen, owner: Host) -> Response[str]:
    """Time zone, language, own number, password, backup."""
    return page(
        request,
        "box.html",
        preferences=owner.preferences,
        zone=str(owner.box.zone),
        zones=sorted(available_timezones()),
        languages=_LANGUAGES,
        language=owner.preferences.language or owner.box.config.language,
        now=owner.box.clock.now(),
        has_steward=owner.has_steward,
        **said(request),
    )


@post("/settings/box", status_code=SEE_OTHER)
async def prefer(request: Seen, owner: Host) -> Redirect:
    """Keep what was chosen, in force at once."""
    try:
        await owner.prefer(**chosen(await request.fields()))
    except Refusal as refusal:
        return back("/settings/box", error=sentence(request, refusal))
    return back("/settings/box", saved="1")


def chosen(fields: dict[str, str]) -> dict[str, object]:
    """The preferences a form carries."""
    found: dict[str, object] = {}
    if fields.get("language") in ("fr", "en"):
        found["language"] = fields["language"]
    if "time_zone" in fields:
        found["time_zone"] = fields["time_zone"].strip()
    if "own_number" in fields:
        found["own_number"] = fields["own_number"].strip()
    return found


@post("/settings/box/backup", status_code=200)
async def backup(request: Seen, owner: Host) -> File | Redirect:
    """Everything the box keeps, as one file to download."""
    try:
        file = await owner.backup()
    except OSError:
        words = Words(
            "La sauvegarde a échoué : pas assez de place sur la carte mémoire.",
            "The backup failed: not enough room on the memory card.",
        )
        return back("/settings/box", error=words.say(request.visitor.language))
    return File(
        file,
        filename="zimbox-backup.tar.gz",
        media_type="application/gzip",
        headers={"Cache-Control": "no-store"},
    )


@get("/settings/box/support")
async def support(owner: Host) -> Response[str]:
    """What somebody who helps needs to see, as a text file."""
    return Response(
        await owner.support(),
        media_type="text/plain",
        headers={
            "Content-Disposition": 'attachment; filename="zimbox-support.txt"',
            "Cache-Control": "no-store",
        },
    )


@post("/settings/box/power", status_code=SEE_OTHER)
async def power(request: Seen, owner: Host) -> Redirect:
    """Restart the box, or switch it off; what is on the line is finished first."""
    wanted = (await request.fields()).get("do", "")
    try:
        await owner.steward("power-off" if wanted == "off" else "restart-box")
    except (NoSteward, TimeoutError):
        words = Words("Le boîtier n'a pas obéi.", "The box did not obey.")
        return back("/settings/box", error=words.say(request.visitor.language))
    return back("/settings/box", saved="1")
