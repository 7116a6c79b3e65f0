"""Times as clients write them."""

from datetime import UTC, datetime, timedelta


def ahead(**delta: float) -> str:
    """A moment ahead, RFC 3339 in UTC to the second."""
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(**delta: float) -> str:
    """A moment past, RFC 3339 in UTC to the second."""
    return (datetime.now(UTC) - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def billing_day() -> str:
    """A day on which no billing month ends within a test, whatever today is."""
    return "15" if datetime.now(UTC).day in (1, 2, 27, 28, 29, 30, 31) else "1"
