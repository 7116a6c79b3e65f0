"""The password in the settings file, for a box prepared in advance or a forgotten password."""

import sqlite3
from collections.abc import Iterator

import pytest

from appliance.store import admin
from appliance.store.database import migrate


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function("fold", 1, str, deterministic=True)
    migrate(connection)
    yield connection
    connection.close()


def test_a_configured_password_is_used_once_and_a_later_change_stays(
    db: sqlite3.Connection,
) -> None:
    assert admin.given(db, "$argon2id$one")
    admin.keep(db, "password", "$argon2id$changed")
    assert not admin.given(db, "$argon2id$one")
    assert admin.setting(db, "password", str) == "$argon2id$changed"


def test_a_new_configured_password_replaces_the_old_one_and_ends_all_sessions(
    db: sqlite3.Connection,
) -> None:
    admin.claim(db, "$argon2id$forgotten")
    admin.open_session(db, "token", "phone", 1, 5)
    assert admin.given(db, "$argon2id$new")
    assert admin.setting(db, "password", str) == "$argon2id$new"
    assert admin.session_seen(db, "token") is None
