"""The SIM PIN guard: three wrong attempts lock a SIM, so the box uses one at most by itself."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

import msgspec

ALL_TRIES = 3
OWNER_TRIES = 2  # after another wrong PIN one attempt must remain for a phone


def automatic(*, tries_left: int | None, failed_before: bool) -> str:
    """Return "" if the configured PIN may be entered automatically, else the reason."""
    if tries_left is None or tries_left > ALL_TRIES:  # some cards have ten attempts
        if failed_before:
            return "this PIN was tried on this SIM before and was not seen to succeed"
        return ""
    if tries_left < ALL_TRIES:
        return f"only {tries_left} of {ALL_TRIES} PIN tries are left"
    return ""


def may_be_typed(*, tries_left: int | None) -> bool:
    """Return whether a PIN typed by the owner may be tried."""
    return tries_left is None or tries_left >= OWNER_TRIES


def wellformed(pin: str) -> bool:
    """4 to 8 digits (31.102 9)."""
    return pin.isascii() and pin.isdigit() and 4 <= len(pin) <= 8


def wellformed_puk(puk: str) -> bool:
    """8 digits (31.102 9)."""
    return puk.isascii() and puk.isdigit() and len(puk) == 8


class _Try(msgspec.Struct, frozen=True):
    iccid: str
    salt: str
    digest: str


class _File(msgspec.Struct, frozen=True):
    """`lost`: an earlier file could not be understood, so that of no SIM is known that nothing was
    tried, but of those that were `opened` since."""

    tries: tuple[_Try, ...] = ()
    lost: bool = False
    opened: tuple[_Try, ...] = ()


_FILE_LOCK = threading.Lock()  # each modem has a memory of its own, of the one file


class FilePinMemory:
    """Tries that were made and not seen to succeed, in a file. A try is on the disk when
    `trying` returns. Holds no PIN: salted hashes, slow enough for four digits not to be worth
    the trouble to anyone who does not hold the SIM as well. OSError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def failed(self, iccid: str, pin: str) -> bool:
        """Return True also for an unreadable file: an attempt too few is the safer error."""
        with _FILE_LOCK:
            known = self._read()
        if known.lost and not _among(known.opened, iccid, pin):
            return True
        return _among(known.tries, iccid, pin)

    def trying(self, iccid: str, pin: str) -> None:
        with _FILE_LOCK:
            known = self._read()
            tries = (*_without(known.tries, iccid, pin), _noted(iccid, pin))
            self._write(msgspec.structs.replace(known, tries=tries))

    def succeeded(self, iccid: str, pin: str) -> None:
        with _FILE_LOCK:
            known = self._read()
            opened = _without(known.opened, iccid, pin)
            if known.lost:
                opened = (*opened, _noted(iccid, pin))
            tries = _without(known.tries, iccid, pin)
            self._write(msgspec.structs.replace(known, tries=tries, opened=opened))

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except msgspec.MsgspecError:
            return _File(lost=True)

    def _write(self, content: _File) -> None:
        """Replace the file atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(content))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _noted(iccid: str, pin: str) -> _Try:
    salt = secrets.token_hex(16)
    return _Try(iccid, salt, _digest(iccid, pin, salt))


def _among(tries: tuple[_Try, ...], iccid: str, pin: str) -> bool:
    return any(_same(one, iccid, pin) for one in tries)


def _without(tries: tuple[_Try, ...], iccid: str, pin: str) -> tuple[_Try, ...]:
    return tuple(one for one in tries if not _same(one, iccid, pin))


def _same(one: _Try, iccid: str, pin: str) -> bool:
    return one.iccid == iccid and one.digest == _digest(iccid, pin, one.salt)


def _digest(iccid: str, pin: str, salt: str) -> str:
    return hashlib.scrypt(
        f"{iccid} {pin}".encode(), salt=bytes.fromhex(salt), n=2**12, r=8, p=1
    ).hex()
