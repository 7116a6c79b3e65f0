"""The first start, and every one after it, on folders that stand for the card's partitions."""

import contextlib
import os
from pathlib import Path

import pytest

from appliance.maintenance.update import SlotState, read_state, try_slot, write_state
from image.target import prepare
from image.target.prepare import CODE, FILE, MISTAKE, Keep
from image.target.slots import Places, save_database
from tests.image.target.test_user_config import FULL


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    return tmp_path / "boot"


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    for name in ("system/ssh", "config", "app", "zimbox"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return Keep(tmp_path / "data")


def test_without_a_file_the_box_starts_with_the_modem_on_the_header_and_a_setup_code(
    boot: Path, keep: Keep
) -> None:
    assert prepare.wants_writing(boot, keep)
    wishes = prepare.take_over(boot, keep)
    code = prepare.setup_code(boot, keep)
    assert wishes.hostname == "zimbox"
    assert 'port = "/dev/modem"' in keep.gateway.read_text()
    assert code in (boot / CODE).read_text()
    assert keep.code.read_text().strip() == code
    assert not prepare.wants_writing(boot, keep)


def test_the_setup_code_stays_the_same_until_the_box_is_claimed_then_it_is_gone(
    boot: Path, keep: Keep
) -> None:
    code = prepare.setup_code(boot, keep)
    assert prepare.setup_code(boot, keep) == code
    keep.code.unlink()  # as the gateway does
    keep.database.touch()
    assert prepare.wants_writing(boot, keep)
    assert prepare.setup_code(boot, keep) == ""
    assert not (boot / CODE).exists()


def test_what_the_file_says_is_kept_and_its_secrets_leave_the_card(boot: Path, keep: Keep) -> None:
    (boot / FILE).write_text(FULL)
    wishes = prepare.take_over(boot, keep)
    assert wishes.hostname == "shop"
    assert 'pin = "1234"' in keep.gateway.read_text()
    assert 'password_hash = "$argon2id$' in keep.gateway.read_text()
    assert keep.ssh_key.read_text().startswith("ssh-ed25519")
    left = "".join(file.read_text() for file in boot.iterdir())
    assert not (boot / FILE).exists()
    for secret in ("brouette", "argon2id", "1234"):
        assert secret not in left
    assert "192.168.1.20/24" in left
    assert "argon2id" not in keep.wishes.read_text()
    assert oct(keep.wishes.stat().st_mode & 0o777) == "0o600"
    assert oct(keep.gateway.stat().st_mode & 0o777) == "0o640"


def test_later_starts_go_by_what_was_kept(boot: Path, keep: Keep) -> None:
    (boot / FILE).write_text(FULL)
    first = prepare.take_over(boot, keep)
    later = prepare.take_over(boot, keep)
    assert later.wifi == first.wifi
    assert later.cable == first.cable


def test_a_mistake_is_told_on_the_card_and_changes_nothing(boot: Path, keep: Keep) -> None:
    (boot / FILE).write_text(FULL)
    prepare.take_over(boot, keep)
    (boot / FILE).write_text("hostname = 'oops!'")
    assert prepare.take_over(boot, keep).hostname == "shop"
    assert "hostnam" in (boot / MISTAKE).read_text()
    (boot / FILE).write_text("hostname = 'mended'")
    assert prepare.take_over(boot, keep).hostname == "mended"
    assert not (boot / MISTAKE).exists()


def test_a_cut_between_keeping_and_cleaning_takes_the_same_once_more(
    boot: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    (boot / FILE).write_text(FULL)
    with monkeypatch.context() as cut:
        cut.setattr(os, "fsync", _power_off_after(4))
        with pytest.raises(PowerOff):
            prepare.take_over(boot, keep)
    assert prepare.take_over(boot, keep).hostname == "shop"
    assert not (boot / FILE).exists()


class PowerOff(Exception):
    pass


def _power_off_after(syncs: int):  # type: ignore[no-untyped-def]
    real, left = os.fsync, [syncs]

    def sync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerOff
        real(descriptor)

    return sync


@pytest.mark.parametrize("syncs", range(12))
def test_a_cut_at_any_moment_loses_no_wish_and_leaves_no_secret(
    boot: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    (boot / FILE).write_text(FULL)
    with monkeypatch.context() as cut, contextlib.suppress(PowerOff):
        cut.setattr(os, "fsync", _power_off_after(syncs))
        prepare.take_over(boot, keep)
    assert prepare.wants_writing(boot, keep)
    assert prepare.take_over(boot, keep).wifi.password == "brouette rouge"
    assert 'pin = "1234"' in keep.gateway.read_text()
    assert "brouette" not in "".join(file.read_text() for file in boot.iterdir())
    assert prepare.take_over(boot, keep).wifi.password == "brouette rouge"


def test_secrets_leave_a_card_that_has_no_room_for_the_copy(boot: Path, keep: Keep) -> None:
    (boot / FILE).write_text(FULL)
    (boot / f"{FILE}.taken-over").mkdir()  # stands for any error of the card
    assert prepare.take_over(boot, keep).hostname == "shop"
    assert not [file for file in boot.iterdir() if file.is_file()]


@pytest.mark.parametrize("there", [b"", b"\xff\xfe1\x002\x00", b"ZimBox: 0000-0000-0000\r\n"])
def test_a_wrong_or_damaged_code_on_the_card_is_written_anew(
    boot: Path, keep: Keep, there: bytes
) -> None:
    code = prepare.setup_code(boot, keep)
    (boot / CODE).write_bytes(there)
    assert prepare.wants_writing(boot, keep)
    assert prepare.setup_code(boot, keep) == code
    assert code in (boot / CODE).read_text()
    assert not prepare.wants_writing(boot, keep)


def test_a_code_that_a_power_cut_left_empty_is_made_anew(boot: Path, keep: Keep) -> None:
    prepare.setup_code(boot, keep)
    keep.database.touch()
    keep.code.write_bytes(b"\0" * 15)
    code = prepare.setup_code(boot, keep)
    assert len(code) == 14 and code in (boot / CODE).read_text()


def test_a_cut_leaves_no_file_that_the_gateway_may_not_read(
    boot: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.geteuid() == 0
    if root:
        os.chown(keep.code.parent, 4242, 4242)
    for write in (
        lambda: prepare.setup_code(boot, keep),
        lambda: prepare.take_over(boot, keep, 4242 if root else None),
    ):
        with monkeypatch.context() as cut:
            cut.setattr(os, "fsync", _power_off_after(1))
            with pytest.raises(PowerOff):
                write()
    folder = keep.code.parent.stat()
    assert (keep.code.stat().st_uid, keep.code.stat().st_gid) == (folder.st_uid, folder.st_gid)
    assert keep.gateway.stat().st_gid == (4242 if root else os.getegid())


def test_wishes_that_cannot_be_read_any_more_are_the_defaults(boot: Path, keep: Keep) -> None:
    keep.wishes.write_text("{half")
    assert prepare.take_over(boot, keep).hostname == "zimbox"


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
def places(tmp_path: Path, keep: Keep) -> Places:
    (tmp_path / "run").mkdir()
    (tmp_path / "built-in").mkdir()
    return Places(keep.data, tmp_path / "run", tmp_path / "built-in")


def test_a_new_card_runs_what_it_came_with(places: Places) -> None:
    prepare.choose_slot(places)
    assert (places.run / "app").resolve() == places.built_in


def test_an_update_that_was_cut_off_by_a_power_cut_is_undone_with_its_data(places: Places) -> None:
    places.app("a").mkdir()
    save_database(places)
    write_state(places.state, try_slot(SlotState(), "a"))
    assert prepare.choose_slot(places) == SlotState()
    assert (places.run / "app").resolve() == places.built_in
    assert read_state(places.state).trial is None


def test_a_slot_that_is_gone_leaves_what_the_card_came_with(places: Places) -> None:
    write_state(places.state, SlotState(current="b"))
    prepare.choose_slot(places)
    assert (places.run / "app").resolve() == places.built_in


def test_what_cannot_be_tidied_up_does_not_keep_the_box_from_starting(
    places: Places, tmp_path: Path
) -> None:
    (places.database.parent / "incoming" / "a folder").mkdir(parents=True)
    (places.slots / "b.partial").write_text("no folder")
    prepare.sweep(places)
    assert list((places.database.parent / "incoming").iterdir()) == []
    assert list(places.slots.glob("*.partial")) == []
    read_only = tmp_path / "read-only"  # stands for a data partition that takes nothing any more
    read_only.touch()
    prepare.ballast(read_only / "ballast", size=4096, room=64 << 20)
    assert read_only.read_bytes() == b""


def test_a_full_card_throws_its_ballast_off_and_takes_it_aboard_again(tmp_path: Path) -> None:
    file = tmp_path / "ballast"
    prepare.ballast(file, size=4096, room=64 << 20)
    assert file.stat().st_blocks * 512 >= 4096
    prepare.ballast(file, size=4096, room=1 << 20)
    assert not file.exists()
    prepare.ballast(file, size=16 << 20, room=20 << 20)
    assert not file.exists()


def test_an_unknown_name_is_told_on_the_card_and_the_rest_is_kept(boot: Path, keep: Keep) -> None:
    (boot / FILE).write_text('hostname = "shop"\ncolour = "red"\nrate_limit = 7\n')
    assert prepare.take_over(boot, keep).hostname == "shop"
    assert "colour" in (boot / MISTAKE).read_text()
    assert "rate_limit = 7" in keep.gateway.read_text()
