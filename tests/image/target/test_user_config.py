import re
from pathlib import Path

import msgspec
import pytest

from appliance.core import config
from appliance.devices.manager import power_key
from image.target import user_config as w

FULL = """
hostname = "shop"
time_zone = "Africa/Abidjan"
language = "fr"
ssh_key = "ssh-ed25519 AAAAC3Nz owner@home"
password_hash = "$argon2id$v=19$m=65536,t=3,p=4$abc$def"
ntp = ["time.example.net"]
[cable]
address = "192.168.1.20/24"
gateway = "192.168.1.1"
dns = ["192.168.1.1"]
[wifi]
ssid = 'Chez "Léa"'
password = "brouette rouge"  # of the router
country = "CI"
[[modem]]
port = "/dev/modem"
pin = "1234"
hat = "sim868"
"""


def test_an_empty_file_is_a_box_on_dhcp_with_the_modem_on_the_header() -> None:
    settings = w.read("")
    assert w.cable_network(settings.cable) is None
    assert w.wpa_supplicant(settings.wifi) is None
    assert [modem.port for modem in settings.modem] == ["/dev/modem"]


def test_the_settings_for_the_gateway_are_what_its_own_settings_accept(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text(w.gateway_config(w.read(FULL)))
    loaded = config.load(file, {})
    assert loaded.time_zone == "Africa/Abidjan"
    assert loaded.server.listen == "0.0.0.0:80"
    assert [(m.port, m.pin, m.power.hat) for m in loaded.modem] == [
        ("/dev/modem", "1234", "SIM868")
    ]


@pytest.mark.parametrize("hat", w.HATS)
def test_every_hat_is_one_that_the_driver_knows_how_to_switch(hat: str) -> None:
    from modem.driver.gpio import WIRINGS

    loaded = w.gateway_config(w.UserConfig(modem=[w.ModemSection(hat=hat)]))
    named = [line.split('"')[1] for line in loaded.splitlines() if line.startswith("hat =")]
    assert len(named) == (1 if hat else 0)
    assert set(named) <= set(WIRINGS)


def test_the_pins_of_a_board_that_is_wired_otherwise_reach_the_driver(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    text = "[[modem]]\nhat = 'A7670'\npower_key = 4\nreset = 0\nactive_low = true\n"
    file.write_text(w.gateway_config(w.read(text)))
    (modem,) = config.load(file, {}).modem
    power = modem.power
    assert (power.power_key, power.reset, power.active_low) == (4, 0, True)
    assert power_key(power) is not None


@pytest.mark.parametrize("port", ["/dev/modem-usb", "/dev/serial/by-id/usb-Quectel-if02"])
def test_a_modem_on_usb_is_taken_off_it_and_put_back_by_the_steward(
    tmp_path: Path, port: str
) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text(
        w.gateway_config(w.UserConfig(modem=[w.ModemSection(port=port), w.ModemSection()]))
    )
    usb, header = config.load(file, {}).modem
    assert usb.power.supply_command[-3:] == (
        "appliance.maintenance.steward_client",
        "usb-reset",
        f"port={port}",
    )
    assert header.power.supply_command == ()


def test_a_fixed_address_becomes_a_network_of_systemds() -> None:
    text = w.cable_network(w.read(FULL).cable)
    assert text is not None
    assert {"Address=192.168.1.20/24", "Gateway=192.168.1.1", "DNS=192.168.1.1"} <= set(
        text.splitlines()
    )


def test_a_wifi_name_may_hold_any_letter() -> None:
    text = w.wpa_supplicant(w.read(FULL).wifi)
    assert text is not None
    assert 'Chez "Léa"'.encode().hex() in text
    assert 'psk="brouette rouge"' in text
    assert "country=CI" in text


def test_no_secret_goes_back_to_the_card_and_the_rest_stays() -> None:
    clean = w.without_secrets(FULL)
    for secret in ("brouette", "argon2id", "1234"):
        assert secret not in clean
    again = w.read(clean.replace("ssid = 'Chez \"Léa\"'", 'ssid = "x"'))
    assert again.hostname == "shop"
    assert again.cable.address == "192.168.1.20/24"
    assert again.modem[0].pin == ""


@pytest.mark.parametrize(
    "text",
    [
        "wifi.ssid = 'a'\nwifi.password = 'brouette'",
        "wifi = { ssid = 'a', password = 'brouette' }",
        "modem = [{ port = '/dev/modem', pin = '8765' }]",
        "[wifi]\nssid = 'a'\n\"password\" = 'brouette'",
        '[wifi]\nssid = \'a\'\npassword = """\nbrouette"""',
        '[wifi]\nssid = \'a\'\npassword = """\\\n  brouette""" # x',
    ],
)
def test_no_secret_goes_back_to_the_card_however_it_is_written(text: str) -> None:
    w.read(text)
    clean = w.without_secrets(text)
    assert "brouette" not in clean and "8765" not in clean
    w.read(clean)


def test_an_address_with_a_netmask_is_one_that_systemd_understands() -> None:
    text = w.cable_network(w.read("[cable]\naddress = '192.168.1.20/255.255.255.0'").cable)
    assert text is not None and "Address=192.168.1.20/24" in text.splitlines()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hostname = 'My Box'", "hostname"),
        ("hostname = ", "TOML"),
        ("[cable]\naddress = '192.168.1.20'", "prefix"),
        ("[cable]\naddress = '192.168.1.300/24'", "192.168.1.300"),
        ("[cable]\ngateway = '192.168.1.1'", "gateway"),
        ("[wifi]\nssid = 'a'\npassword = 'short'", "wifi.password"),
        ("[wifi]\npassword = 'long enough'", "ssid"),
        ("[wifi]\nssid = 'a'\nwpa3 = true", "wpa3"),
        (f"[wifi]\nssid = 'a'\npassword = '{'a' * 64}'\nwpa3 = true", "wpa3"),
        ("[wifi]\nssid = 'a'\npassword = '''1234567\n8'''", "control"),
        ("[[modem]]\npin = '12a4'", "pin"),
        ("[[modem]]\nhat = 'SIM9999'", "SIM9999"),
        ("[[modem]]\nport = '/etc/passwd; rm'", "modem.port"),
        ("[[modem]]\npower_key = 28", "power_key"),
        ("ssh_key = 'my key'", "ssh_key"),
        ("password_hash = 'secret'", "argon2id"),
        ("password_hash = '$argon2id$v=19$m=65536,t=3,p=4$abc'", "argon2id"),
        ('time_zone = "\\u007f"', "TOML"),
        ("ntp = ['a b']", "a b"),
        ("a = " + "[" * 5000, "TOML"),
        ("a = " + "9" * 5000, "TOML"),
        ("[cable]\ndns = ['192.168.1.1']", "dns"),
        ("time_zone = 'Europe/Pari'", "Europe/Pari"),
        ('language = "fr\\n"', "language"),
        ('hostname = "shop\\n"', "hostname"),
        ("[wifi]\nssid = 'a'\ncountry = \"FR\\n\"", "country"),
        ('[[modem]]\npin = "1234\\n"', "pin"),
        ("[cable]\naddress = '10.0.0.2/8'\ngateway = \"fe80::1%x\\nDNS=10.0.0.9\"", "cable"),
        (f"[wifi]\nssid = '{'é' * 17}'", "wifi.ssid"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(w.UserConfigError, match=named):
        w.read(text)


def test_the_example_on_the_card_is_right_once_its_signs_are_taken_away() -> None:
    from image.builder.build import HERE

    lines = (HERE / "boot/zimbox.toml.example").read_text().splitlines()[3:]
    text = "\n".join(line.removeprefix("# ") for line in lines)
    text = (
        text.replace("$argon2id$…", "$argon2id$v=19$m=65536,t=3,p=4$abc$def")
        .replace("AAAA…", "AAAA")
        .replace('"…"', '"abcdefgh"')
    )
    assert w.read(text).modem[0].hat == "SIM868"


def test_wifi_takes_a_raw_key_and_a_hidden_network() -> None:
    key = "0123456789abcdef" * 4
    text = w.wpa_supplicant(w.read(f'[wifi]\nssid = "x"\npassword = "{key}"\nhidden = true\n').wifi)
    assert text is not None
    assert f"\tpsk={key}\n" in text
    assert "\tscan_ssid=1\n" in text
    with pytest.raises(w.UserConfigError, match="64 hexadecimal"):
        w.read(f'[wifi]\nssid = "x"\npassword = "{key[:-1]}g"\n')


def test_wifi_takes_wpa3_alone_if_it_is_asked_to() -> None:
    text = w.wpa_supplicant(w.read('[wifi]\nssid = "x"\npassword = "12345678"\nwpa3 = true\n').wifi)
    assert text is not None
    assert '\tpsk="12345678"\n\tkey_mgmt=SAE\n\tieee80211w=2\n' in text
    assert "WPA-PSK" not in text


def test_wifi_offers_wpa_psk_alone() -> None:
    text = w.wpa_supplicant(w.WifiSection("x", "12345678"))
    assert text is not None
    assert "key_mgmt=WPA-PSK\n" in text and "SAE" not in text


def test_the_file_takes_the_settings_of_the_manual() -> None:
    text = """rate_limit = 7
[server]
https_listen = "0.0.0.0:443"
metrics_token = "geheim"
[queue]
[page]
claim_window_minutes = 5
"""
    settings = config.loads(w.gateway_config(w.read(text)), {})
    assert settings.rate_limit == 7
    assert settings.server.listen == "0.0.0.0:80"
    assert settings.server.https_listen == "0.0.0.0:443"
    assert settings.server.metrics_token == "geheim"
    assert settings.page.claim_window_minutes == 5
    assert "geheim" not in w.without_secrets(text)


def test_an_unknown_name_is_named_and_the_rest_is_taken() -> None:
    settings = w.read('hostname = "shop"\ncolour = "red"\n[fax]\nport = 1\n')
    assert settings.hostname == "shop"
    assert settings.unknown == ["colour", "fax"]


def test_an_unknown_name_in_a_section_is_named_and_the_rest_is_taken() -> None:
    settings = w.read(
        """[wifi]
ssid = "shop"
colour = "red"
[webhook]
retries = 9
timeout_seconds = 3
[[modem]]
pin = "1234"
fax = true
[modem.limits]
per_day = 9
per_year = 1
"""
    )
    assert settings.unknown == [
        "wifi.colour", "webhook.retries", "modem.fax", "modem.limits.per_year",
    ]  # fmt: skip
    taken = config.loads(w.gateway_config(settings), {})
    assert settings.wifi.ssid == "shop" and taken.webhook.timeout_seconds == 3
    assert taken.modem[0].pin == "1234" and taken.modem[0].limits.per_day == 9


def test_what_the_image_sets_itself_is_named_and_left_out() -> None:
    settings = w.read(
        """[steward]
socket = "/tmp/other"
[[modem]]
[modem.power]
hat = "sim868"
chip = "/dev/gpiochip9"
supply_command = ["/bin/sh"]
"""
    )
    assert settings.fixed == ["steward", "modem.power.chip", "modem.power.supply_command"]
    taken = config.loads(w.gateway_config(settings), {})
    assert taken.steward == config.Config().steward
    assert taken.modem[0].power.chip == "/dev/gpiochip-header"
    assert taken.modem[0].power.hat == "SIM868" and taken.modem[0].power.supply_command == ()


# Set by the image itself, so that no line of the card can take a box off its own parts.
NOT_ON_THE_CARD = {
    *("steward.socket", "steward.releases", "modem.power.chip", "modem.power.supply_command"),
    "page.password_hash",  # taken once and kept nowhere else: a test of its own
}


def every_setting() -> list[str]:
    """Each row of docs/settings.md, which a test there compares with the code."""
    text = (Path(__file__).parents[3] / "docs/settings.md").read_text("utf-8")
    return re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in every_setting() if name not in NOT_ON_THE_CARD])
def test_every_setting_of_the_manual_can_be_set_on_the_card(name: str) -> None:
    """Set to its default, or to a value of its type: the gateway gets it, and nothing is unknown."""
    *path, field = name.split(".")
    samples: dict[str, object] = {
        **{"modem.port": "/dev/ttyUSB2", "modem.power.hat": "SIM868", "modem.pin": "4321"},
        **{"modem.power.power_key": 4, "modem.power.reset": 5, "modem.power.active_low": True},
        **{f"modem.power.{n}": 2.5 for n in ("on_seconds", "off_seconds", "reset_seconds")},
        **{"log_level": "debug", "language": "en", "time_zone": "Europe/Brussels"},
    }
    default: object = config.Config(modem=(config.ModemSettings(),))
    for part in path:
        default = getattr(default, part)
        default = default[0] if isinstance(default, tuple) else default
    value = samples.get(name, getattr(default, field))
    line = f"{field} = {msgspec.json.encode(value).decode()}"
    places = {(): "", ("modem",): "[[modem]]\n"}
    head = places.get(tuple(path), f"[{'.'.join(path)}]\n")
    if len(path) == 2:
        head = f"[[modem]]\n{head}"
    settings = w.read(f"{head}{line}\n")
    assert settings.unknown == [] and settings.fixed == []
    found: object = config.loads(w.gateway_config(settings), {})
    for part in (*path, field):
        found = getattr(found, part)
        found = found[0] if part == "modem" and isinstance(found, tuple) else found
    assert msgspec.to_builtins(found) == msgspec.to_builtins(value)


def test_forgetting_the_owner_is_asked_for_once() -> None:
    text = 'forget_owner = true\nhostname = "shop"\n'
    assert w.read(text).forget_owner
    left = w.read(w.without_secrets(text))
    assert not left.forget_owner and left.hostname == "shop"


def test_a_mistake_in_a_setting_of_the_gateway_is_named() -> None:
    with pytest.raises(w.UserConfigError, match="rate_limit"):
        w.read('rate_limit = "many"')
