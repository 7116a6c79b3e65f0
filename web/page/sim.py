"""The SIM and its modem: PIN and PUK, limits and quiet hours, the balance, a restart."""

from __future__ import annotations

import re
from datetime import time

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.core.config import Limits
from appliance.core.i18n import _
from appliance.domain.errors import ApiError
from modem.interface import CodeRefused, UssdError
from web.page.live import Live
from web.page.rendering import page, sentence
from web.page.settings import CHANGED, back, most_of, outdated, whole
from web.page.status import Watch
from web.page.visitor import Seen
from web.request import ServicesDep

HERE = "/settings/sim"
COUNTS = ("per_minute", "per_hour", "per_day", "per_month", "recipients_per_month")

_BAD_PIN = _("The PIN has 4 to 8 digits.")
_BAD_PUK = _("The PUK has 8 digits.")
_BAD_HOURS = _("Quiet hours are written 21:30-07:00.")
_BAD_LIMIT = _("A limit is written in digits, for example 200. Nothing was changed.")
_BAD_AMOUNT = _("An amount is written 2 or 2.50.")


@get(HERE)
async def sim(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Show every modem and its actions."""
    return page(
        request,
        "sim.html",
        seen=await live.read(),
        counts=COUNTS,
        former=await services.admin.modems.former(),
        notice=request.notice,
    )


def _digits(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and least <= len(text) <= most


@post(HERE + "/{index:int}/pin", status_code=SEE_OTHER)
async def pin(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Try the PIN once; refused if that would use the last attempt."""
    fields = await request.fields()
    here = "/welcome" if request.came_from == "/welcome" else HERE
    code = fields.get("pin", "").strip()
    if not _digits(code, 4, 8):
        error = request.visitor.language.say(_BAD_PIN)
        return back(request, here, error=error, field="pin", form=f"codes-{index}")
    return _answered(request, live, here, await services.admin.modems.enter_pin(index, code))


@post(HERE + "/{index:int}/puk", status_code=SEE_OTHER)
async def puk(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Set a new PIN with the PUK. The form warns that ten wrong PUKs block the SIM for good."""
    fields = await request.fields()
    code, new = fields.get("puk", "").strip(), fields.get("pin", "").strip()
    if not _digits(code, 8, 8):
        error = request.visitor.language.say(_BAD_PUK)
        return back(request, HERE, error=error, field="puk", form=f"codes-{index}")
    if not _digits(new, 4, 8):
        error = request.visitor.language.say(_BAD_PIN)
        return back(request, HERE, error=error, field="pin", form=f"codes-{index}")
    return _answered(request, live, HERE, await services.admin.modems.unlock(index, code, new))


def _answered(request: Seen, live: Live, here: str, refused: CodeRefused | None) -> Redirect:
    live.stale()
    if refused is None:
        return back(request, here, saved=True)
    error = request.visitor.language.code_refused(refused.problem)
    return back(request, here, error=error)


def quiet_hours(text: str) -> list[str] | None:
    """Return the quiet hours of a text such as `21:30-07:00, 12:00-13:00`; None if invalid."""
    spans: list[str] = []
    for span in text.replace(";", ",").split(","):
        if not span.strip():
            continue
        start, dash, end = (piece.strip() for piece in span.partition("-"))
        try:
            begins, ends = time.fromisoformat(start), time.fromisoformat(end)
        except ValueError:
            return None
        if not dash or begins == ends:
            return None
        spans.append(f"{begins:%H:%M}-{ends:%H:%M}")
    return spans


@post(HERE + "/{index:int}/limits", status_code=SEE_OTHER)
async def limits(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Save limits and quiet hours of a SIM; an empty field means no limit."""
    fields, form = await request.fields(), f"limits-{index}"
    hours = quiet_hours(fields.get("quiet_hours", ""))
    if hours is None:
        error = request.visitor.language.say(_BAD_HOURS)
        return back(request, HERE, error=error, field="quiet_hours", form=form, typed=fields)
    counts = {name: most_of(fields.get(name, "")) for name in COUNTS}
    wrong = next((name for name, most in counts.items() if most is None), "")
    if wrong:
        error = request.visitor.language.say(_BAD_LIMIT)
        return back(request, HERE, error=error, field=wrong, form=form, typed=fields)
    wanted = Limits(
        **{name: most or 0 for name, most in counts.items()},
        billing_day=min(max(whole(fields.get("billing_day", "")) or 1, 1), 28),
        quiet_hours=tuple(hours),
        urgent_passes="urgent_passes" in fields,
    )
    if outdated(fields, services.admin.modems.at(index).limits, wanted):
        return back(request, HERE, error=request.visitor.language.say(CHANGED))
    try:
        await services.admin.modems.set_limits(index, wanted)
    except ApiError as refusal:
        error = sentence(request, refusal)
        return back(request, HERE, error=error, form=form, typed=fields)
    live.stale()
    return back(request, HERE, saved=True)


@post(HERE + "/{index:int}/ask", status_code=SEE_OTHER)
async def ask(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Send a USSD code such as *100# and show the operator's answer."""
    fields, form = await request.fields(), f"ask-{index}"
    try:
        answer = await services.admin.modems.ask_operator(index, fields.get("code", "").strip())
    except ApiError as refusal:
        error = sentence(request, refusal)
        return back(request, HERE, error=error, field="code", form=form, typed=fields)
    except UssdError as error:
        silent = request.visitor.language.no_ussd_answer(error.problem)
        return back(request, HERE, error=silent, field="code", form=form, typed=fields)
    live.stale()
    return back(request, HERE, answer=answer)


@post(HERE + "/{index:int}/balance", status_code=SEE_OTHER)
async def balance(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Save the USSD code for the balance, and the amount below which the page warns."""
    fields, form = await request.fields(), f"balance-{index}"
    low = amount_of(fields.get("low", ""))
    if low is None:
        error = request.visitor.language.say(_BAD_AMOUNT)
        return back(request, HERE, error=error, field="low", form=form, typed=fields)
    code, now = fields.get("code", "").strip(), services.admin.modems.at(index).settings.balance
    if outdated(fields, (now.code, now.low), (code, low)):
        return back(request, HERE, error=request.visitor.language.say(CHANGED))
    try:
        await services.admin.modems.set_balance(index, code, low)
    except ApiError as refusal:
        error = sentence(request, refusal)
        return back(request, HERE, error=error, field="code", form=form, typed=fields)
    live.stale()
    return back(request, HERE, saved=True)


def amount_of(text: str) -> float | None:
    """Return the amount of `2`, `2.50`, `2,50` or an empty text (0); None for anything else."""
    text = text.strip().replace(",", ".") or "0"
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,2})?", text, re.ASCII) else None


@post(HERE + "/{index:int}/restart", status_code=SEE_OTHER)
async def restart(request: Seen, services: ServicesDep, live: Watch, index: int) -> Redirect:
    """Reset the modem, after an open send."""
    await services.admin.modems.restart(index)
    live.stale()
    return back(request, HERE, saved=True)


@post(HERE + "/former/{number:int}/remove", status_code=SEE_OTHER)
async def remove(request: Seen, services: ServicesDep, live: Watch, number: int) -> Redirect:
    """Remove a modem that is gone."""
    await services.admin.modems.remove(number)
    live.stale()
    return back(request, HERE, saved=True)
