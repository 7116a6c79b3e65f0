"""The control requests of a running simulator: one struct for each value of "do"."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from modem.simulator.distortion import Distortion
from modem.simulator.faults import AnswerFault, EchoFault, ReportFault, SendFault
from modem.simulator.network.delivery import IncomingSms
from modem.simulator.network.handset import Reply
from modem.simulator.network.ussd import UssdAnswer


class ControlRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True
):
    """The base of all control requests."""


class Say(ControlRequest, frozen=True, kw_only=True, tag="urc"):
    """Send URCs in one burst.

    They are sent at once; in the middle of the next response; between the next AT+CMGS and its prompt; or
    after `cut` bytes of the next response.
    """

    lines: tuple[str, ...]
    at: Literal["now", "answer", "prompt"] = "now"
    cut: int | None = None


class Raw(ControlRequest, frozen=True, kw_only=True, tag="raw"):
    """Send these bytes at once, unchanged."""

    hex: str


class Restart(ControlRequest, frozen=True, kw_only=True, tag="restart"):
    """Interrupt the power; `say`: lines before that, such as UNDER-VOLTAGE WARNNING."""

    say: tuple[str, ...] = ()
    seconds: float = 0.0  # without power


class Hang(ControlRequest, frozen=True, kw_only=True, tag="hang"):
    """Ignore all input until restarted or plugged in again."""


class Off(ControlRequest, frozen=True, kw_only=True, tag="off"):
    """Switch the modem off; the port stays. `restart` switches it on."""


class Forget(ControlRequest, frozen=True, kw_only=True, tag="forget"):
    """Lose the client's settings silently; or only switch the echo back on."""

    only_echo: bool = False


class Unplug(ControlRequest, frozen=True, kw_only=True, tag="unplug"):
    """Remove the port."""

    back_after: float | None = None  # seconds; None: until `plug`


class Plug(ControlRequest, frozen=True, kw_only=True, tag="plug"):
    """Create the port again, under the same link, and start the modem; or another one, by its IMEI."""

    imei: str | None = None


class Registration(ControlRequest, frozen=True, kw_only=True, tag="registration"):
    """Set <stat> of 27.007 7.2: 0 not registered, 1 home, 2 searching, 3 denied, 5 roaming, 6 SMS only."""

    stat: int
    seconds: float | None = None  # then restore the previous value


class Signal(ControlRequest, frozen=True, kw_only=True, tag="signal"):
    """Set <rssi> of 27.007 8.5: 0-31, 99 unknown."""

    rssi: int


class Operator(ControlRequest, frozen=True, kw_only=True, tag="operator"):
    """Change the operator's name and code."""

    name: str
    plmn: str | None = None


class SimRequest(ControlRequest, frozen=True, kw_only=True, tag="sim"):
    """Remove the SIM, insert it again, or insert another one (by its ICCID)."""

    present: bool = True
    iccid: str | None = None
    imsi: str | None = None
    number: str | None = None
    smsc: str | None = None
    pin: str | None = None
    puk: str | None = None


class Pin(ControlRequest, frozen=True, kw_only=True, tag="pin"):
    """Set the attempts left, whether the SIM asks for its PIN, and whether it is unlocked now."""

    tries: int | None = None
    puk_tries: int | None = None
    wanted: bool | None = None


class Smsc(ControlRequest, frozen=True, kw_only=True, tag="smsc"):
    """Set the SIM's service centre; empty: none."""

    number: str


class Fill(ControlRequest, frozen=True, kw_only=True, tag="fill"):
    """Put old messages into a storage, until it is full or `count` of them."""

    store: Literal["SM", "ME", "SR"] = "SM"
    count: int | None = None
    sender: str = "+4915199999999"
    text: str = "old message {n}"
    read: bool = True
    hours_ago: float = 24.0
    record: str = ""  # this instead of a PDU, hex or not


class Credit(ControlRequest, frozen=True, kw_only=True, tag="credit"):
    """Set the number of parts that may still be sent; None: unlimited."""

    left: int | None


class Time(ControlRequest, frozen=True, kw_only=True, tag="time"):
    """Set the network's clock; with `tell`, the network sends it to the modem."""

    at: str | None = None  # RFC 3339; None: this machine's clock
    zone_quarters: Annotated[int, msgspec.Meta(ge=-56, le=56)] | None = None
    tell: bool = True


class Release(ControlRequest, frozen=True, kw_only=True, tag="release"):
    """Send the reports that a fault holds back."""


class Quirks(ControlRequest, frozen=True, kw_only=True, tag="quirks"):
    """Change the behaviour of the module; None: unchanged."""

    cdsi: tuple[str, int] | None = None
    honest_cdsi: bool = False
    reports_unreadable: bool | None = None
    empty_slot_error: bool | None = None
    echo_stays: bool | None = None
    echoes_texts: bool | None = None
    echoes_escape: bool | None = None
    escape_begins_line: bool | None = None
    escape_says: str | None = None
    holds_at_prompt: bool | None = None
    keeps_typeahead: bool | None = None
    flash_direct: bool | None = None
    counts_anew: bool | None = None
    portsel: bool | None = None
    three_storages: bool | None = None
    storage_after_reset: bool | None = None
    storages_untold: bool | None = None
    lists_storage: bool | None = None
    deletes: bool | None = None
    announces_no_place: bool | None = None
    direct_length_off: int | None = None
    iccid: str | None = None  # the answer; "" refuses every question for it
    text_mode: bool | None = None  # after the next start
    cmms: bool | None = None
    cmgs: str | None = None
    blank_after_colon: bool | None = None
    tries: str | None = None
    always_words: bool | None = None
    cnmi: tuple[tuple[int, ...], ...] | None = None
    cmee: int | None = None  # after the next start
    urc_port: str | None = None  # other than "usbat": URCs go to a port that nobody reads


class NetworkRequest(ControlRequest, frozen=True, kw_only=True, tag="network"):
    """Change the network's delays from now on; None: unchanged."""

    latency: float | None = None
    latency_jitter: float | None = None
    report_delay: float | None = None
    report_jitter: float | None = None
    link_setup: float | None = None
    in_the_air: float | None = None


class Clear(ControlRequest, frozen=True, kw_only=True, tag="reset"):
    """Remove all faults and replies; stored messages stay."""


class StatusRequest(ControlRequest, frozen=True, kw_only=True, tag="status"):
    """Return the state of the modem, the SIM and the network."""


class CountersRequest(ControlRequest, frozen=True, kw_only=True, tag="counters"):
    """Return the number of journal lines by event."""


AnyControlRequest = (
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
