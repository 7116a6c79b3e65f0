"""The key that lies outside the database and its backups: one-time passwords are safe under it."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class Vault:
    """Encrypts texts that wait to be sent and hashes codes, under a key in a file of its own."""

    def __init__(self, file: Path) -> None:
        """Reads the key file, or makes it (mode 0600, synced) if there is none."""
        if not file.exists():
            _make(file)
        key = file.read_bytes().strip()
        self._fernet = Fernet(key)
        self._mac_key = hashlib.sha256(b"one-time password" + key).digest()

    def encrypt(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def decrypt(self, secret: bytes) -> str:
        """Raises LostKey if it was encrypted under another key (a restored backup)."""
        try:
            return self._fernet.decrypt(secret).decode()
        except InvalidToken:
            raise LostKey("the text was encrypted under another key") from None

    def code_hash(self, otp_id: int, code: str) -> bytes:
        """A keyed hash of a code, bound to its one-time password."""
        return hmac.digest(self._mac_key, f"{otp_id}:{code}".encode(), "sha256")


class LostKey(Exception):
    """The key that a text was encrypted under is not the one at hand."""


def _make(file: Path) -> None:
    """Whole or not at all: half a key would keep the box from ever starting again."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, Fernet.generate_key())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
