"""Keeps a modem running: start-up, operation, recovery."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from modem.at.errors import CommandError, NoResponse, OutOfStep, PortError, PortLost, Restarted
from modem.at.session import AtSession
from modem.at.transport import LEAVE_PROMPT, find
from modem.driver import configuration, recovery, sim, startup
from modem.driver.gpio import PowerError, PowerKey
from modem.driver.recovery import PowerCapabilities, RecoveryStep
from modem.driver.service import Again, Deaf, Service
from modem.driver.sim import Halted, SimSlot
from modem.driver.status import StatusPublisher
from modem.driver.storage import Stores
from modem.driver.stored_reports import StoredReports
from modem.interface import Limitation, ModemState

# Consecutive short lives (see `steady_seconds`) before the next start waits.
_FREE_STARTS = 3
# Consecutive start-ups that end with the same kind of refusal, before the modem is set back.
_HALTS_BEFORE_DEFAULTS = 2
_HALTS_BEFORE_RESET = 3
# Ways to what the modem says unasked, beside commands.
_OTHER_PORT = "another port"
_STORED_REPORTS = "stored reports"


class Supervisor:
    """Runs one modem: start-up, operation, recovery. `live` ends only by cancellation."""

    def __init__(
        self,
        talk: AtSession,
        board: StatusPublisher,
        service: Service,
        stores: Stores,
        card: SimSlot,
        power: PowerKey | None,
        reports: StoredReports,
    ) -> None:
        self._talk = talk
        self._board = board
        self._service = service
        self._stores = stores
        self._sim = card
        self._power = power
        self._reports = reports
        self._timing = talk.timing
        self._log = board.log
        self._climb: list[RecoveryStep] | None = None  # remaining recovery steps; None: all is well
        self._climbs = 0
        self._halts = 0  # consecutive start-ups that ended with the modem's own refusal
        self._short_lives = 0  # consecutive starts that did not last
        self._served_at = 0.0  # when the modem was started completely; 0: not in this life
        # A fault stays on show until the next start has come further than the one that failed.
        self._faulty = False
        self._answered = False  # the modem has answered in this start
        self._fails_answering = False  # the last start failed although it had answered
        self._heard = False  # the modem has answered at least once
        self._remedies: list[str] | None = None  # ways to its unsolicited lines, not tried yet
        self._seeking = False  # another port of the modem is being tried
        self._restart = False  # the owner has requested a restart
        self._changed = asyncio.Event()  # the owner has acted on the SIM
        self.imei = ""

    def restart(self) -> None:
        """Reset the modem soon, at the owner's request."""
        self._restart = True
        self._faulty = False
        self._changed.set()
        self._service.again("a restart was asked for")

    def sim_changed(self) -> None:
        """Continue: the owner has entered a PIN or PUK."""
        self._changed.set()

    async def live(self) -> None:
        """Run for ever. Log unexpected errors and start again."""
        while True:
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 - the outermost loop of a modem
                self._log.exception("driver_failed")
                self._faulty = True
                self._board.show(ModemState.OFFLINE, "unforeseen", last_error=repr(error))
                await asyncio.sleep(self._timing.backoff_first_seconds)

    async def _live(self) -> None:
        while True:
            self._served_at = 0.0
            self._answered = False
            try:
                await self._life()
            except Deaf as deaf:
                self._log.warning("unsolicited_lines_missing", reason=str(deaf))
                self._starting(str(deaf))
                await self._listen_elsewhere()
            except Again as again:
                self._log.info("modem_starting_again", reason=str(again))
                self._starting(str(again))
                await self._pace()
            except Restarted as restarted:
                self._board.count("restart")
                self._faulty = False  # it lives
                self._board.show(last_error=str(restarted))
                self._starting(str(restarted))
                await self._pace()
            except PortError as error:
                await self._recover(error)
                if self._served_at:
                    await self._pace()

    def _starting(self, detail: str) -> None:
        """Show the progress of a start, unless an earlier start has failed at this point."""
        if not self._faulty:
            self._board.show(ModemState.STARTING, detail)

    async def _pace(self) -> None:
        """Wait before another start if the last ones did not last, and tell the owner."""
        if self._restart:
            return
        loop = asyncio.get_running_loop()
        lasted = self._served_at and loop.time() - self._served_at >= self._timing.steady_seconds
        self._short_lives = 0 if lasted else self._short_lives + 1
        if self._short_lives <= _FREE_STARTS:
            return
        self._board.limit(Limitation.RESTARTING, True, starts=self._short_lives)
        seconds = recovery.pause(
            self._short_lives - _FREE_STARTS - 1,
            self._timing.backoff_first_seconds,
            self._timing.backoff_longest_seconds,
        )
        self._log.warning("start_paused", starts=self._short_lives, next_in_seconds=seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _listen_elsewhere(self) -> None:
        """Try the next way to what the modem says unasked; after the last one, tell the owner."""
        if self._remedies is None:
            self._remedies = [*await configuration.line_routes(self._talk)]
            self._remedies += [_OTHER_PORT] * self._talk.ports() + [_STORED_REPORTS]
        if not self._remedies:
            self._board.limit(Limitation.NO_REPORTS, True, reason="no unsolicited lines")
            self._service.hearing.given_up = True
            return
        remedy = self._remedies.pop(0)
        self._log.info("unsolicited_lines_sought", by=remedy)
        if remedy == _OTHER_PORT:
            self._talk.try_another()
            self._seeking = True
            await self._talk.close()
        elif remedy == _STORED_REPORTS:
            identity = self._board.status.identity
            self._reports.insist(identity.model if identity else "")
        else:
            await self._talk.optional(remedy)
        self._service.hearing.begin()

    def _steady(self) -> None:
        """Note that the modem has served long enough."""
        self._short_lives = 0
        self._board.limit(Limitation.RESTARTING, False)

    async def _life(self) -> None:
        """Start the modem and operate it. Raises Again, PortError."""
        await self._reset_if_asked()
        try:
            made = await self._up()
            self._recovered()
            if self._restart:
                raise Again("a restart was asked for")
            self._halts = 0
            await self._serve(made)
        except Halted as halted:
            self._recovered()
            await self._halt(halted)
        except CommandError as refused:
            await self._halt(Halted(ModemState.REFUSING, str(refused), passing=True))

    async def _serve(self, made: configuration.ModemConfiguration) -> None:
        loop = asyncio.get_running_loop()
        self._served_at = loop.time()
        steady = loop.call_later(self._timing.steady_seconds, self._steady)
        try:
            await self._service.serve(made)
        finally:
            steady.cancel()

    def _recovered(self) -> None:
        self._climb = None
        self._climbs = 0

    async def _up(self) -> configuration.ModemConfiguration:
        """Bring a modem from its port to operation. Raises Halted, PortError."""
        if not self._talk.is_open:
            if not self._faulty:
                self._board.show(ModemState.OFFLINE, "opening the port")
            await self._open()
        if self._board.status.state is ModemState.OFFLINE:
            self._starting("waiting for the modem to answer")
        try:
            await startup.wake(self._talk)
        except NoResponse:
            if not self._heard or self._seeking:
                self._talk.try_another()
            raise
        self._heard = True
        self._seeking = False
        if self._board.status.state is ModemState.OFFLINE and not self._fails_answering:
            self._faulty = False
        self._answered = True
        self._starting("the modem answers")
        await startup.known_state(self._talk)
        self.imei = await configuration.imei(self._talk)
        await self._sim.unlocked(self.imei)
        self._board.show(pin_tries_left=None)
        self._starting("the SIM is ready")
        self._reports.meet(self.imei)
        model = await self._talk.word("model") if self._reports.undecided else ""
        made = await configuration.make(
            self._talk, stored_reports=self._reports.wanted(model), anyhow=self._reports.required
        )
        self._reports.made(made.report_mode)
        identity = await configuration.identity(self._talk)
        self._board.show(identity=identity, report_mode=made.report_mode)
        self._service.begin()
        self._stores.begin(made, identity.iccid)
        await self._stores.look(everywhere=True)
        self._board.limit(
            Limitation.NO_STORAGE, not (made.has_places or made.direct_messages), at="start"
        )
        self._board.limit(
            Limitation.NO_REPORTS,
            made.report_mode == "none" or self._service.hearing.given_up,
            at="start",
        )
        self._faulty = self._fails_answering = False
        self._board.show(ModemState.SEARCHING, "looking for a network")
        return made

    async def _open(self) -> None:
        """Open the port, or wait for one that is gone (a USB modem that restarts). Raises PortLost."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.vanished_seconds
        while True:
            # Checked first: a port that appears right after a failed attempt is found by the next one.
            there = self._exists()
            try:
                await self._talk.open()
            except PortLost as lost:
                if loop.time() >= until or there:
                    raise
                self._board.show(ModemState.OFFLINE, str(lost))
                await asyncio.sleep(self._timing.reopen_seconds)
            else:
                self._service.hearing.begin()
                return

    def _exists(self) -> bool:
        with contextlib.suppress(PortLost):
            return Path(find(self._talk.line.path)).exists()
        return False

    async def _halt(self, halted: Halted) -> None:
        """Show what somebody must do, until the SIM changes; of a refusal, until a start succeeds."""
        self._faulty = True
        self._log.warning("modem_waits_for_owner", reason=halted.detail)
        self._board.show(halted.state, halted.detail, pin_tries_left=halted.tries_left)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.backoff_longest_seconds
        before = await sim.state(self._talk)
        while loop.time() < until:
            try:
                async with asyncio.timeout(self._timing.owner_poll_seconds):
                    await self._changed.wait()
            except TimeoutError:
                if await sim.state(self._talk) != before:
                    self._faulty = False
                    return
                if halted.passing:
                    await self._set_back()
                    return
            else:
                self._changed.clear()
                self._faulty = False
                return
        if halted.state in (ModemState.SIM_MISSING, ModemState.SIM_FAILURE):
            # Most modules detect a SIM only when they start.
            self._restart = True

    async def _set_back(self) -> None:
        """Set the modem to its defaults after some start-ups in vain, then reset it, ever more rarely.

        The message storage of some modules is an error until ATZ or a reset, once AT+CFUN=1 was given.
        """
        self._halts += 1
        if self._halts == _HALTS_BEFORE_DEFAULTS:
            await self._talk.optional("ATZ")
        ratio, rest = divmod(self._halts, _HALTS_BEFORE_RESET)
        if not rest and ratio & (ratio - 1) == 0:
            self._restart = True

    # Recovery

    async def _reset_if_asked(self) -> None:
        if self._restart:
            self._restart = False
            if self._talk.is_open:
                await self._take(RecoveryStep.SOFT_RESET)

    def _means(self) -> PowerCapabilities:
        return self._power.means if self._power is not None else PowerCapabilities()

    async def _recover(self, error: Exception) -> None:
        """Take the next recovery step, or pause between two recoveries."""
        self._faulty = True
        self._fails_answering = self._answered and not self._served_at
        self._board.show(ModemState.OFFLINE, str(error), last_error=str(error))
        if self._climb is None:
            port = self._talk.is_open or self._exists()
            self._climb = list(recovery.steps(self._means(), port=port, heard=self._heard))
            if isinstance(error, OutOfStep) and RecoveryStep.RESYNC in self._climb:
                self._climb.remove(RecoveryStep.RESYNC)  # that has just failed
                self._board.count(RecoveryStep.RESYNC.value)
        if not self._climb:
            await self._rest()
            port = self._exists()
            self._climb = list(recovery.steps(self._means(), port=port, heard=self._heard))
        step = self._climb.pop(0)
        self._log.warning("recovery_step", step=step.value, reason=str(error))
        try:
            await self._take(step)
        except (PortError, PowerError) as failure:
            self._log.warning("recovery_step_failed", step=step.value, reason=str(failure))

    async def _rest(self) -> None:
        seconds = recovery.pause(
            self._climbs, self._timing.backoff_first_seconds, self._timing.backoff_longest_seconds
        )
        self._climbs += 1
        self._log.error("recovery_paused", climbs=self._climbs, next_in_seconds=seconds)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        there = self._exists()
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, self._timing.reopen_seconds))
            was_there, there = there, self._exists()
            if there and not was_there:
                return  # it was plugged in again

    async def _take(self, step: RecoveryStep) -> None:
        """Take one step, after an open send, since everything goes through the owner thread."""
        self._board.count(step.value)
        state = self._board.status.state if self._faulty else ModemState.OFFLINE
        self._board.show(state, f"recovery: {step.value}")
        match step:
            case RecoveryStep.RESYNC:
                await self._talk.run(self._talk.dialogue.resynchronise)
            case RecoveryStep.REOPEN:
                await self._talk.close()
                await asyncio.sleep(self._timing.reopen_seconds)
            case RecoveryStep.SOFT_RESET:
                await self._soft_reset()
            case RecoveryStep.RESET:
                await self._press("reset")
            case RecoveryStep.POWER_KEY:
                await self._power_key()
            case RecoveryStep.SUPPLY:
                await self._press("cut_supply")

    async def _soft_reset(self) -> None:
        if not self._talk.is_open:
            await self._talk.open()
        port = self._talk.port

        def reset() -> None:
            port.put(LEAVE_PROMPT)
            port.put("AT+CFUN=1,1\r")

        await self._talk.run(reset)
        await asyncio.sleep(self._timing.reset_seconds)
        await self._talk.close()

    async def _press(self, what: str) -> None:
        if self._power is None:
            return
        await self._talk.close()
        await self._talk.run(getattr(self._power, what))
        await asyncio.sleep(self._timing.reset_seconds)

    async def _power_key(self) -> None:
        """Toggle PWRKEY; without a STATUS pin, ask the modem after each press.

        On (it was off); off and on (it hung); on again (the press for "off" found it off).
        """
        power = self._power
        if power is None:
            return
        running = await self._talk.run(power.running)
        if not running:
            await self._press("switch_on")
            if running is False or await self._answers():
                return
        await self._press("switch_off")
        await asyncio.sleep(power.off_seconds)
        await self._press("switch_on")
        if running is None and not await self._answers():
            await self._press("switch_on")

    async def _answers(self) -> bool:
        try:
            await self._open()
            await startup.wake(self._talk)
        except PortError:
            return False
        return True
