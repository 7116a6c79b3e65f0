"""Numbers as people type them on the page, in the country of the box; the API takes E.164 alone."""

from __future__ import annotations

import contextlib
import re
from functools import cache
from importlib.resources import files

import phonenumbers

_TYPED = re.compile(r"[+0-9(][0-9 \u00a0\u202f.()/-]*")
# A shorter one is a short code, whatever numbers its country has.
LEAST_DIGITS = 7


def international(typed: str, region: str | None) -> str:
    """In E.164 where that is a number of the region's plan (libphonenumber), else as it was typed.

    `region`: ISO 3166-1 alpha-2, None where it is not known.
    """
    if not _TYPED.fullmatch(typed) or sum(c.isdigit() for c in typed) < LEAST_DIGITS:
        return typed
    try:
        # To libphonenumber a narrow no-break space is a letter.
        number = phonenumbers.parse(typed.replace("\u202f", " "), region)
    except phonenumbers.NumberParseException:
        return typed
    if not phonenumbers.is_valid_number(number):
        return typed
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def region(own_number: str, time_zone: str) -> str | None:
    """The country (ISO 3166-1 alpha-2) of the owner's number, else the one that this time zone is of."""
    with contextlib.suppress(phonenumbers.NumberParseException):
        if found := phonenumbers.region_code_for_number(phonenumbers.parse(own_number)):
            return str(found)
    return _regions().get(time_zone)


@cache
def _regions() -> dict[str, str]:
    """tz database, zone.tab: country, coordinates, zone."""
    table = files("tzdata.zoneinfo").joinpath("zone.tab").read_text()
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
