"""Wi-Fi with the kernel's simulated radios (mac80211_hwsim): one is the box's, one the access point."""

from __future__ import annotations

import base64
import json

from image.emulator import machine
from image.emulator.harness import AdminPage, check, new_card, note, running, until
from image.emulator.machine import Machine

SSID, PASSWORD = "Chez Léa", "brouette rouge"
AP_NETWORK = "[Match]\nName=wlan1\n[Network]\nAddress=192.168.77.1/24\nDHCPServer=yes\n"


def wifi() -> None:
    """A radio that appears late; a wrong password on the page; then associated, with an address by DHCP."""
    card = new_card("wifi")
    machine.boot_file(card, "zimbox.toml", f'[wifi]\nssid = "{SSID}"\npassword = "{PASSWORD}"\n')
    with running("wifi", card=card) as (box, _):
        box.wait_http()
        check(
            box.ask("cat /run/zimbox/wifi.json 2>&1").endswith("No such file or directory"), "state"
        )
        box.ask("modprobe mac80211_hwsim radios=2")
        until("the late radio is served", lambda: _state(box))
        _access_point(box, "another password")
        until("the wrong password is seen", lambda: _state(box) == "wrong_password")
        page = _page(box)
        check("Chez Léa refuses the password" in page, page[:2000])
        _access_point(box, PASSWORD)
        until("it is connected", lambda: _state(box) == "connected")
        until("it has an address", lambda: "192.168.77." in box.ask("ip -4 -br addr show wlan0"))
        check("off" in box.ask("iw dev wlan0 get power_save"), "power save is on")
        check("Chez Léa refuses" not in _page(box), "the page still shows a wrong password")
        check(box.ask("systemctl --failed --no-legend --plain") == "", "failed units")
    note(
        "wifi", wrong_password_on_page=True, connected=True, address_by_dhcp=True, power_save="off"
    )


def _state(box: Machine) -> str:
    said = box.ask("cat /run/zimbox/wifi.json 2>/dev/null")
    return str(json.loads(said)["state"]) if said else ""


def _access_point(box: Machine, password: str) -> None:
    """Let the second radio be the network, with this password, and hand out addresses."""
    config = f'network={{\nssid="{SSID}"\nmode=2\nfrequency=2412\nkey_mgmt=WPA-PSK\npsk="{password}"\n}}\n'
    for file, text in (("ap.conf", config), ("systemd/network/15-ap.network", AP_NETWORK)):
        # One line: the probe reads its commands line by line.
        box.ask(f"mkdir -p /run/systemd/network; base64 -d <<<{_base64(text)} >/run/{file}")
    for command in (
        "systemctl stop wpa_supplicant@wlan1",
        "test ! -e /run/ap.pid || kill $(cat /run/ap.pid)",
        "nft insert rule inet zimbox input iifname wlan1 accept",
        "networkctl reload",
        "networkctl reconfigure wlan1",
        "wpa_supplicant -B -Dnl80211 -iwlan1 -c/run/ap.conf -P/run/ap.pid",
    ):
        box.ask(command)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _page(box: Machine) -> str:
    """The status page of the box, which the first call claims."""
    admin = AdminPage(box)
    if (code := box.ask("cat /data/zimbox/setup-code 2>/dev/null")) != "":
        password = "une phrase bien longue"
        admin.post("/claim", "/claim", f"password={password}", f"again={password}", f"code={code}")
    return admin.get("/")
