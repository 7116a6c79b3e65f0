"""zimbox.toml on the boot partition: what the owner wants of the box, checked, and what follows from it."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from appliance.core import config

# \Z where one would write $: that also allows a line feed at the end.


class WishError(Exception):
    """zimbox.toml cannot be taken over: what was read, and what is allowed."""


class Cable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ethernet. Without an address: DHCP."""

    address: str = ""  # "192.168.1.20/24"
    gateway: str = ""
    dns: list[str] = []


class Wifi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ssid: str = ""
    password: str = ""  # a secret
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")] = "FR"
    hidden: bool = False  # the access point does not announce its name


Pin = Annotated[int, Meta(ge=0, le=27)]  # of the header, in BCM numbers


class ModemWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: str = "/dev/modem"
    baud: Annotated[int, Meta(ge=0)] = 0
    pin: Annotated[str, Meta(pattern=r"^([0-9]{4,8})?\Z")] = ""  # a secret
    hat: str = ""
    # Of a board whose wiring is another, or that is not on the list.
    power_key: Pin | None = None
    reset: Pin | None = None
    active_low: bool | None = None


class Wishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hostname: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")] = "zimbox"
    time_zone: str = "Europe/Paris"
    language: Annotated[str, Meta(pattern=r"^(fr|en)\Z")] = "fr"
    password_hash: str = ""  # of the page; a secret: argon2id, as the tool `argon2` writes it
    ssh_key: str = ""
    ntp: list[str] = []
    cable: Cable = Cable()
    wifi: Wifi = Wifi()
    modem: list[ModemWish] = msgspec.field(default_factory=lambda: [ModemWish()])
    gateway: dict[str, Any] = {}  # settings of appliance.core.config, as the file has them
    unknown: list[str] = []  # names in the file that nobody knows


# What the gateway's own settings hold and this file does not write itself.
GATEWAY = set(config.Config.__struct_fields__) - {
    "time_zone", "language", "modem", "steward", "simulator", "timing",
}  # fmt: skip


# Ports whose device can be taken off USB and put back: the last resort, and it needs root.
ON_USB = re.compile(r"/dev/(modem-usb|ttyUSB|ttyACM|serial/by-)")
# A piece of one would be a password that nobody has.
ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+(\$[A-Za-z0-9+/]+){2}", re.ASCII)
RAW_KEY = re.compile(r"[0-9A-Fa-f]{64}")
SECRETS = ("password", "password_hash", "pin", "metrics_token")
NOTHING_LEFT = "# Taken over; left out here, because its secrets are not on lines of their own.\n"
HATS = ("", "SIM800L", "SIM868", "SIM7600", "SIM7000", "SIM7070", "SIM7080", "A7670", "EC25")


def read(text: str) -> Wishes:
    """Raises WishError."""
    try:
        raw = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # not its own alone: numbers and nesting without end
        raise WishError(f"not valid TOML: {error}") from None
    page = raw.get("page")
    if isinstance(page, dict) and "password_hash" in page:  # taken once, and kept nowhere else
        raw["password_hash"] = page.pop("password_hash")
    gateway = {name: raw.pop(name) for name in sorted(raw.keys() & GATEWAY)}
    unknown = sorted(raw.keys() - (set(Wishes.__struct_fields__) - {"gateway", "unknown"}))
    for name in unknown:
        del raw[name]
    try:
        wishes = msgspec.convert(raw | {"gateway": gateway, "unknown": unknown}, Wishes)
    except msgspec.ValidationError as error:
        raise WishError(str(error)) from None
    _check_network(wishes)
    if wishes.ssh_key and not re.fullmatch(
        r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?", wishes.ssh_key
    ):
        raise WishError("ssh_key: not a public key in one line, such as 'ssh-ed25519 AAAA… name'")
    if wishes.password_hash and not ARGON2ID.fullmatch(wishes.password_hash):
        raise WishError("password_hash: not a whole argon2id hash ('$argon2id$v=19$…$…$…')")
    for modem in wishes.modem:
        if modem.hat.upper() not in HATS:
            raise WishError(f"modem.hat: {modem.hat!r} was read; known are {', '.join(HATS[1:])}")
        if not re.fullmatch(r"/dev/[A-Za-z0-9/_.:+-]+", modem.port):
            raise WishError(
                f"modem.port: {modem.port!r} was read; allowed is a device such as /dev/modem"
            )
    try:
        config.loads(gateway_config(wishes), {})
    except config.ConfigError as error:  # the box would not start: no page, and nobody to say why
        raise WishError(str(error)) from None
    return wishes


def _check_network(wishes: Wishes) -> None:
    cable, wifi = wishes.cable, wishes.wifi
    try:
        if cable.address:
            if "/" not in cable.address:
                raise ValueError(f"{cable.address!r} lacks its prefix length, such as /24")
            ipaddress.ip_interface(cable.address)
        for address in [*([cable.gateway] if cable.gateway else []), *cable.dns]:
            ipaddress.ip_address(address)
        if zoned := [a for a in (cable.address, cable.gateway, *cable.dns) if "%" in a]:
            raise ValueError(f"{zoned[0]!r} has a zone")
    except ValueError as error:
        raise WishError(f"cable: {error}") from None
    if (cable.gateway or cable.dns) and not cable.address:
        raise WishError("cable: a gateway or dns without an address; leave them out for DHCP")
    for name in wishes.ntp:
        if not re.fullmatch(r"[A-Za-z0-9.:-]+", name):
            raise WishError(f"ntp: {name!r} is not a host name")
    # The file they go into knows no way to write these.
    for what, text in (("ssid", wifi.ssid), ("password", wifi.password)):
        if any(ord(c) < 32 for c in text):
            raise WishError(f"wifi.{what}: control characters are not allowed")
    if wifi.password and not (
        8 <= len(wifi.password.encode()) <= 63 or RAW_KEY.fullmatch(wifi.password)
    ):
        raise WishError("wifi.password: 8 to 63 characters, or a key of 64 hexadecimal digits")
    if len(wifi.ssid.encode()) > 32:
        raise WishError("wifi.ssid: 32 bytes at most; an accented letter takes two")
    if wifi.password and not wifi.ssid:
        raise WishError("wifi: a password without an ssid")


def without_secrets(text: str) -> str:
    """The file as it goes back to the card: every secret is replaced, line by line.

    Where one is written otherwise (in a table of one line, over several lines) nothing of the file goes back.
    """
    names = "|".join(SECRETS)
    pattern = rf"^(\s*(?:{names})\s*=\s*)(?!\"\"\s*(?:#|$)).+$"
    clean = re.sub(pattern, r'\1"" # taken over, and removed from here', text, flags=re.MULTILINE)
    try:
        left = read(clean)
    except WishError:
        return NOTHING_LEFT
    secrets: tuple[object, ...] = (
        left.password_hash,
        left.wifi.password,
        *(modem.pin for modem in left.modem),
    )
    secrets += tuple(
        table.get("metrics_token") for table in left.gateway.values() if isinstance(table, dict)
    )
    return NOTHING_LEFT if any(secrets) else clean


# --- what follows from it ---------------------------------------------------------------------------


def gateway_config(wishes: Wishes) -> str:
    """The gateway's own settings (appliance.core.config)."""
    quoted = _quoted
    lines = [
        "# Made from zimbox.toml on the boot partition; put a new one there to change it.",
        f"time_zone = {quoted(wishes.time_zone)}",
        f"language = {quoted(wishes.language)}",
    ]
    tables: dict[str, dict[str, Any]] = {"server": {"listen": "0.0.0.0:80"}}
    for name, value in wishes.gateway.items():
        if isinstance(value, dict):
            tables[name] = tables.get(name, {}) | value
        else:
            lines.append(f"{name} = {_value(value)}")
    if wishes.password_hash:
        tables["page"] = tables.get("page", {}) | {"password_hash": wishes.password_hash}
    for name, table in tables.items():
        lines += [
            f"[{name}]",
            *(f"{_key(key)} = {_value(value)}" for key, value in table.items()),
        ]
    for modem in wishes.modem:
        lines += ["[[modem]]", f"port = {quoted(modem.port)}", f"baud = {modem.baud}"]
        if modem.pin:
            lines.append(f"pin = {quoted(modem.pin)}")
        lines += ["[modem.power]", 'chip = "/dev/gpiochip-header"']
        if ON_USB.match(modem.port):
            reset = ["/usr/bin/python3", "-P", "-s", "-m", "appliance.maintenance.steward_client"]
            reset += ["usb-reset", f"port={modem.port}"]
            lines.append(f"supply_command = {msgspec.json.encode(reset).decode()}")
        if modem.hat:
            lines.append(f"hat = {quoted(modem.hat.upper())}")
        for name in ("power_key", "reset", "active_low"):
            if (wish := getattr(modem, name)) is not None:
                lines.append(f"{name} = {msgspec.json.encode(wish).decode()}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """TOML for a setting: for what settings are, JSON's notation is TOML's too."""
    return msgspec.json.encode(value).decode()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def cable_network(cable: Cable) -> str | None:
    """systemd.network(5) for a fixed address; None leaves DHCP, which the image has."""
    if not cable.address:
        return None
    lines = [
        "[Match]",
        "Type=ether",
        "[Link]",
        "RequiredForOnline=no",
        "[Network]",
        f"Address={ipaddress.ip_interface(cable.address).with_prefixlen}",
    ]
    lines += [f"Gateway={cable.gateway}"] if cable.gateway else []
    lines += [f"DNS={address}" for address in cable.dns]
    return "\n".join(lines) + "\n"


def wpa_supplicant(wifi: Wifi) -> str | None:
    """wpa_supplicant.conf(5); names and passwords in hexadecimal or as P"…" would be, so nothing is lost."""
    if not wifi.ssid:
        return None
    raw = RAW_KEY.fullmatch(wifi.password)  # wpa_supplicant takes a raw key without quotes
    key = f"psk={wifi.password}" if raw else f'psk="{wifi.password}"'
    key = key if wifi.password else "key_mgmt=NONE"
    hidden = "\tscan_ssid=1\n" if wifi.hidden else ""
    kinds = "key_mgmt=WPA-PSK" if wifi.password else ""  # SAE offered: brcmfmac loses the network
    return (
        f"country={wifi.country}\nnetwork={{\n\tssid={wifi.ssid.encode().hex()}\n\t{key}\n"
        + (f"\t{kinds}\n" if kinds else "")
        + hidden
        + "}\n"
    )


WIFI_NETWORK = """[Match]
Type=wlan
[Link]
RequiredForOnline=no
[Network]
DHCP=yes
"""
