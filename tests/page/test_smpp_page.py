"""The owner switches SMPP on, makes a password, and an engine binds with it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.box.engine import Engine, smpp_port
from tests.box.running import RunningBox, eventually
from tests.page.conftest import ready
from tests.page.owner import Visit

pytestmark = pytest.mark.seconds(15)


def test_the_owner_makes_a_password_and_switches_smpp_off_and_on(
    new_box: Callable[..., RunningBox],
) -> None:
    box = new_box(smpp_listen="127.0.0.1:0", smpp_receipt_seconds="0")
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    fields = {"name": "Kannel"}
    answer = visit.post("/settings/smpp/password", fields, page="/settings/smpp")
    made = re.search(r'id="made-password">([^<]{8})<', answer.text)
    client = re.search(r'id="made-system-id">(client_\d+)<', answer.text)
    assert made and client
    assert ">SMPP</b>" in visit.get("/settings/keys").text

    def shown(words: str) -> bool:
        return words in visit.get("/settings/smpp").text

    eventually(lambda: shown("The server is on: 127.0.0.1:"), "it listens")
    visit.post("/settings/smpp", {"on": "0"}, page="/settings/smpp")
    eventually(lambda: shown("The server is off."), "it is off")
    visit.post("/settings/smpp", {"on": "1"}, page="/settings/smpp")
    engine = Engine(smpp_port(box, 2), (client[1], made[1]))
    message_id = engine.accepted(engine.submit("+33612345678", b"Bonjour"))
    engine.until_receipt(message_id, "DELIVRD")
    engine.leave()
