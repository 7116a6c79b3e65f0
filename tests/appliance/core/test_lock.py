"""The lock on the data folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.core.lock import DataInUse, DataLock


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    with DataLock(tmp_path).held(), pytest.raises(DataInUse):
        DataLock(tmp_path).take()
    with DataLock(tmp_path).held():
        pass


def test_no_file_that_somebody_deletes_ends_the_lock(tmp_path: Path) -> None:
    """A lock on a file protects nothing once the file was deleted and made again."""
    (tmp_path / "zimbox.db").write_bytes(b"")
    with DataLock(tmp_path).held():
        for entry in tmp_path.iterdir():
            entry.unlink()
        with pytest.raises(DataInUse):
            DataLock(tmp_path).take()


def test_the_lock_is_on_the_folder_whatever_its_path(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    with DataLock(tmp_path / "data").held(), pytest.raises(DataInUse):
        DataLock(tmp_path / "link").take()


@pytest.mark.process
def test_a_process_that_the_box_starts_does_not_inherit_it(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    lock.take()
    listing = ["ls", "-l", "/proc/self/fd"]
    opened = subprocess.run(listing, close_fds=False, capture_output=True, text=True, check=True)
    assert str(tmp_path) not in opened.stdout
    lock.release()
