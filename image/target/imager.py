"""Read the settings that Raspberry Pi Imager, and the habits of Raspberry Pi OS, leave on the boot partition.

The forms are those of rpi-imager's source: `customization_generator.cpp` of v2.0.11.1 (rpi-preseed.toml,
user-data, network-config, firstrun.sh) and `OptionsPopup.qml` of v1.8.5 and v1.9.6. Nothing in these files is
run; what the box has no setting for is listed by name.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

# Secrets or one-time switches: each is erased from the card once it has been imported.
FILES = (
    "rpi-preseed.toml", "custom.toml", "user-data", "network-config", "meta-data", "firstrun.sh",
    "wpa_supplicant.conf", "userconf.txt", "userconf", "ssh.txt", "ssh",
)  # fmt: skip
COMMAND_LINE = "cmdline.txt"
# What Imager 1.x appends for firstrun.sh: it would make the box start a script instead of the gateway.
FIRST_RUN = re.compile(r" systemd\.(run|run_success_action|unit)=\S+")
COUNTRY = re.compile(r"cfg80211\.ieee80211_regdom=([A-Za-z]{2})\b")

NO_ACCOUNT = (
    "the user account and its password (nobody has a password here; ssh is for root, by key)"
)
NO_SSH_PASSWORD = "ssh with a password (ssh needs a public key)"
NO_KEYBOARD = "the keyboard (the box has none)"
# Written by Imager whatever its user chose, and true of this box without being set.
SELF_EVIDENT = {
    "manage_etc_hosts",
    "manage_resolv_conf",
    "apt",
    "packages",
    "ssh_pwauth",
    "enable_ssh",
}


class ImagerError(Exception):
    """A file of Imager's cannot be read; says why."""


class Imported(msgspec.Struct):
    """Settings in the form of zimbox.toml, and the names of those that the box does not have."""

    settings: dict[str, Any] = {}
    ignored: list[str] = []

    def ignore(self, name: str) -> None:
        if name not in self.ignored:
            self.ignored.append(name)

    def add(self, other: Imported) -> None:
        """Take what `other` has and this lacks."""
        for name, value in other.settings.items():
            self.settings.setdefault(name, value)
        for name in other.ignored:
            self.ignore(name)


def files(boot: Path) -> dict[str, bytes]:
    """Return Imager's files on the boot partition by name, the best form first."""
    return {name: (boot / name).read_bytes() for name in FILES if (boot / name).is_file()}


def clean_command_line(text: str) -> str:
    """Return cmdline.txt without Imager's firstrun.sh."""
    return FIRST_RUN.sub("", text)


def read(name: str, content: bytes, command_line: str = "") -> Imported:
    """Parse one file. `command_line` is cmdline.txt, where Imager puts the Wi-Fi country. Raises ImagerError."""
    try:
        found = READERS[name](content.decode("utf-8-sig"))
    except ImagerError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # UnicodeDecodeError and TOMLDecodeError are ValueErrors; the others come from a wrong structure.
        raise ImagerError(f"not in the form that Imager writes: {error}") from None
    country = COUNTRY.search(command_line)
    if country and "wifi" in found.settings:
        found.settings["wifi"].setdefault("country", country[1].upper())
    return found


def _toml(text: str) -> Imported:
    """Parse rpi-preseed.toml (Imager 2.0.11 and later) or custom.toml (Raspberry Pi OS 12): the same tables."""
    tables = tomllib.loads(text)
    found = Imported()
    for name, table in tables.items():
        match name:
            case "config_version":
                pass
            case "system":
                _take(found, "hostname", table.get("hostname"))
            case "locale":
                _take(found, "time_zone", table.get("timezone"))
                if table.get("keymap"):
                    found.ignore(NO_KEYBOARD)
            case "ssh":
                _ssh(found, table.get("authorized_keys", []), enabled=bool(table.get("enabled")))
            case "wlan":
                _wlan(found, table)
            case "user":
                found.ignore(NO_ACCOUNT)
            case _:
                found.ignore(f"[{name}]")
    return found


def _wlan(found: Imported, table: dict[str, Any]) -> None:
    if "ssid_hex" in table:
        found.ignore("Wi-Fi (the name of the network is not UTF-8)")
        return
    _wifi(
        found,
        str(table.get("ssid", "")),
        str(table.get("password", "")),
        str(table.get("country", "")),
        hidden=bool(table.get("hidden")),
    )


def _user_data(text: str) -> Imported:
    """Parse cloud-init's user-data, as far as Imager fills it in."""
    data = _yaml(text)
    found = Imported()
    _take(found, "hostname", data.pop("hostname", ""))
    _take(found, "time_zone", data.pop("timezone", ""))
    accounts = [*data.pop("users", []), *([data.pop("user")] if "user" in data else [])]
    keys = list(data.pop("ssh_authorized_keys", []))
    for account in accounts:
        if isinstance(account, dict):  # "default" may stand for the distribution's own account
            keys += account.get("ssh_authorized_keys", [])
            if account.get("passwd"):
                found.ignore(NO_ACCOUNT)
    _ssh(found, keys, enabled=data.get("ssh_pwauth") == "true")
    if data.pop("keyboard", None):
        found.ignore(NO_KEYBOARD)
    for name in data.keys() - SELF_EVIDENT:
        found.ignore(f"{name} (user-data)")
    found.ignored.sort()
    return found


def _network_config(text: str) -> Imported:
    """Parse netplan's format, version 2: with the table `network` around it (Imager 2.x) or without (1.x)."""
    data = _yaml(text)
    data = data.get("network", data)
    found = Imported()
    for radio in (data.get("wifis") or {}).values():
        if isinstance(radio, dict):
            _access_points(found, radio)
    for name, port in (data.get("ethernets") or {}).items():
        if port.get("addresses") or port.get("dhcp4") == "false":
            found.ignore(f"the fixed address of {name} (set [cable] in zimbox.toml)")
    return found


def _access_points(found: Imported, radio: dict[str, Any]) -> None:
    for name, point in (radio.get("access-points") or {}).items():
        ssid = _unescaped(name)
        if "wifi" in found.settings:
            found.ignore(f"the second Wi-Fi network {ssid!r}")
            continue
        point = point or {}
        password = point.get("password") or point.get("auth", {}).get("password", "")
        country = radio.get("regulatory-domain", "")
        _wifi(found, ssid, password, country, hidden=point.get("hidden") == "true")


def _unescaped(name: str) -> str:
    """Decode a name: Imager 2.x escapes each byte of its UTF-8 (`\\xc3\\xa9`), which YAML reads as Latin-1."""
    try:
        return name.encode("latin-1").decode()
    except UnicodeError:
        return name


def _first_run(text: str) -> Imported:
    """Parse firstrun.sh: the arguments of `imager_custom` and `userconf` in either branch. It is not run."""
    found = Imported()
    for line in text.splitlines():
        if "/imager_custom " not in line and "/userconf " not in line:
            continue
        if line.lstrip().startswith("if "):
            continue
        _, verb, *words = [*shlex.split(line), ""]
        words = words[:-1] if words else []
        if "/userconf " in line:
            found.ignore(NO_ACCOUNT)
        elif verb == "set_hostname":
            _take(found, "hostname", words[0])
        elif verb == "set_timezone":
            _take(found, "time_zone", words[0])
        elif verb == "set_keymap":
            found.ignore(NO_KEYBOARD)
        elif verb == "enable_ssh":
            _ssh(found, words[1:] if words[:1] == ["-k"] else [], enabled=True)
        elif verb == "set_wlan":
            ssid, password, country = [word for word in words if word != "-h"]
            _wifi(found, ssid, password, country, hidden="-h" in words)
        else:
            found.ignore(f"{verb} (firstrun.sh)")
    return found


def _wpa_supplicant(text: str) -> Imported:
    """Parse wpa_supplicant.conf(5); the first network counts."""
    found = Imported()
    country = re.search(r"^\s*country=([A-Za-z]{2})\s*$", text, re.MULTILINE)
    for block in re.findall(r"network=\{(.*?)\}", text, re.DOTALL):
        lines = [
            line.split("#")[0].strip() if '"' not in line else line.strip()
            for line in block.splitlines()
        ]
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        ssid = _quoted_or_hex(values.get("ssid", ""))
        if "wifi" in found.settings:
            found.ignore(f"the second Wi-Fi network {ssid!r}")
            continue
        if "WPA-EAP" in values.get("key_mgmt", ""):
            found.ignore(f"the Wi-Fi network {ssid!r} (it asks for a user name)")
            continue
        password = values.get("psk", "").removeprefix('"').removesuffix('"')
        hidden = values.get("scan_ssid") == "1"
        _wifi(found, ssid, password, country[1] if country else "", hidden=hidden)
    return found


def _quoted_or_hex(value: str) -> str:
    if value.startswith('"'):
        return value[1:-1]
    return bytes.fromhex(value.removeprefix("hex:")).decode()


def _account(_: str) -> Imported:
    return Imported(ignored=[NO_ACCOUNT])


def _ssh_switch(_: str) -> Imported:
    return Imported(ignored=[NO_SSH_PASSWORD])


READERS: dict[str, Callable[[str], Imported]] = {
    "rpi-preseed.toml": _toml,
    "custom.toml": _toml,
    "user-data": _user_data,
    "network-config": _network_config,
    "meta-data": lambda _: Imported(),  # cloud-init's instance id: no setting
    "firstrun.sh": _first_run,
    "wpa_supplicant.conf": _wpa_supplicant,
    "userconf.txt": _account,
    "userconf": _account,
    "ssh.txt": _ssh_switch,
    "ssh": _ssh_switch,
}


def _take(found: Imported, name: str, value: Any) -> None:
    if value:
        found.settings[name] = str(value).lower() if name == "hostname" else str(value)


def _ssh(found: Imported, keys: list[str], *, enabled: bool) -> None:
    keys = [line for key in keys for line in _lines(key)]
    if keys:
        found.settings["ssh_key"] = keys
    elif enabled:
        found.ignore(NO_SSH_PASSWORD)


def _lines(key: str) -> Iterator[str]:
    return (line.strip() for line in str(key).splitlines() if line.strip())


def _wifi(found: Imported, ssid: str, password: str, country: str, *, hidden: bool) -> None:
    if not ssid:
        return
    wifi: dict[str, Any] = {"ssid": ssid, "password": password, "hidden": hidden}
    if country:
        wifi["country"] = country.upper()
    found.settings["wifi"] = wifi


def _yaml(text: str) -> dict[str, Any]:
    # Imported here: a start without these files need not wait for it.
    import yaml  # type: ignore[import-untyped]

    try:
        # BaseLoader leaves every value a string: neither "NO" nor a name of digits becomes something else.
        data = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ImagerError(f"not valid YAML: {error}".replace("\n", " ")) from None
    if data and not isinstance(data, dict):
        raise ImagerError("not in the form that Imager writes")
    return data or {}
