"""Serial lines, and every time-out of the driver as a named number."""

from __future__ import annotations

import msgspec


class SerialLine(msgspec.Struct, frozen=True):
    """A serial line.

    `path` may be a link under /dev/serial/by-id, a pattern with `*`, or the address of a network port
    (`modem.at.network_port`).
    """

    path: str
    baud: int = 115200  # 0: find out the modem's speed
    rtscts: bool = False  # three-wire HATs have no RTS/CTS, and would wait for ever
    probe_bauds: tuple[int, ...] = ()  # speeds to try when nothing answers at `baud` (UART HATs)


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All time-outs and intervals of the driver, in seconds. Tests shorten them."""

    # One command
    command_seconds: float = (
        5  # a command that the module answers itself: within 0.3 s, some need seconds
    )
    list_seconds: float = 30  # +CMGL of a full SIM: 50 messages from a slow card
    slow_command_seconds: float = 20  # +CPIN, +CPMS, +COPS?, +CMGD: SIM or radio are involved
    write_seconds: float = 5  # the port accepts no bytes (flow control, a dead USB device)
    prompt_seconds: float = 10  # from AT+CMGS to `>`: at once, or not at all
    network_seconds: float = 130  # from Ctrl-Z to +CMGS: SIM800 60 s, EC25 120 s, TR1M below 45 s
    closing_seconds: float = 2  # from +CMGS to its OK
    reported_seconds: float = (
        10  # from a report on the part being sent to its +CMGS: within a second, or it was lost
    )

    echo_seconds: float = 2  # until a command is echoed completely, at 9600 baud

    probe_max_age_seconds: float = 1  # from a probe to AT+CMGS: no module restarts faster

    # After a time-out
    resync_pause_seconds: float = 0.5  # silence after an ESC, before the line is used again
    resync_seconds: float = 3  # for the answer to each question of a resynchronisation

    degraded_line_seconds: float = 3600  # how long a line counts as degraded after an altered byte

    # Start
    boot_seconds: float = 30  # until a starting modem answers AT (SIM7600: over 10 s seen)
    probe_seconds: float = 0.5  # between two AT of a starting modem
    sim_seconds: float = 30  # a SIM that says "busy" or nothing may still be starting
    sim_poll_seconds: float = 1  # … asked this often, and …
    store_seconds: float = 30  # … its message store may start even later (CMS 310, 314)
    registration_seconds: float = (
        180  # then we go on searching, but look for what else may be wrong
    )
    registration_poll_seconds: float = 2
    owner_poll_seconds: float = 5  # while the owner must act: PIN, SIM, SMSC

    # In service
    idle_after_seconds: float = 1  # a line without a send for so long is idle
    idle_poll_seconds: float = 30  # signal, registration, operator, store: only on an idle line
    stored_poll_seconds: float = 60  # stored reports and messages: even within a burst
    other_store_seconds: float = 600  # stores in which nothing should arrive (class 1 messages)
    clock_poll_seconds: float = 3600
    warning_seconds: float = 600  # without a new one the supply is taken to be well again
    handed_out_seconds: float = 600  # a stored message nobody took off our hands is shown again
    report_test_seconds: float = (
        600  # for the first stored report of a modem that has not stored any before
    )
    ussd_seconds: float = 30  # 1-30 s seen from OK to +CUSD

    repeat_seconds: float = 1  # between two looks for the same reason, whatever the modem says
    urc_silence_seconds: float = 300  # without any URC after a part: the port may hand out none
    steady_seconds: float = 120  # a modem that serves for so long is not restarting again and again

    # Recovery
    reset_seconds: float = 3  # a module that took CFUN=1,1 or a reset is deaf so long at least
    reopen_seconds: float = 1  # between two looks for a port that is gone
    vanished_seconds: float = 60  # a USB port stays away longer than any restart takes: power
    backoff_first_seconds: float = 5
    backoff_longest_seconds: float = 600
    stop_seconds: float = 140  # for an open send when the box stops: network_seconds and its ends
