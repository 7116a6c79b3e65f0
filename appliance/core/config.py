"""Settings from one TOML file and ZIMBOX_… variables; an invalid one is reported with its place.

A variable's name is the setting's path in capitals: `[webhook] allow_loopback` is
ZIMBOX_WEBHOOK_ALLOW_LOOPBACK, the top-level `rate_limit` is ZIMBOX_RATE_LIMIT. Variables win over
the file, options of the command line over both.
"""

from __future__ import annotations

import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from appliance.core.i18n import DEFAULT, languages
from appliance.core.stop_words import START_WORDS, STOP_WORDS
from modem.at import network_port
from modem.driver.gpio import WIRINGS
from modem.timeouts import Timing

# An upper bound for all settings: this many days in milliseconds are still a valid number and date.
MOST = 1_000_000
Positive = Annotated[float, Meta(gt=0, le=MOST)]
NotNegative = Annotated[float, Meta(ge=0, le=MOST)]
Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
ClientId = Annotated[str, Meta(pattern="^client_[1-9][0-9]{0,14}$")]

Alias = Annotated[str, Meta(pattern="^client_[1-9][0-9]{0,14}=[!-~]{1,64}$")]


class ConfigError(Exception):
    """An invalid setting; the message has its place, what was read and what is allowed."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section. An unknown field is an error."""


class Server(Section, frozen=True):
    listen: str = "127.0.0.1:8080"
    https_listen: str = ""  # "0.0.0.0:443" serves HTTPS too, with the box's own certificate
    certificate: str = ""  # your own certificate (PEM), with `private_key`
    private_key: str = ""
    # "https://home.example.com/sms": where a reverse proxy serves the box, if one does.
    public_url: str = ""
    metrics_token: str = ""  # empty: /metrics requires none
    cors_origins: tuple[
        str, ...
    ] = ()  # web pages that may call the API from a browser; "*" for all

    @property
    def root(self) -> str:
        """The path of `public_url`, without a slash at its end: what comes before every link."""
        return urlsplit(self.public_url).path.rstrip("/")


class PageSettings(Section, frozen=True):
    # For this long after a start anybody on the LAN may set the first password; later the page asks for the setup code.
    claim_window_minutes: NotNegative = 60.0
    # An additional file for the setup code, such as "/boot/firmware/zimbox-code.txt"; it is always in the data folder.
    setup_code_file: str = ""
    # argon2id hash, for a box prepared before its first start, or after a lost password; used once.
    password_hash: str = ""


class ClockSettings(Section, frozen=True):
    trust: Literal["auto", "always"] = "auto"
    # How late a scheduled message may still be sent (the box was off, the clock unknown).
    late_grace_minutes: NotNegative = 24 * 60.0
    late_rule: Literal["send", "fail"] = "send"


class QueueSettings(Section, frozen=True):
    max_waiting: Count = 100_000
    lifetime_hours: Positive = 24.0
    # How much longer a message must have waited to overtake one of the next higher priority.
    aging_minutes: Positive = 10.0
    # After this time without progress, although a modem is ready, the page warns.
    stuck_minutes: Positive = 15.0


class SendingSettings(Section, frozen=True):
    # How long an uncertain message waits for a report; then `on_uncertain` decides.
    uncertain_window_seconds: Positive = 600.0
    on_uncertain: Literal["fail", "resend"] = "fail"
    first_backoff_seconds: Positive = 5.0
    longest_backoff_seconds: Positive = 600.0
    # The longest wait before a modem that cannot send now is checked again (a wake-up event comes earlier).
    wait_seconds: Positive = 10.0
    # After a device has been offline for this time, a send for now is refused instead of queued.
    offline_grace_minutes: NotNegative = 10.0
    # After refusals for this many different recipients in a row, only probes are sent.
    suspicious_recipients: Annotated[int, Meta(ge=1)] = 3
    probe_minutes: Positive = 10.0
    # A request to /v1/simple/send that is repeated within this time sends nothing.
    simple_repeat_seconds: NotNegative = 60.0
    national_shifts: tuple[Annotated[int, Meta(ge=1, le=13)], ...] = ()


class Reports(Section, frozen=True):
    window_hours: Positive = 72.0  # how long a message waits for a report
    stray_minutes: Positive = 60.0  # how long a report is kept that matches no part yet, or two


class AlertSettings(Section, frozen=True):
    # An alert of a monitoring program that still fires is sent again after this time.
    repeat_minutes: NotNegative = 60.0
    # One alert in a line: {state}, {name}, {summary}, {target}, {severity}.
    template: str = "{state} {name}: {summary}"


class AlarmSettings(Section, frozen=True):
    """Alarms to the owner when the box itself is in trouble; off without a number and an address."""

    sms_to: tuple[str, ...] = ()
    mail_to: tuple[str, ...] = ()
    mail_from: str = ""
    smtp_host: str = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    password: str = ""  # of smtp_user
    # How long a problem lasts before it is an alarm, and a failing webhook.
    after_minutes: NotNegative = 15.0
    webhook_minutes: NotNegative = 60.0
    # How long a problem must be away before it counts as over.
    clear_minutes: NotNegative = 5.0


class Archive(Section, frozen=True):
    # Finished messages move to the history in batches, when the first of these is reached.
    batch: Annotated[int, Meta(ge=1, le=5000)] = 64
    after_minutes: NotNegative = 30.0


class Retention(Section, frozen=True):
    days: Annotated[int, Meta(ge=1, le=MOST)] = 90
    step: Annotated[int, Meta(ge=1, le=10_000)] = 200  # messages removed in one transaction
    days_per_run: Annotated[int, Meta(ge=1)] = 3  # a wrong clock must not empty the history


class Storage(Section, frozen=True):
    # With less free space new messages are refused: the rest is for the box's own results.
    reserve_mib: Count = 32


class WebhookSettings(Section, frozen=True):
    timeout_seconds: Positive = 5.0
    retry_seconds: tuple[NotNegative, ...] = (60.0, 300.0)
    allow_loopback: bool = False
    ca_file: str = ""  # certificate authorities (PEM) for receivers, instead of the system's
    log_days: Annotated[int, Meta(ge=1, le=MOST)] = 30


# A level of a topic without wildcards: "zimbox", "home/zimbox".
Topic = Annotated[str, Meta(pattern="^[^+#/\\x00]+(/[^+#/\\x00]+)*$", max_length=200)]
Fingerprint = Annotated[
    str, Meta(pattern="^(|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})$")
]


class MqttSettings(Section, frozen=True):
    """The MQTT broker; off without a host."""

    host: str = ""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    tls: bool = False
    ca_file: str = ""  # certificate authorities (PEM) for the broker, instead of the system's
    fingerprint: Fingerprint = ""  # SHA-256 of the broker's certificate, instead of an authority
    user: str = ""
    password: str = ""
    password_file: str = ""
    base_topic: Topic = "zimbox"
    discovery_prefix: str = "homeassistant"  # empty: no discovery
    client: Annotated[str, Meta(pattern="^(|client_[1-9][0-9]{0,14})$")] = ""  # empty: the first
    notify_to: tuple[str, ...] = ()  # who gets what is published to BASE/notify
    prefixes: tuple[str, ...] = ()  # where commands may send to; empty: everywhere
    daily_cap: Count = 0  # messages by command in a day; 0: no cap
    # The same command without an id within this time is one message.
    repeat_seconds: NotNegative = 60.0
    most_pending: Annotated[int, Meta(ge=100)] = 10_000  # events kept for a broker that is away


class Otp(Section, frozen=True):
    per_hour: Annotated[int, Meta(ge=1)] = 10


class InboxSettings(Section, frozen=True):
    part_timeout_minutes: Positive = 60.0
    reply_days: Positive = (
        30.0  # a received message belongs to the client that last wrote within these days
    )
    stop_words: tuple[str, ...] = STOP_WORDS
    start_words: tuple[str, ...] = START_WORDS


class Limits(Section, frozen=True):
    """Limits of one SIM; 0 means none. Priority 1 passes quiet hours if `urgent_passes`."""

    per_minute: Count = 0
    per_hour: Count = 0
    per_day: Count = 0
    per_month: Count = 0
    recipients_per_month: Count = 0
    billing_day: Annotated[int, Meta(ge=1, le=28)] = 1
    quiet_hours: tuple[str, ...] = ()  # "21:30-07:00", in the box's time zone; may be several
    urgent_passes: bool = True


class Balance(Section, frozen=True):
    code: str = ""  # "*100#"; empty: never queried
    pattern: str = ""  # a regular expression with one group: the amount
    every_hours: Positive = 24.0
    low: Amount = 0.0
    reserve: Amount = 0.0  # below this only priority 1 is sent


class Power(Section, frozen=True):
    """Power controls of a modem: pins in BCM numbers, pulse lengths."""

    hat: str = ""  # one of modem.gpio.WIRINGS, as defaults
    power_key: int | None = None
    reset: int | None = None
    active_low: bool | None = None
    on_seconds: Positive | None = None
    off_seconds: Positive | None = None
    reset_seconds: Positive | None = None
    supply_command: tuple[str, ...] = ()  # switches supply or USB port off and on
    chip: str = "/dev/gpiochip0"


class SmppSettings(Section, frozen=True):
    """The SMPP server for engines such as Kannel; off without `listen`, unless the page switches it on."""

    listen: str = ""  # "0.0.0.0:2775"
    tls_listen: str = ""  # "0.0.0.0:2776": over TLS, with the certificate of HTTPS
    public: bool = False  # also addresses beyond the LAN may connect
    connections: Annotated[int, Meta(ge=1, le=1000)] = 32
    window: Annotated[int, Meta(ge=1, le=1000)] = 100  # requests without an answer, each way
    rate_limit: Count = 3000  # submissions per minute and client; 0: none
    repeat_minutes: NotNegative = 10.0  # an equal submission after a lost answer is the same one
    segment_seconds: Positive = 120.0  # how long a segment waits for the others of its message
    receipt_seconds: NotNegative = 1.0  # a receipt waits until the engine knows the id
    deliver_hours: Positive = 72.0  # how long receipts and received texts wait for an engine
    bind_seconds: Positive = 10.0
    frame_seconds: Positive = 10.0  # from the first octet of a PDU to its last
    enquire_seconds: Positive = 30.0  # a silent engine is asked after this time
    response_seconds: Positive = 30.0  # the answer of an engine


class StewardSettings(Section, frozen=True):
    """Where the image's steward and its releases are."""

    socket: str = "/run/zimbox/steward.sock"
    releases: str = "/data/app"


class SimulatorSettings(Section, frozen=True):
    """The simulated modem of `--modem sim` and of the test keys."""

    personality: str = "sim7600"
    latency_seconds: NotNegative = 0.05  # a real network takes seconds
    report_seconds: NotNegative = 0.2


class ModemSettings(Section, frozen=True):
    port: str = "sim"  # or a device, or an address (`modem.at.network_port`)
    baud: Count = 0  # 0: find out
    name: str = ""
    pin: str = ""
    rtscts: bool = False
    # auto: stored, if the modem proves with the first own message that it returns stored reports
    reports: Literal["auto", "direct", "stored"] = "auto"
    clients: tuple[ClientId, ...] = ()  # empty: all clients
    aliases: tuple[Alias, ...] = ()  # "client_1=ID": that client may name it ID in X-Device-ID
    limits: Limits = Limits()
    balance: Balance = Balance()
    power: Power = Power()


class Config(Section, frozen=True):
    """All settings with their defaults. `zimbox config show` prints them."""

    rate_limit: Count = 100  # writes per minute and client; 0 disables both limits
    read_limit: Count = 1000  # reads per minute and client
    time_zone: str = "Europe/Paris"
    language: str = DEFAULT  # of the page, where the browser asks for none that the box has
    # The least important events that the log has; the support file has the same.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # The API reads numbers as they are dialled in the box's country (06 12 34 56 78); the page always does.
    national_numbers: bool = False
    server: Server = Server()
    page: PageSettings = PageSettings()
    clock: ClockSettings = ClockSettings()
    queue: QueueSettings = QueueSettings()
    sending: SendingSettings = SendingSettings()
    reports: Reports = Reports()
    alarms: AlarmSettings = AlarmSettings()
    alerts: AlertSettings = AlertSettings()
    archive: Archive = Archive()
    retention: Retention = Retention()
    storage: Storage = Storage()
    webhook: WebhookSettings = WebhookSettings()
    mqtt: MqttSettings = MqttSettings()
    otp: Otp = Otp()
    inbox: InboxSettings = InboxSettings()
    limits: Limits = Limits()  # for every modem without limits of its own
    smpp: SmppSettings = SmppSettings()
    steward: StewardSettings = StewardSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    timing: Timing = Timing()  # time-outs of the driver, for tests and unusual modems
    modem: tuple[ModemSettings, ...] = ()


QUIET_SPAN = re.compile(
    r"\s*(?:[01]\d|2[0-3]):[0-5]\d\s*-\s*(?:[01]\d|2[0-3]):[0-5]\d\s*", re.ASCII
)
PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII)
INTERNATIONAL_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
MAIL_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+", re.ASCII)
PREFIX = "ZIMBOX_"
# Variables that are not settings, but locate them.
FALLBACK_LISTEN = "ZIMBOX_FALLBACK_LISTEN"  # where to show that the settings cannot be used
NOT_SETTINGS = {"ZIMBOX_DATA", "ZIMBOX_CONFIG", FALLBACK_LISTEN}


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Load settings from an optional file and the environment. Raises ConfigError."""
    return _checked(_read(file) if file else {}, file, environment)


_LISTEN = re.compile(r"""^\s*listen\s*=\s*["']([^"'\n]+:\d+)["']""", re.MULTILINE)


def listen_address(file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return where to listen as far as unusable settings still show it, else the default."""
    if named := environment.get(f"{PREFIX}SERVER_LISTEN"):
        return named
    try:
        found = _LISTEN.search(file.read_bytes().decode("utf-8", "replace")) if file else None
    except OSError:
        found = None
    return found[1] if found else environment.get(FALLBACK_LISTEN) or Server().listen


def loads(text: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Load settings from a text. Raises ConfigError."""
    return _checked(_parsed(text, "settings"), None, environment)


def _checked(raw: dict[str, Any], file: Path | None, environment: Mapping[str, str]) -> Config:
    for name, text in environment.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            _overlay(raw, name, text)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error, raw, file)) from None
    _check_personality(config.simulator.personality)
    if config.language not in languages():
        raise ConfigError(
            f"language: {config.language!r} was read; allowed are {', '.join(languages())}"
        )
    for wanted in config.modem:
        if not network_port.is_valid(wanted.port):
            raise ConfigError(
                f"modem.port: {wanted.port!r} was read; allowed are sim, a device such as /dev/ttyAMA0, "
                f"{network_port.FORMS}"
            )
        if wanted.power.hat and wanted.power.hat.upper() not in WIRINGS:
            raise ConfigError(
                f"modem.power.hat: {wanted.power.hat!r} was read; allowed are {', '.join(WIRINGS)}"
            )
        try:
            re.compile(wanted.balance.pattern)
        except re.error as error:
            raise ConfigError(
                f"modem.balance.pattern: {wanted.balance.pattern!r} was read; "
                f"allowed is a regular expression ({error})"
            ) from None
    for limits in (config.limits, *(m.limits for m in config.modem)):
        for span in limits.quiet_hours:
            if not QUIET_SPAN.fullmatch(span):
                raise ConfigError(
                    f"limits.quiet_hours: {span!r} was read; allowed are spans such as '21:30-07:00'"
                )
    try:
        ZoneInfo(config.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"time_zone: {config.time_zone!r} is no time zone; allowed are names such as 'Europe/Paris'"
        ) from None
    if config.server.private_key and not config.server.certificate:
        raise ConfigError("server.private_key: a path was read; it goes with server.certificate")
    if config.server.public_url and not PUBLIC_URL.fullmatch(config.server.public_url):
        raise ConfigError(
            f"server.public_url: {config.server.public_url!r} was read; allowed is an address such as "
            "'https://home.example.com/sms'"
        )
    _check_authorities("webhook.ca_file", config.webhook.ca_file)
    _check_mqtt(config.mqtt)
    _check_alarms(config.alarms)
    return config


def _check_mqtt(mqtt: MqttSettings) -> None:
    """Raise ConfigError for settings that would leave the connection unverified, or send to nobody."""
    _check_authorities("mqtt.ca_file", mqtt.ca_file)
    for name in ("ca_file", "fingerprint"):
        if getattr(mqtt, name) and not mqtt.tls:
            raise ConfigError(f"mqtt.{name}: a value was read; it goes with mqtt.tls = true")
    if mqtt.password and mqtt.password_file:
        raise ConfigError("mqtt.password_file: a path was read; give it or mqtt.password, not both")
    _check_numbers("mqtt.notify_to", mqtt.notify_to)


def _check_alarms(alarms: AlarmSettings) -> None:
    """Raise ConfigError for alarms that could reach nobody."""
    _check_numbers("alarms.sms_to", alarms.sms_to)
    if alarms.mail_to and not (alarms.smtp_host and alarms.mail_from):
        raise ConfigError("alarms.mail_to: it goes with alarms.smtp_host and alarms.mail_from")
    for address in (*alarms.mail_to, *filter(None, [alarms.mail_from])):
        if not MAIL_ADDRESS.fullmatch(address):
            raise ConfigError(
                f"alarms: {address!r} was read; allowed are addresses such as 'me@example.com'"
            )


def _check_numbers(setting: str, numbers: tuple[str, ...]) -> None:
    for number in numbers:
        if not INTERNATIONAL_NUMBER.fullmatch(number):
            raise ConfigError(
                f"{setting}: {number!r} was read; allowed are numbers such as '+33612345678'"
            )


def _check_personality(name: str) -> None:
    if name == SimulatorSettings().personality:
        return
    from modem.simulator.personalities import (
        EVERY,
    )  # importing it takes half the time of this module

    if name not in EVERY:
        raise ConfigError(
            f"simulator.personality: {name!r} was read; allowed are {', '.join(EVERY)}"
        )


def _check_authorities(setting: str, file: str) -> None:
    """Raise ConfigError if the certificate authorities cannot be read."""
    if not file:
        return
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{setting}: {file!r} was read; allowed is a PEM of certificates: {error}"
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return _parsed(
            file.read_text("utf-8-sig"), str(file)
        )  # Windows editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from None


def _overlay(raw: dict[str, Any], variable: str, text: str) -> None:
    """Put the value of a variable in its place among the settings."""
    path = variable[len(PREFIX) :].lower()
    fields = get_type_hints(Config, include_extras=True)
    section: Any = raw
    kind: Any = fields.get(path)
    if kind is None:
        for name, candidate in fields.items():
            if path.startswith(name + "_") and _is_section(candidate):
                kind = get_type_hints(candidate, include_extras=True).get(path[len(name) + 1 :])
                if kind is not None:
                    section, path = raw.setdefault(name, {}), path[len(name) + 1 :]
                    break
    if not isinstance(section, dict):
        return  # the file has no section there, and is refused for that
    if kind is None or _is_section(kind) or path == "modem":
        raise ConfigError(f"{variable}: there is no such setting; `zimbox config show` lists them")
    try:
        section[path] = _value(text, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{variable}: {text!r} was read; {in_words(error)}") from None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _value(text: str, kind: Any) -> Any:
    """Convert the text of a variable to the type of its setting; lists are separated by commas."""
    if get_origin(kind) is tuple:
        items = [item.strip() for item in text.split(",") if item.strip()]
        return msgspec.convert(items, kind, strict=False)
    return msgspec.convert(text, kind, strict=False)


def _explain(error: msgspec.ValidationError, raw: dict[str, Any], file: Path | None) -> str:
    place = str(error).partition(" - at `$")[2]
    place = place.rstrip("`").lstrip(".")
    where = f"{file or 'environment'}: {place or 'top level'}"
    value: Any = raw
    kind: Any = Config
    for name, index in re.findall(r"([^.\[\]]+)|\[([0-9]+)\]", place):
        value = value[int(index)] if index else value[name]
        kind = get_args(kind)[0] if index else get_type_hints(kind).get(name)
    hidden = place.rpartition(".")[2] in SECRET
    shown = "" if isinstance(value, dict) or hidden else f" {value!r} was read;"
    allowed = f"; allowed are {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""
    return f"{where}:{shown} {in_words(error)}{allowed}"


# The types of a settings file as people call them.
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a section",
    "null": "nothing",
}


def in_words(error: msgspec.ValidationError) -> str:
    """Return what is wrong with a value without its place, and without the names of Python's types."""
    what = str(error).partition(" - at `$")[0]
    what = what.replace("Object contains unknown field", "there is no setting")
    what = what.replace("Object missing required field", "required is")
    what = re.sub(r"`([a-z |]+)`", lambda found: _named(found[1]), what)
    return what[0].lower() + what[1:]


def _named(types: str) -> str:
    return " or ".join(_TYPES.get(name, f"`{name}`") for name in types.split(" | "))


SECRET = {"pin", "metrics_token", "password_hash", "password"}
HIDDEN = "(set, not shown)"


def shown(config: Config) -> dict[str, Any]:
    """Return the settings in force as built-in types, with HIDDEN in place of PINs and tokens."""
    found: dict[str, Any] = _without_secrets(msgspec.to_builtins(config))
    return found


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN if name in SECRET and inner else _without_secrets(inner)
            for name, inner in value.items()
        }
    return (
        [_without_secrets(inner) for inner in value] if isinstance(value, list | tuple) else value
    )


def show(config: Config) -> str:
    """Return the settings in force as TOML, without PINs and tokens."""
    lines: list[str] = []
    _show_section(shown(config), "", lines)
    return "\n".join(lines) + "\n"


def _show_section(section: dict[str, Any], path: str, lines: list[str]) -> None:
    nested: list[tuple[str, dict[str, Any]]] = []
    for name, value in section.items():
        if isinstance(value, dict):
            nested.append((f"{path}{name}", value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            nested += [(f"[{path}{name}]", item) for item in value]
        elif value is None:
            lines.append(f"# {name} is not set")
        else:
            lines.append(f"{name} = {msgspec.json.encode(value).decode()}")
    for place, item in nested:
        lines.append(f"\n[{place}]")
        _show_section(item, f"{place.strip('[]')}.", lines)
