"""The driver of one modem: the facade that the rest of the box uses."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Coroutine
from functools import partial
from time import monotonic

import structlog

from modem.at.client import AtClient
from modem.at.errors import CommandError, Log, PortError
from modem.at.line_parser import Urc
from modem.at.session import AtSession
from modem.at.ussd import UssdReply
from modem.driver import submit
from modem.driver.gpio import PowerKey
from modem.driver.service import Service
from modem.driver.sim import SimSlot
from modem.driver.status import StatusPublisher
from modem.driver.storage import StorageReader
from modem.driver.stored_reports import REPORTS, ReportSetting, StoredReports
from modem.driver.supervisor import Supervisor
from modem.interface import (
    N_,
    CodeProblem,
    CodeRefused,
    Event,
    ModemState,
    ModemStatus,
    Outcome,
    PinMemory,
    ReceivedPdu,
    ReportMemory,
    Tpdu,
    UssdError,
    UssdProblem,
    Verdict,
)
from modem.sms import gsm7
from modem.timeouts import SerialLine, Timing

__all__ = ["ModemDriver", "SerialLine", "Timing"]

_NOT_READY = submit.waiting(N_("The modem is not ready to send."))
_USSD = re.compile(r"[0-9*#+]{1,182}")
_WANTS_MORE = 1
_STATUS_REPORT_REQUEST = 0x20
_REFUSED = 4  # operation not supported (27.007 7.15)
# 27.007 7.15
_USSD_STATUS = {
    2: UssdProblem.ENDED,
    4: UssdProblem.UNKNOWN_CODE,
    5: UssdProblem.NO_NETWORK,
}
_POLL_DELAY_SECONDS = (
    0.005  # after a send that may have announced something; the next part has precedence
)
_MAX_PROBES = 8  # probes per part, on a line that needs one again and again
_REINITIALISE = 302  # CMS: operation not allowed; the modem must be configured again


def asks_for_report(tpdu: Tpdu) -> bool:
    """Return whether TP-SRR is set (23.040 9.2.3.5)."""
    octets = bytes.fromhex(tpdu.hex)
    return bool(octets[1 + octets[0]] & _STATUS_REPORT_REQUEST)


class ModemDriver:
    """A modem on a serial line. Implements `modem.interface.Modem`; create it in a running loop."""

    def __init__(
        self,
        line: SerialLine,
        *,
        timing: Timing | None = None,
        pin: str = "",
        pin_memory: PinMemory | None = None,
        power: PowerKey | None = None,
        reports: ReportSetting = "direct",
        report_memory: ReportMemory | None = None,
        log: Log | None = None,
    ) -> None:
        self._timing = timing or Timing()
        bound: Log = (log or structlog.stdlib.get_logger("modem")).bind(port=line.path)
        self._publisher = StatusPublisher(bound)
        self._session = AtSession(
            line, self._timing, on_urc=self._on_urc, on_lost=self._on_lost, log=bound
        )
        self._reports = StoredReports(
            reports, report_memory, self._timing.report_test_seconds, bound
        )
        storage = StorageReader(self._session, self._publish_received)
        self._storage = storage
        self._sim = SimSlot(self._session, pin, pin_memory)
        self._service = Service(self._session, self._publisher, storage, self._reports)
        self._supervisor = Supervisor(
            self._session,
            self._publisher,
            self._service,
            storage,
            self._sim,
            power,
            self._reports,
        )
        self._task: asyncio.Task[None] | None = None
        self._sends: set[asyncio.Future[Outcome]] = set()
        self._stopping = False
        self._ussd_open = False  # a USSD request is open
        self._packs_ussd = False  # the module takes USSD codes packed in hex only
        self._session_open = False  # the operator has not ended the last USSD session

    @property
    def status(self) -> ModemStatus:
        return self._publisher.status

    @property
    def publisher(self) -> StatusPublisher:
        """The status and the events; written by the driver, or by tests in its place."""
        return self._publisher

    @property
    def degraded(self) -> bool:
        """Whether the line is degraded: it has altered bytes recently, so everything is checked."""
        return self._session.degraded

    async def start(self) -> None:
        """Start the modem in the background, and keep it running. Return at once."""
        self._task = asyncio.create_task(self._supervisor.run(), name="modem")

    async def stop(self) -> None:
        """Let an open send finish, then close the line."""
        self._stopping = True
        if self._sends:
            await asyncio.wait(self._sends, timeout=self._timing.stop_seconds)
        if self._task is not None:
            self._task.cancel()
            await self._session.abort()
            await asyncio.wait([self._task])
        await self._session.abort()
        self._session.end()
        self._publisher.update(ModemState.STOPPED)

    async def next_event(self) -> Event:
        return await self._publisher.next_event()

    # Sending

    async def send(self, tpdu: Tpdu) -> Outcome:
        """Submit one part and wait for the network's answer. Never raises.

        A cancellation is held back until there is an outcome, which is returned. The caller records it and
        then checks `current_task().cancelling()`, or ends at the next `await` of its own loop.
        """
        if self._stopping or self.status.state is not ModemState.READY:
            return _NOT_READY
        try:
            client = self._session.client
        except PortError:
            return _NOT_READY
        for _ in range(_MAX_PROBES):
            if (
                not await self._service.probe_if_needed()
                or self.status.state is not ModemState.READY
            ):
                return _NOT_READY  # also if another probe has found a fault meanwhile
            outcome = await self._submit(client, tpdu)
            if outcome is not submit.PROBE_REQUIRED:
                break
        port = client.port
        if not port.alive:
            self._publisher.update(ModemState.OFFLINE, "the port is gone")
        elif port.restarted or port.echoed:
            self._publisher.update(ModemState.STARTING, "the modem has restarted")
        self._act_on_refusal(outcome)
        if outcome.verdict is Verdict.TAKEN:
            self._reports.part_accepted()
            if asks_for_report(tpdu):
                self._service.urc_monitor.part_accepted(monotonic())
        return outcome

    def reported(self) -> None:
        """Stop waiting soon for the answer to the open send: a delivery report on it has arrived."""
        with contextlib.suppress(PortError):
            self._session.client.reported()

    async def _submit(self, client: AtClient, tpdu: Tpdu) -> Outcome:
        self._service.sending = True
        open_send = self._session.begin(
            partial(submit.submit, client, tpdu, self._service.references)
        )
        self._sends.add(open_send)
        open_send.add_done_callback(self._sends.discard)
        try:
            while not open_send.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(open_send)
        finally:
            self._service.sending = False
            self._service.sent_at = monotonic()
        return open_send.result()

    def _act_on_refusal(self, outcome: Outcome) -> None:
        """React to a refusal whose cause is the modem or its SIM."""
        if outcome.verdict is Verdict.HOUSEKEEP:
            self._service.poll_storage_soon()
        elif outcome.verdict is Verdict.OWNER:
            self._service.poll_sim_soon()
        elif outcome.fault is not None and outcome.fault.number == _REINITIALISE:
            self._service.request_startup("the modem needs another start-up (CMS 302)")
        else:
            asyncio.get_running_loop().call_later(_POLL_DELAY_SECONDS, self._service.wake_up)

    # Received PDUs

    def _publish_received(self, received: ReceivedPdu) -> None:
        self._reports.stored_pdu_read(received)
        if received.slot is not None and received.slot.storage == REPORTS:
            self._service.reported()
        self._publisher.publish(received)

    async def forget(self, received: ReceivedPdu) -> None:
        """Delete a stored PDU whose content is committed; later, if the modem is gone just now."""
        await self._storage.forget(received)

    # The owner

    async def enter_pin(self, pin: str) -> CodeRefused | None:
        """Try a PIN typed by the owner (from two tries left). Returns None or why not."""
        return await self._about_sim(self._sim.enter(pin, self._supervisor.imei))

    async def unlock(self, puk: str, new_pin: str) -> CodeRefused | None:
        """Try the owner's PUK, setting a new PIN. Returns None or why not."""
        return await self._about_sim(self._sim.unlock(puk, new_pin, self._supervisor.imei))

    async def _about_sim(
        self, work: Coroutine[None, None, CodeRefused | None]
    ) -> CodeRefused | None:
        try:
            why = await work
        except PortError as error:
            return CodeRefused(CodeProblem.NO_ANSWER, str(error))
        self._supervisor.sim_changed()
        return why

    async def ussd(self, code: str) -> str:
        """Send a USSD request and return the answer as text. Raises UssdError."""
        if not _USSD.fullmatch(code):
            raise UssdError(UssdProblem.MALFORMED)
        if self._ussd_open:
            raise UssdError(UssdProblem.BUSY)
        self._ussd_open = True
        try:
            found = await self._request_in_either_form(code)
            self._session_open = found.status == _WANTS_MORE
        except PortError as error:
            raise UssdError(UssdProblem.FAILED, str(error)) from error
        except TimeoutError as error:
            raise UssdError(UssdProblem.SILENT) from error
        finally:
            self._ussd_open, self._service.ussd = False, None
        if not found.text:
            raise UssdError(_USSD_STATUS.get(found.status, UssdProblem.EMPTY))
        return found.text

    async def _request_in_either_form(self, code: str) -> UssdReply:
        """Ask with the code as it is, then packed in hex if it was refused: Huawei sticks want it so.

        A code that was refused was not carried out, so asking again is safe.
        """
        packed = gsm7.pack(gsm7.encode_septets(code)).hex().upper()
        first, second = (packed, code) if self._packs_ussd else (code, packed)
        try:
            found = await self._request_and_wait(first)
            if found.status != _REFUSED:
                return found
        except CommandError:
            found = None
        try:
            other = await self._request_and_wait(second)
        except (CommandError, TimeoutError):
            if found is None:
                raise
            return found
        if other.status == _REFUSED:
            return found or other
        self._packs_ussd = second == packed
        return other

    async def _request_and_wait(self, code: str) -> UssdReply:
        answer: asyncio.Future[UssdReply] = asyncio.get_running_loop().create_future()
        await self._session.run(partial(self._request, self._session.client, code, answer))
        async with asyncio.timeout(self._timing.ussd_seconds):
            return await answer

    def _request(self, client: AtClient, code: str, answer: asyncio.Future[UssdReply]) -> None:
        if self._session_open:
            # In an open session the code would be an answer, and what arrives belongs to the last request.
            with contextlib.suppress(CommandError):
                client.command("AT+CUSD=2")
        # Not earlier: what arrives during an open send belongs to the send.
        self._service.ussd = answer
        self._session_open = True
        client.command(f'AT+CUSD=1,"{code}",15', self._timing.ussd_seconds, once=True)

    async def restart(self) -> None:
        """Reset the modem (AT+CFUN=1,1) and start it again, after an open send."""
        self._supervisor.restart()

    # From the reader

    def _on_urc(self, urc: Urc) -> None:
        self._service.urc_received(urc)

    def _on_lost(self, reason: str) -> None:
        self._publisher.log.warning("port_lost", reason=reason)
        self._service.wake_up()
