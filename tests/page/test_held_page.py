"""Messages that a restore holds are decided about page by page, and never at one tap for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.box.running import RunningBox
from tests.box.when import ahead
from tests.page.conftest import Open
from tests.page.owner import Visit

pytestmark = pytest.mark.seconds(15)

MESSAGES = 60  # a page has 50


def test_held_messages_are_decided_about_on_a_phone(
    new_box: Callable[..., RunningBox], log_in: Open, tmp_path: Path
) -> None:
    box = new_box()
    Visit(box.url).claim()
    client = box.client()
    tomorrow = ahead(hours=24)
    bodies = [
        {"to": "+33612345678", "message": f"held {n:02}", "scheduled_at": tomorrow}
        for n in range(MESSAGES)
    ]
    answers = [client.post("/sms/send", body) for body in bodies]
    assert [answer.status_code for answer in answers] == [202] * MESSAGES
    box.command("backup", str(tmp_path / "box.backup"))
    box.stop()
    box.command("restore", str(tmp_path / "box.backup"))
    box.start()
    client.url = box.url

    person = log_in(box.url, language="en", size="phone")
    person.go("/held")
    assert f"{MESSAGES} held messages" in person.text
    assert "held 49" in person.text and "held 50" not in person.text
    assert not person.wider_than_the_screen()
    person.press("Newer")
    person.wait_for("held 59")
    assert "held 49" not in person.text
    person.press("Older")
    person.wait_for("held 00")
    person.press("Do not send")  # the first row, the oldest
    person.wait_for(f"{MESSAGES - 1} held messages")
    assert "held 00" not in person.text and "held 50" in person.text
    client.until(answers[0].json()["message_id"], "failed")

    person.go("/held?page=99")
    assert "held 59" in person.text, "past the last page the last is shown"
    person.press("Send none")
    person.wait_for("A recipient who has not received it never does.")
    person.press("Drop all held messages")
    person.wait_for("No message waits for your decision.")
    for answer in answers:
        client.until(answer.json()["message_id"], "failed")
    assert box.received() == []
