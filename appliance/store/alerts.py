"""Alerts that were sent, so that none is sent twice, across restarts."""

from __future__ import annotations

import hashlib
from sqlite3 import Connection

KEPT_MS = 90 * 86_400_000  # an alert may fire that long before it ends


def is_new(db: Connection, key_id: int, identity: str, firing: bool, now: int, window: int) -> bool:
    """Note an alert of a key and return whether it is to be sent.

    A firing one is not sent again within `window` (ms), an end only after its beginning was sent.
    """
    digest = hashlib.sha256(identity.encode("utf-8", "replace")).digest()
    row = db.execute(
        "SELECT sent_at FROM alert WHERE api_key = ? AND identity = ?", (key_id, digest)
    ).fetchone()
    if not firing:
        db.execute("DELETE FROM alert WHERE api_key = ? AND identity = ?", (key_id, digest))
        return row is not None
    if row is not None and abs(now - row[0]) < window:
        return False
    db.execute("INSERT OR REPLACE INTO alert VALUES (?, ?, ?)", (key_id, digest, now))
    db.execute("DELETE FROM alert WHERE sent_at < ?", (now - KEPT_MS,))
    return True
