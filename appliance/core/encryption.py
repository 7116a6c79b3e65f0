"""Encryption with a key outside the database and its backups, for one-time passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.core.durable import write_durably

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_BYTES = 32
KEY_FILE = "secret.key"  # in the data folder


class Encryption:
    """Encrypts texts that wait to be sent and hashes codes, with a key from a file."""

    def __init__(self, file: Path) -> None:
        """Read the key file, or create it (mode 0600, synced). Raises BadKey."""
        if not file.exists():
            # Atomically: half a key would keep the box from starting again.
            write_durably(file, base64.urlsafe_b64encode(os.urandom(KEY_BYTES)), 0o600)
        key = file.read_bytes().strip()
        try:
            usable = len(base64.urlsafe_b64decode(key)) == KEY_BYTES
        except ValueError:
            usable = False
        if not usable:
            raise BadKey(
                f"the key in {file} cannot be used: it must be 32 bytes in URL-safe Base64"
            )
        self._key = key
        self._mac_key = hashlib.sha256(b"one-time password" + key).digest()

    @cached_property
    def _fernet(self) -> Fernet:
        # 7 MiB of memory, and a box that sends no one-time passwords never needs it.
        from cryptography.fernet import Fernet

        return Fernet(self._key)

    def encrypt(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def decrypt(self, secret: bytes) -> str:
        """Decrypt a text. Raises LostKey if another key encrypted it (a restored backup)."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(secret).decode()
        except InvalidToken:
            raise LostKey("the text was encrypted with another key") from None

    def code_hash(self, otp_id: int, code: str) -> bytes:
        """Return a keyed hash of a code, bound to its one-time password."""
        return hmac.digest(self._mac_key, f"{otp_id}:{code}".encode(), "sha256")


class BadKey(Exception):
    """The key file does not contain a key."""


class LostKey(Exception):
    """A text was encrypted with another key."""
