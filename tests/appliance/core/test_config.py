"""An invalid setting is reported with its place, its value and the allowed values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.core import config
from appliance.core.config import ConfigError


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text(
        'rate_limit = 7\n[webhook]\nretry_seconds = [1, 2]\n[[modem]]\nport = "/dev/x"\n'
    )
    found = config.load(file, {"ZIMBOX_RATE_LIMIT": "0", "ZIMBOX_WEBHOOK_ALLOW_LOOPBACK": "1"})
    assert found.rate_limit == 0
    assert found.webhook.allow_loopback is True
    assert found.webhook.retry_seconds == (1.0, 2.0)
    assert found.modem[0].port == "/dev/x"


def test_a_list_in_a_variable_is_separated_by_commas() -> None:
    found = config.load(None, {"ZIMBOX_LIMITS_QUIET_HOURS": "21:30-07:00, 12:00-14:00"})
    assert found.limits.quiet_hours == ("21:30-07:00", "12:00-14:00")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('rate_limit = "many"', ["rate_limit", "'many'", "expected a whole number, got text"]),
        ("[queue]\nmax_waiting = -3", ["queue.max_waiting", "-3", ">= 0"]),
        ("[queue]\nlifetme = 3", ["queue", "there is no setting `lifetme`"]),
        ("[sending]\non_uncertain = 'maybe'", ["sending.on_uncertain", "maybe"]),
        ("rate_limit = ", ["not valid TOML"]),
        ("time_zone = 'Mars/Phobos'", ["time_zone", "Mars/Phobos", "Europe/Paris"]),
        ("[[modem]]\nclients = ['shop']", ["clients", "client_"]),
        ("[limits]\nquiet_hours = ['late']", ["limits.quiet_hours", "late", "21:30-07:00"]),
        ("[[modem]]\nclients = ['shop']", ["modem[0].clients[0]", "'shop' was read"]),
        ("[[modem]]\nbaud = 'fast'", ["modem[0].baud", "'fast' was read"]),
        ("[webhook]\nretry_seconds = ['soon']", ["webhook.retry_seconds[0]", "'soon' was read"]),
        ("language = 'de'", ["language", "'de' was read", "fr, en"]),
        ("[queue]\nlifetime_hours = inf", ["queue.lifetime_hours", "inf was read"]),
        ("[inbox]\nreply_days = 1e300", ["inbox.reply_days", "1e+300 was read"]),
        ("[retention]\ndays = 99999999999", ["retention.days", "99999999999 was read"]),
        ("[clock]\nlate_grace_minutes = inf", ["clock.late_grace_minutes"]),
        ("[simulator]\npersonality = 'n95'", ["simulator.personality", "n95", "sim7600"]),
        ("[server]\nprivate_key = '/key.pem'", ["server.private_key", "server.certificate"]),
        (
            "[[modem]]\nport = 'socket://pi'",
            ["modem.port", "'socket://pi' was read", "rfc2217://HOST:PORT"],
        ),
        ("[[modem]]\nport = 'socket://pi:1?logging=debug'", ["modem.port", "socket://HOST:PORT"]),
        ("[[modem]]\npower = {hat = 'SIM7600X'}", ["modem.power.hat", "SIM7600X", "EC25"]),
    ],
)
def test_a_wrong_setting_in_the_file_is_explained(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(file, {})
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not re.search(r"`(int|str|float|bool|array|object|null)\b", str(error.value))


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("ZIMBOX_RATE_LIMIT", "many", ["ZIMBOX_RATE_LIMIT", "'many'", "a whole number"]),
        ("ZIMBOX_NO_SUCH", "1", ["ZIMBOX_NO_SUCH", "no such setting"]),
        ("ZIMBOX_QUEUE", "1", ["ZIMBOX_QUEUE", "no such setting"]),
    ],
)
def test_a_wrong_variable_is_explained(variable: str, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        config.load(None, {variable: text})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_shown_settings_can_be_loaded_again_and_hide_secrets(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text('[server]\nmetrics_token = "geheim"\n[[modem]]\nport = "sim"\npin = "1234"\n')
    shown = config.show(config.load(file, {}))
    assert "geheim" not in shown
    assert "1234" not in shown
    file.write_text(shown.replace('"(set, not shown)"', '""'))
    assert config.load(file, {}).modem[0].port == "sim"


def test_a_value_in_place_of_a_section_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text("webhook = 5")
    with pytest.raises(ConfigError, match=r"webhook: 5 was read"):
        config.load(file, {"ZIMBOX_WEBHOOK_ALLOW_LOOPBACK": "1"})


def test_an_invalid_pin_is_not_shown_in_the_error(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text("[[modem]]\npin = 4711")
    with pytest.raises(ConfigError) as error:
        config.load(file, {})
    assert "modem[0].pin" in str(error.value) and "4711" not in str(error.value)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text("rate_limit = 5", "utf-8-sig")
    assert config.load(file, {}).rate_limit == 5
