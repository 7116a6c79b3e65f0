"""Update, backup and restore; restart and switch off."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable

from litestar import Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie
from litestar.response import File, Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.admin.maintenance import BACKUP_BYTES, UPDATE_BYTES, UPDATE_COPIES, Busy
from appliance.core.i18n import Text, _
from appliance.maintenance.backup import BackupError
from appliance.maintenance.steward_client import NoSteward
from appliance.maintenance.uploads import BACKUP, UPDATE, NoRoom
from web.page.i18n import BACKUP_FAULTS
from web.page.rendering import HEADERS, fragment, page
from web.page.settings import back
from web.page.upload import Gone, NoFile, TooLarge, receive
from web.page.visitor import Seen
from web.request import ServicesDep

HERE = "/settings/maintenance"
MIB = 1 << 20

_BUSY = _("An update or an upload is under way already: wait for its end.")
_TOO_LARGE = _("This file is too large. Nothing was changed.")
_NO_FILE = _("Choose a file first.")
_NO_BACKUP = _("There is no checked backup any more: upload it again.")
_BACKUP_FAILED = _("The backup failed: not enough room on the memory card.")
_DISOBEYED = _("The box could not be restarted or switched off.")


def _no_room(mib: int) -> Text:
    return _(
        "Not enough room on the memory card: {mib} MiB must be free. Nothing was changed.", mib=mib
    )


@get(HERE)
async def show(request: Seen, services: ServicesDep) -> Response[str]:
    """Show version and update, backup and restore."""
    tended = services.admin.maintenance
    aside = await tended.kept_aside()
    return page(
        request,
        "maintenance.html",
        update=_update(services),
        checked=tended.checked,
        restore_failed=tended.restore_failed,
        aside=aside,
        aside_mib=-(-sum(size for _, size in aside) // MIB),
        now=services.context.clock.now(),
        notice=request.notice,
    )


def _update(services: ServicesDep) -> dict[str, object]:
    """Return the state of an update for the page."""
    return {
        "possible": services.admin.maintenance.has_steward,
        "step": services.admin.maintenance.step,
        "last": services.admin.maintenance.last,
    }


async def _received(
    request: Seen,
    services: ServicesDep,
    name: str,
    copies: int,
    taken: Callable[[], Awaitable[None]],
    onward: str = HERE,
) -> Redirect | Response[bytes]:
    """Receive the uploaded file and process it; show why it failed.

    A script that shows the progress of the upload is told where to go: it would follow a redirect unseen,
    and fetch the notice that the person is to read.
    """
    answer = await _outcome_of(request, services, name, copies, taken, onward)
    if "X-Upload" in request.headers:
        return Response(b"", status_code=200, headers={"X-Onward": answer.url})
    return answer


async def _outcome_of(
    request: Seen,
    services: ServicesDep,
    name: str,
    copies: int,
    taken: Callable[[], Awaitable[None]],
    onward: str,
) -> Redirect:
    try:
        with services.admin.maintenance.receiving(name) as file:
            await receive(request, services, file, copies)
            await taken()
    except Busy:
        words = _BUSY
    except NoFile:
        words = _NO_FILE
    except NoRoom as error:
        words = _no_room(error.mib)
    except TooLarge:
        words = _TOO_LARGE
    except BackupError as error:
        words = BACKUP_FAULTS[error.code]
    except Gone:  # the browser has gone
        words = _NO_FILE
    else:
        return back(request, onward)
    return back(request, HERE, error=request.visitor.language.say(words))


@post("/settings/update", status_code=SEE_OTHER, request_max_body_size=UPDATE_BYTES)
async def update(request: Seen, services: ServicesDep) -> Redirect | Response[bytes]:
    """Receive a signed bundle, start the update and follow it on the page."""

    async def taken() -> None:
        services.admin.maintenance.update()

    return await _received(request, services, UPDATE, UPDATE_COPIES, taken)


@get("/settings/update/progress")
async def progress(request: Seen, services: ServicesDep) -> Response[str]:
    """Show the progress of the update; reload the page when it is over."""
    shown = fragment("live/update.html", request.visitor, update=_update(services))
    over = {} if services.admin.maintenance.step else {"HX-Refresh": "true"}
    return Response(shown, media_type="text/html", headers={**HEADERS, **over})


@get("/settings/share/{task:str}")
async def share(
    request: Seen, services: ServicesDep, task: str
) -> Response[dict[str, float | None]]:
    """Tell a script how much of a backup or of the check of one is done, 0 to 1; null if none is under way."""
    shares = services.admin.maintenance.shares
    done = next((shares[name] for name in shares if name == task), None)
    return Response({"share": done}, media_type="application/json", headers=HEADERS)


@post("/settings/backup", status_code=200)
async def backup(request: Seen, services: ServicesDep) -> File | Redirect:
    """Download a backup."""
    ready = (await request.fields()).get("ready", "")
    try:
        file = await services.admin.maintenance.backup()
    except NoRoom as error:
        return back(request, HERE, error=request.visitor.language.say(_no_room(error.mib)))
    except (OSError, sqlite3.Error):  # sqlite3.Error is raised if the card fills up meanwhile
        return back(request, HERE, error=request.visitor.language.say(_BACKUP_FAILED))
    day = request.visitor.language.iso(services.context.clock.now())[:10]
    return File(
        file,
        filename=f"zimbox-{day}.tar.gz",
        media_type="application/gzip",
        headers={"Cache-Control": "no-store"},
        # Tells the page that the file is on its way: a download changes nothing else that a script sees.
        cookies=[Cookie("zimbox_backup", value=ready, max_age=60, samesite="strict")]
        if ready.isdigit()
        else [],
        # It contains texts, and takes space.
        background=BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True),
    )


@post("/settings/restore", status_code=SEE_OTHER, request_max_body_size=BACKUP_BYTES)
async def restore(request: Seen, services: ServicesDep) -> Redirect | Response[bytes]:
    """Receive and check a backup, without replacing anything."""
    return await _received(
        request, services, BACKUP, 1, services.admin.maintenance.examine, f"{HERE}#restore"
    )


@post("/settings/restore/drop", status_code=SEE_OTHER)
async def drop(request: Seen, services: ServicesDep) -> Redirect:
    """Discard the checked backup."""
    await services.admin.maintenance.drop()
    return back(request, HERE)


@post("/settings/restore/now", status_code=200)
async def restore_now(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Restore the checked backup with a restart."""
    try:
        if not await services.admin.maintenance.restore():
            return back(request, HERE, error=request.visitor.language.say(_NO_BACKUP))
        await services.admin.maintenance.restart()
    except Busy:
        return back(request, HERE, error=request.visitor.language.say(_BUSY))
    except (NoSteward, TimeoutError):
        return page(request, "wait.html", why="by hand")
    return page(request, "wait.html", why="restore")


@post("/settings/restore/forget", status_code=SEE_OTHER)
async def forget(request: Seen, services: ServicesDep) -> Redirect:
    """Delete the data kept by earlier restores."""
    await services.admin.maintenance.forget_aside()
    return back(request, HERE, saved=True)


@get(f"{HERE}/wait")
async def wait(request: Seen, services: ServicesDep) -> Response[bytes] | Redirect:
    """Answer the polls of a page that waits for the restart."""
    if services.admin.maintenance.restarting:
        return Response(b"", status_code=204)
    if request.htmx:
        return Response(b"", status_code=200, headers={"HX-Redirect": HERE})
    return Redirect(HERE, status_code=SEE_OTHER)


@post("/settings/box/power", status_code=200)
async def power(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Restart the box or switch it off, after open sends."""
    off = (await request.fields()).get("do", "") == "off"
    try:
        await services.admin.maintenance.power("power-off" if off else "restart-box")
    except (NoSteward, TimeoutError):
        return back(request, "/settings/box", error=request.visitor.language.say(_DISOBEYED))
    return page(request, "wait.html", why="off" if off else "restart")
