"""The key that lies outside the database and its backups: one-time passwords are safe under it."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from appliance.durable import write_durably


class Vault:
    """Encrypts texts that wait to be sent and hashes codes, under a key in a file of its own."""

    def __init__(self, file: Path) -> None:
        """Reads the key file, or makes it (mode 0600, synced) if there is none. Raises BadKey."""
        if not file.exists():
            # Whole or not at all: half a key would keep the box from ever starting again.
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
        """Raises LostKey if it was encrypted under another key (a restored backup)."""
        try:
            return self._fernet.decrypt(secret).decode()
        except InvalidToken:
            raise LostKey("the text was encrypted under another key") from None

    def code_hash(self, otp_id: int, code: str) -> bytes:
        """A keyed hash of a code, bound to its one-time password."""
        return hmac.digest(self._mac_key, f"{otp_id}:{code}".encode(), "sha256")


class BadKey(Exception):
    """The key file holds no key."""


class LostKey(Exception):
    """The key that a text was encrypted under is not the one at hand."""
