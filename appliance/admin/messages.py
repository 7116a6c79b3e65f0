"""What the status page asks of the box, typed and without HTTP. Raises ApiError and the errors it names."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import AsyncIterator
from sqlite3 import Connection, Row
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import structlog

from appliance import __version__
from appliance.admin.auth import AdminAuth
from appliance.admin.maintenance import AdminMaintenance
from appliance.context import Context
from appliance.core import config
from appliance.core.config import Balance, Limits, ModemSettings
from appliance.core.i18n import Language, _
from appliance.core.log_buffer import LOG_BUFFER
from appliance.devices import balance
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.devices.pin_store import Pins
from appliance.domain import ids, phone_numbers, validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.requests import (
    HistoryFilter,
    Idempotency,
    InboxFilter,
    PageFilter,
    SendOrder,
    WebhookOrder,
)
from appliance.domain.views import Caller, MessageView, Permissions, WebhookLogPage, WebhookView
from appliance.gateway import Gateway
from appliance.messaging.held import HeldMessages
from appliance.monitoring.dashboard import DashboardReader, Overview
from appliance.store import admin, blocklist, clients, history, timeline
from appliance.store import dashboard as table
from appliance.store import devices as device_table
from appliance.store.clients import NewClient, NewKey
from appliance.store.dashboard import InboxRows, MessagePage
from modem.interface import UssdError
from modem.sms import gsm7

log = structlog.get_logger(__name__)

FIRST_CLIENT = {"fr": "Mon entreprise", "en": "My business"}


class OperatorSilent(Exception):
    """The operator did not answer, with the reason in words."""


class Preferences(msgspec.Struct, frozen=True):
    """What the owner chose on the page; None: as configured."""

    language: Language | None = None
    time_zone: str | None = None
    own_number: str = ""
    welcomed: bool = False  # the guided first run is over


class Measured(msgspec.Struct, frozen=True):
    """How a text will go out."""

    characters: int
    parts: int
    alphabet: str
    forcing: tuple[str, ...]  # the characters that force the longer alphabet


class PartTimeline(msgspec.Struct, frozen=True):
    """One part of a message, or an earlier try of it, as far as it has come. Moments in ms."""

    number: int
    state: str = "tried"
    device: int | None = None
    submitted_at: int | None = None
    answered_at: int | None = None
    reference: int | None = None
    tp_status: int | None = None
    reported_at: int | None = None
    attempts: int = 0
    error: dict[str, object] | None = None


class WebhookNotification(msgspec.Struct, frozen=True):
    """One notification of a message to its client's server."""

    name: str
    url: str
    state: str
    attempt: int
    due_at: int
    created_at: int


class Timeline(msgspec.Struct, frozen=True):
    """Everything that happened to one message."""

    message: MessageView
    tenant: int
    client: str
    parts: tuple[PartTimeline, ...]
    tries: tuple[PartTimeline, ...]
    told: tuple[WebhookNotification, ...]

    @property
    def test(self) -> bool:
        return bool(self.tenant & 1)


def _check_narrowing(permissions: Permissions) -> None:
    for prefix in permissions.prefixes:
        validation.prefix(prefix)


def _no_client() -> ApiError:
    return invalid("client", _("is disabled or no longer there"))


def _check_ussd(code: str) -> None:
    if not code or len(code) > 40 or not set(code) <= set("0123456789*#+"):
        raise invalid("code", _("looks like *100#"))


def _once(form: str, order: SendOrder) -> Idempotency | None:
    """A form that is sent twice as it is (a double tap) is one message."""
    if not form:
        return None
    mark = hashlib.sha256(msgspec.json.encode((form, order))).digest()
    return Idempotency(f"page {mark.hex()}", mark)


class Admin:
    """The owner's side of the gateway. `access` says who that is."""

    def __init__(self, box: Context, devices: Devices, gateway: Gateway) -> None:
        self.box = box
        self.access = AdminAuth(box)
        self.pins = Pins(box)
        self.upkeep = AdminMaintenance(box)
        self.held = HeldMessages(box)
        self.preferences = Preferences()
        self._devices = devices
        self._gateway = gateway
        self._glance = DashboardReader(box, devices)

    async def start(self) -> None:
        """Take up what was set on the page, before the modems start."""
        await self.access.start()
        await asyncio.to_thread(self.upkeep.start)
        kept = await self.box.db.read(admin.setting, "preferences", Preferences)
        self._apply(kept or Preferences())

    def _apply(self, wanted: Preferences) -> None:
        self.preferences = wanted
        if wanted.time_zone is not None:
            try:
                self.box.zone = ZoneInfo(wanted.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):  # kept where there were more zones
                log.warning("time_zone_unknown", zone=wanted.time_zone)
            self.box.rules = msgspec.structs.replace(self.box.rules, zone=self.box.zone)
        here = phone_numbers.region(wanted.own_number, str(self.box.zone))
        self.box.numbers = msgspec.structs.replace(self.box.numbers, region=here)

    async def prefer(self, **changes: object) -> None:
        """Change preferences, in force at once. INVALID_REQUEST, INVALID_PHONE_NUMBER."""
        zone = changes.get("time_zone")
        if zone is not None and zone not in available_timezones():
            raise invalid("time_zone", _("is no time zone"))
        if own := changes.get("own_number"):
            # The country of the zone that comes with it; the number before it may be of another one.
            there = phone_numbers.region("", str(zone or self.box.zone))
            reader = NumberReader(there, national=True)
            changes["own_number"] = reader.read(own, field="own_number")

        def work(db: Connection) -> Preferences:
            kept = admin.setting(db, "preferences", Preferences) or Preferences()
            wanted = msgspec.structs.replace(kept, **changes)
            admin.keep(db, "preferences", wanted)
            return wanted

        self._apply(await self.box.db.write(work))
        self.box.wakeups.changed()

    async def overview(self) -> Overview:
        """The box at this moment."""
        return await self._glance.take()

    async def support(self) -> str:
        """What somebody who helps needs to see: no numbers, no texts, no keys."""
        seen = await self.overview()
        modems = [
            f"modem {n}: {a.status.identity.model if a.status.identity else '?'} "
            f"{a.status.identity.revision if a.status.identity else ''} state={a.status.state} "
            f"operator={a.status.operator!r} technology={a.status.technology} "
            f"signal={a.status.signal_dbm} registration={a.status.registration} "
            f"reports={a.status.report_mode} stored={a.status.stored}/{a.status.storage} "
            f"warning={a.status.warning!r} recoveries={dict(a.status.recoveries)}"
            for n, a in enumerate((a for a in self._devices.attached if not a.test), 1)
        ]
        problems = [f"problem: {p.code} {p.text}" for p in seen.problems]
        figures = [
            f"waiting={seen.queue.messages} scheduled={seen.queue.scheduled} "
            f"today={seen.today} disk_free_mib={seen.disk_free_mib} "
            f"clock_trusted={self.box.clock.trusted} time_zone={self.box.zone}"
        ]
        parts = (
            [f"ZimBox {__version__}, Python {platform.python_version()}, {platform.platform()}"],
            *(modems, problems, figures, ["", config.show(self.box.config), LOG_BUFFER.text(), ""]),
        )
        return "\n".join(line for part in parts for line in part)

    # --- messages ------------------------------------------------------------------------------------

    async def messages(
        self, wanted: HistoryFilter, *, test: bool, client: int | None
    ) -> MessagePage:
        """One page of all clients' messages, or of one's."""

        def work(db: Connection) -> MessagePage:
            return table.messages(db, table.tenants(db, test=test, client=client), wanted)

        return await self.box.db.read(work)

    async def export(
        self, wanted: HistoryFilter, *, test: bool, client: int | None
    ) -> AsyncIterator[tuple[MessageView, ...]]:
        """All messages of the filter, client by client, newest first."""
        found = await self.box.db.read(table.tenants, test=test, client=client)
        for tenant in found:
            async for batch in self._gateway.export(self._as_client(tenant), wanted):
                yield batch

    async def story(self, message_id: str) -> Timeline:
        """Everything that happened to one message. MESSAGE_NOT_FOUND."""
        number = ids.parse("msg", message_id)

        def work(db: Connection) -> Timeline | None:
            tenant = None if number is None else table.tenant_of(db, number)
            if number is None or tenant is None:
                return None
            row = history.one(db, tenant, number)
            client = clients.client(db, tenant // 2)
            assert row is not None
            told = timeline.timeline(db, number)
            return Timeline(
                message=history.view(row),
                tenant=tenant,
                client=client["name"] if client else "",
                parts=tuple(msgspec.convert(p, PartTimeline) for p in told["parts"]),
                tries=tuple(msgspec.convert(p, PartTimeline) for p in told["attempts"]),
                told=tuple(msgspec.convert(d, WebhookNotification) for d in told["deliveries"]),
            )

        found = await self.box.db.read(work)
        if found is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        return found

    def _as_client(self, tenant: int) -> Caller:
        """The owner acting for a client; its keys' narrowings do not bind the owner."""
        client = tenant // 2
        mode: Literal["live", "test"] = "test" if tenant & 1 else "live"
        may = Permissions(short_codes=True)
        return Caller(0, client, f"client_{client}", mode, tenant, None, may)

    async def _caller_for(self, message_id: str) -> Caller:
        number = ids.parse("msg", message_id)
        tenant = None if number is None else await self.box.db.read(table.tenant_of, number)
        if tenant is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        return self._as_client(tenant)

    async def _must_be_enabled(self, client: int) -> None:
        """What a disabled client queues would wait until it is over. INVALID_REQUEST."""
        row = await self.box.db.read(clients.client, client)
        if row is None or row["disabled_at"] is not None:
            raise _no_client()

    async def resend(self, message_id: str) -> None:
        """MESSAGE_NOT_FOUND, CANNOT_RESEND_MESSAGE, INVALID_REQUEST, and what a send may be refused for."""
        caller = await self._caller_for(message_id)
        await self._must_be_enabled(caller.client_id)
        await self._gateway.resend(caller, message_id)

    async def cancel(self, message_id: str) -> None:
        """MESSAGE_NOT_FOUND, CANNOT_CANCEL_MESSAGE."""
        await self._gateway.cancel(await self._caller_for(message_id), message_id)

    def number(self, typed: str) -> str:
        """A number as it is typed in the box's country, in E.164; what is none stays as it is."""
        return self._typed.read_or_keep(typed)

    @property
    def _typed(self) -> NumberReader:
        """Reads what people type on the page: also numbers in national form."""
        return self.box.numbers.with_national()

    def measure(self, text: str) -> Measured:
        """How long a text is for the network."""
        plan = gsm7.plan(text, shifts=self.box.config.sending.national_shifts)
        # A national table may have what GSM-7 itself has not.
        short = plan.alphabet is gsm7.Alphabet.UCS2
        return Measured(
            characters=len(text),
            parts=len(plan.parts) if text else 0,
            alphabet=plan.alphabet.value,
            forcing=gsm7.forcing(text) if short else (),
        )

    async def send(
        self, to: str, text: str, *, priority: int = 3, client: int | None = None, form: str = ""
    ) -> str:
        """Send by hand, as a client (the first one when none is named). Returns the message's id.

        `form` names the form it was typed into: sent again as it is, it is the message it was.
        """
        order = SendOrder(
            to=self._typed.read(to, short_codes=True),
            message=validation.message(text),
            priority=validation.priority(priority),
        )
        number = client if client is not None else await self.first_client()
        await self._must_be_enabled(number)
        accepted = await self._gateway.send(self._as_client(number * 2), order, _once(form, order))
        self.box.wakeups.changed()
        return accepted.message_id

    async def inbox(self, wanted: InboxFilter) -> InboxRows:
        """One page of everything received."""

        def work(db: Connection) -> InboxRows:
            return table.inbox(db, table.tenants(db, test=False), wanted)

        return await self.box.db.read(work)

    # --- clients and keys ----------------------------------------------------------------------------

    async def clients(self) -> list[Row]:
        return await self.box.db.read(clients.clients)

    async def keys(self) -> list[Row]:
        return await self.box.db.read(clients.keys)

    async def first_client(self) -> int:
        """The first client; made if there is none."""

        def work(db: Connection) -> int:
            found = clients.clients(db)
            if found:
                number: int = found[0]["id"]
                return number
            name = FIRST_CLIENT[self.preferences.language or self.box.config.language]
            return clients.add_client(db, name, self.box.clock.now()).id

        return await self.box.db.write(work)

    async def add_client(self, name: str) -> NewClient:
        name = validation.line(name.strip(), "name", 80)
        return await self.box.db.write(clients.add_client, name, self.box.clock.now())

    async def add_key(
        self, client: int, name: str, *, test: bool, permissions: Permissions
    ) -> NewKey:
        """A new key, readable this once. INVALID_REQUEST."""
        label = validation.line(name.strip(), "name", 80) if name.strip() else ""
        _check_narrowing(permissions)

        def work(db: Connection) -> NewKey:
            if clients.client(db, client) is None:
                raise _no_client()
            return clients.add_key(
                db, client, self.box.clock.now(), test=test, name=label, permissions=permissions
            )

        return await self.box.db.write(work)

    async def narrow(self, key: int, permissions: Permissions) -> None:
        """From now on this key may what these say. NOT_FOUND."""
        _check_narrowing(permissions)
        if not await self.box.db.write(clients.set_permissions, key, permissions):
            raise ApiError("NOT_FOUND")

    async def revoke(self, key: int, *, cancel_queued: bool) -> None:
        """From now on this key is refused; one that is already stays so."""
        await self.box.db.write(
            clients.revoke, key, self.box.clock.now(), cancel_queued=cancel_queued
        )

    # --- webhooks ------------------------------------------------------------------------------------

    async def webhooks(self) -> list[tuple[int, WebhookView]]:
        """Every client's webhooks, each with its tenant."""
        found = await self.box.db.read(table.tenants, test=False)
        return [
            (tenant, hook)
            for tenant in found
            for hook in await self._gateway.webhooks(self._as_client(tenant))
        ]

    async def add_webhook(self, client: int, order: WebhookOrder) -> WebhookView:
        """Its secret is readable this once. INVALID_REQUEST, INVALID_WEBHOOK_URL."""
        if await self.box.db.read(clients.client, client) is None:
            raise _no_client()
        return await self._gateway.webhook_configure(self._as_client(client * 2), order)

    async def remove_webhook(self, tenant: int, webhook_id: str) -> None:
        await self._gateway.webhook_delete(self._as_client(tenant), webhook_id)

    async def test_webhook(self, tenant: int, webhook_id: str) -> int | None:
        """The HTTP status the receiver answered; None when it did not."""
        return (
            await self._gateway.webhook_test(self._as_client(tenant), webhook_id)
        ).response_status

    async def webhook_log(self, tenant: int, wanted: PageFilter) -> WebhookLogPage:
        return await self._gateway.webhook_logs(self._as_client(tenant), wanted)

    async def replay(self, tenant: int, log_id: str) -> None:
        await self._gateway.webhook_replay(self._as_client(tenant), log_id)

    # --- block list ----------------------------------------------------------------------------------

    async def blocked(self) -> list[Row]:
        return await self.box.db.read(table.blocked)

    async def block(self, number: str, reason: str) -> None:
        """For every client. INVALID_PHONE_NUMBER."""
        number = self._typed.read(number, short_codes=True, field="number")
        label = validation.line(reason.strip(), "reason", 200) if reason.strip() else ""
        await self.box.db.write(blocklist.add, 0, number, label, "page", self.box.clock.now())

    async def unblock(self, tenant: int, number: str) -> None:
        """This row is off the list, if it was there."""
        await self.box.db.write(blocklist.take_off, tenant, number)

    # --- modems --------------------------------------------------------------------------------------

    def modem(self, index: int) -> Attached:
        """A modem by its place on the page (1 first). NOT_FOUND."""
        found = [a for a in self._devices.attached if not a.test]
        if not 1 <= index <= len(found):
            raise ApiError("NOT_FOUND")
        return found[index - 1]

    async def enter_pin(self, index: int, pin: str) -> str:
        """Try the SIM's PIN; kept if it is right. "" or why not, in English words of the modem."""
        attached = self.modem(index)
        why_not = await attached.modem.enter_pin(pin)
        if not why_not:
            await self.pins.remember(attached.settings.port, pin)
        return why_not

    async def unlock(self, index: int, puk: str, pin: str) -> str:
        """Try the PUK and set a new PIN, kept as well. "" or why not."""
        attached = self.modem(index)
        why_not = await attached.modem.unlock(puk, pin)
        if not why_not:
            await self.pins.remember(attached.settings.port, pin)
        return why_not

    async def restart_modem(self, index: int) -> None:
        """Reset the modem, after an open send."""
        await self.modem(index).modem.restart()

    async def ask_operator(self, index: int, code: str) -> str:
        """A USSD question and its answer. Raises OperatorSilent, ApiError."""
        _check_ussd(code)
        attached = self.modem(index)
        try:
            answer = await attached.modem.ussd(code)
        except UssdError as error:
            raise OperatorSilent(str(error)) from error
        if code == attached.settings.balance.code:
            balance.told(attached, answer)
            self.box.wakeups.changed()
        return answer

    async def set_balance(self, index: int, code: str, low: float) -> None:
        """How this modem's credit is asked for, and when it is low; at once and after a restart."""
        if code:
            _check_ussd(code)
        attached = self.modem(index)
        wanted = msgspec.structs.replace(attached.settings.balance, code=code, low=low)
        await self.box.db.write(admin.keep, f"balance {attached.settings.port}", wanted)
        attached.settings = msgspec.structs.replace(attached.settings, balance=wanted)
        attached.balance, attached.balance_text = None, ""
        self.box.wakeups.changed()

    async def completed(self, modem: ModemSettings) -> ModemSettings:
        """A modem's settings with what was set on the page: its PIN, how its credit is asked for."""
        kept = await self.box.db.read(admin.setting, f"balance {modem.port}", Balance)
        if kept is not None:
            modem = msgspec.structs.replace(modem, balance=kept)
        return await self.pins.completed(modem)

    async def former_modems(self) -> list[Row]:
        """Modems that were here once, and are not among those that the box looks for."""
        known = await self.box.db.read(device_table.live)
        return [row for row in known if self._devices.by_number(row["id"]) is None]

    async def remove_modem(self, number: int) -> None:
        """Forget a former modem; what waits for it fails. NOT_FOUND."""
        if number not in {row["id"] for row in await self.former_modems()}:
            raise ApiError("NOT_FOUND")
        if not await self.box.db.write(device_table.remove, number):
            raise ApiError("NOT_FOUND")
        self.box.wakeups.changed()

    async def set_limits(self, index: int, wanted: Limits) -> None:
        """Limits of this SIM, in force at once and after a restart. INVALID_REQUEST."""
        attached = self.modem(index)
        if not await self.box.db.write(admin.set_limits, attached.number, wanted):
            raise invalid("limits", _("wait for the modem"))
        attached.limits = wanted
        self.box.wakeups.work()
        self.box.wakeups.changed()
