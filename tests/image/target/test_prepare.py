"""The first start, and every one after it, on folders that stand for the card's partitions."""

import contextlib
import os
from pathlib import Path

import pytest

from appliance.admin.auth import FORGET_OWNER_FILE
from appliance.maintenance.update import SlotState, read_state, try_slot, write_state
from image.target import boot_files, prepare
from image.target.boot_files import CODE, FILE, MISTAKE, DataPaths, import_settings, setup_code
from image.target.slots import ReleasePaths, save_database
from tests.image.target.test_user_config import FULL


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    return tmp_path / "boot"


@pytest.fixture
def data(tmp_path: Path) -> DataPaths:
    for name in ("system/ssh", "config", "app", "zimbox"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return DataPaths(tmp_path / "data")


def test_without_a_file_the_box_starts_with_the_modem_on_the_header_and_a_setup_code(
    boot: Path, data: DataPaths
) -> None:
    assert boot_files.wants_writing(boot, data)
    settings = boot_files.import_settings(boot, data)
    code = boot_files.setup_code(boot, data)
    assert settings.hostname == "zimbox"
    assert 'port = "/dev/modem"' in data.gateway.read_text()
    assert code in (boot / CODE).read_text()
    assert data.code.read_text().strip() == code
    assert not boot_files.wants_writing(boot, data)


def test_the_setup_code_stays_the_same_until_the_box_is_claimed_then_it_is_gone(
    boot: Path, data: DataPaths
) -> None:
    code = boot_files.setup_code(boot, data)
    assert boot_files.setup_code(boot, data) == code
    data.code.unlink()  # as the gateway does
    data.database.touch()
    assert boot_files.wants_writing(boot, data)
    assert boot_files.setup_code(boot, data) == ""
    assert not (boot / CODE).exists()


def test_what_the_file_says_is_kept_and_its_secrets_leave_the_card(
    boot: Path, data: DataPaths
) -> None:
    (boot / FILE).write_text(FULL)
    settings = boot_files.import_settings(boot, data)
    assert settings.hostname == "shop"
    assert 'pin = "1234"' in data.gateway.read_text()
    assert 'password_hash = "$argon2id$' in data.gateway.read_text()
    assert data.ssh_key.read_text().startswith("ssh-ed25519")
    left = "".join(file.read_text() for file in boot.iterdir())
    assert not (boot / FILE).exists()
    for secret in ("brouette", "argon2id", "1234"):
        assert secret not in left
    assert "192.168.1.20/24" in left
    assert "argon2id" not in data.user_config.read_text()
    assert oct(data.user_config.stat().st_mode & 0o777) == "0o600"
    assert oct(data.gateway.stat().st_mode & 0o777) == "0o640"


def test_later_starts_go_by_what_was_kept(boot: Path, data: DataPaths) -> None:
    (boot / FILE).write_text(FULL)
    first = boot_files.import_settings(boot, data)
    later = boot_files.import_settings(boot, data)
    assert later.wifi == first.wifi
    assert later.cable == first.cable


def test_a_mistake_is_written_on_the_card_and_changes_nothing(boot: Path, data: DataPaths) -> None:
    (boot / FILE).write_text(FULL)
    boot_files.import_settings(boot, data)
    (boot / FILE).write_text("hostname = 'oops!'")
    assert boot_files.import_settings(boot, data).hostname == "shop"
    assert "hostnam" in (boot / MISTAKE).read_text()
    (boot / FILE).write_text("hostname = 'mended'")
    assert boot_files.import_settings(boot, data).hostname == "mended"
    assert not (boot / MISTAKE).exists()


def test_a_cut_between_keeping_and_cleaning_takes_the_same_once_more(
    boot: Path, data: DataPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (boot / FILE).write_text(FULL)
    with monkeypatch.context() as cut:
        cut.setattr(os, "fsync", power_off_after(4))
        with pytest.raises(PowerOff):
            boot_files.import_settings(boot, data)
    assert boot_files.import_settings(boot, data).hostname == "shop"
    assert not (boot / FILE).exists()


class PowerOff(Exception):
    pass


def power_off_after(syncs: int):  # type: ignore[no-untyped-def]
    real, left = os.fsync, [syncs]

    def sync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerOff
        real(descriptor)

    return sync


@pytest.mark.parametrize("syncs", range(12))
def test_a_cut_at_any_moment_loses_no_setting_and_leaves_no_secret(
    boot: Path, data: DataPaths, monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    (boot / FILE).write_text(FULL)
    with monkeypatch.context() as cut, contextlib.suppress(PowerOff):
        cut.setattr(os, "fsync", power_off_after(syncs))
        boot_files.import_settings(boot, data)
    assert boot_files.wants_writing(boot, data)
    assert boot_files.import_settings(boot, data).wifi.password == "brouette rouge"
    assert 'pin = "1234"' in data.gateway.read_text()
    assert "brouette" not in "".join(file.read_text() for file in boot.iterdir())
    assert boot_files.import_settings(boot, data).wifi.password == "brouette rouge"


def test_secrets_leave_a_card_that_has_no_room_for_the_copy(boot: Path, data: DataPaths) -> None:
    (boot / FILE).write_text(FULL)
    (boot / f"{FILE}.taken-over").mkdir()  # stands for any error of the card
    assert boot_files.import_settings(boot, data).hostname == "shop"
    assert not [file for file in boot.iterdir() if file.is_file()]


@pytest.mark.parametrize("there", [b"", b"\xff\xfe1\x002\x00", b"ZimBox: 0000-0000-0000\r\n"])
def test_a_wrong_or_damaged_code_on_the_card_is_written_anew(
    boot: Path, data: DataPaths, there: bytes
) -> None:
    code = boot_files.setup_code(boot, data)
    (boot / CODE).write_bytes(there)
    assert boot_files.wants_writing(boot, data)
    assert boot_files.setup_code(boot, data) == code
    assert code in (boot / CODE).read_text()
    assert not boot_files.wants_writing(boot, data)


def test_a_code_that_a_power_cut_left_empty_is_made_anew(boot: Path, data: DataPaths) -> None:
    boot_files.setup_code(boot, data)
    data.database.touch()
    data.code.write_bytes(b"\0" * 15)
    code = boot_files.setup_code(boot, data)
    assert len(code) == 14 and code in (boot / CODE).read_text()


def test_a_cut_leaves_no_file_that_the_gateway_may_not_read(
    boot: Path, data: DataPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.geteuid() == 0
    if root:
        os.chown(data.code.parent, 4242, 4242)
    for write in (
        lambda: boot_files.setup_code(boot, data),
        lambda: boot_files.import_settings(boot, data, 4242 if root else None),
    ):
        with monkeypatch.context() as cut:
            cut.setattr(os, "fsync", power_off_after(1))
            with pytest.raises(PowerOff):
                write()
    folder = data.code.parent.stat()
    assert (data.code.stat().st_uid, data.code.stat().st_gid) == (folder.st_uid, folder.st_gid)
    assert data.gateway.stat().st_gid == (4242 if root else os.getegid())


def test_a_stored_configuration_that_cannot_be_read_is_the_defaults(
    boot: Path, data: DataPaths
) -> None:
    data.user_config.write_text("{half")
    assert boot_files.import_settings(boot, data).hostname == "zimbox"


def test_the_network_lies_in_memory_and_the_wifi_password_is_for_root_alone(tmp_path: Path) -> None:
    from image.target.user_config import read

    (tmp_path / "zimbox").mkdir()
    prepare.network(read(FULL), tmp_path)
    assert (
        "Address=192.168.1.20/24"
        in (tmp_path / "systemd/network/10-zimbox-cable.network").read_text()
    )
    assert oct((tmp_path / "zimbox/wpa_supplicant.conf").stat().st_mode & 0o777) == "0o600"
    assert "NTP=time.example.net" in (tmp_path / "systemd/timesyncd.conf.d/zimbox.conf").read_text()


@pytest.fixture
def paths(tmp_path: Path, data: DataPaths) -> ReleasePaths:
    (tmp_path / "run").mkdir()
    (tmp_path / "built-in").mkdir()
    return ReleasePaths(data.root, tmp_path / "run", tmp_path / "built-in")


def test_a_new_card_runs_what_it_came_with(paths: ReleasePaths) -> None:
    prepare.choose_slot(paths)
    assert (paths.run / "app").resolve() == paths.built_in


def test_an_update_that_was_cut_off_by_a_power_cut_is_undone_with_its_data(
    paths: ReleasePaths,
) -> None:
    paths.app("a").mkdir()
    save_database(paths)
    write_state(paths.state, try_slot(SlotState(), "a"))
    assert prepare.choose_slot(paths) == SlotState()
    assert (paths.run / "app").resolve() == paths.built_in
    assert read_state(paths.state).trial is None


def test_a_slot_that_is_gone_leaves_what_the_card_came_with(paths: ReleasePaths) -> None:
    write_state(paths.state, SlotState(current="b"))
    prepare.choose_slot(paths)
    assert (paths.run / "app").resolve() == paths.built_in


def test_what_cannot_be_tidied_up_does_not_keep_the_box_from_starting(
    paths: ReleasePaths, tmp_path: Path
) -> None:
    (paths.database.parent / "incoming" / "a folder").mkdir(parents=True)
    (paths.slots / "b.partial").write_text("no folder")
    prepare.remove_leftovers(paths)
    assert list((paths.database.parent / "incoming").iterdir()) == []
    assert list(paths.slots.glob("*.partial")) == []
    read_only = tmp_path / "read-only"  # stands for a data partition that takes nothing any more
    read_only.touch()
    prepare.reserve(read_only / "reserve", size=4096, room=64 << 20)
    assert read_only.read_bytes() == b""


def test_a_full_card_gives_its_reserve_up_and_takes_it_again(tmp_path: Path) -> None:
    file = tmp_path / "reserve"
    prepare.reserve(file, size=4096, room=64 << 20)
    assert file.stat().st_blocks * 512 >= 4096
    prepare.reserve(file, size=4096, room=1 << 20)
    assert not file.exists()
    prepare.reserve(file, size=16 << 20, room=20 << 20)
    assert not file.exists()


def test_an_unknown_name_is_written_on_the_card_and_the_rest_is_kept(
    boot: Path, data: DataPaths
) -> None:
    (boot / FILE).write_text('hostname = "shop"\ncolour = "red"\nrate_limit = 7\n')
    assert boot_files.import_settings(boot, data).hostname == "shop"
    assert "colour" in (boot / MISTAKE).read_text()
    assert "rate_limit = 7" in data.gateway.read_text()


def test_what_is_left_out_of_the_file_is_named_on_the_card(boot: Path, data: DataPaths) -> None:
    (boot / FILE).write_text('[wifi]\nssid = "shop"\ncolour = 1\n[steward]\nsocket = "/tmp/x"\n')
    assert import_settings(boot, data).wifi.ssid == "shop"
    written = (boot / MISTAKE).read_text()
    assert "unknown, left out: wifi.colour" in written
    assert "cannot be set on this image, left out: steward" in written


def test_a_lost_password_is_forgotten_once_and_the_setup_code_is_on_the_card(
    boot: Path, data: DataPaths
) -> None:
    data.database.touch()  # a claimed box: no code anywhere
    assert setup_code(boot, data) == ""
    (boot / FILE).write_text('hostname = "shop"\n')
    import_settings(boot, data)
    (boot / FILE).write_text("forget_owner = true\n")
    assert import_settings(boot, data).hostname == "shop", "the other settings stay"
    assert (
        data.forget_owner == data.root / "zimbox" / FORGET_OWNER_FILE and data.forget_owner.exists()
    )
    code = setup_code(boot, data)
    assert code and code in (boot / CODE).read_text()
    data.forget_owner.unlink()  # the gateway obeyed
    (boot / f"{FILE}.taken-over").rename(boot / FILE)  # the owner puts the copy back
    import_settings(boot, data)
    assert not data.forget_owner.exists()
