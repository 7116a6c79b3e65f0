"""TPDUs against known octets, and there and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modem.alphabet import Alphabet, plan
from modem.pdu import (
    Concatenation,
    Deliver,
    PduError,
    Report,
    Submit,
    decode,
    decode_submit,
    encode_deliver,
    encode_report,
    encode_submit,
)


def test_a_submit_is_the_octets_everyone_knows() -> None:
    tpdu = encode_submit(Submit("+46708251358", "hellohello", Alphabet.GSM7, report=False))
    assert tpdu.hex == "0001000B916407281553F800000AE8329BFD4697D9EC37"
    assert tpdu.length == 22


def test_a_deliver_reads_as_it_was_written() -> None:
    sent = datetime(2026, 7, 21, 6, 27, 35, tzinfo=UTC)
    deliver = Deliver("+491701234567", "pieces of €", sent_at=sent)
    assert decode(encode_deliver(deliver).hex) == deliver


def test_a_report_reads_as_it_was_written() -> None:
    moment = datetime(2026, 7, 21, 6, 27, 35, tzinfo=UTC)
    report = Report(7, "+491701234567", moment, moment, 0x30)
    assert decode(encode_report(report).hex) == report


def test_every_part_of_a_long_text_reaches_the_network_as_planned() -> None:
    text = "Grüße {aus} München, 5 € " * 20
    planned = plan(text)
    seen = []
    for number, part in enumerate(planned.parts, 1):
        concatenation = Concatenation(200, len(planned.parts), number)
        submit = Submit("8080", part, planned.alphabet, concatenation=concatenation)
        read = decode_submit(encode_submit(submit).hex)
        assert read == submit
        seen.append(read.text)
    assert "".join(seen) == text


@pytest.mark.parametrize("hex_", ["", "0", "zz", "00", "0791", "FF" * 3])
def test_what_is_no_pdu_is_refused(hex_: str) -> None:
    with pytest.raises(PduError):
        decode(hex_)
