"""Read a phone number as people and programs write it, and return the one spelling that is stored.

Everything that takes a number uses `NumberReader`: sending, one-time codes, block list, filters, page
forms, senders of received messages. Two spellings of a number are therefore one number everywhere.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from functools import cache
from importlib.resources import files

import msgspec
import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat

from appliance.core.i18n import Text, _
from appliance.domain.errors import ApiError, invalid

LEAST_DIGITS = 7
MOST_DIGITS = 15  # E.164 6.1
SHORT_CODE_DIGITS = range(3, 9)
# No number of 15 digits needs more, whatever stands between them; longer ones are not worth reading.
MOST_CHARACTERS = 100

# Unicode's spaces (with line and paragraph separators), dashes, and marks that show nothing
# (direction, joiners, soft hyphen, byte order mark).
_SEPARATOR_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
_SEPARATORS = frozenset("\t\n\v\f\r\x85.\uff0e\u2024\u00b7/\uff0f\u2044\u2215\u2212\u30fc")
_OPENING, _CLOSING = "(\uff08", ")\uff09"
_PLUS = "+\uff0b\ufe62"
_BRACKETED = re.compile(r"\(([0-9]{1,3})\)")


class NumberReader(msgspec.Struct, frozen=True):
    """Reads numbers in one country.

    `region`: ISO 3166-1 alpha-2, None where it is not known. `national`: whether the form that is
    dialled within that country (`06 12 34 56 78`) is read too, rather than refused.
    """

    region: str | None = None
    national: bool = False

    def read(self, text: object, *, short_codes: bool = False, field: str = "to") -> str:
        """Return the number in E.164, or a short code (3-8 digits) where allowed.

        Raises INVALID_PHONE_NUMBER with the reason and how to write the number.
        """
        if not isinstance(text, str):
            raise _refused(field, _("must be a string"))
        # Most programs write plain E.164: spare them the reading of each character.
        if _PLAIN.fullmatch(text):
            return _without_trunk_prefix(text, None, field)
        written, digits = _skeleton(text, field)
        if written.startswith("+"):
            return self._international(written, field)
        if digits.startswith("00"):
            return self._international("+" + _drop_exit_code(written), field)
        if self.national and (found := self._national(digits)):
            return found
        if short_codes and len(digits) in SHORT_CODE_DIGITS:
            return digits
        raise self._national_refused(digits, field)

    def read_filter(self, text: str | None, field: str = "to") -> str | None:
        """Return the number to look for, None when absent; a `+` that arrived as a space is a `+`."""
        if not text:
            return None
        # In a query string `+` stands for a space (HTML 4.10.21.7, the URL-encoded form).
        lost_plus = text[0] == " " and text.lstrip()[:1] in set("123456789")
        return self.read("+" + text if lost_plus else text, short_codes=True, field=field)

    def read_or_keep(self, text: str) -> str:
        """Return the number in E.164, or the text as it is: a name, a short code, half a number."""
        try:
            return self.read(text, short_codes=True)
        except ApiError:
            return text

    def with_national(self) -> NumberReader:
        """Return the reader that reads the national form too."""
        return NumberReader(self.region, national=True)

    def _international(self, written: str, field: str) -> str:
        digits = _digits(written)
        if not digits or digits[0] == "0":  # E.164 6.1: no country code begins with 0
            raise _refused(
                field,
                _("must have the country code after the +, such as +33 6 12 34 56 78"),
            )
        return _without_trunk_prefix("+" + digits, _bracketed_prefix(written, digits), field)

    def _national(self, digits: str) -> str | None:
        """The number in E.164 if it is one of the region's numbering plan."""
        if self.region is None or len(digits) < LEAST_DIGITS:  # a short code, whatever the plan has
            return None
        try:
            number = phonenumbers.parse(digits, self.region)
        except NumberParseException:
            return None
        return _e164(number) if phonenumbers.is_valid_number(number) else None

    def _national_refused(self, digits: str, field: str) -> ApiError:
        if meant := self._national(digits):
            return _refused(
                field,
                _("must be in international form: {meant}", meant=meant),
            )
        if self.national and self.region is not None:
            return _refused(
                field,
                _(
                    "is not a number of this country ({region}); for another country, begin with + and "
                    "the country code, such as +33 6 12 34 56 78",
                    region=self.region,
                ),
            )
        return _refused(
            field,
            _("must begin with + and the country code, such as +33 6 12 34 56 78"),
        )


INTERNATIONAL = NumberReader()

_PLAIN = re.compile(r"\+[1-9][0-9]{6,14}")


def _refused(field: str, reason: Text) -> ApiError:
    return invalid(field, reason, "INVALID_PHONE_NUMBER")


def _skeleton(text: str, field: str) -> tuple[str, str]:
    """The plus, ASCII digits and brackets of a written number; and its digits alone."""
    if len(text) > MOST_CHARACTERS:
        raise _refused(
            field,
            _("is longer than {most} characters", most=MOST_CHARACTERS),
        )
    written = "".join(_kept(character, field) for character in text)
    digits = _digits(written)
    if not digits:
        raise _refused(field, _("contains no digit"))
    # `(+33) 6 …` is written too; only digits may not come before the plus.
    before, plus, *_rest = written.rpartition("+")
    if plus:
        if before.strip("()"):
            raise _refused(
                field,
                _("may have a + at its beginning only"),
            )
        written = "+" + written[len(before) + 1 :]
    return written, digits


def _kept(character: str, field: str) -> str:
    if character in "0123456789":
        return character
    if character in _OPENING:
        return "("
    if character in _CLOSING:
        return ")"
    if character in _PLUS:
        return "+"
    category = unicodedata.category(character)
    if category == "Nd":  # full-width, Arabic, Devanagari …: digits like ours
        return str(unicodedata.decimal(character))
    if category in _SEPARATOR_CATEGORIES or character in _SEPARATORS:
        return ""
    if not character.isprintable():
        code = f"U+{ord(character):04X}"
        raise _refused(
            field,
            _(
                "contains {character}; write + and 7 to 15 digits, such as +33 6 12 34 56 78",
                character=code,
            ),
        )
    raise _refused(
        field,
        _(
            "contains “{character}”; write + and 7 to 15 digits, such as +33 6 12 34 56 78",
            character=character,
        ),
    )


def _digits(written: str) -> str:
    return "".join(character for character in written if character.isdigit())


def _drop_exit_code(written: str) -> str:
    """What follows the leading `00`."""
    return written.replace("0", "", 2)


def _bracketed_prefix(written: str, digits: str) -> str | None:
    """The digits of a bracket right after the country code, as in `+33 (0)6 …`; None without one."""
    code = _country_code(digits)
    for found in _BRACKETED.finditer(written):
        before = _digits(written[: found.start()])
        if before == str(code) or (code is None and len(before) <= 3):
            return found[1]
    return None


def _country_code(digits: str) -> int | None:
    """The country code these digits begin with (no code is the beginning of another)."""
    for length in (1, 2, 3):
        code = int(digits[:length])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return None


def _trunk_prefix(code: int) -> str | None:
    """What is dialled before a number within the country, as its numbering plan says."""
    region = phonenumbers.region_code_for_country_code(code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    return metadata.national_prefix if metadata else None


def _without_trunk_prefix(number: str, bracketed: str | None, field: str) -> str:
    """`+` and digits without the trunk prefix, which is not dialled from abroad.

    Only what must be one is taken away: a zero after the country code where the plan's trunk prefix
    begins with 0, or a prefix in brackets. Other digits stay as written, so that a numbering plan
    that is newer than our copy of it does no harm.
    """
    code = _country_code(number[1:])
    if code is not None:
        prefix = _trunk_prefix(code) if bracketed or _zero_follows(number, code) else None
        if prefix and (bracketed == prefix or prefix[0] == "0"):
            number = _stripped(number, code, prefix)
        elif bracketed == "0":
            number = _plan_decides(number, code, field)
    elif bracketed == "0":
        raise _bracket_refused(field)
    if not LEAST_DIGITS <= len(number) - 1 <= MOST_DIGITS:
        raise _refused(
            field,
            _("must have 7 to 15 digits after the +, not {digits}", digits=len(number) - 1),
        )
    return number


def _zero_follows(number: str, code: int) -> bool:
    return number[1 + len(str(code)) :].startswith("0")


def _stripped(number: str, code: int, prefix: str) -> str:
    """Without the trunk prefix, also where it was written twice (`+33 (0)06 …`)."""
    head, rest = number[: 1 + len(str(code))], number[1 + len(str(code)) :]
    # First the digits as written: libphonenumber takes `03` for a carrier's prefix in `+57 0 321 …`.
    while not _is_valid(head + rest) and rest.startswith(prefix):
        rest = rest.removeprefix(prefix)
    if not _is_valid(head + rest):
        # Argentina's mobile prefix 15 becomes a 9 in front of the area code, and the like.
        with contextlib.suppress(NumberParseException):
            read = phonenumbers.parse(head + prefix + rest)
            if phonenumbers.is_valid_number(read):
                return _e164(read)
    return head + rest


def _is_valid(number: str) -> bool:
    """Whether it is a number of its plan with just these digits."""
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return False
    return _e164(parsed) == number and phonenumbers.is_valid_number(parsed)


def _plan_decides(number: str, code: int, field: str) -> str:
    """A bracketed zero in a country without trunk prefix: kept or dropped, whichever is a number."""
    start = 1 + len(str(code))
    for candidate in (number, number[:start] + number[start + 1 :]):
        if _is_valid(candidate):
            return candidate
    raise _bracket_refused(field)


def _bracket_refused(field: str) -> ApiError:
    return _refused(
        field,
        _("is not a number of that country: write it without (0)"),
    )


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def readable(number: str, country: str | None) -> str:
    """Return an E.164 number as people of a country write it; anything else unchanged.

    `06 12 34 56 78` in France, `+44 7400 123456` for one of another country.
    """
    if not number.startswith("+"):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return number
    if not phonenumbers.is_valid_number(parsed):
        return number
    here = phonenumbers.region_code_for_number(parsed) == country
    style = PhoneNumberFormat.NATIONAL if here else PhoneNumberFormat.INTERNATIONAL
    shown: str = phonenumbers.format_number(parsed, style)
    return shown


def region(own_number: str, time_zone: str) -> str | None:
    """Return the country (ISO 3166-1 alpha-2) of the own number, else that of the time zone."""
    with contextlib.suppress(NumberParseException):
        if found := phonenumbers.region_code_for_number(phonenumbers.parse(own_number)):
            return str(found)
    return _regions().get(time_zone)


@cache
def _regions() -> dict[str, str]:
    """tz database, zone.tab: country, coordinates, zone."""
    table = files("tzdata.zoneinfo").joinpath("zone.tab").read_text()
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {row[2]: row[0] for row in rows}
