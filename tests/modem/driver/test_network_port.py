"""A modem behind a serial server in the network: `socket://` and `rfc2217://`."""

from __future__ import annotations

from pathlib import Path

import pytest

from modem.at import network_port
from modem.driver import probe
from modem.interface import ModemState, Verdict
from modem.timeouts import SerialLine
from tests.modem.driven import quick
from tests.modem.network import (
    BOXES,
    Bridge,
    behind,
    cut_at_each_byte,
    deliver,
    simulator,
    through_ser2net,
)
from tests.needed import needed


@pytest.mark.seconds(15)
async def test_a_send_that_is_cut_at_any_byte_is_never_repeated(tmp_path: Path) -> None:
    """Every third byte; `scripts/torture network` takes each."""
    certain, uncertain = await cut_at_each_byte(tmp_path, step=3)
    assert certain > BOXES  # the first of each box is not cut
    assert uncertain > BOXES  # cut within the text or before its answer


async def test_a_cut_before_the_text_sends_it_later_and_one_after_it_is_uncertain(
    tmp_path: Path,
) -> None:
    async with behind(tmp_path) as (box, link, _):
        await box.ready()
        link.cut_after(5, begin=b"AT+CMGS=")
        assert (await deliver(box, "early")).verdict is Verdict.TAKEN
        link.cut_after(40, begin=b"AT+CMGS=")
        assert (await deliver(box, "within")).verdict is Verdict.UNKNOWN
        assert (await deliver(box, "after")).verdict is Verdict.TAKEN
        assert [line["text"] for line in box.journal()] == ["early", "after"]
        assert link.cuts == 2


async def test_a_server_that_comes_back_ends_the_pause(tmp_path: Path) -> None:
    timing = quick(
        boot_seconds=5, vanished_seconds=0.1, backoff_first_seconds=600, backoff_longest_seconds=600
    )
    async with behind(tmp_path, timing=timing) as (box, link, _):
        await box.ready()
        await link.stop()
        await box.until(lambda: box.device.status.recoveries.get("reopen"))
        await box.state(ModemState.OFFLINE)
        await link.start()
        await box.ready()


async def test_two_programs_on_this_machine_cannot_use_one_address(tmp_path: Path) -> None:
    async with behind(tmp_path) as (box, link, bridge):
        await box.ready()
        address = f"socket://127.0.0.1:{link.port}"
        found = await probe.examine(SerialLine(address), probe.quick())
        assert "in use by another program on this machine" in found.error
        assert bridge.refused == 0


async def test_the_doctor_examines_a_network_port(tmp_path: Path) -> None:
    async with simulator(tmp_path) as (_, path):
        bridge = Bridge(path)
        await bridge.start()
        address = f"socket://127.0.0.1:{bridge.port}"
        found = await probe.examine(SerialLine(address), probe.quick())
        assert (found.error, found.baud, found.status.state) == ("", None, ModemState.READY)
        await bridge.stop()


@pytest.mark.parametrize(
    ("port", "valid"),
    [
        ("/dev/ttyAMA0", True),
        ("sim", True),
        ("socket://192.168.1.20:2000", True),
        ("rfc2217://modem.lan:2217", True),
        ("socket://[fe80::1]:2000", True),
        ("socket://192.168.1.20", False),
        ("socket://192.168.1.20:0", False),
        ("socket://192.168.1.20:65536", False),
        ("socket://user@host:2000", False),
        ("socket://host:2000?logging=debug", False),
        ("loop://", False),
        ("http://host:80", False),
    ],
)
def test_addresses_of_network_ports(port: str, valid: bool) -> None:
    assert network_port.is_valid(port) is valid


def test_an_address_with_brackets_is_no_pattern() -> None:
    address = "socket://[::1]:2000"
    assert network_port.host_and_port(address) == ("::1", 2000)


@pytest.mark.process
@pytest.mark.seconds(60)
@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
async def test_messages_through_ser2net_while_the_link_is_cut(tmp_path: Path, scheme: str) -> None:
    needed("ser2net")
    messages, cuts = 40, 4
    certain, uncertain = await through_ser2net(
        tmp_path, scheme, messages=messages, cuts=cuts, seed=2217
    )
    assert certain + uncertain == messages
    assert uncertain <= cuts
