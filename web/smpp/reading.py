"""From submit_sm to a submission, and from a delivery to deliver_sm. Pure, with the time passed in."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from appliance.domain import validation
from appliance.domain.errors import ApiError
from appliance.domain.message_state import MessageState
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.requests import OnUncertain
from appliance.domain.schemas import SendBody
from appliance.domain.views import Caller
from appliance.smpp.deliveries import EngineReceipt, EngineText
from appliance.smpp.submissions import EngineSubmission, Segment, fingerprint
from appliance.store.smpp import ON_DELIVERY, ON_FAILURE, ON_THE_WAY
from web.smpp import texts, times
from web.smpp.codec import BadPdu, PeerAddress, ShortMessage, TlvTag
from web.smpp.status import CommandStatus

INTERNATIONAL, NATIONAL, ALPHANUMERIC = 1, 2, 5  # type of number (5.2.5)
ISDN = 1  # numbering plan E.164 (5.2.6)
# priority_flag (5.2.14): 0 lowest to 3 highest. 3 is the only one that passes quiet hours.
PRIORITIES = {0: 3, 1: 2, 2: 2, 3: 1}
# registered_delivery (5.2.17), bits 0 and 1.
RECEIPTS = {0: 0, 1: ON_DELIVERY | ON_FAILURE, 2: ON_FAILURE, 3: 0}
INTERMEDIATE = 0x10
# esm_class of deliver_sm (5.2.12).
RECEIPT, INTERMEDIATE_NOTIFICATION = 0x04, 0x20
SHORT_MESSAGE_OCTETS = 254
ADDRESS_OCTETS = 20
# A number without a type that is as long as this has its country code.
INTERNATIONAL_DIGITS = 10
MINUTE_MS = 60_000
# `stat` of a receipt (appendix B).
STATES = {
    MessageState.ENROUTE: "ENROUTE",
    MessageState.DELIVERED: "DELIVRD",
    MessageState.EXPIRED: "EXPIRED",
    MessageState.DELETED: "DELETED",
    MessageState.UNDELIVERABLE: "UNDELIV",
    MessageState.ACCEPTED: "ACCEPTD",
    MessageState.UNKNOWN: "UNKNOWN",
    MessageState.REJECTED: "REJECTD",
}
GSM_NETWORK = b"\x03"  # network_error_code (5.3.2.31): network type


class Addresses(msgspec.Struct, frozen=True):
    """Source and destination of a submission, as its engine wrote them."""

    source: PeerAddress
    destination: PeerAddress


def recipient(address: PeerAddress, numbers: NumberReader, *, short_codes: bool) -> str:
    """Return the number of a destination in E.164, or a short code. Raises INVALID_PHONE_NUMBER."""
    digits = address.digits
    if address.ton == INTERNATIONAL and not digits.startswith(("+", "00")):
        return numbers.read(f"+{digits}")
    if address.ton == NATIONAL:
        numbers = numbers.with_national()
    try:
        return numbers.read(digits, short_codes=short_codes)
    except ApiError:
        plain = digits.isascii() and digits.isdigit() and digits[:1] != "0"
        if address.ton == NATIONAL or not plain or len(digits) < INTERNATIONAL_DIGITS:
            raise
        return numbers.read(f"+{digits}")


def submission(
    pdu: ShortMessage,
    caller: Caller,
    numbers: NumberReader,
    now: int,
    on_uncertain: OnUncertain | None = None,
) -> EngineSubmission:
    """Return what a submit_sm asks for. Raises BadPdu, ApiError."""
    content = texts.content(pdu)
    to = recipient(pdu.destination, numbers, short_codes=caller.permissions.short_codes)
    scheduled_at = _scheduled(pdu.schedule_delivery_time, now)
    order = SendBody(
        to=to,
        # That of a segment is checked when it is joined: here it may end inside a character.
        message=content.text if content.segment else validation.message(content.text),
        priority=PRIORITIES.get(pdu.priority_flag, 1),
        scheduled_at=scheduled_at,
        validity_minutes=_validity(pdu.validity_period, now, scheduled_at or now),
        flash=content.flash,
        on_uncertain=on_uncertain,
    )
    place = content.segment
    source = (pdu.source.ton, pdu.source.npi, pdu.source.digits)
    of_place = None if place is None else (place.reference, place.total, place.wide)
    segment = None
    if place is not None:
        long_message = fingerprint(caller.tenant, "long", to, source, of_place)
        segment = Segment(long_message, place.number, place.total)
    octets = content.text.encode("utf-16-be", "surrogatepass")
    return EngineSubmission(
        order=order,
        segment=segment,
        receipts=_receipts(pdu.registered_delivery),
        addresses=msgspec.json.encode(Addresses(pdu.source, pdu.destination)).decode(),
        fingerprint=fingerprint(
            caller.tenant,
            *(to, source, hashlib.sha256(octets).hexdigest(), of_place),
            None if place is None else place.number,
        ),
    )


def _receipts(registered: int) -> int:
    return RECEIPTS[registered & 3] | (ON_THE_WAY if registered & INTERMEDIATE else 0)


def _scheduled(written: str, now: int) -> int | None:
    if not written:
        return None
    when = times.moment(written, now)
    if when is None:
        raise BadPdu(CommandStatus.ESME_RINVSCHED, f"schedule_delivery_time {written}")
    # The rule of the API, which reads a text.
    return validation.scheduled_at(f"{datetime.fromtimestamp(when / 1000, UTC).isoformat()}", now)


def _validity(written: str, now: int, due: int) -> int | None:
    """Return the minutes from when a message is due to the end of its validity."""
    if not written:
        return None
    # Relative to the submission (4.4.1), as everything in it.
    end = times.moment(written, now)
    if end is None or end <= due:
        raise BadPdu(CommandStatus.ESME_RINVEXPIRY, f"validity_period {written}")
    minutes = -(-(end - due) // MINUTE_MS)
    return min(minutes, validation.VALIDITY_MINUTES)


# --- deliveries ------------------------------------------------------------------------------------


def address_of(number: str) -> PeerAddress:
    """Return a number or a name as an address."""
    if number.startswith("+"):
        return PeerAddress(INTERNATIONAL, ISDN, number[1:])
    if number.isascii() and number.isdigit():
        return PeerAddress(0, ISDN, number[:ADDRESS_OCTETS])
    return PeerAddress(ALPHANUMERIC if number else 0, 0, number[:ADDRESS_OCTETS])


def received_text(one: EngineText) -> ShortMessage:
    """Return the deliver_sm of a received text."""
    coding, octets = texts.encoded(one.text)
    payload = len(octets) > SHORT_MESSAGE_OCTETS
    return ShortMessage(
        source=address_of(one.sender),
        destination=address_of(one.to),
        data_coding=coding,
        short_message=b"" if payload else octets,
        tlvs={TlvTag.MESSAGE_PAYLOAD: octets} if payload else {},
    )


def receipt(one: EngineReceipt) -> ShortMessage:
    """Return the deliver_sm of a receipt (appendix B), from the recipient to the sender as they were written."""
    addresses = msgspec.json.decode(one.addresses, type=Addresses)
    delivered = one.state is MessageState.DELIVERED
    line = (
        f"id:{one.message_id} sub:001 dlvrd:{int(delivered):03d} submit date:{_minute(one.submitted_at)} "
        f"done date:{_minute(one.at)} stat:{STATES[one.state]} err:{one.error % 1000:03d} text:"
    )
    tlvs: dict[int, bytes] = {
        TlvTag.RECEIPTED_MESSAGE_ID: one.message_id.encode() + b"\0",
        TlvTag.MESSAGE_STATE: bytes((one.state,)),
    }
    if one.error:
        tlvs[TlvTag.NETWORK_ERROR_CODE] = GSM_NETWORK + (one.error & 0xFFFF).to_bytes(2)
    on_the_way = one.state is MessageState.ENROUTE
    return ShortMessage(
        source=addresses.destination,
        destination=addresses.source,
        esm_class=INTERMEDIATE_NOTIFICATION if on_the_way else RECEIPT,
        short_message=line.encode("ascii"),
        tlvs=tlvs,
    )


def _minute(moment_ms: int) -> str:
    return f"{datetime.fromtimestamp(moment_ms / 1000, UTC):%y%m%d%H%M}"
