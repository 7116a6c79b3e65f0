"""`scripts/image test`: what the card must show under emulation, and the figures that come of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from image.builder import build
from image.emulator import machine as emulate
from image.emulator.machine import Board, EmulationError, Machine, machine

FOLDER = build.BUILD / "trials"
RESULTS = build.BUILD / "results.json"
# Everything below is decided by what is seen, not by how long it takes: see emulate.BOOT_SECONDS.
WAIT_SECONDS = 600
IDLE_SECONDS = float(os.environ.get("IDLE_SECONDS", "600"))
RECIPIENT = "+33612345678"
MODEM = ("--personality", "sim868", "--latency", "300", "--report-delay", "500")
AS_GATEWAY = (
    "cd /data/zimbox && setpriv --reuid=zimbox --regid=zimbox --init-groups env PYTHONPATH=/run/zimbox/app "
    "ZIMBOX_DATA=/data/zimbox python3 -P -s -m appliance"
)


class Failed(Exception):
    """The card did not do what it must; says what was seen."""


def check(holds: bool, words: object) -> None:
    if not holds:
        raise Failed(str(words))


def note(trial: str, **figures: object) -> None:
    """Print the figures and keep them for the table in docs/image.md."""
    for name, value in figures.items():
        print(f"  {name}: {value}", flush=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known.setdefault(trial, {}).update(figures)
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


@contextmanager
def running(
    trial: str,
    board: Board = "virt",
    *,
    card: Path | None = None,
    drive: str = "",
    once: bool = False,
) -> Iterator[tuple[Machine, Path]]:
    """A box with a modem on its UART, up to its first 200; and the journal of the network."""
    folder = FOLDER / trial
    card = card or new_card(trial)
    with (
        emulate.simulated_modem(
            folder, "--personality", "sim868", "--latency", "300", "--report-delay", "500"
        ) as (link, journal),
        machine(board, folder, card, link, drive, once=once) as box,
    ):
        yield box, journal


def new_card(trial: str, size_mb: int = 2048) -> Path:
    folder = FOLDER / trial
    shutil.rmtree(folder, ignore_errors=True)
    return emulate.fresh_card(folder, size_mb)


def until(what: str, look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What `look` returns as soon as it is true. Raises Failed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if seen := look():
                return seen
        except (OSError, ValueError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:.0f} s; last seen {seen!r}")
        time.sleep(1)


def new_key(box: Machine) -> dict[str, str]:
    """Headers with a key made inside, as the owner would."""
    made = json.loads(
        box.ask(f"{AS_GATEWAY} key create --data /data/zimbox --json").splitlines()[-1]
    )
    return {"X-API-Key": made["api_key"], "X-Client-ID": str(made["client_id"])}


def online(box: Machine) -> bool:
    return any(device["status"] == "online" for device in box.get("/health")["devices"])


def send(box: Machine, key: dict[str, str], text: str) -> str:
    """One SMS by curl; its id."""
    headers = [word for name, value in key.items() for word in ("-H", f"{name}: {value}")]
    answer = subprocess.run(
        ["curl", "-sS", "-m", "60", *headers, "--json", json.dumps({"to": RECIPIENT, "message": text}),
         f"http://127.0.0.1:{box.http_port}/v1/sms/send"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(answer.stdout)
    check(told.get("success") is True, told)
    return str(told["message_id"])


class Owner:
    """The owner's page by curl, as a browser without JavaScript has it."""

    def __init__(self, box: Machine) -> None:
        self._box = box

    def get(self, path: str) -> str:
        """The page's text. Raises OSError where none comes."""
        return self._curl(path)

    def post(self, page: str, path: str, *fields: str) -> str:
        """Send the form that stands on `page`; what comes after it. Fields as `name=value`, `name=@file`."""
        token = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get(page))
        check(token is not None, f"{page} has no form")
        assert token
        form = [word for field in (f"form_token={token[1]}", *fields) for word in ("-F", field)]
        return self._curl(path, "-L", *form)

    def _curl(self, path: str, *more: str) -> str:
        cookies = self._box.folder / "cookies"
        said = subprocess.run(
            ["curl", "-sS", "-m", "600", "-b", cookies, "-c", cookies, "-H", "Accept-Language: en",
             "-H", "Accept: text/html", *more, f"http://127.0.0.1:{self._box.http_port}{path}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if said.returncode:
            raise OSError(said.stderr.strip())
        return said.stdout


def delivered(box: Machine, key: dict[str, str], message: str) -> bool:
    return bool(box.get(f"/v1/sms/status/{message}", key)["status"] == "delivered")


def received(journal: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    )


def data_sectors_written(box: Machine) -> int:
    line = box.ask('cat /sys/class/block/"$(basename "$(findmnt -no SOURCE /data)")"/stat')
    return int(line.split()[6])


# --- the trials --------------------------------------------------------------------------------------


def sms(board: Board = "virt") -> None:
    """From curl to the network's journal and back delivered; then what the box is like inside."""
    trial = f"sms-{board}"
    with running(trial, board) as (box, journal):
        first = box.wait_http()
        note(trial, first_200_seconds=round(first, 1))
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
        failed = box.ask("systemctl --failed --no-legend --plain")
        check(failed == "", f"failed units: {failed}")
        peak = int(box.ask("systemctl show zimbox -p MemoryPeak --value"))
        used = box.ask("free -m | awk '/Mem:/ {print $2-$7}'")
        pss = box.ask(
            "awk '/^Pss:/ {print $2}' /proc/$(systemctl show zimbox -p MainPID --value)/smaps_rollup"
        )
        note(
            trial, delivered=True, failed_units="none", port=box.ask("readlink /dev/modem"),
            system_used_mb=int(used), gateway_pss_mb=int(pss) // 1024, gateway_peak_mb=peak >> 20,
        )  # fmt: skip
        inside(box, trial)
        if board == "virt":
            idle(box, trial)
        else:
            network_time(box, trial)


def network_time(box: Machine, trial: str) -> None:
    """QEMU's Pi has no clock chip and no time server in reach: the mobile network sets its clock."""
    here = [float(box.ask("date +%s")) - time.time()]
    check(here[0] < -86_400, f"the clock is not behind: {here[0]:.0f} s")
    emulate.order(FOLDER / trial, {"do": "time"})
    until(
        "the clock is set by the network",
        lambda: "clock_set_by_network" in box.ask("journalctl -u zimbox -o cat"),
    )
    here.append(float(box.ask("date +%s")) - time.time())
    check(abs(here[1]) < 120, f"the clock is off by {here[1]:.0f} s")
    note(trial, clock_before_seconds=round(here[0]), clock_after_seconds=round(here[1]))


def inside(box: Machine, trial: str) -> None:
    """Root read-only, firewall loaded, data grown, no ssh, no login, the sandbox's grade."""
    check("squashfs" in box.ask("findmnt -no FSTYPE /"), "root is not squashfs")
    check(box.ask("touch /x 2>&1 | grep -c Read-only") == "1", "root can be written")
    rules = box.ask("nft list ruleset")
    check("policy drop" in rules and "80, 443" in rules, rules)
    check(box.ask("systemctl is-active ssh.service") == "inactive", "ssh runs")
    listening = box.ask("ss -Hltn | awk '{print $4}' | sort -u")
    check("0.0.0.0:80" in listening and ":22" not in listening, listening)
    size = int(box.ask("findmnt -bno SIZE /data"))
    check(size > (2048 - 1000) << 20, f"data did not grow: {size}")
    check(box.ask("awk -F: '$2 !~ /^[!*]/' /etc/shadow") == "", "somebody has a password")
    check(len(box.ask("cat /etc/machine-id")) == 32, "no machine-id")
    check(
        box.ask("systemctl is-active avahi-daemon systemd-timesyncd nftables").split()
        == ["active"] * 3,
        "a service is off",
    )
    check(box.ask("stat -c %Y /data/system/timesync/clock").isdigit(), "the last time is not kept")
    grade = box.ask("systemd-analyze security zimbox.service --no-pager | grep -o 'service: .*'")
    boot = box.ask("systemd-analyze time | head -1")
    note(trial, data_mb=size >> 20, sandbox=grade.removeprefix("service: "), boot=boot)


def idle(box: Machine, trial: str) -> None:
    before = data_sectors_written(box)
    time.sleep(IDLE_SECONDS)
    written = (data_sectors_written(box) - before) * 512
    note(trial, idle_seconds=IDLE_SECONDS, idle_bytes_per_hour=round(written * 3600 / IDLE_SECONDS))


def firstboot() -> None:
    """With zimbox.toml: taken over, its secrets off the card; a box of that name answers."""
    card = new_card("firstboot", 4096)
    emulate.boot_file(
        card, "zimbox.toml",
        'hostname = "shop"\ntime_zone = "Africa/Abidjan"\n'
        'password_hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MTIzNA"\n'
        '[wifi]\nssid = "x"\npassword = "brouette rouge"\n[[modem]]\npin = "1234"\nhat = "SIM868"\n',
    )  # fmt: skip
    with running("firstboot", card=card) as (box, _):
        box.wait_http()
        check(box.ask("hostname") == "shop", "hostname")
        settings = box.ask("cat /data/config/zimbox.toml")
        check('pin = "1234"' in settings and "Africa/Abidjan" in settings, settings)
        check(
            int(box.ask("findmnt -bno SIZE /data")) > 2500 << 20,
            "data did not grow to a card of 4 GB",
        )
        check(box.ask("ls /boot/firmware") == "", "the boot partition stayed mounted")
        box.ask("sync")
        box.pull_the_plug()
    left = emulate.boot_file(card, "zimbox.toml.taken-over") or ""
    check(emulate.boot_file(card, "zimbox.toml") is None and 'hostname = "shop"' in left, left)
    for secret in ("brouette", "argon2id", '"1234"'):
        check(secret not in left, f"{secret} is still on the card")
    note("firstboot", taken_over=True, secrets_removed=True)


def plainboot() -> None:
    """Without zimbox.toml: a setup code on the card, the same one after a restart, and no ssh."""
    card = new_card("plainboot")
    codes = []
    for _ in range(2):
        with running("plainboot", card=card) as (box, _journal):
            box.wait_http()
            codes.append((box.ask("cat /data/zimbox/setup-code"), box.ask("cat /etc/machine-id")))
            box.ask("sync")
            box.pull_the_plug()
        check(
            codes[-1][0] in (emulate.boot_file(card, "zimbox-setup-code.txt") or ""),
            "no setup code on the card",
        )
    check(codes[0] == codes[1] and len(codes[0][0]) == 14, codes)
    note("plainboot", setup_code_and_machine_id_stay=True)


def destroyed() -> None:
    """A data partition overwritten: the page says so, nothing is formatted."""
    card = new_card("destroyed")
    offset = emulate.data_offset(card)
    with card.open("r+b") as stream:
        stream.seek(offset)
        stream.write(os.urandom(8 << 20))
        stream.seek(offset)
        before = stream.read(16 << 20)
    with machine("virt", card.parent, card) as box:
        box.wait_answer()
        status, body = box.raw("/", {"Accept": "text/html"})
        check(status == 503 and "La carte est abîmée" in body, (status, body[:200]))
        status, body = box.raw("/health", {})
        check(status == 503 and json.loads(body)["error"]["code"] == "DATA_BROKEN", body)
        box.pull_the_plug()
    with card.open("rb") as stream:
        stream.seek(offset)
        check(stream.read(16 << 20) == before, "the partition was written to")
    note("destroyed", page_shown=True, partition_untouched=True)


def full() -> None:
    """Not a byte free on data: the box starts, answers, and refuses what it cannot keep."""
    card = new_card("full", 1536)
    with running("full", card=card) as (box, _):
        box.wait_http()
        key = new_key(box)
        for size in ("1M", "4k"):
            box.ask(f"dd if=/dev/zero of=/data/filler-{size} bs={size} 2>/dev/null; sync", 900)
        box.pull_the_plug()
    with running("full", card=card) as (box, _):
        box.wait_http()
        status, body = box.raw(
            "/v1/sms/send",
            {**key, "Content-Type": "application/json"},
            {"to": RECIPIENT, "message": "x"},
        )
        check(status in (503, 507, 500) and json.loads(body)["success"] is False, (status, body))
        note("full", answer=f"{status} {json.loads(body)['error']['code']}")
        box.ask("rm /data/filler-*; sync")
        until("it takes messages again", lambda: send(box, key, "de nouveau"))
    note("full", starts=True, recovers=True)


def update() -> None:
    """A wrong signature, half a file, a broken application; and through the page one that works and stays."""
    card = new_card("update")
    stage(card, make_bundles(card.parent))
    outcomes = {}
    with running("update", card=card) as (box, _):
        box.wait_http()
        until("the modem is online", lambda: online(box))
        owner = Owner(box)
        box.ask("sync")
        code = (emulate.boot_file(card, "zimbox-setup-code.txt") or "").split()[-1]
        password = "une phrase bien longue"
        owner.post("/claim", "/claim", f"password={password}", f"again={password}", f"code={code}")
        for name in ("wrong", "cut", "broken", "good"):
            begun = time.monotonic()
            if name == "good":
                said = by_page(owner, card.parent / name)
            else:
                said = box.ask(
                    f"PYTHONPATH=/run/zimbox/app python3 -P -s -m appliance update /data/{name}",
                    1800,
                )
                box.wait_http(seconds=10**6)
            outcomes[name] = (
                said.splitlines()[-1],
                box.get("/health")["version"],
                round(time.monotonic() - begun),
            )
            print(f"  {name}: {outcomes[name]}", flush=True)
        check("WRONG_SIGNATURE" in outcomes["wrong"][0], outcomes)
        check("DAMAGED" in outcomes["cut"][0] or "NOT_A_BUNDLE" in outcomes["cut"][0], outcomes)
        check(
            "ROLLED_BACK" in outcomes["broken"][0] and outcomes["broken"][1] == build.version(),
            outcomes,
        )
        check(outcomes["good"][1] == "9.9.9", outcomes)
        box.ask("sync")
        box.pull_the_plug()
    with running("update", card=card) as (box, _):
        box.wait_http()
        check(box.get("/health")["version"] == "9.9.9", "the update did not stay")
    note("update", **{name: outcome[0] for name, outcome in outcomes.items()})


def by_page(owner: Owner, file: Path) -> str:
    """Upload it, follow it as the page does; what the page says in the end."""
    owner.post("/settings/upkeep", "/settings/update", f"file=@{file}")
    until(
        "the page tells the outcome",
        lambda: "Updated." in owner.get("/settings/upkeep") or None,
        1800,
    )
    return "Updated."


UPDATING = "PYTHONPATH=/run/zimbox/app python3 -P -s -m appliance update /data/{} >/run/said 2>&1 &"


def updatecut() -> None:
    """The plug pulled while an update is unpacked, and while it is watched: the release before runs, data stay."""
    card = new_card("updatecut")
    stage(card, make_bundles(card.parent))
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        box.ask(UPDATING.format("good"))
        until(
            "it is being unpacked",
            lambda: box.ask("ls -d /data/app/*.partial/appliance 2>/dev/null"),
        )
        box.pull_the_plug()
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        as_before(box, "cut while unpacking")
        key = new_key(box)
        until("the modem is online", lambda: online(box))
        # Does its work, but answers as another version than its manifest says: watched to the end.
        box.ask(UPDATING.format("unproven"))
        until("the new release runs", lambda: box.get("/health")["version"] == "9.9.9")
        until("its modem is online", lambda: online(box))
        message = send(box, key, "pendant l'essai")
        until("the message is delivered", lambda: delivered(box, key, message))
        check("watching" in box.ask("cat /run/said").lower(), box.ask("cat /run/said"))
        check('"trial":"a"' in box.ask("cat /data/app/state.json"), "it is not on trial any more")
        box.pull_the_plug()
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        as_before(box, "cut while watched")
        check(delivered(box, key, message), "what the new release had taken is gone")
        until("the modem is online", lambda: online(box))
        said = box.ask(UPDATING.format("good").replace(" >/run/said 2>&1 &", ""), 1800)
        check(box.get("/health")["version"] == "9.9.9", f"cannot be updated any more: {said}")
        check(delivered(box, key, message), "the update lost a message")
    note("updatecut", ends_in_the_release_before=True, data_kept=True, updates_again=True)


def as_before(box: Machine, when: str) -> None:
    """The card's own release runs, nothing is on trial, nothing half-done lies about."""
    version = box.get("/health")["version"]
    check(version == build.version(), f"{when}: {version} runs")
    state = box.ask("cat /data/app/state.json 2>/dev/null")
    check('"trial":"' not in state, f"{when}: {state}")
    left = box.ask(
        "ls -d /data/app/*.partial /data/app/incoming.zimbox /data/zimbox/incoming/* 2>/dev/null"
    )
    check(left == "", f"{when}: left {left}")
    check(box.ask("systemctl --failed --no-legend --plain") == "", f"{when}: failed units")


def stage(card: Path, files: dict[str, Path]) -> None:
    """Files onto data, which fills the card first: from outside, as a first start and an upload would leave it."""
    offset, data = emulate.data_offset(card), card.parent / "data.ext4"
    copy: list[str | Path] = ["dd", "bs=1M", "conv=notrunc", "status=none"]
    subprocess.run([*copy, f"if={card}", f"skip={offset >> 20}", f"of={data}"], check=True)
    os.truncate(data, card.stat().st_size - offset)
    for grow in (["e2fsck", "-f", "-p"], ["resize2fs"]):
        subprocess.run(
            [build.find_tool(grow[0]) or "", *grow[1:], data], capture_output=True, check=True
        )
    for name, file in files.items():
        write: list[str | Path] = ["debugfs", "-w", "-R", f"write {file} {name}", data]
        subprocess.run(write, check=True, capture_output=True)
    subprocess.run([*copy, f"if={data}", f"of={card}", f"seek={offset >> 20}"], check=True)
    emulate.fill_card(card)
    data.unlink()


def root() -> None:
    """A whole root to the other partition: one that works, then one without gateway and judge."""
    card = new_card("root")
    stage(card, make_roots(card.parent))
    with running("root", card=card, once=True) as (box, _):
        install_root(box, "good")
    begun = time.monotonic()
    with running("root", card=card, once=True) as (box, _):
        box.wait_http()
        until("it is confirmed", lambda: box.ask("cat /data/system/root-slot") == "b")
        check(box.ask("cat /run/zimbox/root-slot") == "b", "it runs, but not from slot b")
        note("root", good_confirmed_after=round(time.monotonic() - begun))
        install_root(box, "broken")
    check(root_slot(card) == "a try", root_slot(card))
    begun = time.monotonic()
    with running("root", card=card) as (box, _):
        # It never answers: it restarts by itself into the root before.
        box.wait_http(seconds=2 * emulate.BOOT_SECONDS)
        check(box.ask("cat /run/zimbox/root-slot") == "b", "it does not run from slot b")
        said = box.ask("dmesg | grep zimbox:")
        check("root a was not confirmed, back to b" in said, said)
        note("root", broken_taken_back_after=round(time.monotonic() - begun))
    check(root_slot(card) == "b", f"ends with root-slot {root_slot(card)!r}")


def install_root(box: Machine, name: str) -> None:
    """Up to the restart that the update asks for: the line to the probe may not outlive its answer."""
    box.wait_http()
    until("the modem is online", lambda: online(box))
    box.ask(UPDATING.format(name))
    box.wait_for_restart(1800)


def root_slot(card: Path) -> str:
    """What the card says about its roots, read from outside."""
    data = card.parent / "data.ext4"
    offset = emulate.data_offset(card) >> 20
    subprocess.run(
        ["dd", "bs=1M", "conv=sparse", "status=none", f"if={card}", f"skip={offset}", f"of={data}"],
        check=True,
    )
    subprocess.run(["e2fsck", "-p", data], stdout=subprocess.DEVNULL, check=False)
    shown = subprocess.run(
        ["debugfs", "-R", "cat /system/root-slot", data], capture_output=True, check=True
    )
    return shown.stdout.decode().strip()


def make_roots(folder: Path) -> dict[str, Path]:
    """good (the root of this build), broken (the same without the gateway and what would confirm it)."""
    from appliance.maintenance.bundle import write_bundle

    tree, key = folder / "tree", build.load_private_key(build.update_key())
    tree.mkdir(exist_ok=True)
    squashfs = tree / "root.squashfs"
    kernel = next((build.BUILD / "root/usr/lib/modules").iterdir()).name
    files = {"good": folder / "good", "broken": folder / "broken"}
    os.link(build.BUILD / "root.squashfs", squashfs)
    write_bundle(tree, build.version(), key, files["good"], kernel=kernel, preset=0)
    squashfs.unlink()
    app = "usr/lib/zimbox/app"
    lacking = [
        f"{app}/appliance/assembly.py",
        f"{app}/image/target/roots.py",
        f"{app}/image/target/__pycache__/roots.cpython-313.pyc",
    ]
    build.squash(build.BUILD / "root", squashfs, 1, leave_out=lacking)
    write_bundle(tree, build.version(), key, files["broken"], kernel=kernel, preset=0)
    return files


def make_bundles(folder: Path) -> dict[str, Path]:
    """good (9.9.9), unproven (says it is another), broken (does not start), wrong (another's key), cut (half)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.maintenance.bundle import write_bundle

    check(build.python() != "", "python3.13 must be on the PATH, for the byte code of the bundles")
    key = build.load_private_key(build.update_key())
    tree = folder / "tree"
    build.application(tree, "/run/zimbox/app")
    version = tree / "appliance/__init__.py"
    version.write_text(version.read_text().replace(build.version(), "9.9.9"))
    shutil.rmtree(tree / "appliance/__pycache__")
    build.compile_python(tree / "appliance", "/run/zimbox/app/appliance")
    files = {name: folder / name for name in ("good", "unproven", "broken", "wrong", "cut")}
    write_bundle(tree, "9.9.9", key, files["good"], preset=0)
    write_bundle(tree, "9.9.10", key, files["unproven"], preset=0)
    write_bundle(tree, "9.9.9", Ed25519PrivateKey.generate(), files["wrong"], preset=0)
    whole = files["good"].read_bytes()
    files["cut"].write_bytes(whole[: len(whole) // 2])
    (tree / "appliance/assembly.py").write_text("raise RuntimeError('broken on purpose')\n")
    for left in (tree / "appliance/__pycache__").glob("assembly.*"):
        left.unlink()
    write_bundle(tree, "9.9.9", key, files["broken"], preset=0)
    return files


def powercut() -> None:
    """Every flush of a recorded run as the moment of a power cut: see image/emulator/power_cuts.py."""
    from image.emulator.power_cuts import trial

    trial()


TRIALS: dict[str, Callable[[], None]] = {
    "sms": sms,
    "raspi3b": lambda: sms("raspi3b"),
    "plainboot": plainboot,
    "firstboot": firstboot,
    "destroyed": destroyed,
    "full": full,
    "update": update,
    "updatecut": updatecut,
    "root": root,
    "powercut": powercut,
}


def run(names: list[str]) -> int:
    """The named trials, or all. 0 if every one holds."""
    bad = 0
    for name in names or list(TRIALS):
        print(
            f"{name}: {(TRIALS[name].__doc__ or 'as sms, on the Pi 3').splitlines()[0]}", flush=True
        )
        begun = time.monotonic()
        try:
            TRIALS[name]()
        except (Failed, EmulationError, OSError, ValueError, subprocess.SubprocessError) as error:
            bad += 1
            print(
                f"  FAILED after {time.monotonic() - begun:.0f} s: {type(error).__name__}: {error}",
                flush=True,
            )
        else:
            print(f"  passed in {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{len(names or TRIALS) - bad} passed, {bad} failed", flush=True)
    return 1 if bad else 0
