"""Power cuts at every flush of a recorded run.

QEMU's blklogwrites driver records each write and flush of the card (the format of dm-log-writes).
Played back up to a flush, the card is as a cut right then would leave it, had the card kept its
word about flushes: file system and database must be whole, and every message whose 202 had been
given must be there. Between flushes a card may have written any part of what it was given: for
each flush, a random half of the writes that follow is tried as well.

What it cannot show: a card that lies about flushes, or that loses what it had long written.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from image.emulator import card_file, harness, machine, simulator

FLUSH, FUA, DISCARD = 1, 2, 4
MAGIC = 0x6A736677736872  # "jsfwshr"; linux/drivers/md/dm-log-writes.c
MESSAGES = 30


@dataclass(frozen=True)
class LoggedWrite:
    """One record of the log: where on the card, and where its data lies in the log. Sectors of 512."""

    sector: int
    sectors: int
    flags: int
    data: int  # offset in the log
    end: int  # offset in the log after it: what had been recorded when the log was this long


def entries(log: Path) -> Iterator[LoggedWrite]:
    """Yield the records in their order until the log ends. Raises ValueError if it is no such log."""
    with log.open("rb") as stream:
        magic, _version, _count, size = struct.unpack("<QQQI", stream.read(28))
        if magic != MAGIC:
            raise ValueError(f"{log} is no log of writes")
        length, position = log.stat().st_size, size
        while position + size <= length:
            stream.seek(position)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", stream.read(32))
            data = 0 if flags & DISCARD else sectors * size
            if not (sectors or flags):
                return
            position += size
            yield LoggedWrite(
                sector * size // 512, sectors * size // 512, flags, position, position + data
            )
            position += data


@dataclass(frozen=True)
class Promise:
    """A message that was answered 202 when the log was `at` bytes long."""

    message: str
    at: int


def play(target: Path, log: Path, records: Sequence[LoggedWrite], start: int = 0) -> None:
    """Write these records onto a partition that begins at sector `start` of the card."""
    sectors = target.stat().st_size // 512
    with target.open("r+b") as partition, log.open("rb") as source:
        for record in records:
            here = record.sector - start
            if record.flags & DISCARD or not record.sectors or not 0 <= here < sectors:
                continue
            source.seek(record.data)
            partition.seek(here * 512)
            partition.write(source.read(record.sectors * 512))


def groups(records: Sequence[LoggedWrite]) -> Iterator[tuple[list[LoggedWrite], list[LoggedWrite]]]:
    """Yield for each flush: the writes since the last one, with it, and the unflushed writes that follow it."""
    cuts = [i for i, record in enumerate(records) if record.flags & (FLUSH | FUA)]
    before = 0
    for number, cut in enumerate(cuts):
        following = cuts[number + 1] if number + 1 < len(cuts) else len(records)
        yield list(records[before : cut + 1]), list(records[cut + 1 : following])
        before = cut + 1


class Broken(Exception):
    """After this cut the card is not whole, or a promise is not kept."""


def examine(data: Path, promises: Sequence[Promise], folder: Path) -> int:
    """Run e2fsck and SQLite's check on `data`, which changes it; look for every promise. Return the messages found."""
    checked = subprocess.run(["e2fsck", "-p", data], capture_output=True, text=True, check=False)
    if checked.returncode >= 4:
        raise Broken(f"the file system is beyond repair: {checked.stdout}")
    for name in ("zimbox.db", "zimbox.db-wal"):
        (folder / name).unlink(missing_ok=True)
        subprocess.run(
            ["debugfs", "-R", f"dump /zimbox/{name} {folder / name}", data],
            capture_output=True,
            check=True,
        )
        if (folder / name).exists() and not (folder / name).stat().st_size:
            (folder / name).unlink()
    if not (folder / "zimbox.db").exists():
        if promises:
            raise Broken("the database is gone")
        return 0
    connection = sqlite3.connect(folder / "zimbox.db")
    try:
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if whole != "ok":
            raise Broken(f"the database is not whole: {whole}")
        found: set[int] = set()
        if promises:
            statement = "SELECT id FROM message UNION SELECT id FROM history"
            found = {row[0] for row in connection.execute(statement)}
    except sqlite3.DatabaseError as error:
        raise Broken(f"the database is not whole: {error}") from None
    finally:
        connection.close()
        for left in folder.glob("zimbox.db*"):
            left.unlink()
    if missing := [
        p.message for p in promises if int(p.message.removeprefix("msg_"), 16) not in found
    ]:
        raise Broken(f"answered 202 and not there: {missing}")
    return len(found)


def record(folder: Path, card: Path) -> tuple[Path, list[Promise]]:
    """Boot the card and send. Return the log of its writes, and each 202 with the length of the log at that moment."""
    log = folder / "writes.log"
    log.write_bytes(b"")
    drive = (
        f"driver=blklogwrites,if=none,id=card,file.driver=raw,file.file.driver=file,file.file.filename={card},"
        f"log.driver=raw,log.file.driver=file,log.file.filename={log},log-super-update-interval=1"
    )
    promises = []
    with (
        simulator.simulated_modem(folder, *harness.MODEM) as (link, _),
        machine.started("virt", folder, card, link, drive) as box,
    ):
        box.wait_http()
        key = harness.new_key(box)
        harness.until("the modem is online", lambda: harness.online(box))
        for number in range(MESSAGES):
            message = harness.send(box, key, f"Coupure {number}")
            promises.append(Promise(message, log.stat().st_size))
        harness.until(
            "the last one is delivered", lambda: harness.delivered(box, key, promises[-1].message)
        )
        box.cut_power()
    return log, promises


def scenario() -> None:
    """Cut the power at every flush of a run of 30 messages: no message that had its 202 is lost."""
    folder = harness.FOLDER / "powercut"
    # No larger than the image: data keeps its 256 MiB, and each look at it is quick.
    card = harness.new_card("powercut", 1220)
    offset = card_file.data_offset(card)
    data, copy = folder / "data.ext4", folder / "copy.ext4"
    with card.open("rb") as source, data.open("wb") as target:
        source.seek(offset)
        shutil.copyfileobj(source, target)
    log, promises = record(folder, card)
    records = list(entries(log))
    chance = random.Random(1)
    harm: list[str] = []
    cuts, begun = 0, time.monotonic()
    for done, following in groups(records):
        play(data, log, done, offset // 512)
        due = [promise for promise in promises if promise.at <= done[-1].end]
        torn = [entry for entry in following if chance.random() < 0.5]
        for more in ([], torn) if torn else ([],):
            subprocess.run(["cp", "--sparse=always", data, copy], check=True)
            play(copy, log, more, offset // 512)
            cuts += 1
            try:
                examine(copy, due, folder)
            except Broken as error:
                harm.append(f"cut {cuts}: {error}")
    harness.note(
        "powercut", writes=len(records), cuts=cuts, messages_promised=len(promises), harmful=len(harm),
        seconds_of_examining=round(time.monotonic() - begun),
    )  # fmt: skip
    harness.check(cuts > MESSAGES, f"only {cuts} cuts were recorded")
    harness.check(not harm, harm[:5])
