"""Updates of the application and of the whole root: confirmed, taken back, cut off."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from image.builder import build
from image.emulator import card_file, machine
from image.emulator.bundles import make_bundles, make_roots, stage
from image.emulator.harness import (
    AdminPage,
    check,
    delivered,
    new_card,
    new_key,
    note,
    online,
    running,
    send,
    until,
)
from image.emulator.machine import Machine


def update() -> None:
    """Refuse a wrong signature and half a file, take a broken release back, install a good one through the page."""
    card = new_card("update")
    stage(card, make_bundles(card.parent))
    outcomes = {}
    with running("update", card=card) as (box, _):
        box.wait_http()
        until("the modem is online", lambda: online(box))
        admin = AdminPage(box)
        box.shell("sync")
        code = (card_file.boot_file(card, "zimbox-setup-code.txt") or "").split()[-1]
        password = "une phrase bien longue"
        admin.post("/claim", "/claim", f"password={password}", f"again={password}", f"code={code}")
        for name in ("wrong", "cut", "broken", "good"):
            begun = time.monotonic()
            if name == "good":
                output = by_page(admin, card.parent / name)
            else:
                output = box.shell(
                    f"PYTHONPATH=/run/zimbox/app python3 -P -s -m appliance update /data/{name}",
                    1800,
                )
                box.wait_http(seconds=10**6)
            outcomes[name] = (
                output.splitlines()[-1],
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
        box.shell("sync")
        box.cut_power()
    with running("update", card=card) as (box, _):
        box.wait_http()
        check(box.get("/health")["version"] == "9.9.9", "the update did not stay")
    note("update", **{name: outcome[0] for name, outcome in outcomes.items()})


def by_page(admin: AdminPage, file: Path) -> str:
    """Upload a bundle on the page and wait until the page says that it is installed."""
    admin.post("/settings/maintenance", "/settings/update", f"file=@{file}")
    until(
        "the page tells the outcome",
        lambda: "Updated." in admin.get("/settings/maintenance") or None,
        1800,
    )
    return "Updated."


UPDATING = (
    "PYTHONPATH=/run/zimbox/app python3 -P -s -m appliance update /data/{} >/run/output 2>&1 &"
)


def updatecut() -> None:
    """Cut the power while an update is unpacked, and while it is watched: the release before runs, data stay."""
    card = new_card("updatecut")
    stage(card, make_bundles(card.parent))
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        box.shell(UPDATING.format("good"))
        until(
            "it is being unpacked",
            lambda: box.shell("ls -d /data/app/*.partial/appliance 2>/dev/null"),
        )
        box.cut_power()
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        as_before(box, "cut while unpacking")
        key = new_key(box)
        until("the modem is online", lambda: online(box))
        # Does its work, but answers as another version than its manifest says: watched to the end.
        box.shell(UPDATING.format("unproven"))
        until("the new release runs", lambda: box.get("/health")["version"] == "9.9.9")
        until("its modem is online", lambda: online(box))
        message = send(box, key, "pendant l'essai")
        until("the message is delivered", lambda: delivered(box, key, message))
        check("watching" in box.shell("cat /run/output").lower(), box.shell("cat /run/output"))
        check('"trial":"a"' in box.shell("cat /data/app/state.json"), "it is not on trial any more")
        box.cut_power()
    with running("updatecut", card=card) as (box, _):
        box.wait_http()
        as_before(box, "cut while watched")
        check(delivered(box, key, message), "what the new release had taken is gone")
        until("the modem is online", lambda: online(box))
        output = box.shell(UPDATING.format("good").replace(" >/run/output 2>&1 &", ""), 1800)
        check(box.get("/health")["version"] == "9.9.9", f"cannot be updated any more: {output}")
        check(delivered(box, key, message), "the update lost a message")
    note("updatecut", ends_in_the_release_before=True, data_kept=True, updates_again=True)


def as_before(box: Machine, when: str) -> None:
    """Check that the card's own release runs, no update is on trial and no partial file is left."""
    version = box.get("/health")["version"]
    check(version == build.version(), f"{when}: {version} runs")
    state = box.shell("cat /data/app/state.json 2>/dev/null")
    check('"trial":"' not in state, f"{when}: {state}")
    left = box.shell(
        "ls -d /data/app/*.partial /data/app/incoming.zimbox /data/zimbox/incoming/* 2>/dev/null"
    )
    check(left == "", f"{when}: left {left}")
    check(box.shell("systemctl --failed --no-legend --plain") == "", f"{when}: failed units")


def root() -> None:
    """Install a whole root on the other partition: one that works, then one without the gateway."""
    card = new_card("root")
    stage(card, make_roots(card.parent))
    with running("root", card=card, exit_on_restart=True) as (box, _):
        install_root(box, "good")
    begun = time.monotonic()
    with running("root", card=card, exit_on_restart=True) as (box, _):
        box.wait_http()
        until("it is confirmed", lambda: box.shell("cat /data/system/root-slot") == "b")
        check(box.shell("cat /run/zimbox/root-slot") == "b", "it runs, but not from slot b")
        note("root", good_confirmed_after=round(time.monotonic() - begun))
        install_root(box, "broken")
    check(root_slot(card) == "a try", root_slot(card))
    begun = time.monotonic()
    with running("root", card=card) as (box, _):
        # It never answers, and restarts by itself into the root before.
        box.wait_http(seconds=2 * machine.BOOT_SECONDS)
        check(box.shell("cat /run/zimbox/root-slot") == "b", "it does not run from slot b")
        output = box.shell("dmesg | grep zimbox:")
        check("root a was not confirmed, back to b" in output, output)
        note("root", broken_taken_back_after=round(time.monotonic() - begun))
    check(root_slot(card) == "b", f"ends with root-slot {root_slot(card)!r}")


def install_root(box: Machine, name: str) -> None:
    """Install a root and wait for the restart, which may end the line to the probe before its answer."""
    box.wait_http()
    until("the modem is online", lambda: online(box))
    box.shell(UPDATING.format(name))
    box.wait_for_restart(1800)


def root_slot(card: Path) -> str:
    """Return the root slot, read from the card's file."""
    data = card.parent / "data.ext4"
    offset = card_file.data_offset(card) >> 20
    subprocess.run(
        ["dd", "bs=1M", "conv=sparse", "status=none", f"if={card}", f"skip={offset}", f"of={data}"],
        check=True,
    )
    subprocess.run(["e2fsck", "-p", data], stdout=subprocess.DEVNULL, check=False)
    shown = subprocess.run(
        ["debugfs", "-R", "cat /system/root-slot", data], capture_output=True, check=True
    )
    return shown.stdout.decode().strip()
