"""Release slots, and what happens to the data in an update."""

import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from appliance.maintenance.update import (
    Shown,
    SlotState,
    confirm,
    fall_back,
    give_up,
    idle_slot,
    judge,
    may_roll_back,
    read_state,
    traces,
    try_slot,
    write_state,
)
from appliance.store.database import migrate


def test_two_updates_use_the_two_slots_in_turn() -> None:
    state = SlotState()
    seen = []
    for _ in range(3):
        slot = idle_slot(state)
        assert slot != state.current
        state = confirm(try_slot(state, slot))
        seen.append(state.current)
    assert seen == ["a", "b", "a"]
    assert state.previous == "b"


def test_an_abandoned_trial_leaves_no_trace() -> None:
    before = SlotState(current="a", previous="built-in")
    assert give_up(try_slot(before, "b")) == before


def test_confirming_without_a_trial_changes_nothing() -> None:
    assert confirm(SlotState(current="a")) == SlotState(current="a")


def test_falling_back_goes_to_the_release_before_then_to_the_cards_own_then_nowhere() -> None:
    state: SlotState | None = SlotState(current="b", previous="a")
    went = []
    while state is not None:
        went.append(state.current)
        state = fall_back(state)
    assert went == ["b", "a", "built-in"]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (Shown("2", 1), ""),
        (Shown("2", 2), ""),
        (Shown("2", 0), "1 modems were online"),
        (Shown("1", 1), "answers as 1"),
        (None, "does not answer"),
    ],
)
def test_the_new_release_is_judged_by_its_version_and_its_modems(
    shown: Shown | None, missing: str
) -> None:
    judged = judge(shown, "2", online_before=1)
    assert (judged == "") == (missing == "")
    assert missing in judged


def test_the_state_survives_a_torn_write(tmp_path: Path) -> None:
    write_state(tmp_path / "state.json", SlotState(current="a"))
    assert read_state(tmp_path / "state.json").current == "a"
    (tmp_path / "state.json").write_text('{"current": "q"}')
    assert read_state(tmp_path / "state.json") == SlotState()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "zimbox.db"
    connection = sqlite3.connect(file)
    connection.create_function("fold", 1, str, deterministic=True)
    migrate(connection)
    connection.close()
    return file


def test_the_queries_for_traces_match_the_schema(database: Path) -> None:
    """Every table and column that `traces` names exists in the store as it is."""
    assert any(resources.files("appliance.store").joinpath("migrations").iterdir())
    assert traces(database) is not None


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO inbound (tenant, device, sender, body, folded, received_at) VALUES (2, 1, '+33', 'a', 'a', 1)",
        "INSERT INTO api_key (client, test, hash, hint, name, permissions, created_at)"
        " VALUES (1, 0, x'00', 'a', 'b', '{}', 1)",
        "INSERT INTO part (message, number, state, test, bound_device, urgent, scheduled, rank, ready_at,"
        " ready, submitted_at)"
        " VALUES (1, 1, 'submitted', 0, 0, 0, 0, 0, 0, 1, 5)",
    ],
)
def test_accepted_and_sent_messages_leave_a_trace(database: Path, change: str) -> None:
    before = traces(database)
    with sqlite3.connect(database) as connection:
        connection.execute(change)
    connection.close()
    assert not may_roll_back(before, traces(database))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE api_key SET revoked_at = 7",
        "UPDATE api_key SET permissions = '{\"send\":false}'",
        "UPDATE client SET disabled_at = 7",
        "INSERT INTO blocked (tenant, number, reason, source, created_at) VALUES (0, '+33', '', 'page', 1)",
        "DELETE FROM blocked",
        "INSERT INTO opt_in (tenant, number, created_at) VALUES (2, '+32', 1)",
        "UPDATE webhook SET deleted_at = 7",
        "UPDATE admin_setting SET value = '\"another\"'",
        "INSERT INTO device_limits (device, limits) VALUES (1, '{}')",
        "UPDATE otp SET verified_at = 7",
    ],
)
def test_changes_made_during_a_trial_leave_a_trace(database: Path, change: str) -> None:
    """A key that was revoked, a number that was blocked: an update that is taken back undoes none of it."""
    with sqlite3.connect(database) as connection:
        connection.executescript(
            "INSERT INTO client (name, signing_secret, created_at) VALUES ('a', 's', 1);"
            "INSERT INTO api_key (client, test, hash, hint, name, permissions, created_at)"
            " VALUES (1, 0, x'00', 'a', 'b', '{}', 1);"
            "INSERT INTO blocked (tenant, number, reason, source, created_at) VALUES (0, '+32', '', 'stop', 1);"
            "INSERT INTO webhook (tenant, url, events, secret, created_at) VALUES (2, 'u', 'e', 's', 1);"
            "INSERT INTO admin_setting (name, value) VALUES ('password', '\"one\"');"
            "INSERT INTO otp (id, tenant, message, recipient, code_hash, attempts_left, expires_at, created_at,"
            " start_number)"
            " VALUES (1, 2, 1, '+33', x'00', 3, 9, 1, 1);"
        )
    before = traces(database)
    with sqlite3.connect(database) as connection:
        connection.execute(change)
    connection.close()
    assert not may_roll_back(before, traces(database))


def test_a_migration_alone_may_be_rolled_back(database: Path) -> None:
    before = traces(database)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE of_the_next_release (id INTEGER)")
    connection.close()
    assert may_roll_back(before, traces(database))


def test_an_unknown_schema_is_never_rolled_back(database: Path) -> None:
    before = traces(database)
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE inbound RENAME TO received")
    connection.close()
    assert traces(database) is None
    assert not may_roll_back(before, traces(database))
    assert not may_roll_back(None, None)
