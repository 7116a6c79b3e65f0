"""Splits bytes into lines, and lines into responses and unsolicited result codes. Pure: no port, no clock.

A modem may send an unsolicited result code at any moment: inside an answer, before it, between a command and its
prompt (27.005 3.4.1). The command in progress decides which lines are its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

import msgspec

from modem.sms.tpdu import is_whole

# These have two lines: the second is a PDU, whenever it arrives (27.005 3.4.1, PDU mode).
TWO_LINED = ("+CDS:", "+CMT:", "+CBM:")

# Never part of an answer, even to a command whose answers have no known prefix.
_UNSOLICITED = re.compile(
    r"RDY$|RING\b|NO CARRIER$|Call Ready$|SMS Ready$|SMS DONE$|PB DONE$|NORMAL POWER (DOWN|OFF)"
    r"|(UNDER|OVER)-VOLTAGE|DST:|\*PSUTTZ|\*PSNWID|\*ATREADY|\+(CMTI|CDSI|CUSD|CTZV|CTZE|QIND|CIEV|CLIP"
    r"|CRING|PSUTTZ):",
    re.IGNORECASE,
)
_NAMED = re.compile(r"[+*^$#&]\s?[A-Z][A-Z0-9_]*:", re.IGNORECASE)
_COMMAND_NAME = re.compile(r"([+*^$#&][A-Z][A-Z0-9_]*)", re.IGNORECASE)
_FINAL = re.compile(
    r"(OK|ERROR|COMMAND NOT SUPPORT|COMMAND NO RESPONSE!?|\+CM[ES] ERROR\s*:.*|\+CM[ES] ERROR)$",
    re.IGNORECASE,
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_HEX = re.compile(r"[0-9A-Fa-f]+$")
# What we write at a prompt to end or to leave it: a modem may echo it beside any line.
_PROMPT_ENDS = "\x1a\x1b"
# A piece of our own text that is at least this long is its echo; `+CMGS: 12` may be cut into shorter ones.
_ECHO_PIECE = 8
# Before the length there is a name from the phone book, which may contain anything.
_DIGITS = re.compile(r"[+*^$#&][A-Z0-9]+:(?:.*,)?\s*(\d+)\s*$", re.IGNORECASE)

# Longer than any line in PDU mode (a stored PDU has at most 2 * 176 digits) and any USSD answer: a longer
# line without an end is noise.
LONGEST_LINE = 4096
# A USSD answer holds at most 182 characters (23.038 5.1): never more lines than that, far fewer.
_LONGEST_QUOTE_LINES = 40

# Lines that a modem sends only while it starts. RDY, *ATREADY and the power lines mean that it has just lost its
# settings; the others also end a normal start, seconds later.
RESET_LINES = re.compile(
    r"RDY$|\*ATREADY\b|NORMAL POWER (DOWN|OFF)|UNDER-VOLTAGE POWER DOWN", re.IGNORECASE
)
BOOT_LINES = re.compile(
    r"RDY$|\*ATREADY\b|\+CFUN: 1$|Call Ready$|SMS Ready$|SMS DONE$|PB DONE$|\+QIND: (SMS|PB) DONE",
    re.IGNORECASE,
)


class Urc(msgspec.Struct, frozen=True):
    """An unsolicited result code: one line, with its complete PDU in hex if it has one."""

    line: str
    pdu: str = ""


class LineKind(Enum):
    RESPONSE = auto()  # belongs to the command in progress
    FINAL = auto()  # … and ends it
    PROMPT = auto()  # the modem waits for the text of AT+CMGS
    ECHO = auto()  # our own command: ATE0 was lost
    TEXT_ECHO = auto()  # our own text: some modems repeat it at the prompt in spite of ATE0
    URC = auto()
    STRAY = auto()  # the end of an answer that nobody waits for
    DAMAGED = auto()  # half of an event, or a PDU of another length than announced


class Sorted(msgspec.Struct, frozen=True):
    """A line and its kind. `urc` is set only for EVENT."""

    kind: LineKind
    line: str
    urc: Urc | None = None


class AtResponse(msgspec.Struct, frozen=True):
    """The lines of an answer, and its final line (`>` for a prompt)."""

    lines: tuple[str, ...]
    final: str


class EchoMatch(Enum):
    """How the modem echoed what was written."""

    EXACT = auto()
    NONE = auto()
    DIFFERENT = auto()


class Splitter:
    """Splits a stream of bytes at CR LF, CR or LF. Decodes as latin-1, which accepts any byte."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False  # the next LF belongs to the CR before it

    def feed(self, data: bytes) -> Iterator[str]:
        """Return the lines that `data` completes; blank ones as "", since a USSD text may contain them."""
        self._rest += data.replace(b"\x00", b"")
        if self._after_cr and self._rest:
            self._after_cr = False
            if self._rest[0] == 0x0A:
                del self._rest[0]
        while end := _LINE_END.search(self._rest):
            # A CR ends its line at once, so that an answer does not wait for the LF.
            self._after_cr = end[0] == b"\r" and end.end() == len(self._rest)
            line = self._rest[: end.start()].decode("latin-1").strip()
            del self._rest[: end.end()]
            yield line
        if len(self._rest) > LONGEST_LINE:
            yield self._rest.decode("latin-1").strip()
            self._rest.clear()

    def prompted(self) -> bool:
        """Return whether the unfinished line is the prompt `> ` (27.005 4.3), and consume it."""
        if self._rest.lstrip()[:1] != b">":
            return False
        self._rest.clear()
        return True

    @property
    def rest(self) -> str:
        """The unfinished line."""
        return self._rest.decode("latin-1")

    def clear(self) -> None:
        """Discard the unfinished line."""
        self._rest.clear()


class Sorter:
    """Classifies the lines of a modem. At most one command is in progress."""

    def __init__(self) -> None:
        self._own: tuple[str, ...] = ()
        self._pending = False
        self._prompting = False
        self._echo = ""
        self._text = ""
        self._echo_rest = ""  # of our own command, if an event has cut its echo
        self._urc_head = ""  # the first line of an event that has two
        self._quote: list[str] = []  # a +CUSD whose text is not complete yet

    def begin(
        self, command: str, *, prefixes: tuple[str, ...] = (), prompt: bool = False, text: str = ""
    ) -> None:
        """Expect the answer of `command`. `prefixes` are further prefixes of its lines.

        `text` is what is written, if that is not the command (after a prompt).
        """
        names = _COMMAND_NAME.findall(command) if command[:2].upper() == "AT" else []
        self._own = tuple(f"{name.upper()}:" for name in names) + prefixes
        self._text = text.strip(" \r\x1a\x1b")
        self._echo = "" if text else command.strip(" \r\x1a\x1b")
        self._echo_rest = ""
        self._prompting = prompt
        self._pending = True

    def end(self) -> None:
        """Forget the command: nobody waits for its answer any more."""
        self._pending = False
        self._prompting = False

    @property
    def prompting(self) -> bool:
        return self._pending and self._prompting

    def sort(self, line: str) -> Iterator[Sorted]:
        """Classify `line`: usually one result, none for half an event, two after damage."""
        if self._quote:
            yield from self._more_of_quote(line)
            return
        line = line.strip(_PROMPT_ENDS)
        if not line:
            return
        if self._urc_head:
            head, self._urc_head = self._urc_head, ""
            if _HEX.match(line):
                yield self._with_pdu(head, line)
                return
            yield Sorted(LineKind.DAMAGED, head)
        if line.startswith(TWO_LINED):
            self._urc_head = line
            return
        if line.upper().startswith("+CUSD:") and line.count('"') % 2:
            self._quote = [line]
            return
        yield self._classify(line)

    def _is_cut_echo(self, line: str) -> bool:
        """Return whether `line` is the first or second half of the echo of our command."""
        if line[:2].upper() == "AT" and self._echo.startswith(line):
            self._echo_rest = self._echo.removeprefix(line)
            return True
        if self._echo_rest and line == self._echo_rest:
            self._echo_rest = ""
            return True
        return False

    def _with_pdu(self, head: str, pdu: str) -> Sorted:
        announced = _DIGITS.match(head)
        if announced:
            pdu = with_smsc(pdu, int(announced[1]))
        fits = announced is not None and pdu_fits(pdu, int(announced[1]))
        # Some modules announce another length than they send. Damage would not leave its own lengths right.
        if not fits and not is_whole(pdu):
            return Sorted(LineKind.DAMAGED, f"{head} {pdu}")
        return Sorted(LineKind.URC, head, Urc(head, pdu))

    def _more_of_quote(self, line: str) -> Iterator[Sorted]:
        broken = (
            _FINAL.match(line)
            or _UNSOLICITED.match(line)
            or line.startswith(TWO_LINED)
            or (self._pending and line.upper().startswith(self._own))
        )
        if not broken:
            self._quote.append(line)
        if broken or line.count('"') % 2 or len(self._quote) > _LONGEST_QUOTE_LINES:
            whole = "\n".join(self._quote)
            self._quote = []
            yield Sorted(LineKind.URC, whole, Urc(whole))
        if broken:
            yield from self.sort(line)

    def _classify(self, line: str) -> Sorted:
        if not self._pending:
            if _FINAL.match(line) or line == ">":
                return Sorted(LineKind.STRAY, line)
            return Sorted(LineKind.URC, line, Urc(line))
        if self._echo and line.strip("> \x1a\x1b") == self._echo:
            return Sorted(LineKind.ECHO, line)
        if self._is_cut_echo(line):
            return Sorted(LineKind.ECHO, line)
        if self._text and _is_piece(line.strip("> \x1a\x1b"), self._text):
            return Sorted(LineKind.TEXT_ECHO, line)
        if self._prompting and line.startswith(">"):
            return Sorted(LineKind.PROMPT, line)
        line = line.removeprefix("> ")  # a repeated prompt before the response
        if _FINAL.match(line):
            return Sorted(LineKind.FINAL, line)
        own = line.upper().startswith(self._own)
        # +CUSD is never part of the answer to AT+CUSD, whether before or after its OK.
        if _UNSOLICITED.match(line) or (_NAMED.match(line) and not own):
            return Sorted(LineKind.URC, line, Urc(line))
        return Sorted(LineKind.RESPONSE, line)


def is_unsolicited(line: str) -> bool:
    """Return whether `line` is always an unsolicited result code, on the port that receives them."""
    if line.upper().startswith("+CUSD:"):
        return False  # the answer to a request
    return line.startswith((*TWO_LINED, "^")) or bool(_UNSOLICITED.match(line))


def _is_piece(line: str, text: str) -> bool:
    """Return whether `line` is `text`, or a piece of it that an event has cut off."""
    return line == text or (len(line) >= _ECHO_PIECE and line in text)


def pdu_fits(pdu: str, length: int) -> bool:
    """Return whether `pdu` (hex, with SMSC octets) has a TPDU of `length` octets (27.005 3.1).

    A modem that counts the SMSC octets as well is believed too, where there are any: they are so
    many that no damage looks like it.
    """
    if len(pdu) < 2 or len(pdu) % 2 or not _HEX.match(pdu):
        return False
    octets, smsc = len(pdu) // 2, int(pdu[:2], 16)
    return length == octets - 1 - smsc or (smsc > 0 and length == octets)


_ADDRESS_DIGITS = 20  # the most in an address (23.040 9.1.2.5)
_REPORT = 2  # TP-MTI of SMS-STATUS-REPORT; 0 is SMS-DELIVER (23.040 9.2.3.1)


def with_smsc(pdu: str, length: int) -> str:
    """Return a received PDU with its SMSC octets, "00" for none: some modules leave them out.

    `length` then counts all octets, as with a module that counts the SMSC octets too. Where the address of
    the TPDU would be, its length and its type (23.040 9.1.2.5: bit 7 is set) tell the two apart.
    """
    if length * 2 != len(pdu) or length < 4 or not _HEX.match(pdu):
        return pdu
    octets = bytes.fromhex(pdu[:8])
    digits, kind = octets[2:4] if octets[0] & 3 == _REPORT else octets[1:3]
    # A leading 00 is the empty SMSC of a PDU that has lost an octet.
    bare = (
        octets[0] != 0
        and octets[0] & 3 in (0, _REPORT)
        and digits <= _ADDRESS_DIGITS
        and kind & 0x80
    )
    return f"00{pdu}" if bare else pdu
