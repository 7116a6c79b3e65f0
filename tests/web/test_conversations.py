"""Conversations and contacts over HTTP, in a box with a store of its own."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import httpx

from appliance.store import clients, received
from tests.web.box import WebBox

ANNE = "+33612349901"
BOB = "+33612349902"


async def listed(api: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await api.get("/v1/conversations", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def texts(api: httpx.AsyncClient, number: str, **query: str) -> list[dict[str, Any]]:
    answer = await api.get("/v1/conversations/messages", params={"number": number} | query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_conversation_has_what_was_sent_and_received(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    assert await listed(api) == []
    sent = (await api.post("/v1/sms/send", json={"to": ANNE, "message": "Bonjour"})).json()
    box.clock.advance(5)
    await box.receive(ANNE, "Oui ?")
    box.clock.advance(5)
    again = (await api.post("/v1/sms/send", json={"to": ANNE, "message": "C’est prêt"})).json()
    await api.post("/v1/sms/send", json={"to": BOB, "message": "pas à Anne"})
    found = await texts(api, ANNE)
    assert [(text["direction"], text["message"]) for text in found] == [
        ("sent", "C’est prêt"),
        ("received", "Oui ?"),
        ("sent", "Bonjour"),
    ]
    assert [text["message_id"] for text in found] == [again["message_id"], None, sent["message_id"]]
    assert [text["status"] for text in found] == ["queued", None, "queued"]
    assert found[1]["inbox_id"].startswith("inbox_")
    (one,) = await listed(api)
    assert (one["number"], one["unread"], one["last_message"]) == (ANNE, 1, "Oui ?")
    pages = [await texts(api, ANNE, limit="1", page=str(n)) for n in (1, 2, 3, 4)]
    assert [page[0]["message"] for page in pages[:3]] == ["C’est prêt", "Oui ?", "Bonjour"]
    assert pages[3] == []


async def test_the_last_to_write_comes_first_and_read_is_read(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    for number, text in ((ANNE, "1"), (BOB, "2"), (ANNE, "3")):
        box.clock.advance(1)
        await box.receive(number, text)
    assert [(one["number"], one["unread"]) for one in await listed(api)] == [(ANNE, 2), (BOB, 1)]
    first = (await texts(api, ANNE))[1]["inbox_id"]
    done = await api.post("/v1/conversations/read", json={"number": ANNE, "up_to": first})
    assert done.json() == {"success": True, "number": ANNE}
    assert [(one["number"], one["unread"]) for one in await listed(api)] == [(ANNE, 1), (BOB, 1)]
    # An earlier one read again makes nothing unread.
    await api.post("/v1/conversations/read", json={"number": ANNE})
    await api.post("/v1/conversations/read", json={"number": ANNE, "up_to": first})
    assert [one["number"] for one in await listed(api, unread="true")] == [BOB]
    assert [one["number"] for one in await listed(api, unread="false")] == [ANNE, BOB]


async def test_a_name_as_sender_is_a_conversation(api: httpx.AsyncClient, box: WebBox) -> None:
    await box.receive("ZIM/MOBILE", "Votre solde : 10 €")
    assert [one["number"] for one in await listed(api)] == ["ZIM/MOBILE"]
    assert [text["message"] for text in await texts(api, "ZIM/MOBILE")] == ["Votre solde : 10 €"]
    read = await api.post("/v1/conversations/read", json={"number": "ZIM/MOBILE"})
    assert read.status_code == 200
    assert await listed(api, unread="true") == []


async def test_a_number_is_one_conversation_in_any_spelling(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    await box.receive(ANNE, "Oui")
    for written in ("+33 6 12 34 99 01", "0033612349901", "+33 (0)6 12 34 99 01"):
        assert [text["message"] for text in await texts(api, written)] == ["Oui"], written
    plus = await api.get("/v1/conversations/messages?number=+33612349901")  # a space on the wire
    assert len(plus.json()["data"]) == 1
    named = await api.put("/v1/contacts/+33 (0)6 12 34 99 01", json={"name": "Anne"})
    assert named.json()["number"] == ANNE
    assert (await listed(api))[0]["name"] == "Anne"


async def test_a_contact_is_named_found_renamed_and_removed(api: httpx.AsyncClient) -> None:
    for number, name in ((ANNE, "Zoé"), (BOB, "Bob"), (ANNE, "Anne Élise")):
        answer = await api.put(f"/v1/contacts/{number}", json={"name": name})
        assert answer.json() == {"success": True, "number": number, "name": name}
    found = (await api.get("/v1/contacts")).json()
    assert [one["name"] for one in found["data"]] == ["Anne Élise", "Bob"]
    assert found["pagination"]["total_items"] == 2
    sought = (await api.get("/v1/contacts", params={"search": "ELISE"})).json()["data"]
    assert sought == [{"number": ANNE, "name": "Anne Élise"}]
    assert (await api.get("/v1/conversations/messages", params={"number": ANNE})).json()[
        "name"
    ] == "Anne Élise"
    assert (await api.delete(f"/v1/contacts/{ANNE}")).status_code == 204
    gone = await api.delete(f"/v1/contacts/{ANNE}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_what_is_refused_names_its_field(api: httpx.AsyncClient) -> None:
    for answer, status, code, field in (
        (await api.get("/v1/conversations/messages"), 400, "INVALID_REQUEST", "number"),
        (await api.get("/v1/conversations?unread=1"), 400, "INVALID_REQUEST", "unread"),
        (
            await api.post("/v1/conversations/read", json={"number": ANNE, "up_to": "msg_1"}),
            400,
            "INVALID_REQUEST",
            "up_to",
        ),
        (
            await api.post("/v1/conversations/read", json={"number": ANNE}),
            404,
            "NOT_FOUND",
            "number",
        ),
        (
            await api.post("/v1/conversations/read", json={"number": ""}),
            400,
            "INVALID_REQUEST",
            "number",
        ),
        (
            await api.put(f"/v1/contacts/{ANNE}", json={"name": "a\nb"}),
            400,
            "INVALID_REQUEST",
            "name",
        ),
        (
            await api.put("/v1/contacts/anne", json={"name": "Anne"}),
            400,
            "INVALID_PHONE_NUMBER",
            "number",
        ),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), error
        assert error["details"]["field"] == field, error


async def test_other_clients_and_the_test_mode_see_nothing_of_it(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    await box.receive(ANNE, "privé")
    await api.put(f"/v1/contacts/{ANNE}", json={"name": "Anne"})
    live = api.headers["X-API-Key"], api.headers["X-Client-ID"]
    other = await box.db.write(clients.add_client, "other", box.clock.now())
    key = await box.db.write(clients.add_key, other.id, box.clock.now())
    tester = await box.db.write(
        clients.add_key, int(live[1].removeprefix("client_")), box.clock.now(), test=True
    )
    for secret, client in ((key.key, f"client_{other.id}"), (tester.key, live[1])):
        headers = {"X-API-Key": secret, "X-Client-ID": client}
        for path in ("conversations", f"conversations/messages?number=%2B{ANNE[1:]}", "contacts"):
            answer = await api.get(f"/v1/{path}", headers=headers)
            assert answer.json()["data"] == [], path
        read = await api.post("/v1/conversations/read", json={"number": ANNE}, headers=headers)
        assert read.status_code == 404
    assert (await listed(api))[0]["unread"] == 1


async def test_retention_and_erasure_leave_no_conversation(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    await box.receive(ANNE, "vieux")
    box.clock.advance(60)
    await box.receive(BOB, "neuf")
    db = box.db
    await db.write(received.retire, box.clock.now() - 1)
    assert [one["number"] for one in await listed(api)] == [BOB]
    assert await texts(api, ANNE) == []
    await api.put(f"/v1/contacts/{BOB}", json={"name": "Bob"})
    await db.write(clients.erase, int(api.headers["X-Client-ID"].removeprefix("client_")), 1)

    def left(connection: Connection) -> list[int]:
        return [
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("conversation", "contact", "inbound")
        ]

    assert await db.read(left) == [0, 0, 0]
