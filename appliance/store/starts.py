"""The number of the box's current start, and the rows whose times were written since.

A clock jump moves the times of these rows only. The clock of an earlier start may have been wrong in another way, and
the time for which the box was off is real. The times themselves do not tell: after a jump, rows of an earlier start can
have the same times as those of this one.
"""

from __future__ import annotations

from sqlite3 import Connection

# For the column `start_number`, in each statement that writes the times of a row.
THIS_START = "(SELECT value FROM meta WHERE key = 'start')"


def begin(db: Connection) -> None:
    """Count a start of the box. Call before anything else is written."""
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'start'")
