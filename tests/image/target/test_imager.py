"""Raspberry Pi Imager's files: what is taken from them, what is named, and that no secret stays."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from image.target import boot_files, imager
from image.target import user_config as w
from image.target.boot_files import FILE, IMPORTED, MISTAKE, DataPaths
from tests.image.target.test_prepare import PowerOff, power_off_after

CARDS = Path(__file__).parent / "imager"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDlea lea@maison"


@pytest.fixture
def data(tmp_path: Path) -> DataPaths:
    for name in ("system/ssh", "config", "app", "zimbox"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return DataPaths(tmp_path / "data")


@pytest.fixture(params=["1.8.5", "1.9.6", "2.0.11", "2.0.11-cloudinit", "firstrun"])
def boot(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    shutil.copytree(CARDS / request.param, tmp_path / "boot")
    return tmp_path / "boot"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    return tmp_path / "boot"


def left(boot: Path) -> str:
    return "".join(file.read_text() for file in boot.iterdir() if file.name != imager.COMMAND_LINE)


def test_every_version_of_imager_sets_name_wifi_time_zone_and_ssh(
    boot: Path, data: DataPaths
) -> None:
    assert boot_files.wants_writing(boot, data)
    settings = boot_files.import_settings(boot, data)
    assert settings.hostname == "shop"
    assert settings.time_zone == "Africa/Abidjan"
    assert (settings.wifi.ssid, settings.wifi.country) == ("Chez Léa", "CI")
    assert settings.wifi.hidden and len(settings.wifi.password) == 64
    assert settings.ssh_keys[0] == KEY
    assert data.ssh_key.read_text().splitlines() == settings.ssh_keys
    assert 'time_zone = "Africa/Abidjan"' in data.gateway.read_text()
    assert not (boot / MISTAKE).exists()


def test_every_secret_leaves_the_card_and_what_the_box_lacks_is_named(
    boot: Path, data: DataPaths
) -> None:
    settings = boot_files.import_settings(boot, data)
    assert imager.files(boot) == {}
    for secret in (settings.wifi.password, "$5$", "$y$", "brouette"):
        assert secret not in left(boot)
    said = (boot / IMPORTED).read_text()
    assert ("user account" in said and "keyboard" in said) or "runcmd" in said
    assert boot_files.import_settings(boot, data) == settings


def test_the_command_line_starts_the_gateway_again(tmp_path: Path, data: DataPaths) -> None:
    boot = tmp_path / "boot"
    shutil.copytree(CARDS / "firstrun", boot)
    boot_files.import_settings(boot, data)
    words = (boot / imager.COMMAND_LINE).read_text().split()
    assert [word for word in words if word.startswith("systemd.")] == []
    assert "zimbox.disk=5a494d42" in words


@pytest.mark.parametrize("syncs", range(14))
def test_a_power_cut_at_any_moment_imports_all_or_none(
    boot: Path, data: DataPaths, monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    (boot / FILE).write_text('[[modem]]\npin = "1234"\n')
    with monkeypatch.context() as cut, contextlib.suppress(PowerOff):
        cut.setattr(os, "fsync", power_off_after(syncs))
        boot_files.import_settings(boot, data)
    settings = boot_files.import_settings(boot, data)
    assert settings.hostname == "shop"
    assert settings.wifi.ssid == "Chez Léa"
    assert settings.modem[0].pin == "1234"
    assert imager.files(boot) == {}
    assert "1234" not in left(boot) and settings.wifi.password not in left(boot)


def test_zimbox_toml_goes_before_what_was_set_in_imager(boot: Path, data: DataPaths) -> None:
    (boot / FILE).write_text(
        'hostname = "depot"\n[wifi]\nssid = "Atelier"\npassword = "12345678"\n'
    )
    settings = boot_files.import_settings(boot, data)
    assert (settings.hostname, settings.wifi.ssid) == ("depot", "Atelier")
    assert settings.time_zone == "Africa/Abidjan"


def test_a_later_file_changes_what_it_names_and_nothing_else(empty: Path, data: DataPaths) -> None:
    hash_ = "$argon2id$v=19$m=65536,t=3,p=4$abc$def"
    (empty / FILE).write_text(f'password_hash = "{hash_}"\n[[modem]]\npin = "1234"\n')
    boot_files.import_settings(empty, data)
    (empty / "wpa_supplicant.conf").write_text(
        'country=FR\nnetwork={\n\tssid="x"  \n\tpsk="brouette rouge"\n}\n'
    )
    settings = boot_files.import_settings(empty, data)
    assert settings.wifi == w.WifiSection("x", "brouette rouge", "FR")
    assert settings.modem[0].pin == "1234"
    assert hash_ in data.gateway.read_text()
    assert "brouette" not in left(empty)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("ssh", "", "ssh needs a public key"),
        ("ssh.txt", "", "ssh needs a public key"),
        ("userconf.txt", "lea:$6$abc$def\n", "user account"),
        ("custom.toml", "[connect]\nenabled = true\n", "[connect]"),
        ("rpi-preseed.toml", '[wlan]\nssid_hex = "ff00"\n', "not UTF-8"),
        ("user-data", "runcmd:\n- reboot\n", "runcmd"),
        (
            "network-config",
            "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.2/8]\n",
            "the fixed address of eth0",
        ),
        (
            "wpa_supplicant.conf",
            'network={\nssid="a"\npsk="12345678"\n}\nnetwork={\nssid="b"\npsk="12345678"\n}\n',
            "second Wi-Fi network 'b'",
        ),
        (
            "wpa_supplicant.conf",
            'network={\nssid="a"\nkey_mgmt=WPA-EAP\nidentity="lea"\npassword="x"\n}\n',
            "asks for a user name",
        ),
    ],
)
def test_what_the_box_has_no_setting_for_is_named(
    empty: Path, data: DataPaths, name: str, content: str, named: str
) -> None:
    (empty / name).write_text(content)
    boot_files.import_settings(empty, data)
    assert named in (empty / IMPORTED).read_text()
    assert not (empty / name).exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rpi-preseed.toml", "[wlan"),
        ("rpi-preseed.toml", "wlan = 3"),
        ("custom.toml", "[system]\nhostname = 'My Box'"),
        ("user-data", "users: [\n"),
        ("user-data", "just words"),
        ("network-config", 'wifis:\n  wlan0:\n    access-points:\n      "a "b"":\n'),
        ("network-config", "wifis: 3"),
        ("firstrun.sh", "/usr/lib/raspberrypi-sys-mods/imager_custom set_wlan 'a"),
        ("firstrun.sh", "/usr/lib/raspberrypi-sys-mods/imager_custom set_wlan a"),
        ("wpa_supplicant.conf", "network={\nssid=zz\n}"),
        ("wpa_supplicant.conf", 'network={\nssid="a"\npsk="short"\n}'),
    ],
)
def test_a_file_with_an_error_changes_nothing_and_is_named(
    empty: Path, data: DataPaths, name: str, content: str
) -> None:
    (empty / FILE).write_text('hostname = "shop"\n')
    boot_files.import_settings(empty, data)
    (empty / name).write_text(content)
    assert boot_files.import_settings(empty, data).hostname == "shop"
    assert (empty / MISTAKE).read_text().startswith(f"{name}: ")
    assert (empty / name).read_text() == content
