"""Times as clients write them."""

from datetime import UTC, datetime, timedelta

# A schedule must still be ahead when the request comes, and when a test has looked at it: on a busy machine that is
# some seconds later.
SOON_SECONDS = 12


def ahead(**delta: float) -> str:
    """A moment ahead, RFC 3339 in UTC to the second."""
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def soon(seconds: float = 0) -> str:
    """A moment that a test can wait for; `seconds` later than the earliest of them."""
    return ahead(seconds=SOON_SECONDS + seconds)


def noon() -> str:
    """A time zone in which it is about noon, so that no day ends within a test."""
    return (
        f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # east of Greenwich has a minus in these names
    )


def ago(**delta: float) -> str:
    """A moment past, RFC 3339 in UTC to the second."""
    return (datetime.now(UTC) - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def billing_day() -> str:
    """A day on which no billing month ends within a test, whatever today is."""
    return "15" if datetime.now(UTC).day in (1, 2, 27, 28, 29, 30, 31) else "1"
