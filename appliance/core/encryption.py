"""Encryption with a key outside the database and its backups, for one-time passwords."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from appliance.core.durable import write_durably


class Encryption:
    """Encrypts texts that wait to be sent and hashes codes, with a key from a file."""

    def __init__(self, file: Path) -> None:
        """Read the key file, or create it (mode 0600, synced). Raises BadKey."""
        if not file.exists():
            # Atomically: half a key would keep the box from starting again.
            write_durably(file, Fernet.generate_key(), 0o600)
        key = file.read_bytes().strip()
        try:
            self._fernet = Fernet(key)
        except ValueError as error:
            raise BadKey(f"the key in {file} cannot be used: {error}") from None
        self._mac_key = hashlib.sha256(b"one-time password" + key).digest()

    def encrypt(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def decrypt(self, secret: bytes) -> str:
        """Decrypt a text. Raises LostKey if another key encrypted it (a restored backup)."""
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
