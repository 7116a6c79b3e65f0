"""The cheap checks of the card, and what the units promise."""

import configparser
from pathlib import Path

import pytest

from appliance.core import clock
from image.builder import application_check, build, checks, debs, hardware_checks, initramfs
from image.builder.checking import ROOT, CheckFailed, Missing
from image.target import prepare, user_config
from modem import timeouts
from web import connections

pytestmark = pytest.mark.process


@pytest.mark.parametrize("name", checks.CHECKS)
def test_the_card_holds(name: str) -> None:
    try:
        summary = checks.CHECKS[name]()
    except Missing as lack:
        pytest.skip(f"NOT CHECKED: {lack}")
    assert summary, "what was looked at, in one line"


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (("appliance", "modem", "image/target"), "the gateway ended: .*web"),
        (("appliance", "modem", "web"), "image.target"),
    ],
)
def test_a_part_that_is_not_copied_to_the_card_is_named(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(build, "PACKAGES", packages)
    with pytest.raises(CheckFailed, match=said):
        application_check.application()


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(checks.UNITS / name)
    return parser


def test_a_stop_waits_longer_than_the_longest_send() -> None:
    stop = int(unit("zimbox.service")["Service"]["TimeoutStopSec"])
    assert stop > timeouts.Timing().network_seconds + 15  # and the rest of the stop


def test_the_gateway_is_not_root_and_has_no_way_to_become_it() -> None:
    service = unit("zimbox.service")["Service"]
    assert service["User"] == "zimbox"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert service["DevicePolicy"] == "closed"


def test_clients_leave_descriptors_for_the_store_the_modems_and_the_webhooks() -> None:
    service = unit("zimbox.service")["Service"]
    most = (
        connections.MOST_CONNECTIONS * 1.25
    )  # those that get the reason why they were refused as well
    assert most < int(service["LimitNOFILE"]) * connections.SHARE_OF_DESCRIPTORS


def test_what_the_clock_goes_by_can_be_seen_from_the_sandbox() -> None:
    service = unit("zimbox.service")["Service"]
    hidden = {"ProcSubset": "/proc/", "PrivateDevices": "/dev/"}
    for setting, folder in hidden.items():
        if service.get(setting, "no") not in ("no", "all"):
            for witness in (clock.BOARD, clock.RTC, clock.SYNCHRONISED):
                assert not str(witness).startswith(folder), (setting, witness)


def test_the_watchdog_is_asked_more_often_than_it_bites() -> None:
    service = unit("zimbox.service")["Service"]
    assert service["Type"] == "notify"
    assert 30 <= int(service["WatchdogSec"]) <= 120


def test_only_what_the_preset_names_starts_and_all_of_it_exists() -> None:
    preset = (ROOT / "etc/systemd/system-preset/00-zimbox.preset").read_text()
    ours = {line.split()[1] for line in preset.splitlines() if line.startswith("enable zimbox")}
    there = {file.name for file in checks.UNITS.iterdir()}
    assert ours <= there
    wanted = {
        name for name in there if name.startswith("zimbox") and unit(name).has_section("Install")
    }
    assert wanted == ours
    assert preset.splitlines()[-1] == "disable *"


def test_wpa_supplicant_reads_the_file_that_the_first_start_writes(tmp_path: Path) -> None:
    (tmp_path / "zimbox").mkdir()
    prepare.network(
        user_config.UserConfig(wifi=user_config.WifiSection("shop", "12345678")), tmp_path
    )
    (written,) = tmp_path.rglob("wpa_supplicant*.conf")
    service = unit("wpa_supplicant@.service.d/zimbox.conf")
    lines = (checks.UNITS / "wpa_supplicant@.service.d/zimbox.conf").read_text().splitlines()
    reset, command = (line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
    assert reset == ""  # without it systemd would see two commands, and refuse
    on_the_box = f"/run/{written.relative_to(tmp_path)}"
    assert f"-c{on_the_box}" in command.split()
    assert service["Unit"]["ConditionPathExists"] == on_the_box
    assert "zimbox-prepare.service" in service["Unit"]["After"].split()


def test_a_radio_that_appears_late_gets_its_wpa_supplicant_too() -> None:
    rules = (ROOT / "etc/udev/rules.d/90-zimbox-wifi.rules").read_text()
    (rule,) = (line for line in rules.splitlines() if line and not line.startswith("#"))
    assert 'ENV{DEVTYPE}=="wlan"' in rule
    assert 'ENV{SYSTEMD_WANTS}+="wpa_supplicant@$name.service"' in rule


# --- the initramfs -----------------------------------------------------------------------------------

DEP = """kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/jbd2/jbd2.ko.xz kernel/fs/mbcache.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/fs/mbcache.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/drivers/mmc/host/sdhci-iproc.ko.xz: kernel/drivers/mmc/host/sdhci-pltfm.ko.xz
kernel/drivers/mmc/host/sdhci-pltfm.ko.xz:
"""
SOFTDEP = "# comment\nsoftdep ext4 pre: crc32c_generic nowhere post: mbcache\n"


def names(*wanted: str) -> list[str]:
    return [
        file.rpartition("/")[2].partition(".")[0]
        for file in initramfs.load_order(wanted, DEP, SOFTDEP, "kernel/block/virtio_blk.ko\n")
    ]


def test_modules_are_loaded_after_what_they_need() -> None:
    assert names("ext4") == ["crc32c_generic", "mbcache", "jbd2", "crc16", "ext4"]


def test_a_module_is_loaded_once_and_dashes_are_underscores() -> None:
    assert names("sdhci_iproc", "sdhci-iproc") == ["sdhci-pltfm", "sdhci-iproc"]


def test_mdns_starts_again_after_a_start_that_was_too_slow() -> None:
    avahi = unit("avahi-daemon.service.d/zimbox.conf")
    assert avahi["Service"]["Restart"] == "on-failure"
    assert avahi["Unit"]["StartLimitIntervalSec"] == "0"


SECONDS = {"s": 1, "sec": 1, "min": 60}


def seconds(text: str) -> int:
    """Read a time span of one unit, as systemd.time(7) does."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(number) * SECONDS[text.removeprefix(number) or "s"]


def test_a_slow_card_has_time_to_start_its_services() -> None:
    manager = unit("../system.conf.d/zimbox.conf")["Manager"]
    assert seconds(manager["DefaultTimeoutStartSec"]) >= 300
    ended_for_good = {
        file.name: service["TimeoutStartSec"]
        for file in checks.UNITS.rglob("*")
        if file.is_file() and unit(str(file.relative_to(checks.UNITS))).has_section("Service")
        for service in [unit(str(file.relative_to(checks.UNITS)))["Service"]]
        if "TimeoutStartSec" in service and "Restart" not in service
    }
    assert {name: text for name, text in ended_for_good.items() if seconds(text) < 600} == {}


def test_what_is_built_into_the_kernel_needs_no_file() -> None:
    assert names("virtio_blk") == []


def test_a_module_the_kernel_does_not_have_is_an_error_of_the_build() -> None:
    with pytest.raises(KeyError):
        names("bcm2835_wdt")


def test_a_supply_that_the_initramfs_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [name for name in initramfs.MODULES if name not in ("fixed", "gpio-regulator")]
    monkeypatch.setattr(initramfs, "MODULES", lacking)
    try:
        hardware_checks.kernel_files()
    except Missing as lack:
        pytest.skip(f"NOT CHECKED: {lack}")
    with pytest.raises(CheckFailed) as wrong:
        hardware_checks.hardware()
    said = str(wrong.value).splitlines()
    assert len(said) == 4  # two supplies of the Pi 4 and of the Pi 400
    for supply in ("fixed not in the initramfs", "gpio_regulator not in the initramfs"):
        assert any("bcm2711-rpi-4-b: card reader" in line and supply in line for line in said)


def test_raspberry_pis_own_kernel_is_checked_once_it_is_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERNEL", "rpi")
    monkeypatch.setattr(debs, "HERE", tmp_path)
    for look in (hardware_checks.overlay, hardware_checks.hardware):
        with pytest.raises(Missing, match="KERNEL=rpi scripts/image lock"):
            look()
    assert "bcm2712-rpi-5-b" in hardware_checks.boards()


def test_the_supplies_of_a_pi_4s_card_reader_are_loaded_before_its_driver() -> None:
    order = initramfs.MODULES
    for supply in ("fixed", "gpio-regulator"):
        assert order.index(supply) < order.index("sdhci-iproc")


def test_the_archive_is_what_the_kernel_reads(tmp_path_factory: pytest.TempPathFactory) -> None:
    archive = initramfs.cpio([initramfs.directory("bin"), initramfs.program("bin/sh", b"#!x\n")])
    assert archive.startswith(b"070701")
    assert len(archive) % 4 == 0
    assert archive == initramfs.cpio(
        [initramfs.directory("bin"), initramfs.program("bin/sh", b"#!x\n")]
    )
    cpio = build.find_tool("cpio")
    if cpio is None:
        pytest.skip("NOT CHECKED: cpio (apt-get install cpio)")
    import subprocess

    folder = tmp_path_factory.mktemp("cpio")
    subprocess.run([cpio, "-i", "--quiet"], input=archive, cwd=folder, check=True)
    assert (folder / "bin/sh").read_bytes() == b"#!x\n"
    assert (folder / "bin/sh").stat().st_mode & 0o111


# --- the lock ------------------------------------------------------------------------------------------


def test_a_lock_is_read_as_it_was_written() -> None:
    made = [
        debs.Deb("install", "libc6", "2.41-12+deb13u5", "a" * 64),
        debs.Deb("unpack", "e2fsck-static", "1:1~2", "b" * 64),
    ]
    assert debs.read_lock(debs.write_lock(made)) == made


@pytest.mark.parametrize(
    "line", ["install libc6 2.41", "install libc6=2.41", "libc6=2.41 sha256:" + "a" * 64]
)
def test_a_line_that_pins_nothing_is_named(line: str) -> None:
    with pytest.raises(debs.LockError, match=r"packages\.lock:1"):
        debs.read_lock(line)


def test_a_package_that_was_added_and_not_locked_is_found() -> None:
    locked = [
        debs.Deb("install", "udev", "1", "a" * 64),
        debs.Deb("unpack", "linux-image-6.12-arm64", "1", "b" * 64),
    ]
    entries = debs.wanted("install udev\ninstall nano # to look\nunpack linux-image-arm64\n")
    assert debs.missing_from_lock(entries, locked) == ["nano"]


def test_a_package_from_another_suite_is_locked_by_its_name() -> None:
    entries = debs.wanted("unpack raspi-firmware/forky\n")
    assert entries == [("unpack", "raspi-firmware")]
    assert (
        debs.missing_from_lock(entries, [debs.Deb("unpack", "raspi-firmware", "2", "a" * 64)]) == []
    )


def test_the_firmware_is_newer_than_the_one_with_which_a_pi_4_of_revision_1_5_hangs() -> None:
    locked = debs.read_lock(debs.lock_file("debian").read_text())
    (firmware,) = (deb for deb in locked if deb.name == "raspi-firmware")
    assert firmware.version > "1.2025"  # 1.YYYYMMDD


def test_a_wrong_word_in_the_list_is_named() -> None:
    with pytest.raises(debs.LockError, match=":2"):
        debs.wanted("install udev\nremove nano\n")


def test_a_kernel_that_there_is_not_is_refused() -> None:
    with pytest.raises(debs.LockError, match="debian, rpi"):
        debs.lock_file("mine")
