"""The differences between modules: start-up, commands and the form of their responses."""

from __future__ import annotations

import msgspec


class Personality(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of module. Times in seconds after power-up (or after the unlocked SIM), before `boot`."""

    name: str
    manufacturer: str
    model: str
    revision: str
    labelled: bool = False  # identification starts with "+CGMM: "

    # start-up
    alive_after: float = 1.5  # the UART answers
    noise: bytes = b""  # bytes that the UART emits when it starts
    greeting: tuple[str, ...] = ("RDY",)
    sim_after: float = 3.0  # the SIM is read: +CPIN answers
    sim_line: bool = True  # and a URC says so
    sim_fails_first: bool = False  # +CPIN? returns "SIM failure" for a moment before
    ready_lines: tuple[str, ...] = ("SMS Ready",)  # after the SIM is unlocked
    sms_after: float = 4.0  # message commands work, after the SIM is unlocked
    registers_after: float = 6.0  # after the SIM is unlocked
    cmee: int = 0
    always_words: bool = False  # errors in words at every +CMEE
    text_mode: bool = False  # +CMGF after a start; 27.005 3.2.3 leaves it to the manufacturer
    portsel: bool = False  # Huawei: ^PORTSEL chooses the port of unsolicited lines
    three_storages: bool = False  # +CPMS takes exactly three
    storage_after_reset: bool = (
        False  # once +CFUN=1 was given, +CPMS=? is an error until ATZ or a reset
    )
    storages_untold: bool = False  # +CPMS=? is refused, the other forms are not
    lists_storage: bool = True  # else +CMGL is refused
    deletes: bool = True  # else +CMGD is refused
    announces_no_place: bool = (
        False  # `+CMTI: ,-1` for a message that a storage without places did not take
    )
    direct_length_off: int = 0  # +CMT and +CDS announce a length that is wrong by so much
    counts_anew: bool = False  # the module counts TP-MR, from 0 at each start

    # messages
    cnmi: tuple[tuple[int, ...], ...] = ((0, 1, 2), (0, 1, 2, 3), (0, 2), (0, 1, 2), (0, 1))
    cnmi_default: tuple[int, ...] = (2, 1, 0, 0, 0)
    memories: tuple[str, ...] = ("SM", "ME", "SR")
    preferred: str = "SM"
    first_index: int = 0
    cmms: bool = True
    cmgs: str = "{answer}: {reference}"
    echo_stays: bool = False  # ATE0 is answered OK and everything is repeated all the same
    echoes_texts: bool = False  # what is typed at the prompt is repeated in spite of ATE0
    echoes_escape: bool = False  # … and ESC, wherever it is typed
    escape_begins_line: bool = False  # ESC without a prompt spoils the command behind it
    escape_says: str = "OK"  # after ESC at the prompt: "OK", "ERROR" or nothing
    holds_at_prompt: bool = True  # URCs wait while the prompt is open
    keeps_typeahead: bool = True  # input during a command is read afterwards, else lost
    flash_direct: bool = False  # class 0 arrives as +CMT even at <mt>=1 (23.038 4: not stored)
    cdsi: tuple[str, int] | None = None  # +CDSI always names this place
    empty_slot_error: bool = True  # +CMGR of an empty slot: CMS 321, else a bare OK
    reports_unreadable: bool = False  # +CMGR of a stored report: CMS 321

    # SIM and network
    tries: str = ""  # the command that returns the PIN attempts left: "+CPINR", "+SPIC", "+QPINC"
    iccid: str = "+CCID: {iccid}"  # the response; its name is also the command ("+CCID", "+ICCID")
    blank_after_colon: bool = True
    technology: int | None = None  # <AcT> in +COPS and +CREG; None: an old module without it
    eps: bool = False  # +CEREG
    cat_m: bool = False  # +CREG says 3 although +CGREG and +CEREG say registered
    clts: bool = False  # +CLTS with *PSUTTZ and DST instead of +CTZR
    voltage: int = 4000
    chatter: tuple[str, ...] = ()  # URCs sent at random moments


_SIMCOM_READY = ("Call Ready", "SMS Ready")
_LTE_READY = ("SMS DONE", "PB DONE")

SIM800 = Personality(
    name="sim800",
    manufacturer="SIMCOM_Ltd",
    model="SIMCOM_SIM800L",
    revision="Revision:1418B05SIM800L24",
    noise=b"\x00",
    greeting=("RDY", "+CFUN: 1"),
    ready_lines=_SIMCOM_READY,
    cnmi=((0, 1, 2, 3), (0, 1, 2, 3), (0, 2), (0, 1), (0, 1)),
    memories=("SM", "ME"),
    first_index=1,
    tries="+SPIC",
    iccid="{iccid}",
    keeps_typeahead=False,
    clts=True,
)

SIM868 = msgspec.structs.replace(
    SIM800, name="sim868", model="SIMCOM_SIM868", revision="Revision:1418B02SIM868M32"
)

SIM7600 = Personality(
    name="sim7600",
    manufacturer="SIMCOM INCORPORATED",
    model="SIMCOM_SIM7600E-H",
    revision="+CGMR: LE20B04SIM7600M22",
    sim_after=8.0,
    ready_lines=_LTE_READY,
    registers_after=9.0,
    tries="+CPINR",
    iccid="+ICCID: {iccid}",
    technology=7,
    eps=True,
    reports_unreadable=True,
)

SIM7070 = Personality(
    name="sim7070",
    manufacturer="SIMCOM_Ltd",
    model="SIMCOM_SIM7070",
    revision="Revision:1951B08SIM7070",
    greeting=("RDY", "+CFUN: 1"),
    cnmi=((0, 1, 2, 3), (0, 1, 2, 3), (0, 2), (0, 1), (0, 1)),
    memories=("SM", "ME"),
    tries="+CPINR",
    iccid="{iccid}",
    technology=7,
    eps=True,
    cat_m=True,
    clts=True,
)

A7670 = Personality(
    name="a7670",
    manufacturer="SIMCOM INCORPORATED",
    model="A7670E-LASE",
    revision="+CGMR: A110B07A7670M7",
    greeting=("*ATREADY: 1",),
    sim_after=4.0,
    sim_fails_first=True,
    ready_lines=_LTE_READY,
    cmee=2,
    cnmi=((0, 1, 2), (0, 1, 2, 3), (0, 2), (0, 1), (0, 1)),
    memories=("SM", "ME"),
    tries="+SPIC",
    iccid="+ICCID: {iccid}",
    technology=7,
    eps=True,
    escape_says="",
)

EC25 = Personality(
    name="ec25",
    manufacturer="Quectel",
    model="EC25",
    revision="EC25EFAR06A06M4G",
    alive_after=5.0,
    greeting=("RDY", "+CFUN: 1"),
    sim_after=6.0,
    ready_lines=("+QIND: SMS DONE", "+QIND: PB DONE"),
    cnmi=((0, 1, 2), (0, 1, 2, 3), (0, 2), (0, 1, 2), (0, 1)),
    preferred="ME",
    cdsi=("SM", 0),
    tries="+QPINC",
    iccid="+QCCID: {iccid}",
    technology=7,
    eps=True,
)

QUIET = Personality(
    name="quiet",
    manufacturer="Quiet",
    model="Q1",
    revision="1.0",
    greeting=(),
    sim_line=False,
    ready_lines=(),
    text_mode=True,
    cnmi=((0, 1, 2), (0, 1), (0,), (0, 1), (0, 1)),
    memories=("SM",),
    first_index=1,
    cmms=False,
    cmgs="{answer}:{reference}",
    escape_says="",
    empty_slot_error=False,
    keeps_typeahead=False,
    blank_after_colon=False,
)

CHATTY = Personality(
    name="chatty",
    manufacturer="Chatty Modems",
    model="C9",
    revision="Revision:9.9.9",
    labelled=True,
    noise=b"\xff\x80\x00\xfe",
    greeting=("^BOOT:0", "RDY", "MODEM:STARTUP", "+CFUN: 1", "+PACSP1"),
    ready_lines=("Call Ready", "SMS Ready", "SMS DONE", "PB DONE", "+QIND: SMS DONE"),
    cmee=2,
    text_mode=True,
    counts_anew=True,
    flash_direct=True,
    cmgs='{answer}: {reference},"{stamp}"',
    escape_says="ERROR",
    holds_at_prompt=False,
    tries="+CPINR",
    technology=7,
    eps=True,
    clts=True,
    chatter=("+CIEV: 5,4", "^RSSI: 20", '*PSUTTZ: 2025,6,1,12,0,0,"+4",0', "^MODE: 5,4", "RING"),
)

HUAWEI = Personality(
    name="huawei",
    manufacturer="huawei",
    model="E3372",
    revision="21.180.01.00.00",
    greeting=("^BOOT:27710117,0,0,0,75",),
    ready_lines=(),
    portsel=True,
    three_storages=True,
    memories=("SM", "ME", "SR"),
    cmms=False,
    iccid="^ICCID: {iccid}",
    technology=7,
    chatter=("^RSSI:20", '^HCSQ:"WCDMA",45,40,60'),
)

EVERY = {
    each.name: each
    for each in (SIM800, SIM868, SIM7600, SIM7070, A7670, EC25, HUAWEI, QUIET, CHATTY)
}
