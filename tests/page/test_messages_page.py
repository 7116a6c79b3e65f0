"""Messages on the page: hostile texts stay texts, searching, one story, sending, answering."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.box.running import Client, RunningBox, eventually
from tests.page.conftest import Open, ready
from tests.page.owner import Visit

pytestmark = pytest.mark.xdist_group(__name__)  # one worker, one box

SCRIPT = "<script>document.title='taken over'</script>"
HTML = '"><img src=x onerror="document.title=1"><b>gras</b>&amp;{{ 7*7 }}'
RIGHT_TO_LEFT = "\u202eتم تسليم الطلب\u202c \u2067evil\u2069"
EMOJI = "😀" * 1600
FORMULA = '=HYPERLINK("http://example.com";"clic")'
HOSTILE = (SCRIPT, HTML, RIGHT_TO_LEFT, EMOJI, FORMULA)


@pytest.fixture(scope="module")
def hostile(owned: RunningBox, client: Client) -> dict[str, str]:
    """One delivered message for each hostile text, and the same received."""
    found = {text: client.send(f"+336777000{n:02d}", text) for n, text in enumerate(HOSTILE)}
    for n, text in enumerate((SCRIPT, HTML, RIGHT_TO_LEFT, FORMULA)):
        owned.simulate(do="incoming", sender=f"+336777001{n:02d}", text=text)
    for message_id in found.values():
        client.until(message_id, "delivered", seconds=120)
    return found


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_hostile_text_is_shown_as_text_everywhere(
    owned: RunningBox, hostile: dict[str, str], log_in: Open, language: str
) -> None:
    person = log_in(owned.url, language=language, size="phone")
    for path in ("/", "/messages"):
        person.go(path)
        read = person.text
        for text in (SCRIPT, HTML, FORMULA):
            assert text in read, path
    for text, message_id in hostile.items():
        person.go(f"/messages/{message_id}")
        assert person.find(".text").get_attribute("textContent") == text
        assert person.all(".text *") == []
    person.go("/inbox")
    for text in (SCRIPT, HTML, FORMULA):
        person.wait_for(text)
    assert "taken" not in person.driver.title
    assert person.strangers() == []
    assert person.console == []
    assert not person.wider_than_the_screen()


def test_a_formula_is_quoted_in_the_csv_and_every_other_text_is_whole(
    hostile: dict[str, str], owner: Visit
) -> None:
    answer = owner.get("/messages/export")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = {row["message_id"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    for text, message_id in hostile.items():
        quoted = "'" + text if text == FORMULA else text
        assert rows[message_id]["message"] == quoted


def test_messages_are_found_by_text_number_status_and_day(
    hostile: dict[str, str], client: Client, owner: Visit
) -> None:
    mine = client.send("+33677799901", "Café crème à emporter")
    client.until(mine, "delivered")

    def found(query: str) -> set[str]:
        return set(re.findall(r'href="/messages/(msg_[0-9a-f]{16})"', owner.get(query).text))

    assert found("/messages?q=CAFE+creme") == {mine}
    assert found("/messages?to=%2B33677799901") == {mine}
    assert found("/messages?to=+33677799901") == {mine}
    assert mine in found("/messages?status=delivered")
    assert mine not in found("/messages?status=failed")
    assert found("/messages?start=2020-01-01&end=2020-01-02") == set()
    assert found("/messages?mode=test") == set()
    assert mine in found("/messages?start=nonsense&page=abc&status=what")


def test_test_messages_show_only_when_asked_for_and_say_so(
    owned: RunningBox, client: Client, owner: Visit
) -> None:
    tester = owned.client("--test", of=client.client_id)
    text = "never on the air"
    tester.until(tester.send("+33612345678", text), "delivered")
    assert text not in owner.get("/").text
    assert text not in owner.get("/messages").text
    shown = owner.get("/messages?mode=test").text
    assert text in shown and "test mode" in shown


def test_a_message_can_be_watched_and_its_story_read(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    owned.simulate(do="report", to="+33677788801", delay=4.0)
    person = log_in(owned.url, language="en")
    person.go("/send")
    person.fill("to", "+33 677 78 88 01")
    person.fill("text", "Prix : 10 €, ça va ?")
    person.wait_for("UCS-2")
    person.wait_for("These characters shorten each SMS to 70 signs: ç")
    person.find("main form button.primary").click()
    person.wait_for_badge("Sent")
    person.wait_for("TP-ST 0")  # the report came while the page was open
    person.wait_for_badge("Delivered")
    assert person.console == []


def test_a_scheduled_message_is_cancelled_and_a_failed_one_sent_again(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = client.send("+33677788802", "plus tard", scheduled_at=tomorrow.isoformat())
    owned.simulate(do="send", to="+33677788803", cms=1, times=1)
    failed = client.send("+33677788803", "numéro libre d'abord")
    client.until(failed, "failed")
    person = log_in(owned.url, language="fr", size="phone")
    person.go(f"/messages/{later}")
    person.press("Annuler")
    person.wait_for_badge("Annulé")
    assert client.status(later)["status"] == "cancelled"
    person.go(f"/messages/{failed}")
    assert "CMS 1" in person.text
    person.press("Renvoyer")
    person.wait_for_badge("Remis")
    assert client.status(failed)["status"] == "delivered"


def test_an_answer_is_a_tap_away(owned: RunningBox, client: Client, log_in: Open) -> None:
    sender = "+33677788804"
    owned.simulate(do="incoming", sender=sender, text="Oui, à demain")
    person = log_in(owned.url, language="fr", size="phone")

    def came() -> bool:
        person.go("/inbox?to=%2B33677788804")
        return "Oui, à demain" in person.text

    eventually(came, "the answer is in the inbox")
    person.press("Répondre")
    assert person.find('[name="to"]').get_attribute("value") == sender
    person.fill("text", "Parfait.")
    person.find("main form button.primary").click()
    person.wait_for_badge("Remis")
    assert any(sms["recipient"] == sender for sms in owned.received())


def test_a_number_that_is_none_keeps_the_text_that_was_typed(owner: Visit) -> None:
    answer = owner.post(
        "/send", {"to": "06 12 34 56 78", "text": "déjà écrit", "priority": "3"}, page="/send"
    )
    assert answer.status_code == 400
    assert "international format" in answer.text and "déjà écrit" in answer.text


def test_what_nobody_knows_is_told_as_such_until_a_report_settles_it(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    number = "+33677788805"
    owned.simulate(do="report", to=number, hold=True)
    owned.simulate(do="send", to=number, at="taken", restart=True)
    person = log_in(owned.url, language="en", size="phone")
    doubtful = client.send(number, "Est-il parti ?")
    person.go(f"/messages/{doubtful}")
    person.wait_for_badge("Uncertain")
    person.wait_for("nobody knows yet whether it left")
    person.go("/")
    person.wait_for_badge("Uncertain")
    ready(owned)
    owned.simulate(do="release")
    client.until(doubtful, "delivered")
    person.go(f"/messages/{doubtful}")
    person.wait_for_badge("Delivered")
