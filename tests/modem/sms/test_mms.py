"""What the notification of a picture message says, whole, spelt differently, cut off or damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.sms.mms import MmsNotification, notification

PUSH = b"\x01\x06\x01\xbe"  # the content type as a number
SENDER = b"\x89\x18\x80+33600000000/TYPE=PLMN\0"
SIZE = b"\x8e\x02\x10\x00"
LOCATION = b"\x83http://mms.example/1\0"
HEAD = b"\x8c\x82\x98T1\0\x8d\x90"
EXPIRY = b"\x8a\x80\x88\x05\x81\x03\x03\xf4\x80"
WHOLE = MmsNotification("+33600000000", 4096, "http://mms.example/1")


@pytest.mark.parametrize(
    ("push", "wanted"),
    [
        (PUSH + HEAD + SENDER + SIZE + EXPIRY + LOCATION, WHOLE),
        (PUSH + LOCATION + EXPIRY + SIZE + SENDER + HEAD, WHOLE),
        (
            b"\x01\x06\x22application/vnd.wap.mms-message\0\xaf\x84"
            + HEAD
            + SENDER
            + SIZE
            + LOCATION,
            WHOLE,
        ),
        (PUSH + HEAD + SENDER + SIZE + LOCATION[:-1], MmsNotification("+33600000000", 4096)),
        (PUSH + HEAD + SENDER, MmsNotification("+33600000000")),
        (PUSH + HEAD + b"\x89\x01\x81" + SIZE, MmsNotification(None, 4096)),  # sender withheld
        (PUSH + b"\x89\x0c\x80\x0a\xeaann@a.fr\0", MmsNotification("ann@a.fr")),
        (PUSH + b"\x89\x1f\x21\x80" + b"9" * 31 + b"\0" + SIZE, MmsNotification("9" * 31, 4096)),
        (PUSH, MmsNotification()),
        (b"", MmsNotification()),
    ],
)
def test_a_notification_is_read_in_any_order_and_as_far_as_it_goes(
    push: bytes, wanted: MmsNotification
) -> None:
    assert notification(push) == wanted


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(noise: bytes) -> None:
    assert isinstance(notification(PUSH + noise), MmsNotification)
