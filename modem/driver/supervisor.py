"""Keeps a modem running: start-up, operation, recovery."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from modem.at.errors import CommandError, NoResponse, PortError, PortLost, Restarted, ResyncFailed
from modem.at.network_port import is_network, reachable
from modem.at.serial_port import find
from modem.at.session import AtSession
from modem.at.transport import LEAVE_PROMPT
from modem.driver import configuration, recovery, sim, startup
from modem.driver.gpio import PowerError, PowerKey
from modem.driver.recovery import PowerCapabilities, RecoveryStep
from modem.driver.service import Service, StartupNeeded, UrcsMissing
from modem.driver.sim import Halted, SimSlot
from modem.driver.status import StatusPublisher
from modem.driver.storage import StorageReader
from modem.driver.stored_reports import StoredReports
from modem.interface import Limitation, ModemState

# Consecutive short lives (see `steady_seconds`) before the next start waits.
_FREE_STARTS = 3
# Consecutive start-ups that end with the same kind of refusal, before the modem is set back.
_HALTS_BEFORE_DEFAULTS = 2
_HALTS_BEFORE_RESET = 3
# Ways to receive unsolicited result codes, besides commands.
_OTHER_PORT = "another port"
_STORED_REPORTS = "stored reports"


class Supervisor:
    """Runs one modem: start-up, operation, recovery. `run` ends only by cancellation."""

    def __init__(
        self,
        session: AtSession,
        publisher: StatusPublisher,
        service: Service,
        storage: StorageReader,
        card: SimSlot,
        power: PowerKey | None,
        reports: StoredReports,
    ) -> None:
        self._session = session
        self._publisher = publisher
        self._service = service
        self._storage = storage
        self._sim = card
        self._power = power
        self._reports = reports
        self._timing = session.timing
        self._log = publisher.log
        self._steps_left: list[RecoveryStep] | None = (
            None  # remaining recovery steps; None: all is well
        )
        self._failed_recoveries = 0
        self._halts = 0  # consecutive start-ups that ended with the modem's own refusal
        self._short_runs = 0  # consecutive starts that did not last
        self._served_at = 0.0  # when the modem was started completely; 0: not in this life
        # A fault stays published until the next start has come further than the one that failed.
        self._faulty = False
        self._answered = False  # the modem has answered in this start
        self._fails_answering = False  # the last start failed although it had answered
        self._has_answered = False  # the modem has answered at least once
        self._urc_routes_left: list[str] | None = (
            None  # ways to its unsolicited lines, not tried yet
        )
        self._seeking = False  # another port of the modem is being tried
        self._restart = False  # the owner has requested a restart
        self._changed = asyncio.Event()  # the owner has acted on the SIM
        self.imei = ""

    def restart(self) -> None:
        """Reset the modem soon, at the owner's request."""
        self._restart = True
        self._faulty = False
        self._changed.set()
        self._service.request_startup("a restart was asked for")

    def sim_changed(self) -> None:
        """Continue: the owner has entered a PIN or PUK."""
        self._changed.set()

    async def run(self) -> None:
        """Run for ever. Log unexpected errors and start again."""
        while True:
            try:
                await self._run()
            except Exception as error:  # noqa: BLE001 - the outermost loop of a modem
                self._log.exception("driver_failed")
                self._faulty = True
                self._publisher.update(ModemState.OFFLINE, "unforeseen", last_error=repr(error))
                await asyncio.sleep(self._timing.backoff_first_seconds)

    async def _run(self) -> None:
        while True:
            self._served_at = 0.0
            self._answered = False
            try:
                await self._run_once()
            except UrcsMissing as missing:
                self._log.warning("unsolicited_lines_missing", reason=str(missing))
                self._starting(str(missing))
                await self._try_next_urc_route()
            except StartupNeeded as needed:
                self._log.info("modem_starting_again", reason=str(needed))
                self._starting(str(needed))
                await self._delay_start()
            except Restarted as restarted:
                self._publisher.count("restart")
                self._faulty = False  # it answers
                self._publisher.update(last_error=str(restarted))
                self._starting(str(restarted))
                await self._delay_start()
            except PortError as error:
                await self._recover(error)
                if self._served_at:
                    await self._delay_start()

    def _starting(self, detail: str) -> None:
        """Show the progress of a start, unless an earlier start has failed at this point."""
        if not self._faulty:
            self._publisher.update(ModemState.STARTING, detail)

    async def _delay_start(self) -> None:
        """Wait before another start if the last ones did not last, and publish that limitation."""
        if self._restart:
            return
        loop = asyncio.get_running_loop()
        lasted = self._served_at and loop.time() - self._served_at >= self._timing.steady_seconds
        self._short_runs = 0 if lasted else self._short_runs + 1
        if self._short_runs <= _FREE_STARTS:
            return
        self._publisher.set_limitation(Limitation.RESTARTING, True, starts=self._short_runs)
        seconds = recovery.pause(
            self._short_runs - _FREE_STARTS - 1,
            self._timing.backoff_first_seconds,
            self._timing.backoff_longest_seconds,
        )
        self._log.warning("start_paused", starts=self._short_runs, next_in_seconds=seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _try_next_urc_route(self) -> None:
        """Try the next way to receive unsolicited result codes; after the last one, publish that limitation."""
        if self._urc_routes_left is None:
            self._urc_routes_left = [*await configuration.urc_route_commands(self._session)]
            self._urc_routes_left += [_OTHER_PORT] * self._session.ports() + [_STORED_REPORTS]
        if not self._urc_routes_left:
            self._publisher.set_limitation(
                Limitation.NO_REPORTS, True, reason="no unsolicited lines"
            )
            self._service.urc_monitor.given_up = True
            return
        route = self._urc_routes_left.pop(0)
        self._log.info("unsolicited_lines_sought", by=route)
        if route == _OTHER_PORT:
            self._session.try_another()
            self._seeking = True
            await self._session.close()
        elif route == _STORED_REPORTS:
            identity = self._publisher.status.identity
            self._reports.force(identity.model if identity else "")
        else:
            await self._session.optional(route)
        self._service.urc_monitor.begin()

    def _steady(self) -> None:
        """Note that the modem has served long enough."""
        self._short_runs = 0
        self._publisher.set_limitation(Limitation.RESTARTING, False)

    async def _run_once(self) -> None:
        """Start the modem and operate it. Raises StartupNeeded, PortError."""
        await self._reset_if_requested()
        try:
            settings = await self._up()
            self._recovered()
            if self._restart:
                raise StartupNeeded("a restart was asked for")
            self._halts = 0
            await self._serve(settings)
        except Halted as halted:
            self._recovered()
            await self._halt(halted)
        except CommandError as refused:
            await self._halt(Halted(ModemState.REFUSING, str(refused), temporary=True))

    async def _serve(self, settings: configuration.ModemConfiguration) -> None:
        loop = asyncio.get_running_loop()
        self._served_at = loop.time()
        steady = loop.call_later(self._timing.steady_seconds, self._steady)
        try:
            await self._service.serve(settings)
        finally:
            steady.cancel()

    def _recovered(self) -> None:
        self._steps_left = None
        self._failed_recoveries = 0

    async def _up(self) -> configuration.ModemConfiguration:
        """Bring a modem from its port to operation. Raises Halted, PortError."""
        if not self._session.is_open:
            if not self._faulty:
                self._publisher.update(ModemState.OFFLINE, "opening the port")
            await self._open()
        if self._publisher.status.state is ModemState.OFFLINE:
            self._starting("waiting for the modem to answer")
        try:
            await startup.wake(self._session)
        except NoResponse:
            if not self._has_answered or self._seeking:
                self._session.try_another()
            raise
        self._has_answered = True
        self._seeking = False
        if self._publisher.status.state is ModemState.OFFLINE and not self._fails_answering:
            self._faulty = False
        self._answered = True
        self._starting("the modem answers")
        await startup.set_known_state(self._session)
        self.imei = await configuration.imei(self._session)
        await self._sim.unlocked(self.imei)
        self._publisher.update(pin_tries_left=None)
        self._starting("the SIM is ready")
        self._reports.modem_identified(self.imei)
        model = await self._session.word("model") if self._reports.undecided else ""
        settings = await configuration.configure(
            self._session,
            stored_reports=self._reports.wanted(model),
            required=self._reports.required,
        )
        self._reports.mode_set(settings.report_mode)
        identity = await configuration.identity(self._session)
        self._publisher.update(identity=identity, report_mode=settings.report_mode)
        self._service.begin()
        self._storage.begin(settings, identity.iccid)
        await self._storage.poll(everywhere=True)
        self._publisher.set_limitation(
            Limitation.NO_STORAGE, not (settings.has_places or settings.direct_messages), at="start"
        )
        self._publisher.set_limitation(
            Limitation.NO_REPORTS,
            settings.report_mode == "none" or self._service.urc_monitor.given_up,
            at="start",
        )
        self._faulty = self._fails_answering = False
        self._publisher.update(ModemState.SEARCHING, "looking for a network")
        return settings

    async def _open(self) -> None:
        """Open the port, or wait for one that is gone (a USB modem that restarts). Raises PortLost."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.vanished_seconds
        while True:
            # Checked first: a port that appears right after a failed attempt is found by the next one.
            there = self._exists()
            try:
                await self._session.open()
            except PortLost as lost:
                if loop.time() >= until or there:
                    raise
                self._publisher.update(ModemState.OFFLINE, str(lost))
                await asyncio.sleep(self._timing.reopen_seconds)
            else:
                self._service.urc_monitor.begin()
                return

    def _exists(self) -> bool:
        """Return whether the port is there. A network port is only known once it is opened."""
        with contextlib.suppress(PortLost):
            return Path(find(self._session.line.path)).exists()
        return False

    async def _halt(self, halted: Halted) -> None:
        """Show what somebody must do, until the SIM changes; of a refusal, until a start succeeds."""
        self._faulty = True
        self._log.warning("modem_waits_for_owner", reason=halted.detail)
        self._publisher.update(halted.state, halted.detail, pin_tries_left=halted.tries_left)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timing.backoff_longest_seconds
        before = await sim.state(self._session)
        while loop.time() < until:
            try:
                async with asyncio.timeout(self._timing.owner_poll_seconds):
                    await self._changed.wait()
            except TimeoutError:
                if await sim.state(self._session) != before:
                    self._faulty = False
                    return
                if halted.temporary:
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
            await self._session.optional("ATZ")
        ratio, rest = divmod(self._halts, _HALTS_BEFORE_RESET)
        if not rest and ratio & (ratio - 1) == 0:
            self._restart = True

    # Recovery

    async def _reset_if_requested(self) -> None:
        if self._restart:
            self._restart = False
            if self._session.is_open:
                await self._take(RecoveryStep.SOFT_RESET)

    def _capabilities(self) -> PowerCapabilities:
        return self._power.capabilities if self._power is not None else PowerCapabilities()

    async def _recover(self, error: Exception) -> None:
        """Take the next recovery step, or pause between two recoveries."""
        self._faulty = True
        self._fails_answering = self._answered and not self._served_at
        self._publisher.update(ModemState.OFFLINE, str(error), last_error=str(error))
        if self._steps_left is None:
            port = self._session.is_open or self._exists()
            self._steps_left = list(
                recovery.steps(self._capabilities(), port=port, has_answered=self._has_answered)
            )
            if isinstance(error, ResyncFailed) and RecoveryStep.RESYNC in self._steps_left:
                self._steps_left.remove(RecoveryStep.RESYNC)  # that has just failed
                self._publisher.count(RecoveryStep.RESYNC.value)
        if not self._steps_left:
            await self._rest()
            port = self._exists()
            self._steps_left = list(
                recovery.steps(self._capabilities(), port=port, has_answered=self._has_answered)
            )
        step = self._steps_left.pop(0)
        self._log.warning("recovery_step", step=step.value, reason=str(error))
        try:
            await self._take(step)
        except (PortError, PowerError) as failure:
            self._log.warning("recovery_step_failed", step=step.value, reason=str(failure))

    async def _rest(self) -> None:
        seconds = recovery.pause(
            self._failed_recoveries,
            self._timing.backoff_first_seconds,
            self._timing.backoff_longest_seconds,
        )
        self._failed_recoveries += 1
        self._log.error(
            "recovery_paused", failed_recoveries=self._failed_recoveries, next_in_seconds=seconds
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        there = await self._is_there()
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, self._timing.reopen_seconds))
            if there and is_network(self._session.line.path):
                continue  # each further connection would open the serial port at the far end
            was_there, there = there, await self._is_there()
            if there and not was_there:
                return  # it was plugged in again, or its server is back

    async def _is_there(self) -> bool:
        """Return whether the port exists, or its server accepts a connection."""
        path = self._session.line.path
        if is_network(path):
            return await asyncio.to_thread(reachable, path)
        return self._exists()

    async def _take(self, step: RecoveryStep) -> None:
        """Take one step, after an open send, since everything goes through the owner thread."""
        self._publisher.count(step.value)
        state = self._publisher.status.state if self._faulty else ModemState.OFFLINE
        self._publisher.update(state, f"recovery: {step.value}")
        match step:
            case RecoveryStep.RESYNC:
                await self._session.run(self._session.client.resynchronise)
            case RecoveryStep.REOPEN:
                await self._session.close()
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
        if not self._session.is_open:
            await self._session.open()
        port = self._session.port

        def reset() -> None:
            port.put(LEAVE_PROMPT)
            port.put("AT+CFUN=1,1\r")

        await self._session.run(reset)
        await asyncio.sleep(self._timing.reset_seconds)
        await self._session.close()

    async def _press(self, what: str) -> None:
        if self._power is None:
            return
        await self._session.close()
        await self._session.run(getattr(self._power, what))
        await asyncio.sleep(self._timing.reset_seconds)

    async def _power_key(self) -> None:
        """Toggle PWRKEY; without a STATUS pin, ask the modem after each press.

        On (it was off); off and on (it hung); on again (the press for "off" found it off).
        """
        power = self._power
        if power is None:
            return
        running = await self._session.run(power.running)
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
            await startup.wake(self._session)
        except PortError:
            return False
        return True
