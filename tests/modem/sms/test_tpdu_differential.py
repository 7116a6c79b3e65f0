"""Our codec against others', over thousands of messages with fixed seeds.

The judges have faults of their own, each confirmed against the specification; where one of them
applies, that judge is not heard, and the place says so. python-gammu is a judge where Debian's
python3-gammu is installed for this Python.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any

import gsmmodem.pdu
import pytest
import smsutil
from smspdudecoder.fields import SMSDeliver, SMSSubmit

from modem.sms import national_tables
from modem.sms.gsm7 import Alphabet, encode_septets, plan
from modem.sms.tpdu import (
    Concatenation,
    Deliver,
    Report,
    Submit,
    decode,
    decode_submit,
    encode_deliver,
    encode_report,
    encode_submit,
)

pytestmark = pytest.mark.seconds(20)

BASIC = national_tables.BASIC.replace("\x1b", "")
EXTENSION = "".join(national_tables.EXTENSION.values())
UNICODE = "abcčžšжщюяאבגדהابتث中文字日本語ひらがな€–“”’çñéÿ`\t"
PAIRS = "😀😎🎉👍𝄞"


def texts(chance: random.Random, count: int, without: str = "") -> Iterator[str]:
    """Texts of all lengths in mixed alphabets, more of them near the limits of a part."""
    limits = (0, 1, 7, 8, 66, 67, 68, 69, 70, 71, 134, 152, 153, 154, 159, 160, 161, 306, 307)
    alphabets = (BASIC, BASIC, BASIC + EXTENSION, EXTENSION, UNICODE, UNICODE + PAIRS + BASIC)
    for _ in range(count):
        length = chance.choice(limits) if chance.random() < 0.5 else chance.randrange(500)
        characters = [each for each in chance.choice(alphabets) if each not in without]
        yield "".join(chance.choices(characters, k=length))


def number(chance: random.Random) -> str:
    if chance.random() < 0.2:
        return str(chance.randrange(100, 10**8))
    return "+" + str(chance.randrange(10**6, 10**15))


def submits(chance: random.Random, count: int, *, wide_too: bool = False) -> Iterator[Submit]:
    for text in texts(chance, count):
        wide = wide_too and chance.random() < 0.3
        planned = plan(text, wide=wide)
        total = len(planned.parts)
        reference = chance.randrange(65536 if wide else 256)
        recipient = number(chance)
        validity = chance.choice([None, 5, 720, 1440, 10080])
        flash = chance.random() < 0.1
        for place, part in enumerate(planned.parts, 1):
            yield Submit(
                recipient,
                part,
                planned.alphabet,
                concatenation=Concatenation(reference, total, place, wide) if total > 1 else None,
                report=chance.random() < 0.5,
                validity_minutes=validity,
                flash=flash,
            )


def delivers(chance: random.Random, count: int) -> Iterator[Deliver]:
    for submit in submits(chance, count, wide_too=True):
        zone = timezone(timedelta(minutes=15 * chance.randrange(-48, 57)))
        name = "".join(chance.choices("ABCXYZ Éß&-", k=chance.randrange(1, 12)))
        yield Deliver(
            name if chance.random() < 0.2 else submit.recipient,
            submit.text,
            sent_at=datetime(2026, 1, 1, tzinfo=UTC).astimezone(zone)
            + timedelta(seconds=chance.randrange(10**8)),
            concatenation=submit.concatenation,
            alphabet=submit.alphabet,
            flash=submit.flash,
        )


# -- counting ---------------------------------------------------------------------------------------


def test_parts_are_those_that_smsutil_makes() -> None:
    compared = 0
    # smsutil does not know the page break.
    for text in filter(None, texts(random.Random(1), 6000, without="\f")):
        planned = plan(text)
        split = smsutil.split(text)
        gsm = split.encoding == "gsm0338"
        assert planned.alphabet is (Alphabet.GSM7 if gsm else Alphabet.UCS2)
        assert planned.parts == tuple(part.content for part in split.parts)
        assert planned.units == (split.total_bytes if gsm else split.total_bytes // 2)
        compared += 1
    assert compared > 5000


def test_septets_are_those_that_smsutil_makes() -> None:
    chance = random.Random(2)
    for _ in range(1000):
        text = "".join(chance.choices(BASIC + EXTENSION.replace("\f", ""), k=50))
        assert encode_septets(text) == text.encode("gsm0338")


# -- sending ----------------------------------------------------------------------------------------


def _loses_its_place(text: str, header: bool) -> bool:
    """smspdudecoder counts characters where septets are meant: wrong with extension characters."""
    return header or any(each in EXTENSION for each in text)


def test_smspdudecoder_reads_what_we_send() -> None:
    compared = 0
    for submit in submits(random.Random(3), 3000):
        if submit.alphabet is Alphabet.GSM7 and _loses_its_place(
            submit.text, submit.concatenation is not None
        ):
            continue
        read = SMSSubmit.decode(StringIO(encode_submit(submit, "+491710760000").hex))
        assert read["user_data"]["data"] == submit.text
        assert read["recipient"]["number"] == submit.recipient.removeprefix("+")
        assert (read["recipient"]["toa"]["ton"] == "international") == submit.recipient.startswith(
            "+"
        )
        assert read["header"]["srr"] == submit.report
        assert read["header"]["rd"] is False
        if submit.concatenation:
            element = read["user_data"]["header"]["elements"][0]["data"]
            assert (element["reference"], element["parts_count"], element["part_number"]) == (
                submit.concatenation.reference,
                submit.concatenation.total,
                submit.concatenation.number,
            )
        compared += 1
    assert compared > 2000


# gsmmodem has ` for §, fails at ÿ, leaves out the page break and cuts through pairs.
NOT_FOR_GSMMODEM = "§`ÿ\f" + PAIRS


def test_gsmmodem_sends_the_same_octets() -> None:
    chance = random.Random(4)
    compared = 0
    for text in filter(None, texts(chance, 3000, without=NOT_FOR_GSMMODEM)):
        recipient = "+" + str(chance.randrange(10**6, 10**15))
        reference = chance.randrange(256)
        theirs = gsmmodem.pdu.encodeSmsSubmitPdu(recipient, text, reference=reference)
        planned = plan(text)
        total = len(planned.parts)
        assert len(theirs) == total
        for place, (part, their) in enumerate(zip(planned.parts, theirs, strict=True), 1):
            ours = encode_submit(
                Submit(
                    recipient,
                    part,
                    planned.alphabet,
                    concatenation=Concatenation(reference, total, place) if total > 1 else None,
                    reference=reference,
                )
            )
            assert (ours.hex, ours.length) == (str(their), their.tpduLength)
            compared += 1
    assert compared > 2000


# -- receiving --------------------------------------------------------------------------------------


def _sender_padded(deliver: Deliver) -> bool:
    """smspdudecoder reads the padding of a name as one more letter."""
    name = deliver.sender.lstrip("+")
    return not name.isdigit() and len(encode_septets(deliver.sender)) % 8 == 7


def test_smspdudecoder_reads_what_the_network_sends() -> None:
    compared = 0
    for deliver in delivers(random.Random(5), 3000):
        if deliver.alphabet is Alphabet.GSM7 and _loses_its_place(
            deliver.text or "", deliver.concatenation is not None
        ):
            continue
        pdu = encode_deliver(deliver, "+491710760000").hex
        theirs = SMSDeliver.decode(StringIO(pdu))
        ours = decode(pdu)
        assert isinstance(ours, Deliver)
        assert theirs["user_data"]["data"] == ours.text == deliver.text
        assert theirs["scts"] == ours.sent_at == deliver.sent_at
        if not _sender_padded(deliver):
            assert theirs["sender"]["number"] == ours.sender.removeprefix("+")
        compared += 1
    assert compared > 2000


def _read_right_by_gsmmodem(deliver: Deliver) -> bool:
    """gsmmodem reads § as `, drops a last @ and the first letter behind a 16-bit reference."""
    text, name = deliver.text or "", deliver.sender
    wide = deliver.concatenation is not None and deliver.concatenation.wide
    septets = deliver.alphabet is Alphabet.GSM7
    return not (
        "§" in text
        or any(each > "\uffff" for each in text)
        or "\f" in text
        or (septets and (wide or text.endswith("@") or not text))
        or name.endswith("@")
    )


def test_gsmmodem_reads_what_the_network_sends() -> None:
    compared = 0
    for deliver in delivers(random.Random(6), 5000):
        if not _read_right_by_gsmmodem(deliver):
            continue
        pdu = encode_deliver(deliver, "+491710760000").hex
        theirs = gsmmodem.pdu.decodeSmsPdu(pdu)
        ours = decode(pdu)
        assert isinstance(ours, Deliver)
        assert (theirs["text"], theirs["number"]) == (ours.text, ours.sender)
        assert theirs["time"] == ours.sent_at
        compared += 1
    assert compared > 2000


def test_gsmmodem_reads_our_reports() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**8))
        zone = timezone(timedelta(minutes=15 * chance.randrange(-38, 57)))
        report = Report(
            chance.randrange(256),
            number(chance),
            moment.astimezone(zone),
            (moment + timedelta(seconds=chance.randrange(10**5))).astimezone(zone),
            chance.randrange(256),
        )
        pdu = encode_report(report, "+491710760000").hex
        theirs = gsmmodem.pdu.decodeSmsPdu(pdu)
        assert decode(pdu) == report
        assert (theirs["reference"], theirs["number"], theirs["status"]) == (
            report.reference,
            report.recipient,
            report.status,
        )
        assert (theirs["time"], theirs["discharge"]) == (
            report.scts,
            report.discharged_at,
        )


# -- libgammu ---------------------------------------------------------------------------------------


def _debians_gammu() -> Any:
    """Debian's binding: it is on no index, and an environment of its own does not see it."""
    place = Path("/usr/lib/python3/dist-packages/gammu/__init__.py")
    spec = importlib.util.spec_from_file_location(
        "gammu", place, submodule_search_locations=[str(place.parent)]
    )
    if not place.exists() or spec is None or spec.loader is None:
        pytest.skip("NOT TESTED: needs Debian's python3-gammu")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gammu"] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        pytest.skip(f"NOT TESTED: python3-gammu is for another Python: {error}")
    return module


@pytest.fixture(name="gammu_reads")
def _gammu_reads() -> Callable[[str], dict[str, object]]:
    gammu = _debians_gammu()

    def read(pdu: str) -> dict[str, object]:
        message: dict[str, object] = gammu.DecodePDU(bytes.fromhex(pdu), True)
        return message

    return read


def _shown_by_gammu(text: str) -> str:
    """Its binding leaves rubbish behind a NUL where there were extension characters."""
    return text.split("\x00", 1)[0]


def test_gammu_reads_what_we_send(gammu_reads: Callable[[str], dict[str, object]]) -> None:
    for submit in submits(random.Random(8), 4000):
        pdu = encode_submit(submit, "+491710760000").hex
        theirs = gammu_reads(pdu)
        assert _shown_by_gammu(str(theirs["Text"])) == submit.text
        assert theirs["Number"] == submit.recipient
        assert decode_submit(pdu) == submit


def test_gammu_reads_what_the_network_sends(
    gammu_reads: Callable[[str], dict[str, object]],
) -> None:
    for deliver in delivers(random.Random(9), 4000):
        pdu = encode_deliver(deliver, "+491710760000").hex
        theirs = gammu_reads(pdu)
        ours = decode(pdu)
        assert isinstance(ours, Deliver)
        assert ours.text == deliver.text
        assert _shown_by_gammu(str(theirs["Text"])) == ours.text
        raw = encode_septets(ours.sender).decode("latin-1")  # names are shown as their septets
        assert theirs["Number"] == (ours.sender if "+" in ours.sender else raw)
