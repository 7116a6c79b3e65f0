"""`zimbox doctor`: examine modem, SIM and network, and say what to do."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import Literal

import msgspec

from appliance.core.config import Config, SmppSettings
from appliance.core.i18n import SOURCE
from appliance.devices.attached import identified_by
from appliance.devices.manager import key_of
from appliance.devices.snapshot import ModemSnapshot
from appliance.monitoring import diagnosis
from modem.at.network_port import is_network
from modem.driver import probe
from modem.driver.device import ModemDriver
from modem.driver.gpio import PowerKey
from modem.driver.probe import ProbeResult
from modem.interface import Changed, ModemState, PinMemory, ReceivedPdu, Verdict
from modem.sms import gsm7, tpdu
from modem.timeouts import SerialLine, Timing

Grade = Literal["ok", "note", "bad"]
MARKS: dict[Grade, str] = {"ok": "  ok  ", "note": " note ", "bad": " BAD  "}

CLOCK_OFF_SECONDS = 120
REPORT_SECONDS = 180.0  # most reports arrive within seconds; some networks take minutes
CAME_BACK = "the SMS itself came back: receiving works"
# The SIM must be dealt with before anything else can be said.
_SIM_STATES = {
    ModemState.PIN_REQUIRED,
    ModemState.PUK_REQUIRED,
    ModemState.SIM_MISSING,
    ModemState.SIM_FAILURE,
}
OWN_SECONDS = 15.0  # an SMS to the SIM's own number arrives soon after its report
READY_SECONDS = 200.0


class Finding(msgspec.Struct, frozen=True):
    """One finding."""

    grade: Grade
    text: str


def advice(found: ProbeResult, now: float) -> list[Finding]:
    """Return what is well, then the problems in the order in which the owner should fix them.

    The problems of a modem are those of the page (`appliance.monitoring.diagnosis`); what only a probe can
    meet, such as a port without a modem, is said here.
    """
    if found.error:
        return [
            Finding("bad", f"{found.port}: no modem answers ({found.error})"),
            Finding(
                "note",
                "Is the address right, does the serial server there (ser2net) run and have the modem, is no other "
                "box connected to it? Over socket:// the server sets the speed.",
            )
            if is_network(found.port)
            else Finding(
                "note",
                "Is it the right port, is the HAT powered and switched on (its PWRKEY), is the login "
                "console off the UART, does another program (ModemManager) hold the port?",
            ),
        ]
    findings = [_modem(found)]
    if found.status.state not in _SIM_STATES:
        findings += [*_sim(found), *_network(found), *_messages(found)]
    findings.append(_clock(found.clock, now))
    problems = sorted(
        diagnosis.of_modem(snapshot_of(found)), key=lambda p: diagnosis.ORDER[p.severity]
    )
    findings += [
        Finding("bad" if p.severity == "bad" else "note", p.text.plain(SOURCE)) for p in problems
    ]
    return findings


def snapshot_of(found: ProbeResult) -> ModemSnapshot:
    """Return the snapshot that the running box would have of this modem."""
    identity = found.status.identity
    key = key_of(identity, found.port) if identity else ""
    return ModemSnapshot(
        found.port, found.status, port=found.port, identified_by=identified_by(key)
    )


def _modem(found: ProbeResult) -> Finding:
    identity = found.status.identity
    name = f"{identity.manufacturer} {identity.model}".strip() if identity else ""
    firmware = f", firmware {identity.revision}" if identity and identity.revision else ""
    imei = f", IMEI {identity.imei}" if identity and identity.imei else ""
    speed = f", at {found.baud} baud" if found.baud else ""
    return Finding("ok", f"{found.port}: {name or 'a modem'}{firmware}{imei}{speed}")


def _sim(found: ProbeResult) -> list[Finding]:
    identity = found.status.identity
    iccid = identity.iccid if identity else ""
    return [Finding("ok", f"SIM: ready{f', card {iccid}' if iccid else ''}")]


def _network(found: ProbeResult) -> list[Finding]:
    findings, status = [], found.status
    if not found.radio_on:
        findings.append(
            Finding("note", "radio: switched off (AT+CFUN). The box switches it on when it starts.")
        )
    elif status.state in (ModemState.READY, ModemState.NO_SMSC):
        on = f" on {status.technology}" if status.technology else ""
        findings.append(Finding("ok", f"network: {status.operator or 'registered'}{on}"))
    if status.signal_dbm is None:
        findings.append(Finding("note", "signal: the modem does not report it"))
    elif status.signal_dbm > diagnosis.WEAK_DBM:
        findings.append(Finding("ok", f"signal: {status.signal_dbm} dBm"))
    return findings


def _messages(found: ProbeResult) -> list[Finding]:
    reports = "directly (+CDS)" if found.offers_direct_reports else "stored (+CDSI), or not at all"
    findings = [Finding("ok", f"delivery reports: this modem gives them {reports}")]
    if found.store:
        used = f"{found.status.stored} of {found.status.storage}"
        findings.append(Finding("ok", f"message store {found.store}: {used} places taken"))
    return findings


def _clock(clock: float | None, now: float) -> Finding:
    if clock is None:
        return Finding("note", "network time: none (many networks send none; NTP serves as well)")
    off = clock - now
    if abs(off) > CLOCK_OFF_SECONDS:
        return Finding("note", f"network time: {abs(off):.0f} s away from this machine's clock")
    return Finding("ok", "network time: agrees with this machine's clock")


async def examine(paths: list[str]) -> list[Finding]:
    """Examine these ports, or all."""
    wanted = paths or probe.ports()
    if not wanted:
        return [
            Finding("bad", "no serial port on this machine"),
            Finding(
                "note", "USB: is the modem plugged in? UART: is it switched on (enable_uart=1)?"
            ),
        ]
    findings: list[Finding] = []
    for path in wanted:
        port, _, baud = path.rpartition("@") if "@" in path else (path, "", "")
        line = SerialLine(port, baud=int(baud)) if baud else SerialLine(port)
        findings += advice(await probe.examine(line, probe.quick()), time.time())
    return findings


async def examine_broker(config: Config) -> list[Finding]:
    """Connect to the MQTT broker once, if there is one."""
    if not config.mqtt.host:
        return []
    from appliance.mqtt.connection import FAILURES, BrokerConnection, password

    where = f"MQTT broker {config.mqtt.host}:{config.mqtt.port}"
    try:
        async with BrokerConnection.open(
            config.mqtt, f"zimbox-doctor-{os.getpid()}", password(config.mqtt), None
        ):
            return [Finding("ok", f"{where}: accepts the box")]
    except FAILURES as error:
        return [Finding("bad", f"{where}: {error or type(error).__name__}")]


async def prove(
    path: str, number: str, *, pin: str, pin_memory: PinMemory, power: PowerKey | None = None
) -> list[Finding]:
    """Send one real SMS and wait for its report, and for the SMS itself if sent to the own number."""
    modem = ModemDriver(
        SerialLine(path), timing=Timing(), pin=pin, pin_memory=pin_memory, power=power
    )
    await modem.start()
    try:
        async with asyncio.timeout(READY_SECONDS):
            while modem.status.state != ModemState.READY:
                event = await modem.next_event()
                if isinstance(event, Changed) and event.status.state in (
                    ModemState.PIN_REQUIRED,
                    ModemState.PUK_REQUIRED,
                    ModemState.SIM_MISSING,
                    ModemState.DENIED,
                ):
                    return [Finding("bad", f"the modem cannot send: {event.status.detail}")]
    except TimeoutError:
        return [Finding("bad", f"not ready within {READY_SECONDS:g} s: {modem.status.detail}")]
    else:
        return await _send_and_wait(modem, number)
    finally:
        await modem.stop()


async def _send_and_wait(modem: ModemDriver, number: str) -> list[Finding]:
    text = f"ZimBox {time.strftime('%H:%M:%S')}"
    plan = gsm7.plan(text)
    started = time.monotonic()
    outcome = await modem.send(tpdu.encode_submit(tpdu.Submit(number, text, plan.alphabet)))
    seconds = time.monotonic() - started
    if outcome.verdict != Verdict.TAKEN:
        why = str(outcome.fault) if outcome.fault else outcome.verdict
        return [Finding("bad", f"sending failed after {seconds:.1f} s: {why}")]
    findings = [Finding("ok", f"the network took the SMS after {seconds:.1f} s")]
    own = modem.status.identity.phone_number if modem.status.identity else ""
    comes_back = bool(own) and number.endswith(
        own.lstrip("+0")
    )  # a SIM may store it in national form
    missing = {"report"} | ({"message"} if comes_back else set())
    findings += await _wait_for(modem, missing, outcome.reference, text, REPORT_SECONDS)
    if missing:
        findings.append(
            Finding("note", f"no {' and no '.join(sorted(missing))} within {REPORT_SECONDS:g} s")
        )
    elif not own:
        # Most SIMs do not know their number: this may be it.
        findings += await _wait_for(modem, {"message"}, outcome.reference, text, OWN_SECONDS)
    if not comes_back and not any(f.text == CAME_BACK for f in findings):
        findings.append(
            Finding("note", "receiving was not tried: that takes this SIM's own number")
        )
    return findings


async def _wait_for(
    modem: ModemDriver, missing: set[str], reference: int | None, text: str, seconds: float
) -> list[Finding]:
    """Collect events until `missing` is empty, or time is up."""
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(seconds):
            while missing:
                event = await modem.next_event()
                if isinstance(event, ReceivedPdu):
                    findings += _received(event, reference, text, missing)
                    # Delete only this SMS and its report; the box reads the rest.
                    if findings[-1].grade == "ok":
                        await modem.forget(event)
    except TimeoutError:
        pass
    return findings


def _received(
    event: ReceivedPdu, reference: int | None, text: str, missing: set[str]
) -> list[Finding]:
    try:
        decoded = tpdu.decode(event.hex)
    except tpdu.PduError as error:
        return [Finding("note", f"something came that cannot be read: {error}")]
    if isinstance(decoded, tpdu.Report) and decoded.reference == reference:
        missing.discard("report")
        if decoded.status == 0:
            return [Finding("ok", "the report came: delivered")]
        return [Finding("bad", f"a report came: TP-Status {decoded.status:#04x}, not delivered")]
    if isinstance(decoded, tpdu.Deliver) and decoded.text == text:
        missing.discard("message")
        return [Finding("ok", CAME_BACK)]
    return [Finding("note", "something else came and stays in the modem for the box")]


def running(data: Path) -> str:
    """Return what to say when the running box uses the modem."""
    return (
        f"The box on {data} is running and holds its modem. Its page and /health say what it sees; "
        "to look from here, stop it first (systemctl stop zimbox)."
    )


def examine_smpp(settings: SmppSettings, *, has_password: bool) -> list[Finding]:
    """Return whether engines could connect; nothing while SMPP is off."""
    found: list[Finding] = []
    for address in filter(None, ",".join((settings.listen, settings.tls_listen)).split(",")):
        host, _, port = address.strip().rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family) as probed:
                probed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probed.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError, OverflowError) as error:
            found.append(Finding("bad", f"SMPP: cannot listen on {address} ({error})"))
        else:
            found.append(Finding("ok", f"SMPP: {address} is free"))
    if found and not has_password:
        found.append(
            Finding("note", "SMPP: no client has a password; `zimbox key create --smpp` makes one")
        )
    if found and settings.public and settings.listen:
        found.append(
            Finding(
                "note", "SMPP: passwords and texts cross the internet in the clear; use tls_listen"
            )
        )
    return found
