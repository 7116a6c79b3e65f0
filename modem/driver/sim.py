"""The SIM: its state, its identity, and its PIN, entered under the guard of `modem.driver.pin_guard`."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial

from modem.at import responses
from modem.at.errors import CommandError
from modem.at.session import AtSession
from modem.driver import pin_guard
from modem.interface import CodeProblem, CodeRefused, ModemState, PinMemory

_ICCID = (
    ("AT+CCID", "+CCID:"),
    ("AT+ICCID", "+ICCID:"),
    ("AT+QCCID", "+QCCID:"),
    ("AT+CICCID", "+ICCID:"),
    ("AT^ICCID?", "^ICCID:"),
)
# A module that has refused every variant so often has none. A SIM that starts is slow for a shorter time.
_ICCID_REFUSALS = 10
_TRIES_LEFT = ('AT+CPINR="SIM PIN"', "AT+CPINR", "AT+SPIC", 'AT+QPINC="SC"')

# PIN2 locks only what needs PIN2 (fixed dialling); messages can be sent.
_USABLE = frozenset({"READY", "SIM PIN2", "SIM PUK2"})
_WANTS_PIN = "SIM PIN"
_WANTS_PUK = "SIM PUK"
_FINAL = _USABLE | {_WANTS_PIN, _WANTS_PUK}
# Within this time the same wrong code is not tried again: nobody types that quickly.
SAME_AGAIN_SECONDS = 10.0
_MISSING = re.compile(r"NOT INSERTED|ERROR:\s*(10|310|SIM not inserted)\s*$", re.IGNORECASE)


class Halted(Exception):
    """The start stopped: the owner must act, or the SIM must recover by itself."""

    def __init__(
        self,
        state: ModemState,
        detail: str,
        tries_left: int | None = None,
        *,
        temporary: bool = False,
    ) -> None:
        """`temporary`: it may end by itself, without a change of the SIM's state."""
        super().__init__(detail)
        self.temporary = temporary
        self.state = state
        self.detail = detail
        self.tries_left = tries_left


async def state(session: AtSession) -> str:
    """Return `READY`, `SIM PIN`, … (27.007 8.3), or the modem's error text."""
    try:
        # Some old modules send no OK after it.
        lines = await session.command(
            "AT+CPIN?", session.timing.slow_command_seconds, closing="+CPIN:"
        )
        return responses.pin_state(lines) or "no answer"
    except CommandError as refused:
        return refused.line


def usable(found: str) -> bool:
    """Return whether a SIM in this state can send."""
    return found in _USABLE


def modem_state(found: str) -> ModemState:
    """Return the state of a modem whose SIM answers this: READY if the SIM can send."""
    if usable(found):
        return ModemState.READY
    if found == _WANTS_PUK:
        return ModemState.PUK_REQUIRED
    if found == _WANTS_PIN:
        return ModemState.PIN_REQUIRED
    return ModemState.SIM_MISSING if _MISSING.search(found) else ModemState.SIM_FAILURE


async def settled_state(session: AtSession) -> str:
    """Return the state, after giving a busy or silent SIM time to start."""
    until = time.monotonic() + session.timing.sim_seconds
    while True:
        found = await state(session)
        if found in _FINAL or time.monotonic() >= until:
            return found
        await asyncio.sleep(session.timing.sim_poll_seconds)


async def iccid(session: AtSession) -> str:
    """Return the ICCID, "" if it cannot be read (yet)."""
    return await session.twice(partial(_iccid, session))


async def _iccid(session: AtSession) -> str:
    if session.iccid_refusals >= _ICCID_REFUSALS:
        return ""
    session.iccid_refusals += 1
    for command, prefix in _ICCID:
        if session.iccid_command not in ("", command):
            continue
        # Once known, it is the identity of the SIM: a lost answer must not change that.
        send = session.try_command if session.iccid_command else session.optional
        lines = await send(command, prefixes=(prefix,))
        if lines and (found := responses.iccid(lines)):
            session.iccid_command = command
            session.iccid_refusals = 0
            return found
    return ""


async def tries_left(session: AtSession) -> int | None:
    """Return the PIN attempts left, None if the modem does not report them."""
    for command in _TRIES_LEFT:
        lines = await session.optional(command)
        if lines and (found := responses.tries_left(lines)) is not None:
            return found
    return None


class SimSlot:
    """The SIM slot of a modem, with the configured PIN and the memory of its attempts."""

    def __init__(self, session: AtSession, code: str, memory: PinMemory | None) -> None:
        self._session = session
        self._code = code
        self._memory = memory
        self._unanswered_attempt: tuple[
            str, ...
        ] = ()  # the card of an attempt whose answer was lost
        self._lock = asyncio.Lock()  # one attempt at a time: the next one sees its result
        self._refused, self._refused_at = "", 0.0  # the last wrong code

    async def unlocked(self, imei: str) -> None:
        """Unlock the SIM. Raises Halted with the state if somebody must act.

        `imei` stands for the SIM if its ICCID cannot be read before its PIN.
        """
        async with self._lock:
            found = await settled_state(self._session)
            if (
                usable(found)
                and self._unanswered_attempt
                and self._unanswered_attempt == await self._keys(imei)
            ):
                await self._succeeded(
                    self._unanswered_attempt, self._code
                )  # that attempt had succeeded
            if found in _FINAL:
                self._unanswered_attempt = ()
            if found == _WANTS_PIN:
                await self._enter_configured_pin(imei)
                found = await settled_state(self._session)
        if found not in _USABLE:
            raise await self._halted(found)

    async def _enter_configured_pin(self, imei: str) -> None:
        left = await tries_left(self._session)
        keys = await self._keys(imei)
        if not self._code:
            raise Halted(
                ModemState.PIN_REQUIRED, "the SIM needs its PIN and none is configured", left
            )
        if not pin_guard.wellformed(self._code):
            raise Halted(ModemState.PIN_REQUIRED, "the PIN that is set is not 4 to 8 digits", left)
        if left is None and (self._memory is None or not imei):
            raise Halted(
                ModemState.PIN_REQUIRED,
                "the modem does not report the PIN attempts left and no attempts are remembered",
                left,
                temporary=not imei,
            )
        failed = await self._failed_before(keys)
        if why := pin_guard.automatic(tries_left=left, failed_before=failed):
            raise Halted(ModemState.PIN_REQUIRED, why, left)
        if refused := await self._try(keys, self._code):
            raise Halted(
                ModemState.PIN_REQUIRED,
                f"the PIN was not accepted ({refused.problem}): {refused.detail}",
                await tries_left(self._session),
            )

    async def _failed_before(self, keys: tuple[str, ...]) -> bool:
        if self._memory is None:
            return False
        try:
            for key in keys:
                if await asyncio.to_thread(self._memory.failed, key, self._code):
                    return True
        except OSError as error:
            raise Halted(
                ModemState.PIN_REQUIRED, f"earlier tries cannot be looked up: {error}"
            ) from error
        return False

    async def enter(self, code: str, imei: str) -> CodeRefused | None:
        """Try the owner's PIN; return None or why it failed. Raises NoResponse, PortLost, Restarted."""
        if not pin_guard.wellformed(code):
            return CodeRefused(CodeProblem.MALFORMED)
        async with self._lock:
            return await self._entered(code, imei)

    async def _entered(self, code: str, imei: str) -> CodeRefused | None:
        found = await state(self._session)
        if found in _USABLE:
            return CodeRefused(CodeProblem.NOT_ASKED)
        if found != _WANTS_PIN:
            return _not_tried(await self._halted(found))
        if self._just_refused(code):
            return CodeRefused(CodeProblem.REPEATED)
        if not pin_guard.may_be_typed(tries_left=await tries_left(self._session)):
            return CodeRefused(CodeProblem.LAST_TRY)
        why = await self._try(await self._keys(imei), code)
        if why:
            self._refused, self._refused_at = code, time.monotonic()
        else:
            self._code = code  # for the next start of the modem
        return why

    def _just_refused(self, code: str) -> bool:
        """Return whether this is a repetition (double tap, two windows), which must cost one attempt only."""
        return code == self._refused and time.monotonic() - self._refused_at < SAME_AGAIN_SECONDS

    async def unlock(self, puk: str, new_code: str, imei: str) -> CodeRefused | None:
        """Try the owner's PUK; return None or why it failed. Raises NoResponse, PortLost, Restarted."""
        if not pin_guard.wellformed_puk(puk):
            return CodeRefused(CodeProblem.MALFORMED)
        if not pin_guard.wellformed(new_code):
            return CodeRefused(CodeProblem.MALFORMED)
        async with self._lock:
            if await state(self._session) != _WANTS_PUK:
                return CodeRefused(CodeProblem.NOT_ASKED)
            if self._just_refused(puk):
                return CodeRefused(CodeProblem.REPEATED)
            try:
                await self._enter_code(f'AT+CPIN="{puk}","{new_code}"')
            except CommandError as refused:
                self._refused, self._refused_at = puk, time.monotonic()
                return CodeRefused(CodeProblem.WRONG, refused.line)
            self._code = new_code
            await self._succeeded(await self._keys(imei), new_code)
            return None

    async def _enter_code(self, command: str) -> None:
        """Send PIN or PUK once. The right one starts the SIM, whose start-up lines are no restart."""
        self._session.port.boot.began(time.monotonic())
        await self._session.slow(command, once=True)

    async def _keys(self, imei: str) -> tuple[str, ...]:
        """Return the keys under which an attempt is remembered: SIM and modem; either may be unreadable."""
        if not (found := await iccid(self._session)):
            self._session.log.warning("iccid_unreadable_before_pin", kept_by=imei)
        return tuple(key for key in (found, imei and f"imei:{imei}") if key)

    async def _try(self, keys: tuple[str, ...], code: str) -> CodeRefused | None:
        """Make one attempt, stored on disk first; return None or why it failed."""
        if self._memory is not None:
            try:
                for key in keys:
                    await asyncio.to_thread(self._memory.trying, key, code)
            except OSError as error:
                return CodeRefused(CodeProblem.NOT_RECORDED, str(error))
        self._session.log.info("entering_pin")
        self._unanswered_attempt = keys if code == self._code else ()
        try:
            await self._enter_code(f'AT+CPIN="{code}"')
        except CommandError as refused:
            self._unanswered_attempt = ()
            return CodeRefused(CodeProblem.WRONG, refused.line)
        # Some modems answer OK before the SIM has checked: only its state is conclusive.
        found = await self._after_try()
        if found in _FINAL:  # otherwise it is still starting
            self._unanswered_attempt = ()
        if found not in _USABLE:
            return CodeRefused(CodeProblem.WRONG, found)
        await self._succeeded(keys, code)
        return None

    async def _succeeded(self, keys: tuple[str, ...], code: str) -> None:
        if self._memory is None:
            return
        try:
            for key in keys:
                await asyncio.to_thread(self._memory.succeeded, key, code)
        except OSError as error:
            self._session.log.warning("pin_memory_not_cleared", reason=str(error))

    async def _after_try(self) -> str:
        until = time.monotonic() + self._session.timing.sim_seconds
        while True:
            found = await state(self._session)
            if found in _USABLE or found == _WANTS_PUK or time.monotonic() >= until:
                return found
            await asyncio.sleep(self._session.timing.sim_poll_seconds)

    async def _halted(self, found: str) -> Halted:
        state = modem_state(found)
        match state:
            case ModemState.PUK_REQUIRED:
                return Halted(state, "the SIM needs its PUK", 0)
            case ModemState.PIN_REQUIRED:
                return Halted(state, "the SIM needs its PIN", await tries_left(self._session))
            case ModemState.SIM_MISSING:
                return Halted(state, "there is no SIM in the modem")
        return Halted(ModemState.SIM_FAILURE, f"the SIM does not work: {found}")


def _not_tried(halted: Halted) -> CodeRefused:
    """Return why a PIN is not tried in this state of the SIM."""
    asks_for_puk = halted.state is ModemState.PUK_REQUIRED
    return CodeRefused(CodeProblem.NOT_ASKED if asks_for_puk else CodeProblem.NO_SIM, halted.detail)
