"""Reading a log of writes and playing it back, on a log made by hand."""

import struct
from pathlib import Path

import pytest

from image.powercuts import FLUSH, MAGIC, entries, groups, play

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
