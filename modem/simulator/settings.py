"""The settings of a simulated modem, its SIM and its network at the start."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings before the start. Times in seconds unless the name says otherwise."""

    personality: str = "sim7600"
    seed: int = 0  # of all random numbers: the same seed gives the same run
    magic: bool = True  # test numbers produce their failures (network/test_numbers.py)

    # the line
    baud: int = 0  # 0: unpaced; else one byte at a time, as on a UART of this speed
    fixed_baud: bool = (
        False  # the modem understands only `baud`; a client at another speed reads noise
    )
    autobaud: bool = False  # silent until the first AT, unless +IPR=<n>;&W was given before
    command_delay: float = 0.0  # before each response; real modems take 0.005-0.02

    # start-up
    boot: float = (
        0.0  # factor for the personality's start-up times; 0: at once, 1: as the real module
    )

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
    indications: int = 16  # lines buffered at +CNMI=0; the oldest is dropped first (27.005 3.4.1)
    acknowledge_within: float = (
        15.0  # for +CNMA after +CDS/+CMT at +CSMS=1; then indications are switched off
    )
    cmms_open: float = 5.0  # how long +CMMS keeps the radio link open (27.005 3.5.6)

    # the network
    operator: str = "ZimSim"
    plmn: str = "26201"
    registration: int = 1  # 27.007 7.2 <stat>
    signal: int = 20  # 27.007 8.5 <rssi>
    latency: float = 0.0  # until the network has accepted a part
    latency_jitter: float = 0.0  # the maximum random deviation
    link_setup: float = 0.0  # added, unless +CMMS kept the radio link open
    report_delay: float = 0.0  # from acceptance to the report
    report_jitter: float = 0.0
    late_report: float = 60.0  # of the test number with the late report
    retry_delay: float = 30.0  # until the SC delivers again what the modem did not take
    in_the_air: float = (
        0.5  # probability that the network has a part when the modem loses power while sending it
    )
    credit: int | None = None  # parts that may still be sent; None: unlimited
    credit_cms: int = 21  # this operator's error without credit; others use 34, 38, 50, 500
    zone_quarters: int = 4  # time zone of the network's time stamps, in quarters of an hour
