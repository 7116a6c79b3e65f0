"""After a restore nothing is sent again without the admin's decision, as the network's journal shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox, eventually
from tests.page.owner import Visit

pytestmark = pytest.mark.seconds(15)

MESSAGES = 12
# Longer than a backup takes: it has one message in flight, and the others waiting.
LATENCY_SECONDS = 20


def sent(box: RunningBox) -> Counter[str]:
    """How often the network took each text."""
    return Counter(line["text"] for line in box.received())


def backed_up(box: RunningBox, client: Client, texts: Sequence[str], file: Path) -> dict[str, str]:
    """Send these texts, and make a backup while they wait. Return their ids."""
    box.simulate(do="network", latency=LATENCY_SECONDS)
    messages = {text: client.send("+33612345678", text) for text in texts}
    box.command("backup", str(file))
    box.simulate(do="network", latency=0.005)
    return messages


def uncertain(client: Client, messages: dict[str, str]) -> list[str]:
    """The texts of messages that wait for the owner."""
    return [text for text, message in messages.items() if client.status(message)["uncertain"]]


def test_what_was_queued_in_a_backup_is_held_until_the_owner_decides(tmp_path: Path) -> None:
    box = RunningBox(tmp_path).start()
    try:
        client = box.client()
        texts = [f"message {n}" for n in range(MESSAGES)]
        messages = backed_up(box, client, texts, tmp_path / "box.backup")
        for message in messages.values():
            client.until(message, "delivered")
        box.stop()
        assert sent(box) == Counter(texts)

        box.command("restore", str(tmp_path / "box.backup"))
        box.start()
        client.url = box.url
        held = uncertain(client, messages)
        assert len(held) >= MESSAGES - 1, "the backup was made while messages waited"
        for text in held:
            result = client.status(messages[text])
            assert (result["status"], result["cancellable"]) == ("queued", False)
        # A new message goes through the same modem, past all that is held.
        client.until(client.send("+33612000000", "after the restore"), "delivered")
        assert sent(box) == Counter([*texts, "after the restore"])

        owner = Visit(box.url)
        owner.claim()
        assert (
            f"{len(held)} messages wait for your decision since the restore" in owner.get("/").text
        )
        *others, again = held  # the first may have been in flight: a report may still settle it
        owner.post(f"/held/{messages[again]}/send", {}, page="/held")
        client.until(messages[again], "delivered")
        assert sent(box)[again] == 2, "asked for"

        box.kill()
        box.start()
        client.url = owner.url = box.url
        assert uncertain(client, messages) == others, "a crash releases nothing"
        owner.post("/held/drop", {}, page="/held")
        for text in others:
            result = client.until(messages[text], "failed")
            assert result["error"]["code"] == "SMS_SEND_TIMEOUT"
        assert "wait for your decision" not in owner.get("/").text
        expected = Counter([*texts, "after the restore", again])
        assert sent(box) == expected
    finally:
        box.stop()


def test_the_command_line_decides_beside_the_running_box(tmp_path: Path) -> None:
    box = RunningBox(tmp_path).start()
    try:
        client = box.client()
        messages = backed_up(box, client, ["one", "two", "three"], tmp_path / "box.backup")
        box.stop()
        box.command("restore", str(tmp_path / "box.backup"))
        box.start()
        client.url = box.url
        held = [row["message_id"] for row in box.zimbox("held", "list")]
        assert set(held) == {messages[text] for text in uncertain(client, messages)}
        box.command("held", "drop", held[0])
        client.until(held[0], "failed")
        box.command("held", "send", "--all")
        for message in held[1:]:
            client.until(message, "delivered")
        eventually(lambda: box.zimbox("held", "list") == [], "nothing is held")
    finally:
        box.stop()
