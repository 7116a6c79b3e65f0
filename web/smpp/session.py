"""A connection with an engine: framing, bind, requests both ways, time-outs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec
import structlog

from appliance.core.config import SmppSettings
from appliance.domain.errors import ApiError
from appliance.domain.views import Caller
from appliance.smpp.accounts import Account
from appliance.smpp.answers import AnswerLink
from appliance.smpp.deliveries import EngineDelivery, EngineReceipt
from web.smpp import codec, reading, times
from web.smpp.codec import BadPdu, CommandId, PduHeader, TlvTag
from web.smpp.gateway import SmppGateway
from web.smpp.status import CommandStatus, status_of

log = structlog.get_logger(__name__)

SYSTEM_ID = "ZimBox"
INTERFACE_VERSION = 0x34
# An engine that has answers without a proof is asked for one after this.
PROVE_AFTER_SECONDS = 1.0
# Longer PDUs are read and thrown away up to this; beyond it, the length is no length.
DISCARDED_OCTETS = 1 << 20
CHUNK_OCTETS = 4096
# What waits to be read by an engine before its next PDU is read.
UNREAD_OCTETS = 64 * 1024
# A connection with so many bad PDUs is no engine's.
MOST_BAD_PDUS = 100
# From unbind to its answer, when the box stops.
UNBIND_SECONDS = 3.0


class Bound(Enum):
    """How a session is bound."""

    NOT = "not bound"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"
    TRANSCEIVER = "transceiver"


BINDS = {
    CommandId.BIND_TRANSMITTER: Bound.TRANSMITTER,
    CommandId.BIND_RECEIVER: Bound.RECEIVER,
    CommandId.BIND_TRANSCEIVER: Bound.TRANSCEIVER,
}


class SessionEnd(Exception):
    """The session is over; the reason is for the log."""


class Waiting(msgspec.Struct):
    """A request of the box without an answer: its place among the answers, and who waits."""

    mark: int
    answered: Callable[[int], None]
    timer: asyncio.TimerHandle


class SessionOwner(Protocol):
    """The server as its sessions see it."""

    def admit(self, session: EngineSession, client: int) -> bool:
        """Return whether a client may have one more session."""

    def ready(self) -> None:
        """Deliver what waits: an engine has bound, or has room."""


class EngineSession:
    """One connection, from its first octet to its end."""

    def __init__(
        self,
        gateway: SmppGateway,
        owner: SessionOwner,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        address: str,
    ) -> None:
        self.address = address
        self.bound = Bound.NOT
        self.account: Account | None = None
        self.tenant = 0
        self.reads_texts = False
        self._gateway = gateway
        self._owner = owner
        self._settings: SmppSettings = gateway.settings
        self._reader, self._writer = reader, writer
        self._link = AnswerLink(gateway.submissions.ledger, self._prove)
        self._sequence = 0
        self._waiting: dict[int, Waiting] = {}
        self._places = asyncio.Semaphore(self._settings.window)
        self._submitting: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._bad = 0
        self._unbinding = False  # one of the two has asked for the end: nothing more is delivered
        self._orderly = False  # both have: what was written was read
        self._closing = asyncio.Event()

    # --- the connection ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection until its end."""
        reason = "closed by the engine"
        self._arm("bind", self._settings.bind_seconds, lambda: self._abort("no bind in time"))
        try:
            await self._serve()
        except SessionEnd as end:
            reason = str(end)
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
            reason, self._orderly = f"connection lost: {type(error).__name__}", False
        finally:
            await self._end(reason)

    async def _serve(self) -> None:
        while True:
            first = await self._reader.read(1)
            if not first:
                return
            try:
                async with asyncio.timeout(self._settings.frame_seconds):
                    head = codec.header(first + await self._reader.readexactly(15))
                    body = await self._body(head)
            except TimeoutError:
                raise SessionEnd("a PDU was not complete in time") from None
            if self.bound is not Bound.NOT:
                self._watch()
            if body is not None:
                await self._handle(head, body)
            await self._drain()

    async def _body(self, head: PduHeader) -> bytes | None:
        """Return the body of a PDU; None for one that is too long, which is thrown away."""
        octets = head.length - codec.HEADER_OCTETS
        if 0 <= octets <= codec.LONGEST_PDU_OCTETS:
            return await self._reader.readexactly(octets)
        self._nack(head.sequence, CommandStatus.ESME_RINVCMDLEN)
        if not 0 <= octets <= DISCARDED_OCTETS:
            raise SessionEnd(f"command_length {head.length}")
        while octets:
            octets -= len(await self._reader.readexactly(min(octets, CHUNK_OCTETS)))
        return None

    async def _drain(self) -> None:
        """Wait until the engine has read most of what was written to it."""
        if self._writer.transport.get_write_buffer_size() <= UNREAD_OCTETS:
            return
        try:
            async with asyncio.timeout(self._settings.response_seconds):
                await self._writer.drain()
        except TimeoutError:
            raise SessionEnd("the engine reads no answers") from None

    async def _end(self, reason: str) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._closing.set()
        for waiting in list(self._waiting.values()):
            waiting.timer.cancel()
            waiting.answered(-1)
        self._waiting.clear()
        if self._submitting:  # what they store they store; their answers are lost
            await asyncio.wait(self._submitting)
        self._link.close(orderly=self._orderly)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self.account is not None:
            log.info(
                "smpp_session_ended",
                client=f"client_{self.account.client}",
                address=self.address,
                reason=reason,
            )

    def _abort(self, reason: str) -> None:
        log.info("smpp_session_aborted", address=self.address, reason=reason)
        self._writer.transport.abort()

    async def unbind(self) -> None:
        """Tell the engine that the box stops, wait for its answer a little while, and close."""
        if self.bound is not Bound.NOT and not self._closing.is_set():
            answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._unbinding = True
            self._request(CommandId.UNBIND, b"", answer.set_result)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNBIND_SECONDS):
                    self._orderly = await asyncio.shield(answer) == CommandStatus.ESME_ROK
        self._writer.close()

    # --- timers --------------------------------------------------------------------------------------

    def _arm(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, action)

    def _watch(self) -> None:
        """Ask the engine whether it is still there once it has been silent for a time."""
        self._arm("silence", self._settings.enquire_seconds, self._enquire)

    def _enquire(self) -> None:
        self._request(CommandId.ENQUIRE_LINK, b"", lambda _: None)

    def _prove(self) -> None:
        """Have the engine prove that it has read the answers so far."""
        if self.bound is Bound.NOT or self._closing.is_set() or not self._link.unproven:
            return
        mark = self._link.mark()
        if not any(waiting.mark >= mark for waiting in self._waiting.values()):
            self._enquire()

    def _prove_later(self) -> None:
        timer = self._timers.get("proof")
        if timer is None or timer.when() <= asyncio.get_running_loop().time():
            self._arm("proof", PROVE_AFTER_SECONDS, self._prove)

    # --- requests of the box -------------------------------------------------------------------------

    def _request(self, command: CommandId, body: bytes, answered: Callable[[int], None]) -> bool:
        """Send a request; `answered` gets the status, or -1 without an answer. Return False on a dead line."""
        if self._closing.is_set():
            return False
        self._sequence = self._sequence % codec.LAST_SEQUENCE + 1
        sequence = self._sequence
        timer = asyncio.get_running_loop().call_later(
            self._settings.response_seconds, self._unanswered, sequence
        )
        self._waiting[sequence] = Waiting(self._link.mark(), answered, timer)
        self._write(command, sequence, body)
        return True

    def _unanswered(self, sequence: int) -> None:
        waiting = self._waiting.pop(sequence)
        waiting.answered(-1)
        self._abort("the engine does not answer")

    def _answered(self, head: PduHeader) -> None:
        waiting = self._waiting.pop(head.sequence, None)
        if waiting is None:
            return  # too late, or to nothing
        waiting.timer.cancel()
        self._link.received(waiting.mark)
        waiting.answered(head.status)
        if self._link.unproven:
            self._prove_later()

    @property
    def receives(self) -> bool:
        """Whether receipts and texts may be delivered here now."""
        receiver = self.bound in (Bound.RECEIVER, Bound.TRANSCEIVER)
        return receiver and not (self._unbinding or self._closing.is_set())

    @property
    def outstanding(self) -> int:
        """The number of requests of the box without an answer."""
        return len(self._waiting)

    def deliver(self, one: EngineDelivery, answered: Callable[[int], None]) -> bool:
        """Send a deliver_sm; `answered` gets the status of the answer, or -1 without one."""
        pdu = reading.receipt(one) if isinstance(one, EngineReceipt) else reading.received_text(one)
        return self._request(CommandId.DELIVER_SM, codec.encode_short_message(pdu), answered)

    def still_may(self) -> bool:
        """Return whether the password still holds, also if it was revoked by the command line."""
        try:
            return self.account is not None and bool(self._gateway.accounts.caller(self.account))
        except ApiError:
            return False

    # --- requests of the engine ----------------------------------------------------------------------

    def _write(self, command: int, sequence: int, body: bytes = b"", status: int = 0) -> None:
        if not self._writer.is_closing():
            self._writer.write(codec.pdu(command, sequence, body, status))

    def _answer(self, head: PduHeader, body: bytes = b"", status: int = 0) -> None:
        self._write(head.command | codec.RESPONSE, head.sequence, body, status)

    def _nack(self, sequence: int, status: CommandStatus) -> None:
        self._bad += 1
        if self._bad > MOST_BAD_PDUS:
            raise SessionEnd("too many bad PDUs")
        self._write(codec.GENERIC_NACK, sequence, b"", status)

    async def _handle(self, head: PduHeader, body: bytes) -> None:
        if head.command & codec.RESPONSE:
            self._answered(head)
            return
        try:
            command = CommandId(head.command)
        except ValueError:
            self._nack(head.sequence, CommandStatus.ESME_RINVCMDID)
            return
        try:
            await self._carry_out(command, head, body)
        except BadPdu as bad:
            self._bad += 1
            log.info(
                "smpp_pdu_refused", address=self.address, command=command.name, reason=str(bad)
            )
            if self._bad > MOST_BAD_PDUS:
                raise SessionEnd("too many bad PDUs") from None
            self._answer(head, status=bad.status)
        except ApiError as refusal:
            self._answer(head, status=status_of(refusal.code))

    async def _carry_out(self, command: CommandId, head: PduHeader, body: bytes) -> None:
        if command is CommandId.ENQUIRE_LINK:
            self._answer(head)
        elif command in BINDS:
            await self._bind(BINDS[command], head, body)
        elif command is CommandId.DELIVER_SM or self.bound is Bound.NOT:
            self._answer(head, status=CommandStatus.ESME_RINVBNDSTS)
        elif command is CommandId.UNBIND:
            await self._engine_unbinds(head)
        elif self.bound is Bound.RECEIVER:
            self._answer(head, status=CommandStatus.ESME_RINVBNDSTS)
        elif command is CommandId.SUBMIT_SM:
            await self._submit(head, body)
        elif command is CommandId.QUERY_SM:
            self._query(head, codec.query(body))
        else:
            await self._cancel(head, codec.cancel(body))

    async def _bind(self, wanted: Bound, head: PduHeader, body: bytes) -> None:
        if self.bound is not Bound.NOT:
            self._answer(head, status=CommandStatus.ESME_RALYBND)
            return
        asked = codec.bind(body)
        account = await self._gateway.accounts.bind(asked.system_id, asked.password, self.address)
        if account is None:
            log.warning("smpp_bind_refused", address=self.address, system_id=asked.system_id[:16])
            self._answer(head, status=CommandStatus.ESME_RINVPASWD)
            return
        if not self._owner.admit(self, account.client):
            self._answer(head, status=CommandStatus.ESME_RBINDFAIL)
            return
        caller = self._gateway.accounts.caller(account)
        self.account, self.tenant, self.bound = account, caller.tenant, wanted
        self.reads_texts = caller.permissions.read
        self._timers["bind"].cancel()
        self._watch()
        version = codec.tlvs([(TlvTag.SC_INTERFACE_VERSION, bytes((INTERFACE_VERSION,)))])
        self._answer(head, codec.text(SYSTEM_ID) + version)
        log.info("smpp_bound", client=caller.client, address=self.address, mode=wanted.value)
        self._owner.ready()

    async def _engine_unbinds(self, head: PduHeader) -> None:
        if self._submitting:
            await asyncio.wait(self._submitting)
        self._answer(head)
        # If it closes in order now, it has read everything.
        self._unbinding = self._orderly = True

    async def _submit(self, head: PduHeader, body: bytes) -> None:
        await self._places.acquire()
        task = asyncio.create_task(self._submitted(head, body))
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)

    async def _submitted(self, head: PduHeader, body: bytes) -> None:
        try:
            assert self.account is not None
            caller = self._gateway.accounts.caller(self.account)
            self._gateway.check_rate(caller)
            pdu = codec.short_message(body)
            wanted = reading.submission(
                pdu, caller, self._gateway.numbers, self._gateway.now, on_uncertain=None
            )
            answer = await self._gateway.submissions.submit(caller, wanted, self._link)
        except (BadPdu, ApiError) as refusal:
            status = refusal.status if isinstance(refusal, BadPdu) else status_of(refusal.code)
            log.info(
                "smpp_submission_refused", status=CommandStatus(status).name, reason=str(refusal)
            )
            self._answer(head, codec.text(""), status)
        except Exception:
            log.exception("smpp_submission_failed")
            self._answer(head, codec.text(""), CommandStatus.ESME_RSYSERR)
        else:
            assert answer.number is not None
            self._answer(head, codec.text(self._gateway.message_id(answer.number)))
            self._link.written(answer)
            self._prove_later()
        finally:
            self._places.release()

    def _query(self, head: PduHeader, asked: codec.QueryBody) -> None:
        caller = self._caller()
        found = self._gateway.submissions.query(caller, asked.message_id)
        body = (
            codec.text(asked.message_id)
            + codec.text(times.written(found.final_at))
            + bytes((found.state, found.error & 0xFF))
        )
        self._answer(head, body)

    async def _cancel(self, head: PduHeader, asked: codec.CancelBody) -> None:
        caller = self._caller()
        if not asked.message_id:  # all messages from one number to another: nobody keeps these
            raise BadPdu(CommandStatus.ESME_RINVMSGID, "cancel_sm without message_id")
        await self._gateway.submissions.cancel(caller, asked.message_id)
        self._answer(head)

    def _caller(self) -> Caller:
        assert self.account is not None
        return self._gateway.accounts.caller(self.account)
