"""Read and check zimbox.toml from the boot partition; derive the configuration of gateway and network."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from appliance.core import config

# \Z where one would write $: that also allows a line feed at the end.


class UserConfigError(Exception):
    """An error in zimbox.toml: names what was read and what is allowed."""


class EthernetSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[cable]: Ethernet. Without an address: DHCP."""

    address: str = ""  # "192.168.1.20/24"
    gateway: str = ""
    dns: list[str] = []


class WifiSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ssid: str = ""
    password: str = ""  # a secret
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")] = "FR"
    hidden: bool = False  # the access point does not announce its name


Pin = Annotated[int, Meta(ge=0, le=27)]  # of the header, in BCM numbers


class ModemSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: str = "/dev/modem"
    baud: Annotated[int, Meta(ge=0)] = 0
    pin: Annotated[str, Meta(pattern=r"^([0-9]{4,8})?\Z")] = ""  # a secret
    hat: str = ""
    # For a board that is wired differently or not listed.
    power_key: Pin | None = None
    reset: Pin | None = None
    active_low: bool | None = None


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hostname: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")] = "zimbox"
    time_zone: str = "Europe/Paris"
    language: Annotated[str, Meta(pattern=r"^(fr|en)\Z")] = "fr"
    password_hash: str = ""  # of the page; a secret: argon2id, in the form of the program `argon2`
    ssh_key: str = ""
    ntp: list[str] = []
    cable: EthernetSection = EthernetSection()
    wifi: WifiSection = WifiSection()
    modem: list[ModemSection] = msgspec.field(default_factory=lambda: [ModemSection()])
    gateway: dict[str, Any] = {}  # settings of appliance.core.config, as in the file
    unknown: list[str] = []  # unknown names in the file


# Settings that are passed on to the gateway; the others are derived in gateway_config().
GATEWAY = set(config.Config.__struct_fields__) - {
    "time_zone", "language", "modem", "steward", "simulator", "timing",
}  # fmt: skip


# Ports whose USB device the steward can reset.
ON_USB = re.compile(r"/dev/(modem-usb|ttyUSB|ttyACM|serial/by-)")
# A truncated hash would be a password that nobody has.
ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+(\$[A-Za-z0-9+/]+){2}", re.ASCII)
RAW_KEY = re.compile(r"[0-9A-Fa-f]{64}")
SECRETS = ("password", "password_hash", "pin", "metrics_token")
NOTHING_LEFT = "# Imported. Not repeated here, because its secrets are not on lines of their own.\n"
HATS = ("", "SIM800L", "SIM868", "SIM7600", "SIM7000", "SIM7070", "SIM7080", "A7670", "EC25")


def read(text: str) -> UserConfig:
    """Parse and check zimbox.toml. Raises UserConfigError."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: deep nesting
        raise UserConfigError(f"not valid TOML: {error}") from None
    page = raw.get("page")
    if (
        isinstance(page, dict) and "password_hash" in page
    ):  # stored in the gateway's configuration only
        raw["password_hash"] = page.pop("password_hash")
    gateway = {name: raw.pop(name) for name in sorted(raw.keys() & GATEWAY)}
    unknown = sorted(raw.keys() - (set(UserConfig.__struct_fields__) - {"gateway", "unknown"}))
    for name in unknown:
        del raw[name]
    try:
        settings = msgspec.convert(raw | {"gateway": gateway, "unknown": unknown}, UserConfig)
    except msgspec.ValidationError as error:
        raise UserConfigError(str(error)) from None
    _check_network(settings)
    if settings.ssh_key and not re.fullmatch(
        r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?", settings.ssh_key
    ):
        raise UserConfigError(
            "ssh_key: not a public key in one line, such as 'ssh-ed25519 AAAA… name'"
        )
    if settings.password_hash and not ARGON2ID.fullmatch(settings.password_hash):
        raise UserConfigError("password_hash: not a whole argon2id hash ('$argon2id$v=19$…$…$…')")
    for modem in settings.modem:
        if modem.hat.upper() not in HATS:
            raise UserConfigError(
                f"modem.hat: {modem.hat!r} was read; known are {', '.join(HATS[1:])}"
            )
        if not re.fullmatch(r"/dev/[A-Za-z0-9/_.:+-]+", modem.port):
            raise UserConfigError(
                f"modem.port: {modem.port!r} was read; allowed is a device such as /dev/modem"
            )
    try:
        config.loads(gateway_config(settings), {})
    except config.ConfigError as error:  # the gateway would not start, and no page could say why
        raise UserConfigError(str(error)) from None
    return settings


def _check_network(settings: UserConfig) -> None:
    cable, wifi = settings.cable, settings.wifi
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
        raise UserConfigError(f"cable: {error}") from None
    if (cable.gateway or cable.dns) and not cable.address:
        raise UserConfigError("cable: a gateway or dns without an address; leave them out for DHCP")
    for name in settings.ntp:
        if not re.fullmatch(r"[A-Za-z0-9.:-]+", name):
            raise UserConfigError(f"ntp: {name!r} is not a host name")
    # wpa_supplicant.conf cannot express them.
    for what, text in (("ssid", wifi.ssid), ("password", wifi.password)):
        if any(ord(c) < 32 for c in text):
            raise UserConfigError(f"wifi.{what}: control characters are not allowed")
    if wifi.password and not (
        8 <= len(wifi.password.encode()) <= 63 or RAW_KEY.fullmatch(wifi.password)
    ):
        raise UserConfigError(
            "wifi.password: 8 to 63 characters, or a key of 64 hexadecimal digits"
        )
    if len(wifi.ssid.encode()) > 32:
        raise UserConfigError("wifi.ssid: 32 bytes at most; an accented letter takes two")
    if wifi.password and not wifi.ssid:
        raise UserConfigError("wifi: a password without an ssid")


def without_secrets(text: str) -> str:
    """Return zimbox.toml with every secret replaced, to be left on the boot partition.

    If a secret is not on a line of its own (inline table, multi-line string), return a comment only.
    """
    names = "|".join(SECRETS)
    pattern = rf"^(\s*(?:{names})\s*=\s*)(?!\"\"\s*(?:#|$)).+$"
    clean = re.sub(pattern, r'\1"" # taken over, and removed from here', text, flags=re.MULTILINE)
    try:
        left = read(clean)
    except UserConfigError:
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


# --- derived files ----------------------------------------------------------------------------------


def gateway_config(settings: UserConfig) -> str:
    """Return the gateway's configuration file (appliance.core.config)."""
    quoted = _quoted
    lines = [
        "# Made from zimbox.toml on the boot partition; put a new one there to change it.",
        f"time_zone = {quoted(settings.time_zone)}",
        f"language = {quoted(settings.language)}",
    ]
    tables: dict[str, dict[str, Any]] = {"server": {"listen": "0.0.0.0:80"}}
    for name, value in settings.gateway.items():
        if isinstance(value, dict):
            tables[name] = tables.get(name, {}) | value
        else:
            lines.append(f"{name} = {_value(value)}")
    if settings.password_hash:
        tables["page"] = tables.get("page", {}) | {"password_hash": settings.password_hash}
    for name, table in tables.items():
        lines += [
            f"[{name}]",
            *(f"{_key(key)} = {_value(value)}" for key, value in table.items()),
        ]
    for modem in settings.modem:
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
            if (value := getattr(modem, name)) is not None:
                lines.append(f"{name} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """Return a setting in TOML. JSON and TOML agree for strings, numbers, booleans and lists of them."""
    return msgspec.json.encode(value).decode()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def cable_network(cable: EthernetSection) -> str | None:
    """Return a systemd.network(5) file for a fixed address; None for DHCP, the default of the image."""
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


def wpa_supplicant(wifi: WifiSection) -> str | None:
    """Return wpa_supplicant.conf(5); the network name in hexadecimal, so that it may hold any character."""
    if not wifi.ssid:
        return None
    raw = RAW_KEY.fullmatch(wifi.password)  # wpa_supplicant takes a raw key without quotes
    key = f"psk={wifi.password}" if raw else f'psk="{wifi.password}"'
    key = key if wifi.password else "key_mgmt=NONE"
    hidden = "\tscan_ssid=1\n" if wifi.hidden else ""
    kinds = (
        "key_mgmt=WPA-PSK" if wifi.password else ""
    )  # with SAE offered, brcmfmac loses the network
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
