"""docs/api-contract.md, "Receiving": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

from typing import Any

import pytest

from tests.box.running import Client, RunningBox, code, eventually


def inbox(client: Client, **query: object) -> dict[str, Any]:
    answer = client.get("/sms/inbox", params=query)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def arrived(client: Client, text: str) -> dict[str, Any]:
    """The received message with this text, as soon as it is there."""

    def look() -> dict[str, Any] | None:
        return next((m for m in inbox(client)["data"] if m["message"] == text), None)

    return eventually(look, f"{text!r} in the inbox")


def test_a_received_reply_belongs_to_the_client_that_wrote_last(
    box: RunningBox, shared: Client, client: Client
) -> None:
    number = "+33612340301"
    shared.until(shared.send(number), "delivered")
    client.until(client.send(number), "delivered")
    box.simulate(do="incoming", sender=number, text="Merci à vous")
    result = arrived(client, "Merci à vous")
    assert result.keys() == {
        *("inbox_id", "from", "message", "received_at", "device_id", "incomplete"),
    }
    assert (result["from"], result["incomplete"]) == (number, False)
    assert "Merci à vous" not in str(inbox(shared))


def test_parts_are_joined(box: RunningBox, client: Client) -> None:
    number = "+33612340302"
    client.until(client.send(number), "delivered")
    text = "Une longue réponse 😀 " * 20
    box.simulate(do="incoming", sender=number, text=text)
    assert arrived(client, text)["incomplete"] is False


def test_the_inbox_has_pages_and_filters(box: RunningBox, client: Client) -> None:
    number = "+33612340303"
    client.until(client.send(number), "delivered")
    for n in range(3):
        box.simulate(do="incoming", sender=number, text=f"Réponse {n}")
        arrived(client, f"Réponse {n}")
    page = inbox(client, limit=2)
    assert [m["message"] for m in page["data"]] == ["Réponse 2", "Réponse 1"]
    assert page["pagination"]["total_pages"] == 2
    assert [m["message"] for m in inbox(client, search="REPONSE 0")["data"]] == ["Réponse 0"]
    assert len(inbox(client, **{"from": number})["data"]) == 3
    assert inbox(client, **{"from": "+33600000001"})["data"] == []
    assert inbox(client, to_date="2020-01-01")["data"] == []
    assert code(client.get("/sms/inbox?limit=0"), 400) == "INVALID_REQUEST"


# Each its own number: a second START from one sender within a second would be the first one again.
@pytest.mark.parametrize(
    ("number", "word"),
    [("+33612340311", "STOP"), ("+33612340312", "stop"), ("+33612340313", " Arrêt ")],
)
def test_stop_puts_the_sender_on_the_block_list_and_start_takes_it_off(
    box: RunningBox, shared: Client, client: Client, number: str, word: str
) -> None:
    client.until(client.send(number), "delivered")
    box.simulate(do="incoming", sender=number, text=word)
    body = {"to": number, "message": "x"}
    for anyone in (client, shared):  # for every client of that SIM
        refused = eventually(
            lambda anyone=anyone: (
                answer  # type: ignore[misc]
                if (answer := anyone.post("/sms/send", body)).status_code != 202
                else None
            ),
            "blocked",
        )
        assert code(refused, 403) == "BLOCKED_NUMBER"
    listed = client.get("/blocklist").json()["blocklist"]
    assert [entry["source"] for entry in listed if entry["number"] == number] == ["stop"]
    box.simulate(do="incoming", sender=number, text="START")
    eventually(lambda: client.post("/sms/send", body).status_code == 202, "unblocked")


def test_removing_an_opt_out_exempts_only_that_client(
    box: RunningBox, shared: Client, client: Client
) -> None:
    number = "+33612340330"
    client.until(client.send(number), "delivered")
    box.simulate(do="incoming", sender=number, text="STOP")

    def stopped(anyone: Client) -> bool:
        return number in [e["number"] for e in anyone.get("/blocklist").json()["blocklist"]]

    eventually(lambda: stopped(client) and stopped(shared), "both may not write to it")
    assert client.delete("/blocklist/%2B33612340330").status_code == 204
    assert not stopped(client) and stopped(shared)
    assert client.post("/sms/send", {"to": number, "message": "x"}).status_code == 202
    refused = shared.post("/sms/send", {"to": number, "message": "x"})
    assert code(refused, 403) == "BLOCKED_NUMBER"
    assert code(client.delete("/blocklist/%2B33612340330"), 404) == "NOT_FOUND"


def test_numbers_can_be_blocked_and_listed(client: Client) -> None:
    added = client.post("/blocklist", {"number": "+33 6 12 34 03 20", "reason": "sur demande"})
    assert added.json()["number"] == "+33612340320"
    (entry,) = [
        entry
        for entry in client.get("/blocklist").json()["blocklist"]
        if entry["number"] == "+33612340320"
    ]
    assert entry["reason"] == "sur demande"
    removed = client.delete("/blocklist/%2B33612340320")
    assert (removed.status_code, removed.content) == (204, b"")
    assert code(client.delete("/blocklist/%2B33612340320"), 404) == "NOT_FOUND"


def test_an_invalid_number_cannot_be_blocked(shared: Client) -> None:
    assert code(shared.post("/blocklist", {"number": "x"}), 400) == "INVALID_PHONE_NUMBER"
    assert code(shared.delete("/blocklist/x"), 400) == "INVALID_PHONE_NUMBER"
    assert code(shared.post("/blocklist", {}), 400) == "INVALID_REQUEST"


def test_removing_a_number_that_is_not_listed_is_404(client: Client) -> None:
    answer = client.delete("/blocklist/+33612340399", headers={"Accept-Language": "en"})
    assert code(answer, 404) == "NOT_FOUND"
    details = {"field": "number", "reason": "is not on the block list"}
    assert answer.json()["error"]["details"] == details
