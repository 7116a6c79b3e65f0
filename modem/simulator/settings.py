"""What a simulated modem, its SIM and its network are like when they are switched on."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be chosen before the start. Times in seconds unless the name says else."""

    personality: str = "sim7600"
    seed: int = 0  # of every chance in here: the same seed, the same course
    magic: bool = True  # the documented numbers (see magic.py) produce their failures

    # the line
    baud: int = 0  # 0: as fast as it goes; else bytes paced one by one as on a UART of that speed
    fixed_baud: bool = False  # the modem hears only `baud`; a client at another speed reads noise
    autobaud: bool = False  # silent until the first AT, unless +IPR=<n>;&W was given before
    command_delay: float = 0.0  # before each answer; real modems take 0.005-0.02

    # start-up
    boot: float = 0.0  # scales the personality's start-up times; 0: at once, 1: as in life

    # the SIM
    pin: str = ""  # empty: the SIM asks for none
    puk: str = "12345678"
    pin_tries: int = 3
    puk_tries: int = 10
    imsi: str = "262019876543210"
    iccid: str = "89490200001234567890"
    number: str = "+4915112345678"
    smsc: str = "+491710760000"
    sim_slots: int = 20
    reference: int = 0  # the TP-MR that the first part gets

    # the modem
    imei: str = "860123456789015"
    me_slots: int = 50
    report_slots: int = 20
    indications: int = 16  # lines that +CNMI=0 keeps back; the oldest goes first (27.005 3.4.1)
    acknowledge_within: float = (
        15.0  # for +CNMA after +CDS/+CMT at +CSMS=1; then the modem goes silent
    )
    cmms_open: float = 5.0  # the radio link stays open so long at +CMMS (27.005 3.5.6)

    # the network
    operator: str = "ZimSim"
    plmn: str = "26201"
    registration: int = 1  # 27.007 7.2 <stat>
    signal: int = 20  # 27.007 8.5 <rssi>
    latency: float = 0.0  # until the network has taken a part
    latency_jitter: float = 0.0  # up to so much more or less
    link_setup: float = 0.0  # more, unless +CMMS kept the radio link open
    report_delay: float = 0.0  # from acceptance to the report
    report_jitter: float = 0.0
    late_report: float = 60.0  # of the magic number whose report comes late
    retry_delay: float = 30.0  # the SC tries a report or message again that the modem did not take
    in_the_air: float = (
        0.5  # chance that the network took a part when the modem dies while sending it
    )
    credit: int | None = None  # parts that may still be sent; None: no end
    credit_cms: int = 21  # what this operator answers without credit; others say 34, 38, 50, 500
    zone_quarters: int = 4  # time zone of the network's time stamps, in quarters of an hour
