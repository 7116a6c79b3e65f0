"""The state of the Wi-Fi: wpa_supplicant's events, the file for the page, the board's LED."""

import json
import socket
import threading
from pathlib import Path

import pytest

from appliance.monitoring import wifi as page
from image.target import user_config, wifi

# As wpa_supplicant 2.10 writes them.
CONNECTED = "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:00:00 completed [id=0 id_str=]"
WRONG_KEY = (
    '<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="shop" auth_failures=1 duration=10 reason=WRONG_KEY'
)
NOT_FOUND = "<3>CTRL-EVENT-NETWORK-NOT-FOUND "
DISCONNECTED = "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:00:00 reason=3 locally_generated=1"


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], wifi.CONNECTING),
        ([CONNECTED], wifi.CONNECTED),
        ([NOT_FOUND], wifi.NOT_FOUND),
        ([WRONG_KEY, DISCONNECTED, NOT_FOUND], wifi.WRONG_PASSWORD),
        ([WRONG_KEY, CONNECTED], wifi.CONNECTED),
        ([CONNECTED, DISCONNECTED], wifi.CONNECTING),
        ([NOT_FOUND, CONNECTED, "<3>CTRL-EVENT-SCAN-STARTED "], wifi.CONNECTED),
        (["<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 reason=CONN_FAILED"], wifi.CONNECTING),
    ],
)
def test_each_event_of_wpa_supplicant_leads_to_one_state(events: list[str], state: str) -> None:
    seen = wifi.CONNECTING
    for event in events:
        seen = wifi.next_state(seen, event)
    assert seen == state


def test_the_page_and_the_led_follow_wpa_supplicant(tmp_path: Path) -> None:
    led, file = tmp_path / "led", tmp_path / "wifi.json"
    led.mkdir()
    for name in ("trigger", "delay_on", "delay_off"):
        (led / name).touch()
    supplicant = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supplicant.bind(str(tmp_path / "wlan0"))
    seen: list[page.Wifi | None] = []

    def answer() -> None:
        said, caller = supplicant.recvfrom(100)
        seen.append(page.read(file))  # nothing before the first word
        assert said == b"ATTACH"
        for words in (NOT_FOUND, "OK\n", WRONG_KEY, "<3>CTRL-EVENT-TERMINATING "):
            supplicant.sendto(words.encode(), caller)

    thread = threading.Thread(target=answer)
    thread.start()
    line = wifi.attach(tmp_path / "wlan0", tmp_path / "own.sock")
    wifi.follow(line, file, led, "shop")
    thread.join()
    line.close()
    supplicant.close()
    assert seen == [None]
    assert page.read(file) == page.Wifi("wrong_password", "shop")
    assert file.stat().st_mode & 0o777 == 0o644
    assert (led / "trigger").read_text() == "timer"
    assert (led / "delay_on").read_text() == "125"
    wifi.blink(led, wifi.CONNECTED)
    assert (led / "trigger").read_text() == wifi.DEFAULT_TRIGGER
    wifi.blink(tmp_path / "none", wifi.WRONG_PASSWORD)


def test_a_control_interface_that_refuses_is_an_error(tmp_path: Path) -> None:
    supplicant = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supplicant.bind(str(tmp_path / "wlan0"))
    thread = threading.Thread(
        target=lambda: supplicant.sendto(b"FAIL\n", supplicant.recvfrom(100)[1])
    )
    thread.start()
    with pytest.raises(OSError, match="FAIL"):
        wifi.attach(tmp_path / "wlan0", tmp_path / "own.sock")
    thread.join()
    supplicant.close()


def test_what_the_card_writes_is_what_the_page_reads(tmp_path: Path) -> None:
    assert page.STATE == wifi.STATE
    for state in (wifi.CONNECTING, wifi.CONNECTED, wifi.WRONG_PASSWORD, wifi.NOT_FOUND):
        wifi.write_state(tmp_path / "wifi.json", state, "Chez Léa")
        found = page.read(tmp_path / "wifi.json")
        assert found is not None and (found.state, found.ssid) == (state, "Chez Léa")
    (tmp_path / "wifi.json").write_text(json.dumps({"state": "?"}))
    assert page.read(tmp_path / "wifi.json") is None


def test_wpa_supplicant_opens_the_control_interface_that_is_asked() -> None:
    text = user_config.wpa_supplicant(user_config.WifiSection("x", "12345678"))
    assert text is not None and f"ctrl_interface={wifi.CONTROL}\n" in text
