"""A small disk of its own that can be full, and that loses at a power cut what was not synced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.box.running import RunningBox

SIZE = "512M"
# include/uapi/linux/fs.h: FS_IOC_SHUTDOWN. The file system writes nothing more, not even its journal.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """An ext4 in a file, mounted through a loop device."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "disk.img"
        self.place = folder / "disk"
        self._filler = self.place / "filler"

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.place))

    def _mount_again(self) -> None:
        """Mount what a power cut left, even if another process holds the file system that was cut.

        A mount namespace that was made meanwhile (a container, the sandbox of a browser) has a copy of the mount,
        and keeps the file system shut down. The image has the same blocks as a disk after the cut.
        """
        self.mount()
        try:
            list(self.place.iterdir())
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.unmount()
            copy = self._image.with_suffix(".copy")
            _run("cp", "--sparse=always", str(self._image), str(copy))
            copy.replace(self._image)
            self.mount()

    def format(self) -> None:
        self.place.mkdir()
        _run("truncate", "-s", SIZE, str(self._image))
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))

    def unmount(self) -> None:
        _run("umount", str(self.place))

    def cut(self) -> None:
        """Lose all that is not synced by now; every later write fails until `mount`."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def hold_data_of(self, box: RunningBox) -> None:
        """Give a box that has not started yet its data folder on this disk."""
        data = self.place / "data"
        data.mkdir(mode=0o700)
        os.sync()
        box.data.symlink_to(data)

    def cut_under(self, box: RunningBox) -> None:
        """Cut the power of a running box. It can be started again afterwards."""
        box.kill()  # first: no process outlives a power cut, to answer what it reads from a disk that is gone
        self.cut()
        self.unmount()
        self._mount_again()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room while the block runs."""
        room = os.statvfs(self.place)
        piece, end = room.f_bfree * room.f_frsize, 0
        with self._filler.open("wb") as file:
            while piece >= room.f_frsize:
                try:
                    os.posix_fallocate(file.fileno(), end, piece)
                    end += piece
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2
        try:
            yield
        finally:
            self._filler.unlink()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk | None]:
    """Make and mount one; None without the right to mount."""
    disk = Disk(folder)
    try:
        if os.geteuid():
            raise PermissionError
        disk.format()
        disk.mount()
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield disk
    finally:
        disk.unmount()
