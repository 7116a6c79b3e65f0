"""Read and check zimbox.toml from the boot partition; derive the configuration of gateway and network."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from appliance.core import config
from appliance.core.i18n import DEFAULT, languages

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
    wpa3: bool = False  # a network that takes WPA3 alone


Pin = Annotated[int, Meta(ge=0, le=27)]  # of the header, in BCM numbers


class ModemSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[modem]]: the gateway's own settings of a modem, and those of `power` without its table."""

    port: str = "/dev/modem"
    baud: Annotated[int, Meta(ge=0)] = 0
    pin: Annotated[str, Meta(pattern=r"^([0-9]{4,8})?\Z")] = ""  # a secret
    hat: str = ""
    # For a board that is wired differently or not listed.
    power_key: Pin | None = None
    reset: Pin | None = None
    active_low: bool | None = None
    # Passed on to the gateway as they are in the file.
    gateway: dict[str, Any] = {}
    power: dict[str, Any] = {}


class UserConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hostname: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")] = "zimbox"
    time_zone: str = "Europe/Paris"
    language: Annotated[str, Meta(pattern=rf"^({'|'.join(languages())})\Z")] = DEFAULT
    password_hash: str = ""  # of the page; a secret: argon2id, in the form of the program `argon2`
    ssh_key: str | list[str] = ""
    ntp: list[str] = []
    cable: EthernetSection = EthernetSection()
    wifi: WifiSection = WifiSection()
    modem: list[ModemSection] = msgspec.field(default_factory=lambda: [ModemSection()])
    forget_owner: bool = False  # once: the page asks for a new password
    gateway: dict[str, Any] = {}  # settings of appliance.core.config, as in the file
    unknown: list[str] = []  # unknown names in the file
    fixed: list[str] = []  # settings that this image sets itself
    only_forget: bool = False  # the file says nothing but `forget_owner`: the rest stays as it is

    @property
    def ssh_keys(self) -> list[str]:
        if isinstance(self.ssh_key, list):
            return self.ssh_key
        return [self.ssh_key] if self.ssh_key else []


# Settings that are passed on to the gateway; the others are derived in gateway_config().
GATEWAY = set(config.Config.__struct_fields__) - {"time_zone", "language", "modem", "steward"}
# Of a modem: passed on too; its power controls are completed by the image.
OF_A_MODEM = set(config.ModemSettings.__struct_fields__) - {"port", "baud", "pin", "power"}
# What the image sets itself: where its steward and its GPIO chip are, and how USB is reset.
FIXED = ("steward", "modem.power.chip", "modem.power.supply_command")


# Ports whose USB device the steward can reset.
ON_USB = re.compile(r"/dev/(modem-usb|ttyUSB|ttyACM|serial/by-)")
# A truncated hash would be a password that nobody has.
ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+(\$[A-Za-z0-9+/]+){2}", re.ASCII)
SSH_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?")
RAW_KEY = re.compile(r"[0-9A-Fa-f]{64}")
SECRETS = ("password", "password_hash", "pin", "metrics_token")
NOTHING_LEFT = "# Imported. Not repeated here, because its secrets are not on lines of their own.\n"
HATS = ("", "SIM800L", "SIM868", "SIM7600", "SIM7000", "SIM7070", "SIM7080", "A7670", "EC25")


def read(text: str, defaults: Mapping[str, Any] | None = None) -> UserConfig:
    """Parse and check zimbox.toml; `defaults` fill in settings it leaves out. Raises UserConfigError."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: deep nesting
        raise UserConfigError(f"not valid TOML: {error}") from None
    page = raw.get("page")
    if isinstance(page, dict) and "password_hash" in page:
        # stored in the gateway's configuration only
        raw["password_hash"] = page.pop("password_hash")
    only_forget = set(raw) == {"forget_owner"}
    fixed = _take_fixed(raw)
    unknown = _take_unknown(raw)
    gateway = {name: raw.pop(name) for name in sorted(raw.keys() & GATEWAY)}
    for table in _tables(raw.get("modem")):
        table["gateway"] = {name: table.pop(name) for name in sorted(table.keys() & OF_A_MODEM)}
    made = {"gateway": gateway, "unknown": unknown, "fixed": fixed, "only_forget": only_forget}
    return _checked({**(defaults or {}), **raw, **made})


def change(settings: UserConfig, new: Mapping[str, Any]) -> UserConfig:
    """Return the settings with those in `new`, in zimbox.toml's form, replaced. Raises UserConfigError."""
    return _checked({**msgspec.to_builtins(settings), "unknown": [], "fixed": [], **new})


def _checked(raw: dict[str, Any]) -> UserConfig:
    try:
        settings = msgspec.convert(raw, UserConfig)
    except msgspec.ValidationError as error:
        place = str(error).partition(" - at `$.")[2].rstrip("`")
        raise UserConfigError(f"{place or 'top level'}: {config.in_words(error)}") from None
    _check_network(settings)
    for key in settings.ssh_keys:
        if not SSH_KEY.fullmatch(key):
            raise UserConfigError(
                "ssh_key: not a public key in one line, such as 'ssh-ed25519 AAAA… name'"
            )
    if settings.password_hash and not ARGON2ID.fullmatch(settings.password_hash):
        raise UserConfigError("password_hash: not a whole argon2id hash ('$argon2id$v=19$…$…$…')")
    for modem in settings.modem:
        hat = modem.power.get("hat", "")
        for name in (modem.hat, hat if isinstance(hat, str) else ""):
            if name.upper() not in HATS:
                raise UserConfigError(
                    f"modem.hat: {name!r} was read; known are {', '.join(HATS[1:])}"
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


# Sections and fields of the file: of this module, and of the gateway.
_OWN = set(UserConfig.__struct_fields__) - {"gateway", "unknown", "fixed", "only_forget"}
_OWN_MODEM = set(ModemSection.__struct_fields__) - {"gateway"}


def _tables(value: object) -> list[dict[str, Any]]:
    """Return the tables of a list of tables; an invalid value has none, and is refused later."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _take_fixed(raw: dict[str, Any]) -> list[str]:
    """Remove the settings that the image sets itself; return their names."""
    found = []
    for name in FIXED:
        section, _, field = name.rpartition(".")
        if not section:
            places = [raw]
        else:
            powers = [modem.get("power") for modem in _tables(raw.get("modem"))]
            places = _tables(powers)
        for place in places:
            if field in place:
                del place[field]
                found.append(name)
    return list(dict.fromkeys(found))


def _take_unknown(raw: dict[str, Any]) -> list[str]:
    """Remove unknown names at the top level and in sections; return them as `section.name`."""
    found: list[str] = []
    _keep_known(raw, _OWN | GATEWAY, "", found)
    for name, section in raw.items():
        if isinstance(section, dict):
            _keep_known(section, _fields(_section_of(name)), f"{name}.", found)
    for modem in _tables(raw.get("modem")):
        _keep_known(modem, _OWN_MODEM | OF_A_MODEM, "modem.", found)
        for name, section in modem.items():
            if isinstance(section, dict):
                known = _fields(_hints(config.ModemSettings).get(name))
                _keep_known(section, known, f"modem.{name}.", found)
    return list(dict.fromkeys(found))


def _keep_known(table: dict[str, Any], known: set[str], path: str, found: list[str]) -> None:
    for name in sorted(table.keys() - known):
        del table[name]
        found.append(f"{path}{name}")


def _section_of(name: str) -> Any:
    """Return the type of a section. The names of the two files do not overlap."""
    return _hints(UserConfig).get(name) if name in _OWN else _hints(config.Config).get(name)


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fields(kind: Any) -> set[str]:
    """Return the fields of a section; of anything else none, so that a table in its place is refused later."""
    is_section = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return set(kind.__struct_fields__) if is_section else set()


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
    if wifi.wpa3 and (not wifi.password or RAW_KEY.fullmatch(wifi.password)):
        raise UserConfigError("wifi.wpa3: needs the password itself")
    if wifi.password and not wifi.ssid:
        raise UserConfigError("wifi: a password without an ssid")


def without_secrets(text: str) -> str:
    """Return zimbox.toml with every secret replaced, to be left on the boot partition.

    If a secret is not on a line of its own (inline table, multi-line string), return a comment only.
    """
    names = "|".join(SECRETS)
    pattern = rf"^(\s*(?:{names})\s*=\s*)(?!\"\"\s*(?:#|$)).+$"
    clean = re.sub(pattern, r'\1"" # taken over, and removed from here', text, flags=re.MULTILINE)
    # Once: the copy may come back as zimbox.toml.
    once = r"^(\s*forget_owner\s*=\s*)true\b"
    clean = re.sub(once, r"\1false # done, once", clean, flags=re.MULTILINE)
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
        sections = {name: value for name, value in modem.gateway.items() if isinstance(value, dict)}
        plain = {name: value for name, value in modem.gateway.items() if name not in sections}
        lines += [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
        for section, table in sections.items():
            lines.append(f"[modem.{_key(section)}]")
            lines += [f"{_key(name)} = {_value(value)}" for name, value in table.items()]
        power = dict(modem.power)
        lines += ["[modem.power]", 'chip = "/dev/gpiochip-header"']
        if ON_USB.match(modem.port):
            reset = ["/usr/bin/python3", "-P", "-s", "-m", "appliance.maintenance.steward_client"]
            reset += ["usb-reset", f"port={modem.port}"]
            lines.append(f"supply_command = {msgspec.json.encode(reset).decode()}")
        for name in ("hat", "power_key", "reset", "active_low"):
            if (value := getattr(modem, name)) not in (None, ""):
                power[name] = value
        if isinstance(power.get("hat"), str):
            power["hat"] = power["hat"].upper()
        lines += [f"{_key(name)} = {_value(value)}" for name, value in power.items()]
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
    # Never both: brcmfmac loses a network of WPA2 and WPA3 as soon as SAE (WPA3) is offered.
    kinds = ""
    if wifi.wpa3:
        kinds = "key_mgmt=SAE\n\tieee80211w=2"  # WPA3 requires protected management frames
    elif wifi.password:
        kinds = "key_mgmt=WPA-PSK"
    return (
        f"ctrl_interface=/run/wpa_supplicant\ncountry={wifi.country}\nnetwork={{\n\tssid={wifi.ssid.encode().hex()}\n\t{key}\n"
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
