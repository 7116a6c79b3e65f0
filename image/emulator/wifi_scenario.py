"""Wi-Fi with the kernel's simulated radios (mac80211_hwsim): one is the box's, one the access point's.

The access point and a client behind it (wifi_neighbour.py) are in a network namespace of their own.
"""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any

from image.emulator import card_file, wifi_neighbour
from image.emulator.harness import (
    RECIPIENT,
    AdminPage,
    check,
    delivered,
    new_card,
    new_key,
    note,
    online,
    received,
    running,
    until,
)
from image.emulator.machine import Machine
from image.target import user_config

SSID, PASSWORD = "Chez Léa", "brouette rouge"
IN_NAMESPACE = "ip netns exec ap"


def wifi() -> None:
    """Serve a late radio, show a wrong password; then get an address by DHCP and deliver an SMS over Wi-Fi."""
    card = new_card("wifi")
    card_file.boot_file(card, "zimbox.toml", f'[wifi]\nssid = "{SSID}"\npassword = "{PASSWORD}"\n')
    with running("wifi", card=card) as (box, journal):
        box.wait_http()
        check(
            box.shell("cat /run/zimbox/wifi.json 2>&1").endswith("No such file or directory"),
            "state",
        )
        # The second radio is not the box's: its supplicant stays off.
        box.shell(
            "ln -s /dev/null /run/systemd/system/wpa_supplicant@wlan1.service; systemctl daemon-reload"
        )
        box.shell("modprobe mac80211_hwsim radios=2")
        until("the late radio is served", lambda: _state(box))
        _other_side(box)
        _access_point(box, "another password")
        until("the wrong password is seen", lambda: _state(box) == "wrong_password")
        page = _page(box)
        check(f"{SSID} refuses the password" in page, page[:2000])
        _access_point(box, PASSWORD)
        until("it is connected", lambda: _state(box) == "connected")
        until(
            "it has an address",
            lambda: f"{wifi_neighbour.OFFERED}/24" in box.shell("ip -4 -br addr show wlan0"),
        )
        check("off" in box.shell("iw dev wlan0 get power_save"), "power save is on")
        check(f"{SSID} refuses" not in _page(box), "the page still shows a wrong password")
        note("wifi", wrong_password_on_page=True, address_by_dhcp=True, power_save="off")
        _sms_over_the_air(box)
        submitted = [line["text"] for line in received(journal) if line["event"] == "submit"]
        check(submitted == ["par les ondes"], submitted)
        check(box.shell("systemctl --failed --no-legend --plain") == "", "failed units")
        note("wifi", zimbox_local_answers=True, sms_delivered_over_wifi=True)
        _wpa3(box)
    note("wifi", connected_by_wpa3=True)


def _wpa3(box: Machine) -> None:
    """Connect to a network that takes WPA3 alone."""
    _access_point(box, PASSWORD, "SAE\nieee80211w=2")
    settings = user_config.wpa_supplicant(user_config.WifiSection(SSID, PASSWORD, wpa3=True)) or ""
    _write(box, "/run/zimbox/wpa_supplicant.conf", settings)
    box.shell("systemctl restart wpa_supplicant@wlan0.service")
    ask = "wpa_cli -p /run/wpa_supplicant -i wlan0 status"
    until(
        "it is connected by WPA3",
        lambda: {"wpa_state=COMPLETED", "key_mgmt=SAE"} <= set(box.shell(ask).splitlines()),
    )


def _sms_over_the_air(box: Machine) -> None:
    key = new_key(box)
    until("the modem is online", lambda: online(box))
    until("zimbox.local answers", lambda: _over_the_air(box, "GET", "/health")[0] == 200)
    body = {"to": RECIPIENT, "message": "par les ondes"}
    status, answer = _over_the_air(box, "POST", "/v1/sms/send", key, json.dumps(body))
    check(status == 202 and answer["success"] is True, (status, answer))
    until("the message is delivered", lambda: delivered(box, key, answer["message_id"]))


def _over_the_air(
    box: Machine, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> tuple[int, dict[str, Any]]:
    """Request JSON from http://zimbox.local as the client behind the access point. Raises ValueError."""
    fields = {"Content-Type": "application/json", **(headers or {})}
    words = [method, "zimbox.local", path, body, *(f"{k}: {v}" for k, v in fields.items())]
    output = box.shell(f"{IN_NAMESPACE} python3 /run/neighbour.py {shlex.join(words)}")
    status, _, answer = output.partition("\n")
    return int(status), json.loads(answer)


def _state(box: Machine) -> str:
    output = box.shell("cat /run/zimbox/wifi.json 2>/dev/null")
    return str(json.loads(output)["state"]) if output else ""


def _other_side(box: Machine) -> None:
    """Give the second radio a network namespace of its own, with an address and a DHCP server."""
    _write(box, "/run/neighbour.py", Path(wifi_neighbour.__file__).read_text())
    for command in (
        "ip netns add ap",
        "iw phy $(cat /sys/class/net/wlan1/phy80211/name) set netns name ap",
        f"{IN_NAMESPACE} ip link set lo up",
        f"{IN_NAMESPACE} ip addr add {wifi_neighbour.OWN}/24 dev wlan1",
        f"{IN_NAMESPACE} ip link set wlan1 up",
        f"systemd-run --unit=dhcp {IN_NAMESPACE} python3 /run/neighbour.py dhcp wlan1",
    ):
        _do(box, command)


def _access_point(box: Machine, password: str, key_management: str = "WPA-PSK") -> None:
    """Let the second radio be the network, with this password."""
    lines = (
        f'ssid="{SSID}"', "mode=2", "frequency=2412", f"key_mgmt={key_management}",
        "proto=RSN", "pairwise=CCMP", f'psk="{password}"',
    )  # fmt: skip
    _write(box, "/run/ap.conf", "\n".join(["network={", *lines, "}"]) + "\n")
    box.shell("systemctl stop ap.service")
    command = "/usr/sbin/wpa_supplicant -Dnl80211 -iwlan1 -c/run/ap.conf"
    _do(box, f"systemd-run --unit=ap {IN_NAMESPACE} {command}")


def _write(box: Machine, file: str, text: str) -> None:
    # One line: the probe reads its commands line by line.
    _do(box, f"base64 -d <<<{base64.b64encode(text.encode()).decode()} >{file}")


def _do(box: Machine, command: str) -> None:
    output = box.shell(f"{command}; echo status $?")
    check(output.endswith("status 0"), f"{command}: {output}")


def _page(box: Machine) -> str:
    """Return the status page of the box; the first call claims it."""
    admin = AdminPage(box)
    if (code := box.shell("cat /data/zimbox/setup-code 2>/dev/null")) != "":
        password = "une phrase bien longue"
        admin.post("/claim", "/claim", f"password={password}", f"again={password}", f"code={code}")
    return admin.get("/")
