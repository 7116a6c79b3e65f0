"""An update from beginning to end, with a gateway of this process in place of systemd's unit."""

import sqlite3
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.maintenance.bundle import write_bundle
from appliance.maintenance.update import (
    Result,
    Shown,
    SlotState,
    fall_back,
    read_result,
    read_state,
)
from appliance.store.database import migrate
from image.target import fallback
from image.target.gateway import SystemdGateway, read_health
from image.target.prepare import choose_slot, remove_leftovers
from image.target.roots import Roots
from image.target.slots import ReleasePaths
from image.target.updating import Updater

pytestmark = pytest.mark.process

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@dataclass
class Box:
    """Runs whatever release /run/zimbox/app points at: its folder says how that behaves."""

    paths: ReleasePaths
    running: bool = True
    said: list[str] = field(default_factory=list)

    def stop(self) -> None:
        self.running = False

    def start(self) -> None:
        self.running = True
        release = self.paths.run / "app"
        if (release / "migrates").exists():
            self._sql("CREATE TABLE IF NOT EXISTS of_the_new_release (id INTEGER)")
        if (release / "takes").exists():
            self._sql(
                "INSERT INTO inbound (tenant, device, sender, body, folded, received_at) "
                "VALUES (2, 1, '+33', 'a', 'a', 1)"
            )

    def shown(self) -> Shown | None:
        release = self.paths.run / "app"
        if not self.running or (release / "broken").exists():
            return None
        return Shown((release / "version").read_text(), 0 if (release / "deaf").exists() else 1)

    def _sql(self, statement: str) -> None:
        with sqlite3.connect(self.paths.database) as connection:
            connection.execute(statement)
        connection.close()

    def tables(self) -> set[str]:
        connection = sqlite3.connect(self.paths.database)
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
        connection.close()
        return names


@pytest.fixture
def box(tmp_path: Path) -> Box:
    for name in ("data/zimbox/incoming", "data/app", "run", "built-in"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "built-in/version").write_text("1")
    paths = ReleasePaths(tmp_path / "data", tmp_path / "run", tmp_path / "built-in")
    connection = sqlite3.connect(paths.database)
    connection.create_function("fold", 1, str, deterministic=True)
    migrate(connection)
    connection.close()
    choose_slot(paths)
    return Box(paths)


def bundle(box: Box, version: str, *marks: str, key: Ed25519PrivateKey = KEY) -> Path:
    tree = box.paths.data.parent / f"tree-{version}"
    tree.mkdir()
    (tree / "version").write_text(version)
    for mark in marks:
        (tree / mark).touch()
    file = box.paths.data / f"zimbox/incoming/{version}.zimbox"
    write_bundle(tree, version, key, file, machine="here", python="3")
    return file


def updater(box: Box) -> Updater:
    key = box.paths.data.parent / "key.pem"
    key.write_bytes(
        KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    roots = Roots(box.paths, {"b": box.paths.data.parent / "root-b"}, "6.12")
    return Updater(box.paths, box, key, roots, probation_seconds=0.05, machine="here", python="3")


def running(box: Box) -> str:
    shown = box.shown()
    return shown.version if shown else ""


def test_an_update_that_works_is_confirmed_and_stays_over_a_restart(box: Box) -> None:
    steps: list[str] = []
    result = updater(box).update(bundle(box, "2", "migrates"), steps.append)
    assert result.ok
    assert steps == ["checking", "unpacking", "stopping", "starting", "watching", "confirmed"]
    assert running(box) == "2"
    assert choose_slot(box.paths) == SlotState(current="a")
    assert running(box) == "2"
    kept = msgspec.json.decode(box.paths.result.read_bytes(), type=Result)
    assert (kept.code, kept.version) == ("UPDATED", "2")


def test_a_broken_release_is_taken_back_and_its_migration_with_it(box: Box) -> None:
    result = updater(box).update(bundle(box, "2", "broken", "migrates"), box.said.append)
    assert (result.ok, result.code, result.data) == (False, "ROLLED_BACK", "restored")
    assert running(box) == "1"
    assert "of_the_new_release" not in box.tables()
    assert read_state(box.paths.state).trial is None


def test_a_release_that_does_not_find_the_modem_is_taken_back(box: Box) -> None:
    result = updater(box).update(bundle(box, "2", "deaf"), box.said.append)
    assert result.code == "ROLLED_BACK"
    assert "modems" in result.words
    assert running(box) == "1"


def test_what_a_broken_release_has_taken_is_not_lost(box: Box) -> None:
    result = updater(box).update(bundle(box, "2", "deaf", "migrates", "takes"), box.said.append)
    assert (result.code, result.data) == ("ROLLED_BACK", "kept")
    connection = sqlite3.connect(box.paths.database)
    assert connection.execute("SELECT count(*) FROM inbound").fetchone() == (1,)
    connection.close()
    assert running(box) == "1"


def test_a_release_that_was_taken_back_is_none_to_fall_back_to(box: Box) -> None:
    updater(box).update(bundle(box, "2"), box.said.append)
    updater(box).update(bundle(box, "3"), box.said.append)
    assert fall_back(read_state(box.paths.state)) == SlotState(current="a")
    assert updater(box).update(bundle(box, "4", "deaf"), box.said.append).code == "ROLLED_BACK"
    assert running(box) == "3"
    assert fall_back(read_state(box.paths.state)) == SlotState()


def test_where_the_data_cannot_go_back_the_release_before_runs_on_them_as_they_are(
    box: Box,
) -> None:
    in_the_way = box.paths.database.with_name("zimbox.db.back")
    in_the_way.mkdir()
    result = updater(box).update(bundle(box, "2", "broken", "migrates"), box.said.append)
    assert (result.code, result.data) == ("ROLLED_BACK", "kept")
    assert running(box) == "1"
    assert "of_the_new_release" in box.tables()


def test_a_gateway_that_is_slow_to_stop_is_not_left_stopped(box: Box) -> None:
    class Slow(Box):
        def stop(self) -> None:
            self.running = False
            raise subprocess.TimeoutExpired("systemctl stop", 300)

    slow = Slow(box.paths)
    result = updater(slow).update(bundle(slow, "2"), slow.said.append)
    assert (result.ok, result.code) == (False, "FAILED")
    assert running(slow) == "1"
    assert read_state(slow.paths.state).trial is None


def test_a_wrong_signature_never_stops_the_gateway(box: Box) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    result = updater(box).update(bundle(box, "2", key=other), box.said.append)
    assert result.code == "WRONG_SIGNATURE"
    assert "stopping" not in box.said
    assert running(box) == "1"
    assert not (box.paths.slots / "incoming.zimbox").exists()


def test_a_file_that_was_cut_off_is_refused(box: Box) -> None:
    file = bundle(box, "2")
    file.write_bytes(file.read_bytes()[:2100])
    result = updater(box).update(file, box.said.append)
    assert result.code in ("DAMAGED", "NOT_A_BUNDLE")
    assert running(box) == "1"


def test_a_link_to_what_only_root_may_read_is_not_followed(box: Box) -> None:
    link = box.paths.data / "zimbox/incoming/link.zimbox"
    link.symlink_to("/etc/shadow")
    assert updater(box).update(link, box.said.append).code == "NOT_A_BUNDLE"


class PowerOff(Exception):
    pass


@pytest.mark.parametrize(
    "step", ["checking", "unpacking", "stopping", "starting", "watching", "confirmed"]
)
def test_a_power_cut_at_any_step_leaves_one_whole_release(box: Box, step: str) -> None:
    def progress(said: str) -> None:
        if said == step:
            raise PowerOff

    with pytest.raises(PowerOff):
        updater(box).update(bundle(box, "2", "migrates"), progress)
    box.running = False
    choose_slot(box.paths)
    box.start()
    assert running(box) == ("2" if step == "confirmed" else "1")
    assert ("of_the_new_release" in box.tables()) == (step == "confirmed")
    if step in ("starting", "watching"):  # only then was there anything to undo
        kept = read_result(box.paths.result)
        assert kept is not None and (kept.code, kept.version) == ("CUT_OFF", "2")
    assert updater(box).update(bundle(box, "3"), box.said.append).ok
    assert running(box) == "3"


def test_what_a_cut_off_update_left_is_swept_up_and_the_releases_stay(box: Box) -> None:
    updater(box).update(bundle(box, "2"), box.said.append)
    (box.paths.slots / "b.partial/appliance").mkdir(parents=True)
    (box.paths.slots / "incoming.zimbox").write_bytes(b"half")
    remove_leftovers(box.paths)
    left = {file.name for file in box.paths.slots.iterdir()}
    assert left == {"a", "state.json", "last-update.json", "database-before"}
    assert list((box.paths.data / "zimbox/incoming").iterdir()) == []
    remove_leftovers(box.paths)  # nothing to do


# --- the whole root ----------------------------------------------------------------------------------


def root_bundle(box: Box, kernel: str) -> Path:
    (box.paths.run / "root-slot").write_text("a\n")
    (box.paths.data / "system").mkdir()
    (box.paths.data.parent / "root-b").write_bytes(b"\0" * 5000)
    tree = box.paths.data.parent / "root-tree"
    tree.mkdir()
    (tree / "root.squashfs").write_bytes(b"hsqs" * 1000)
    file = box.paths.data / "zimbox/incoming/root.zimbox"
    write_bundle(tree, "2", KEY, file, machine="here", python="3", kernel=kernel)
    return file


def test_a_new_root_goes_to_the_idle_partition_and_is_tried_once(box: Box) -> None:
    result = updater(box).update(root_bundle(box, "6.12"), box.said.append)
    assert result.code == "RESTARTING"
    assert (box.paths.data.parent / "root-b").read_bytes() == b"hsqs" * 1000 + b"\0" * 1000
    assert (box.paths.data / "system/root-slot").read_text() == "b try\n"
    assert box.running


def test_a_new_root_that_works_is_confirmed_with_the_release_it_came_with(box: Box) -> None:
    one = updater(box)
    one.update(root_bundle(box, "6.12"), box.said.append)
    (box.paths.built_in / "version").write_text("2")  # as the restart does
    assert one.roots.confirm(box.shown, 0.05).code == "UPDATED"
    assert (box.paths.data / "system/root-slot").read_text() == "b\n"
    assert read_state(box.paths.state) == SlotState()


def test_a_new_root_without_a_modem_is_never_confirmed(box: Box) -> None:
    one = updater(box)
    one.update(root_bundle(box, "6.12"), box.said.append)
    (box.paths.built_in / "version").write_text("2")
    (box.paths.built_in / "deaf").touch()
    assert one.roots.confirm(box.shown, 0.05).code == "ROLLED_BACK"
    assert (box.paths.data / "system/root-slot").read_text() == "b try\n"


def test_a_root_for_another_kernel_is_refused(box: Box) -> None:
    assert updater(box).update(root_bundle(box, "6.13"), box.said.append).code == "WRONG_KERNEL"
    assert not (box.paths.data / "system/root-slot").exists()


def test_a_root_that_does_not_fit_is_refused(box: Box) -> None:
    file = root_bundle(box, "6.12")
    (box.paths.data.parent / "root-b").write_bytes(b"\0" * 100)
    assert updater(box).update(file, box.said.append).code == "NO_SPACE"


def test_during_the_trial_of_a_root_its_own_release_runs_and_the_state_is_left(box: Box) -> None:
    updater(box).update(bundle(box, "2"), box.said.append)
    box.paths.root_trial.touch()
    choose_slot(box.paths)
    assert (box.paths.run / "app").resolve() == box.paths.built_in
    assert read_state(box.paths.state).current == "a"


def test_health_is_read_as_the_box_says_it() -> None:
    devices = [{"status": "online"}, {"status": "offline"}]
    assert read_health({"version": "1", "devices": devices}) == Shown("1", 1)
    assert read_health({"success": True, "data": {"version": "1", "devices": devices}}) == Shown(
        "1", 1
    )
    assert read_health(["?"]) is None


def test_a_gateway_that_is_not_there_shows_nothing() -> None:
    assert SystemdGateway("http://127.0.0.1:1/health").shown() is None


def test_a_release_that_came_up_and_was_killed_is_started_again_and_not_replaced(box: Box) -> None:
    state = SlotState(current="a", previous="b")
    (box.paths.run / "came-up").touch()
    assert fallback.fallback_state(box.paths, state) is None
    assert fallback.fallback_state(box.paths, state) == SlotState(current="b")
