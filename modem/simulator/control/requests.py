"""What can be ordered of a running simulator: one struct each, by the word in "do"."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from modem.simulator.distortion import Distortion
from modem.simulator.faults import AnswerFault, EchoFault, ReportFault, SendFault
from modem.simulator.network.delivery import IncomingSms
from modem.simulator.network.handset import Reply
from modem.simulator.network.ussd import UssdAnswer


class Order(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    """The ground of all orders."""


class Say(Order, frozen=True, kw_only=True, tag="urc"):
    """Unsolicited lines, all in one burst.

    now; in the middle of the next answer; between the next AT+CMGS and its prompt; or after `cut`
    bytes of the next answer.
    """

    lines: tuple[str, ...]
    at: Literal["now", "answer", "prompt"] = "now"
    cut: int | None = None


class Raw(Order, frozen=True, kw_only=True, tag="raw"):
    """Bytes as they are, now."""

    hex: str


class Restart(Order, frozen=True, kw_only=True, tag="restart"):
    """Power lost and back; `say`: last words, such as UNDER-VOLTAGE WARNNING."""

    say: tuple[str, ...] = ()
    seconds: float = 0.0  # without power


class Hang(Order, frozen=True, kw_only=True, tag="hang"):
    """Deaf and mute until restarted or plugged in again."""


class Off(Order, frozen=True, kw_only=True, tag="off"):
    """The modem is switched off; the port stays. `restart` switches it on."""


class Forget(Order, frozen=True, kw_only=True, tag="forget"):
    """Everything that the client set is lost without a word; or only the echo is back on."""

    only_echo: bool = False


class Unplug(Order, frozen=True, kw_only=True, tag="unplug"):
    """The port vanishes."""

    back_after: float | None = None  # seconds; None: until `plug`


class Plug(Order, frozen=True, kw_only=True, tag="plug"):
    """The port is there again, under the same link, and the modem starts."""


class Registration(Order, frozen=True, kw_only=True, tag="registration"):
    """27.007 7.2 <stat>: 0 not, 1 home, 2 searching, 3 denied, 5 roaming, 6 SMS only."""

    stat: int
    seconds: float | None = None  # then as before


class Signal(Order, frozen=True, kw_only=True, tag="signal"):
    """27.007 8.5 <rssi>: 0-31, 99 unknown."""

    rssi: int


class Operator(Order, frozen=True, kw_only=True, tag="operator"):
    """Another name, another code."""

    name: str
    plmn: str | None = None


class SimRequest(Order, frozen=True, kw_only=True, tag="sim"):
    """Take the SIM out, put it in again, or put in another one (by its ICCID)."""

    present: bool = True
    iccid: str | None = None
    imsi: str | None = None
    number: str | None = None
    smsc: str | None = None
    pin: str | None = None
    puk: str | None = None


class Pin(Order, frozen=True, kw_only=True, tag="pin"):
    """Tries left on the card; whether it asks for its PIN; whether it is open now."""

    tries: int | None = None
    puk_tries: int | None = None
    wanted: bool | None = None


class Smsc(Order, frozen=True, kw_only=True, tag="smsc"):
    """The SIM's service centre; empty: none."""

    number: str


class Fill(Order, frozen=True, kw_only=True, tag="fill"):
    """Put old messages into a store, until it is full or `count` of them."""

    store: Literal["SM", "ME", "SR"] = "SM"
    count: int | None = None
    sender: str = "+4915199999999"
    text: str = "old message {n}"
    read: bool = True
    hours_ago: float = 24.0


class Credit(Order, frozen=True, kw_only=True, tag="credit"):
    """Parts that may still be sent; None: no end."""

    left: int | None


class Time(Order, frozen=True, kw_only=True, tag="time"):
    """Set the network's clock; with `tell`, the network sends it to the modem."""

    at: str | None = None  # RFC 3339; None: as our own clock
    zone_quarters: Annotated[int, msgspec.Meta(ge=-56, le=56)] | None = None
    tell: bool = True


class Release(Order, frozen=True, kw_only=True, tag="release"):
    """Send the reports that a fault held back."""


class Quirks(Order, frozen=True, kw_only=True, tag="quirks"):
    """Change habits of this module; None: as they are."""

    cdsi: tuple[str, int] | None = None
    honest_cdsi: bool = False
    reports_unreadable: bool | None = None
    empty_slot_error: bool | None = None
    escape_says: str | None = None
    holds_at_prompt: bool | None = None
    keeps_typeahead: bool | None = None
    flash_direct: bool | None = None
    counts_anew: bool | None = None
    text_mode: bool | None = None  # after the next start
    cmms: bool | None = None
    cmgs: str | None = None
    blank_after_colon: bool | None = None
    tries: str | None = None
    always_words: bool | None = None
    cnmi: tuple[tuple[int, ...], ...] | None = None
    cmee: int | None = None  # after the next start
    urc_port: str | None = None  # other than "usbat": unsolicited lines go to a port nobody reads


class NetworkRequest(Order, frozen=True, kw_only=True, tag="network"):
    """Other times of the network from now on; None: as they are."""

    latency: float | None = None
    latency_jitter: float | None = None
    report_delay: float | None = None
    report_jitter: float | None = None
    link_setup: float | None = None
    in_the_air: float | None = None


class Clear(Order, frozen=True, kw_only=True, tag="reset"):
    """No faults any more: sends, reports, answers, line and replies. What is stored stays."""


class StatusRequest(Order, frozen=True, kw_only=True, tag="status"):
    """How everything stands."""


class CountersRequest(Order, frozen=True, kw_only=True, tag="counters"):
    """How many lines of each kind the journal has got."""


AnyOrder = (
    SendFault
    | ReportFault
    | AnswerFault
    | EchoFault
    | Distortion
    | IncomingSms
    | Say
    | Raw
    | Restart
    | Hang
    | Off
    | Forget
    | Unplug
    | Plug
    | Registration
    | Signal
    | Operator
    | SimRequest
    | Pin
    | Smsc
    | Fill
    | Credit
    | UssdAnswer
    | Time
    | Reply
    | Release
    | Quirks
    | NetworkRequest
    | Clear
    | StatusRequest
    | CountersRequest
)
