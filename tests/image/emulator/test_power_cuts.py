"""Reading a log of writes and playing it back, on a log made by hand."""

import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

from image.builder import build
from image.emulator.power_cuts import FLUSH, MAGIC, Broken, Promise, entries, examine, groups, play

pytestmark = pytest.mark.process

SIZE = 512


def log_of(tmp_path: Path, *records: tuple[int, int, bytes]) -> Path:
    content = struct.pack("<QQQI", MAGIC, 1, len(records), SIZE).ljust(SIZE, b"\0")
    for sector, flags, data in records:
        content += (
            struct.pack("<QQQQ", sector, len(data) // SIZE, flags, 0).ljust(SIZE, b"\0") + data
        )
    (tmp_path / "log").write_bytes(content)
    return tmp_path / "log"


def block(letter: str) -> bytes:
    return letter.encode() * SIZE


def test_a_cut_at_a_flush_has_what_came_before_it_and_nothing_after(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        (0, 0, block("a")),
        (1, 0, block("b")),
        (0, FLUSH, b""),
        (0, 0, block("c")),
        (0, FLUSH, b""),
    )
    card = tmp_path / "card"
    seen = []
    card.write_bytes(b"\0" * SIZE * 2)
    for done, following in groups(list(entries(log))):
        play(card, log, done)
        seen.append((card.read_bytes()[::SIZE], len(following)))
    assert seen == [(b"ab", 1), (b"cb", 0)]


def test_the_length_of_the_log_tells_what_had_been_written_when(tmp_path: Path) -> None:
    first = log_of(tmp_path, (0, 0, block("a")), (0, FLUSH, b"")).stat().st_size
    ends = [
        entry.end
        for entry in entries(
            log_of(tmp_path, (0, 0, block("a")), (0, FLUSH, b""), (1, 0, block("b")))
        )
    ]
    assert ends[1] == first
    assert ends[2] > first


def test_a_log_that_was_cut_off_ends_with_its_last_whole_record(tmp_path: Path) -> None:
    log = log_of(tmp_path, (0, 0, block("a")), (0, FLUSH, b""))
    log.write_bytes(log.read_bytes()[:-1])
    assert [entry.flags for entry in entries(log)] == [0]


def test_any_other_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\1" * 600)
    with pytest.raises(ValueError, match="no log"):
        list(entries(tmp_path / "x"))


# --- what counts as harm -----------------------------------------------------------------------------


def partition(tmp_path: Path, *messages: int, spoil: bool = False) -> Path:
    """A data partition with a database that holds these messages."""
    if build.find_tool("mke2fs") is None or build.find_tool("debugfs") is None:
        pytest.skip("NOT CHECKED: mke2fs, debugfs (apt-get install e2fsprogs)")
    folder = tmp_path / "tree/zimbox"
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "zimbox.db", isolation_level=None)
    connection.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, filler TEXT)")
    connection.execute("CREATE TABLE history (id INTEGER PRIMARY KEY)")
    for message in messages:
        connection.execute("INSERT INTO message VALUES (?, ?)", (message, "x" * 3000))
    connection.close()
    if spoil:
        with (folder / "zimbox.db").open("r+b") as stream:
            stream.seek(4096 * 3)
            stream.write(b"\xa5" * 4096)
    image = tmp_path / "data.ext4"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "tree", image, "16m"],
        check=True,
        capture_output=True,
    )
    return image


def test_a_card_with_every_promised_message_is_whole(tmp_path: Path) -> None:
    assert (
        examine(partition(tmp_path, 1, 2, 3), [Promise("msg_0000000000000002", 0)], tmp_path) == 3
    )


def test_a_promised_message_that_is_not_there_is_harm(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="answered 202"):
        examine(partition(tmp_path, 1, 2), [Promise("msg_0000000000000003", 0)], tmp_path)


def test_a_database_that_is_not_whole_is_harm(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="database"):
        examine(partition(tmp_path, *range(1, 40), spoil=True), [], tmp_path)


def test_a_file_system_beyond_repair_is_harm(tmp_path: Path) -> None:
    image = partition(tmp_path, 1)
    with image.open("r+b") as stream:
        stream.write(b"\xa5" * (1 << 20))
    with pytest.raises(Broken, match="file system"):
        examine(image, [], tmp_path)
