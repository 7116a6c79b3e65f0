"""Messages on the page: hostile texts, search, timeline, sending, replying."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest

from tests.box.running import Client, RunningBox, eventually
from tests.page.conftest import Open, ready
from tests.page.owner import Visit
from web.page.rendering import visible

pytestmark = pytest.mark.seconds(20)

NewBox = Callable[..., RunningBox]


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
        assert person.find(".text").get_attribute("textContent") == visible(text)
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
    for language, comma in (("en", ","), ("fr-FR,fr", ";")):
        answer = owner.get("/messages/export", headers={"Accept-Language": language})
        assert answer.content.startswith(codecs.BOM_UTF8), "a spreadsheet takes it for UTF-8"
        result = io.StringIO(answer.content.decode("utf-8-sig"), newline="")
        rows = {row["message_id"]: row for row in csv.DictReader(result, delimiter=comma)}
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
    assert found("/messages?to=06+77+79+99+01") == {mine}
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


def test_a_message_and_its_timeline_are_shown_live(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    owned.simulate(do="report", to="+33677788801", hold=True)
    person = log_in(owned.url, language="en")
    person.go("/send")
    person.fill("to", "+33 677 78 88 01")
    person.fill("text", "Prix : 10 €, ça va ?")
    person.wait_for("UCS-2")
    person.wait_for("These characters shorten each SMS to 70 signs: ç")
    person.click("main form button.primary")
    person.wait_for_badge("Sent")
    owned.simulate(do="release")
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


def test_a_message_of_a_client_that_is_disabled_is_not_sent_again(
    owned: RunningBox, owner: Visit
) -> None:
    """It would wait for its whole lifetime, and say so to nobody."""
    program = owned.client()
    owned.simulate(do="send", to="+33677788808", cms=1, times=1)
    failed = program.send("+33677788808", "pas avant lundi")
    program.until(failed, "failed")
    owned.command("client", "disable", program.client_id)
    path = f"/messages/{failed}"
    answer = owner.post(f"{path}/resend", {}, page=path)
    assert "This client is disabled" in answer.text and ">Failed<" in answer.text


def test_a_received_text_has_a_reply_button(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    sender = "+33677788804"
    owned.simulate(do="incoming", sender=sender, text="Oui, à demain")
    person = log_in(owned.url, language="fr", size="phone")

    def came() -> bool:
        person.go("/inbox?to=%2B33677788804")
        return "Oui, à demain" in person.text

    eventually(came, "the answer is in the inbox")
    for typed in ("+33 6 77 78 88 04", "33677788804", "  +33.677.788.804", "06 77 78 88 04"):
        person.go(f"/inbox?{urlencode({'to': typed})}")
        assert "Oui, à demain" in person.text, typed
    person.press("Répondre")
    person.wait_until(
        lambda: person.find('[name="to"]').get_attribute("value") == sender, "the form to answer"
    )
    person.fill("text", "Parfait.")
    person.click("main form button.primary")
    person.wait_for_badge("Remis")
    assert any(sms["recipient"] == sender for sms in owned.received())


def test_a_conversation_is_followed_answered_and_named(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    number = "+33677788841"
    client.until(client.send(number, "Votre commande est prête"), "delivered")
    owned.simulate(do="incoming", sender=number, text="À quelle heure ?")

    def unread() -> bool:
        listed = client.get("/conversations?unread=true").json()["data"]
        return any(one["number"] == number for one in listed)

    eventually(unread, "the question is in the conversation")
    person = log_in(owned.url, language="fr", size="phone")
    person.go("/conversations")
    person.find(f'a.row[href*="{quote(number)}"]').click()
    person.wait_for("À quelle heure ?")
    assert "Votre commande est prête" in person.text
    eventually(lambda: not unread(), "what the page showed counts as read")
    person.fill("text", "Dès 14 h.")
    person.click("#reply button.primary")
    person.wait_for("Dès 14 h.")
    person.wait_until(
        lambda: [badge.text for badge in person.all(".thread .badge")] == ["Remis", "Remis"],
        "the delivery of the reply, without a reload",
    )
    owned.simulate(do="incoming", sender=number, text="Merci beaucoup")
    person.wait_for("Merci beaucoup")  # pushed too
    order = [text.text for text in person.all(".thread .text")]
    assert order == ["Votre commande est prête", "À quelle heure ?", "Dès 14 h.", "Merci beaucoup"]
    person.click("main details summary")
    person.fill("name", "Mme Petit")
    person.click('form[action$="/conversations/name"] button')
    person.wait_for("C’est enregistré.")
    assert person.find("h1").text == "Mme Petit"
    assert not person.wider_than_the_screen()
    assert person.console == []
    person.go("/conversations")
    assert "Mme Petit" in person.text
    person.go("/send")
    assert person.find(f'#contacts option[value="{number}"]')


def test_a_reply_that_is_refused_keeps_its_text(owned: RunningBox, owner: Visit) -> None:
    program = owned.client()
    number = "+33677788842"
    program.until(program.send(number), "delivered")
    program.post("/blocklist", {"number": number})
    path = f"/conversations/messages?client={program.client_id.removeprefix('client_')}&number={quote(number)}"
    fields = {"client": program.client_id.removeprefix("client_"), "number": number}
    answer = owner.post("/conversations/messages", {**fields, "text": "Encore là ?"}, page=path)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text and "Encore là ?" in answer.text


MEASURED = (
    *("a" * 160, "a" * 161, "€" * 80, "€" * 80 + "a", "a" * 152 + "€" * 8, "a" * 152 + "€" * 80),
    *(
        "ç" * 70,
        "ç" * 71,
        "😀" * 35,
        "😀" * 36,
        "a" * 66 + "😀" * 3,
        "😀" * 1600,
        "^{}[]~|\\\n",
        "ğ",
    ),
)


@pytest.mark.parametrize("shifts", ["", "1"])
def test_the_composer_counts_the_parts_that_are_sent(new_box: NewBox, shifts: str) -> None:
    settings = {"sending_national_shifts": shifts} if shifts else {}
    box = new_box(**settings)
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    program = box.client()
    for text in (*MEASURED, "ğ" * 100):
        result = visit.post("/send/measure", {"text": text}, page="/send").text
        answer = program.post("/sms/send", {"to": "+33612345678", "message": text}).json()
        counted = re.search(r"<b>([\d,]+)</b> / 1,600 .*<b>(\d+)</b> SMS · ([\w-]+)", result)
        assert counted, result
        characters, parts, alphabet = counted.groups()
        assert characters == f"{len(text):,}"
        assert (int(parts), alphabet) == (answer["parts"], answer["encoding"]), text[:20]
        assert ("70 signs" in result) == (answer["encoding"] == "UCS-2"), text[:20]


def test_a_form_that_is_sent_twice_is_one_message(owned: RunningBox, owner: Visit) -> None:
    page = owner.get("/send").text
    (form,) = re.findall(r'name="form" value="([^"]+)"', page)
    fields = {"to": "+33677788806", "text": "deux fois", "form": form}
    first, second = (owner.post("/send", fields, page="/send").url for _ in range(2))
    assert first == second and "/messages/msg_" in first
    other = owner.post("/send", {**fields, "text": "autre chose"}, page="/send").url
    assert "/messages/msg_" in other and other != first
    eventually(
        lambda: len([sms for sms in owned.received() if sms["recipient"] == "+33677788806"]) == 2,
        "both texts came, each once",
    )


def test_a_number_can_be_typed_in_national_form(owned: RunningBox, owner: Visit) -> None:
    for typed in ("06 77 78 88 07", "+33 (0)6 77 78 88 07"):
        result = owner.post("/send", {"to": typed, "text": typed}, page="/send")
        assert (
            "/messages/msg_" in result.url and "06\u00a077\u00a078\u00a088\u00a007" in result.text
        )
    eventually(
        lambda: sum(sms["recipient"] == "+33677788807" for sms in owned.received()) == 2,
        "both texts came",
    )


def test_an_invalid_number_keeps_the_typed_text(owner: Visit) -> None:
    answer = owner.post(
        "/send", {"to": "06 12 34 56 7", "text": "déjà écrit", "priority": "3"}, page="/send"
    )
    assert answer.status_code == 400
    assert "international format" in answer.text and "déjà écrit" in answer.text


def test_an_uncertain_message_is_shown_as_such_until_a_report_settles_it(
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


@pytest.mark.parametrize("fields", [{"priority": ""}, {"client": "9" * 5000}, {"client": "9" * 20}])
def test_a_forged_form_causes_no_server_error(owner: Visit, fields: dict[str, str]) -> None:
    answer = owner.post("/send", {"to": "+33612345678", "text": "Bonjour", **fields}, page="/send")
    assert answer.status_code == 200
    assert owner.get(f"/messages?client={'9' * 20}").status_code == 200
