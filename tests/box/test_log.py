"""The log of a running box: each event once, without empty fields, at the configured level."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from tests.box.running import REQUEST_SECONDS, RunningBox

STYLE = re.compile(r"/static/page\.css[^\"]*")


def log_of_a_visit(folder: Path, settings: dict[str, str]) -> list[str]:
    box = RunningBox(folder, settings).start()
    try:
        client = box.client()
        client.until(client.send("+33612345678", "Bonjour"), "delivered")
        page = requests.get(box.url, timeout=REQUEST_SECONDS)
        style = STYLE.search(page.text)
        assert style
        assert requests.get(box.url + style[0], timeout=REQUEST_SECONDS).status_code == 200
    finally:
        box.stop()
    return [line for line in box.log().splitlines() if line.startswith("timestamp=")]


def test_an_event_is_logged_once_and_without_empty_fields(tmp_path: Path) -> None:
    lines = log_of_a_visit(tmp_path, {})
    events = [line.partition(" ")[2] for line in lines]
    changes = [line for line in events if "event=modem_changed" in line]
    assert changes, lines
    assert len(changes) == len(set(changes)), "a change of the modem is logged once"
    assert not [line for line in events if "event=modem_state" in line]
    assert [line for line in events if "event=part_sent" in line]
    assert not re.search(r"=(None|\"\"|\[\])?( |$)", "\n".join(lines), re.MULTILINE), lines
    assert not [line for line in events if "/static/" in line]
    assert [line for line in events if "route=/ " in line]


@pytest.mark.parametrize(("level", "seen"), [("debug", True), ("warning", False)])
def test_the_log_level_is_a_setting(tmp_path: Path, level: str, seen: bool) -> None:
    lines = log_of_a_visit(tmp_path, {"ZIMBOX_LOG_LEVEL": level})
    assert any("route=/static/" in line for line in lines) is seen
    assert any("event=part_sent" in line for line in lines) is seen
