"""`scripts/image test`: scenarios of the card under emulation, and the figures they give."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from image.builder import build
from image.builder.build import SIGNATURE
from image.emulator import card_file, machine, power_cuts, results, simulator
from image.emulator.boards import PIS, Board
from image.emulator.harness import (
    FOLDER,
    MODEM,
    RECIPIENT,
    Failed,
    check,
    data_sectors_written,
    delivered,
    new_card,
    new_key,
    note,
    online,
    received,
    running,
    send,
    until,
)
from image.emulator.machine import EmulationError, Machine
from image.emulator.update_scenarios import root, update, updatecut
from image.emulator.wifi_scenario import wifi
from modem.simulator.trace import read as read_trace

IDLE_SECONDS = float(os.environ.get("IDLE_SECONDS", "600"))


def sms(board: Board = "virt") -> None:
    """Send an SMS by curl until it is delivered; then check the box from inside."""
    scenario = "sms" if board == "virt" else board
    with running(scenario, board) as (box, journal):
        first = box.wait_http()
        note(scenario, first_200_seconds=round(first, 1))
        key = new_key(box)
        until("the modem is online", lambda: online(box))
        text = "Bonjour de la ZimBox : ça marche, 5 € bien dépensés."
        message = send(box, key, text)
        until("the message is delivered", lambda: delivered(box, key, message))
        taken = [line for line in received(journal) if line["event"] == "submit"]
        check(
            len(taken) == 1 and taken[0]["recipient"] == RECIPIENT and taken[0]["text"] == text,
            taken,
        )
        failed = box.shell("systemctl --failed --no-legend --plain")
        check(failed == "", f"failed units: {failed}")
        peak = int(box.shell("systemctl show zimbox -p MemoryPeak --value"))
        used = box.shell("free -m | awk '/Mem:/ {print $2-$7}'")
        pss = box.shell(
            "awk '/^Pss:/ {print $2}' /proc/$(systemctl show zimbox -p MainPID --value)/smaps_rollup"
        )
        note(
            scenario, delivered=True, failed_units="none", port=box.shell("readlink /dev/modem"),
            system_used_mb=int(used), gateway_pss_mb=int(pss) // 1024, gateway_peak_mb=peak >> 20,
        )  # fmt: skip
        inside(box, scenario)
        if board == "virt":
            idle(box, scenario)
        else:
            network_time(box, scenario)


def network_time(box: Machine, scenario: str) -> None:
    """Check that the mobile network sets the clock: QEMU's Pi has no clock chip and no time server."""
    here = [float(box.shell("date +%s")) - time.time()]
    check(here[0] < -86_400, f"the clock is not behind: {here[0]:.0f} s")
    simulator.order(FOLDER / scenario, {"do": "time"})
    until(
        "the clock is set by the network",
        lambda: "clock_set_by_network" in box.shell("journalctl -u zimbox -o cat"),
    )
    here.append(float(box.shell("date +%s")) - time.time())
    check(abs(here[1]) < 120, f"the clock is off by {here[1]:.0f} s")
    note(scenario, clock_before_seconds=round(here[0]), clock_after_seconds=round(here[1]))


def inside(box: Machine, scenario: str) -> None:
    """Check read-only root, firewall, grown data partition, no ssh, no passwords; note the sandbox's grade."""
    check("squashfs" in box.shell("findmnt -no FSTYPE /"), "root is not squashfs")
    check(box.shell("touch /x 2>&1 | grep -c Read-only") == "1", "root can be written")
    rules = box.shell("nft list ruleset")
    check("policy drop" in rules and "80, 443" in rules, rules)
    check(box.shell("systemctl is-active ssh.service") == "inactive", "ssh runs")
    listening = box.shell("ss -Hltn | awk '{print $4}' | sort -u")
    check("0.0.0.0:80" in listening and ":22" not in listening, listening)
    size = int(box.shell("findmnt -bno SIZE /data"))
    check(size > (2048 - 1000) << 20, f"data did not grow: {size}")
    check(box.shell("awk -F: '$2 !~ /^[!*]/' /etc/shadow") == "", "somebody has a password")
    check(len(box.shell("cat /etc/machine-id")) == 32, "no machine-id")
    check(
        box.shell("systemctl is-active avahi-daemon systemd-timesyncd nftables").split()
        == ["active"] * 3,
        "a service is off",
    )
    check(
        box.shell("stat -c %Y /data/system/timesync/clock").isdigit(), "the last time is not kept"
    )
    grade = box.shell("systemd-analyze security zimbox.service --no-pager | grep -o 'service: .*'")
    boot = box.shell("systemd-analyze time | head -1")
    note(scenario, data_mb=size >> 20, sandbox=grade.removeprefix("service: "), boot=boot)


def idle(box: Machine, scenario: str) -> None:
    before = data_sectors_written(box)
    time.sleep(IDLE_SECONDS)
    written = (data_sectors_written(box) - before) * 512
    note(
        scenario,
        idle_seconds=IDLE_SECONDS,
        idle_bytes_per_hour=round(written * 3600 / IDLE_SECONDS),
    )


def firstboot() -> None:
    """Import zimbox.toml, erase its secrets from the card, grow data to a card of 4 GB."""
    card = new_card("firstboot", 4096)
    card_file.boot_file(
        card, "zimbox.toml",
        'hostname = "shop"\ntime_zone = "Africa/Abidjan"\n'
        'password_hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MTIzNA"\n'
        '[wifi]\nssid = "x"\npassword = "brouette rouge"\n[[modem]]\npin = "1234"\nhat = "SIM868"\n',
    )  # fmt: skip
    with running("firstboot", card=card) as (box, _):
        box.wait_http()
        check(box.shell("hostname") == "shop", "hostname")
        settings = box.shell("cat /data/config/zimbox.toml")
        check('pin = "1234"' in settings and "Africa/Abidjan" in settings, settings)
        check(
            int(box.shell("findmnt -bno SIZE /data")) > 2500 << 20,
            "data did not grow to a card of 4 GB",
        )
        check(box.shell("ls /boot/firmware") == "", "the boot partition stayed mounted")
        box.shell("sync")
        box.cut_power()
    left = card_file.boot_file(card, "zimbox.toml.taken-over") or ""
    check(card_file.boot_file(card, "zimbox.toml") is None and 'hostname = "shop"' in left, left)
    for secret in ("brouette", "argon2id", '"1234"'):
        check(secret not in left, f"{secret} is still on the card")
    note("firstboot", taken_over=True, secrets_removed=True)


def small() -> None:
    """Deliver an SMS with the memory of a Zero 2 W, 480 MB; no process is killed."""
    with running("small", memory_mb=480) as (box, journal):
        first = box.wait_http()
        key = new_key(box)
        until("the modem is online", lambda: online(box))
        message = send(box, key, "petit")
        until("the message is delivered", lambda: delivered(box, key, message))
        check(len([line for line in received(journal) if line["event"] == "submit"]) == 1, "once")
        check(box.shell("journalctl -k | grep -ci 'out of memory'") == "0", "out of memory")
        used, total = box.shell("free -m | awk '/Mem:/ {print $2-$7, $2}'").split()
        note("small", first_200_seconds=round(first), system_used_mb=int(used), total_mb=int(total))


def late_modem() -> None:
    """Find a modem that is switched on after the box, and send the message that waited for it."""
    with running("latemodem") as (box, _):
        simulator.order(FOLDER / "latemodem", {"do": "off"})
        box.wait_http()
        key = new_key(box)
        message = send(box, key, "en attendant")
        check(not online(box), "the modem is online without power")
        simulator.order(FOLDER / "latemodem", {"do": "restart"})
        until("the modem is online", lambda: online(box))
        until("the message is delivered", lambda: delivered(box, key, message))
        note("latemodem", delivered_after_it_came=True)


def no_network() -> None:
    """Receive and store an SMS without any network; then plug the cable in."""
    card = new_card("nonetwork")
    # A received SMS belongs to a client, and the cable is how the scenario creates one.
    with running("nonetwork", card=card) as (box, _):
        box.wait_http()
        key = new_key(box)
        box.shell("sync")
        box.cut_power()
    trace = FOLDER / "nonetwork.trace"
    trace.unlink(missing_ok=True)
    modem = (*MODEM, "--trace", str(trace))
    with running("nonetwork", card=card, cable=False, modem=modem) as (box, _):
        coming = {"do": "incoming", "sender": RECIPIENT, "text": "sans réseau"}
        simulator.order(FOLDER / "nonetwork", coming)
        # Only what is on the box's disk is deleted from the modem.
        until("the SMS is deleted from the modem", lambda: _deleted(trace), machine.BOOT_SECONDS)
        box.plug_cable(True)
        box.wait_http()
        check("sans réseau" in str(box.get("/v1/sms/inbox", key)), "not in the inbox")
        message = send(box, key, "avec réseau")
        until("the message is delivered", lambda: delivered(box, key, message))
    note("nonetwork", received_without_network=True, reachable_after_the_cable=True)


def _deleted(trace: Path) -> bool:
    return "AT+CMGD=" in "".join(e.data for e in read_trace(trace) if e.way == "in")


IMAGER = build.PROJECT / "tests/image/target/imager"


def imager() -> None:
    """Import and erase the files of Raspberry Pi Imager 2, then those of 1.x with a firstrun.sh."""
    for made_by in ("2.0.11", "firstrun"):
        card = new_card("imager")
        for file in (IMAGER / made_by).iterdir():
            card_file.boot_file(card, file.name, file.read_text())
        # QEMU does not read cmdline.txt: what Imager appends there is given to the kernel as it stands.
        added = (IMAGER / made_by / "cmdline.txt").read_text().partition(SIGNATURE)[2].split()
        with running("imager", card=card, kernel_words=tuple(added)) as (box, _):
            first = box.wait_http()
            check(box.shell("hostname") == "shop", "hostname")
            wifi = box.shell("cat /run/zimbox/wpa_supplicant.conf")
            check("scan_ssid=1" in wifi and "country=CI" in wifi, wifi)
            check("Africa/Abidjan" in box.shell("cat /data/config/zimbox.toml"), "time zone")
            check("lea@maison" in box.shell("cat /data/system/ssh/authorized_keys"), "ssh key")
            until("ssh runs", lambda: box.shell("systemctl is-active ssh.service") == "active")
            box.shell("sync")
            box.cut_power()
        for file in (IMAGER / made_by).iterdir():
            left = card_file.boot_file(card, file.name)
            check(file.name == "cmdline.txt" or left is None, f"{file.name} is still on the card")
        check("systemd." not in (card_file.boot_file(card, "cmdline.txt") or ""), "cmdline.txt")
        note("imager", **{f"first_200_seconds_{made_by}": round(first)})
    note("imager", taken_over=True, secrets_removed=True)


def plainboot() -> None:
    """Start without zimbox.toml: a setup code on the card, the same one after a restart."""
    card = new_card("plainboot")
    codes = []
    for _ in range(2):
        with running("plainboot", card=card) as (box, _journal):
            box.wait_http()
            codes.append(
                (box.shell("cat /data/zimbox/setup-code"), box.shell("cat /etc/machine-id"))
            )
            box.shell("sync")
            box.cut_power()
        check(
            codes[-1][0] in (card_file.boot_file(card, "zimbox-setup-code.txt") or ""),
            "no setup code on the card",
        )
    check(codes[0] == codes[1] and len(codes[0][0]) == 14, codes)
    note("plainboot", setup_code_and_machine_id_stay=True)


def destroyed() -> None:
    """Overwrite the data partition: the page says so, and not a byte is written to it."""
    card = new_card("destroyed")
    offset = card_file.data_offset(card)
    with card.open("r+b") as stream:
        stream.seek(offset)
        stream.write(os.urandom(8 << 20))
        stream.seek(offset)
        before = stream.read(16 << 20)
    with machine.started("virt", card.parent, card) as box:
        box.wait_answer()
        status, body = box.raw("/", {"Accept": "text/html"})
        check(status == 503 and "La carte est abîmée" in body, (status, body[:200]))
        status, body = box.raw("/health", {})
        check(status == 503 and json.loads(body)["error"]["code"] == "DATA_BROKEN", body)
        box.cut_power()
    with card.open("rb") as stream:
        stream.seek(offset)
        check(stream.read(16 << 20) == before, "the partition was written to")
    note("destroyed", page_shown=True, partition_untouched=True)


def full() -> None:
    """Fill the data partition: the box starts, refuses what it cannot store, and sends again when there is room."""
    card = new_card("full", 1536)
    with running("full", card=card) as (box, _):
        box.wait_http()
        key = new_key(box)
        for size in ("1M", "4k"):
            box.shell(f"dd if=/dev/zero of=/data/filler-{size} bs={size} 2>/dev/null; sync", 900)
        box.cut_power()
    with running("full", card=card) as (box, _):
        box.wait_http()

        def sent(text: str) -> tuple[int, str]:
            headers = {**key, "Content-Type": "application/json"}
            return box.raw("/v1/sms/send", headers, {"to": RECIPIENT, "message": text})

        status, body = sent("x")
        check(status in (503, 507, 500) and json.loads(body)["success"] is False, (status, body))
        note("full", answer=f"{status} {json.loads(body)['error']['code']}")
        box.shell("rm /data/filler-*; sync")
        # The box reads the free space every two seconds: a refusal right now is right.
        until("it takes messages again", lambda: sent("de nouveau")[0] == 202)
    note("full", starts=True, recovers=True)


SCENARIOS: dict[str, Callable[[], None]] = {
    "sms": sms,
    "raspi3b": lambda: sms("raspi3b"),
    "raspi4b": lambda: sms("raspi4b"),
    "plainboot": plainboot,
    "firstboot": firstboot,
    "imager": imager,
    "wifi": wifi,
    "small": small,
    "latemodem": late_modem,
    "nonetwork": no_network,
    "destroyed": destroyed,
    "full": full,
    "update": update,
    "updatecut": updatecut,
    "root": root,
    "powercut": power_cuts.scenario,
}


def boards_of(names: list[str]) -> list[Board]:
    """Return the boards that the named scenarios start, or all."""
    return [board for board in PIS if board in (names or SCENARIOS)]


def run(names: list[str]) -> int:
    """Run the named scenarios, or all. Return 0 if every one passes."""
    bad = 0
    for name in names or list(SCENARIOS):
        what = (SCENARIOS[name].__doc__ or f"As sms, on QEMU's {name}.").splitlines()[0]
        print(f"{name}: {what}", flush=True)
        results.begin(name)
        begun = time.monotonic()
        try:
            SCENARIOS[name]()
        except (Failed, EmulationError, OSError, ValueError, subprocess.SubprocessError) as error:
            bad += 1
            result = f"FAILED: {type(error).__name__}: {str(error)[:200]}"
        else:
            result = "passed"
        seconds = time.monotonic() - begun
        results.end(name, result, seconds, what)
        print(f"  {result} after {seconds:.0f} s", flush=True)
    print(f"{len(names or SCENARIOS) - bad} passed, {bad} failed", flush=True)
    return 1 if bad else 0
