"""Each setting takes effect at once and after a restart."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.box.running import RunningBox, code, eventually
from tests.page.conftest import Open, ready
from tests.page.owner import REQUEST_SECONDS, Visit

pytestmark = pytest.mark.seconds(20)

NewBox = Callable[..., RunningBox]


def test_a_key_is_created_restricted_and_revoked(owned: RunningBox, log_in: Open) -> None:
    person = log_in(owned.url, language="en")
    person.go("/settings/keys")
    person.find("#key-name").send_keys("caisse <b>1</b>")
    person.press("Restrict the key")
    person.find("#prefixes-new").send_keys("+41")
    person.press("Create the key")
    person.wait_for("it is shown this once")
    key = person.find(".secret").text
    headers = {"X-API-Key": key, "X-Client-ID": "client_1"}

    def send(to: str) -> requests.Response:
        body = {"to": to, "message": "Bonjour"}
        return requests.post(
            f"{owned.url}/v1/sms/send", headers=headers, json=body, timeout=REQUEST_SECONDS
        )

    assert send("+41791234567").status_code == 202
    assert code(send("+33612345678"), 403) == "KEY_NOT_ALLOWED"
    person.go("/settings/keys")
    assert key not in person.driver.page_source
    assert "caisse <b>1</b>" in person.text
    (row,) = [row for row in person.all(".keys li") if "caisse" in row.text]
    assert "+41" in row.text and key[-4:] in row.text
    person.click(row.find_element("css selector", "details:last-child summary"))
    person.click(row.find_element("css selector", "button.danger"))
    person.wait_until(
        lambda: not any("caisse" in text for text in person.shown(".keys li")), "the key is gone"
    )
    assert code(send("+41791234567"), 401) == "INVALID_API_KEY"


def test_the_permissions_of_an_existing_key_can_be_changed(owned: RunningBox, owner: Visit) -> None:
    program = owned.client()
    number = int(re.findall(r"/settings/keys/(\d+)/restrict", owner.get("/settings/keys").text)[-1])
    path, page = f"/settings/keys/{number}/restrict", "/settings/keys"

    def send() -> requests.Response:
        return program.post("/sms/send", {"to": "+33612345678", "message": "Bonjour"})

    assert send().status_code == 202
    shown = owner.post(path, {"prefixes": "+41 +32", "daily_cap": "1 000"}, page=page).text
    assert "Saved." in shown and 'value="+41 +32"' in shown and 'value="1000"' in shown
    assert code(send(), 403) == "KEY_NOT_ALLOWED"
    for wrong, why in (({"prefixes": "41"}, "begin with +"), ({"daily_cap": "ten"}, "in digits")):
        answer = owner.post(path, wrong, page=page)
        assert answer.status_code == 400 and why in answer.text
    assert code(send(), 403) == "KEY_NOT_ALLOWED", "what is wrong changes nothing"
    owner.post(path, {"no_send": "on"}, page=page)
    assert code(send(), 403) == "KEY_NOT_ALLOWED"
    owner.post(path, {}, page=page)
    assert send().status_code == 202
    owner.post(f"/settings/keys/{number}/revoke", {}, page=page)
    assert owner.post(path, {}, page=page).status_code == 400, "a revoked one is no key"


def test_a_key_is_opened_for_simple_devices_and_its_address_sends(
    owned: RunningBox, owner: Visit
) -> None:
    page = "/settings/keys"
    asked = {"name": "alarm panel", "mode": "live", "simple": "on", "no_read": "on"}
    refused = owner.post(page, asked, page=page)
    assert refused.status_code == 400
    assert "Simple devices need a key with prefixes and a number of messages a day." in refused.text
    made = owner.post(page, {**asked, "prefixes": "+33", "daily_cap": "20"}, page=page).text
    found = re.search(r"http://\S+/v1/simple/send\?key=(zs_live_[0-9a-f]+)[^<]*", made)
    assert found
    address, key = html.unescape(found[0]), found[1]
    to = "+33612349876"
    address = address.replace("to=0612345678", f"to={to}")
    answer = requests.get(address, timeout=30)
    assert (answer.status_code, answer.text[:7]) == (202, "OK msg_"), answer.text
    number = int(
        re.findall(
            r"/settings/keys/(\d+)/restrict", owner.get(page).text.split(key[-4:] + "</b>")[1]
        )[0]
    )
    shown = owner.post(
        f"{page}/{number}/restrict", {"prefixes": "+33", "daily_cap": "20"}, page=page
    )
    assert "Saved." in shown.text
    closed = requests.get(address, timeout=30, headers={"Accept-Language": "en"})
    assert closed.status_code == 403 and "(simple)" in closed.text
    eventually(lambda: to in owned.journal.read_text(), "the SMS is on the network")
    eventually(
        lambda: owned.log().count("route=/v1/simple/send") == 2,
        "both requests are in the access log",
    )
    assert key not in owned.log()
    assert key not in requests.get(f"{owned.url}/metrics", timeout=30).text


def test_the_numbers_of_alerts_are_written_as_the_country_does(owner: Visit) -> None:
    page = "/settings/keys"
    owner.post("/settings/box", {"time_zone": "Europe/Paris"}, page="/settings/box")
    asked = {"name": "monitoring", "mode": "live", "prefixes": "+33"}
    refused = owner.post(page, {**asked, "alert_to": "06 11 22 33 44, +41791234567"}, page=page)
    assert refused.status_code == 400
    assert "The alerts have +41791234567, which the prefixes forbid." in refused.text
    made = owner.post(page, {**asked, "alert_to": "06 11 22 33 44; +33655443322"}, page=page)
    assert made.status_code == 200
    assert 'value="+33611223344, +33655443322"' in owner.get(page).text


def test_an_invalid_cap_creates_no_key(owner: Visit) -> None:
    fields = {"name": "sans plafond", "daily_cap": "mille"}
    answer = owner.post("/settings/keys", fields, page="/settings/keys")
    assert answer.status_code == 400 and "The limit is written in digits." in answer.text
    assert "sans plafond" not in owner.get("/settings/keys").text


def test_an_invalid_limit_does_not_remove_the_limit(owner: Visit) -> None:
    path, page = "/settings/sim/1/limits", "/settings/sim"
    shown = owner.post(path, {"per_month": "20\u202f000"}, page=page).text
    assert 'name="per_month" inputmode="numeric" maxlength="12" value="20000"' in shown
    for wrong in ("beaucoup", "-1", "1.5", "9" * 12):
        answer = owner.post(path, {"per_month": wrong}, page=page).text
        assert "A limit is written in digits" in answer and f'value="{wrong}"' in answer
        assert 'value="20000"' in owner.get(page).text
    assert 'value="20000"' not in owner.post(path, {"per_month": ""}, page=page).text


SHOWN = re.compile(r'name="shown" value="([0-9a-f]+)"')


def test_a_form_from_before_another_s_change_does_not_undo_it(
    owned: RunningBox, owner: Visit
) -> None:
    """Two windows, or a phone and a computer: the one that is saved last was shown before the other."""
    owner.post("/settings/keys", {"name": "deux fenêtres"}, page="/settings/keys")
    key = re.findall(r"/settings/keys/(\d+)/restrict", owner.get("/settings/keys").text)[-1]
    for path, page, first, second in (
        ("/settings/sim/1/limits", "/settings/sim", {"per_day": "50"}, {"per_hour": "9"}),
        ("/settings/sim/1/balance", "/settings/sim", {"code": "*101#"}, {"low": "2"}),
        (f"/settings/keys/{key}/restrict", "/settings/keys", {"no_read": "1"}, {"no_send": "1"}),
    ):
        form = owner.get(page).text.partition(f'action="{path}"')[2].partition("</form>")[0]
        (old,) = SHOWN.findall(form)
        assert "another window" not in owner.post(path, {**first, "shown": old}, page=page).text
        assert "another window" not in owner.post(path, {**first, "shown": old}, page=page).text
        kept = owner.get(page).text
        answer = owner.post(path, {**second, "shown": old}, page=page).text
        assert "another window" in answer, path
        assert owner.get(page).text == kept, path
    owner.post("/settings/sim/1/limits", {}, page="/settings/sim")
    owner.post("/settings/sim/1/balance", {}, page="/settings/sim")
    owner.post(f"/settings/keys/{key}/revoke", {}, page="/settings/keys")


def test_a_disabled_client_is_shown_as_such_and_sends_nothing_by_hand(
    owned: RunningBox, owner: Visit
) -> None:
    owned.zimbox("client", "create", "--name", "Atelier")  # of a single client there is no choice
    client = owned.zimbox("client", "create", "--name", "En pause")["client_id"]
    number = client.removeprefix("client_")
    assert ">En pause</option>" in owner.get("/send").text
    owned.command("client", "disable", client)
    assert ">En pause</option>" not in owner.get("/send").text
    assert '<span class="tag">disabled</span>' in owner.get("/settings/keys").text
    fields = {"to": "+33612345678", "text": "non", "client": number}
    answer = owner.post("/send", fields, page="/send")
    assert answer.status_code == 400 and "This client is disabled" in answer.text
    hook = {"url": "https://example.com/", "events": "sms.sent", "client": "999"}
    shown = owner.post("/settings/webhooks", hook, page="/settings/webhooks").text
    assert "no longer there" in shown


def test_a_webhook_without_events_is_not_created(owner: Visit) -> None:
    fields = {"url": "https://example.com/nothing"}
    answer = owner.post("/settings/webhooks", fields, page="/settings/webhooks")
    assert "at least one must be chosen" in answer.text
    assert "example.com/nothing" not in owner.get("/settings/webhooks").text


def test_limits_hold_at_once_and_after_a_restart(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    fields = {"per_day": "1", "quiet_hours": "21:30 - 07:00", "billing_day": "5"}
    answer = visit.post("/settings/sim/1/limits", fields, page="/settings/sim")
    assert "21:30-07:00" in answer.text
    fields["quiet_hours"] = ""
    visit.post("/settings/sim/1/limits", fields, page="/settings/sim")
    program = box.client()
    program.until(program.send("+33612345678"), "delivered")
    box.stop()
    box.start()
    ready(box)
    visit = Visit(box.url)
    visit.login()
    shown = visit.get("/settings/sim").text
    assert 'name="per_day" inputmode="numeric" maxlength="12" value="1"' in shown
    assert 'name="billing_day" type="number" min="1" max="28" value="5"' in shown
    assert "1 / 1 per day" in visit.get("/").text


def test_a_modem_that_is_gone_for_good_is_removed(tmp_path: Path) -> None:
    both = RunningBox(tmp_path, modems=("sim", "sim")).start()
    program = both.client()
    eventually(lambda: len(program.get("/devices").json()["devices"]) == 2, "two modems")
    both.stop()
    box = RunningBox(tmp_path, modems=("sim",)).start()
    try:
        ready(box)
        (there,) = requests.get(f"{box.url}/health", timeout=REQUEST_SECONDS).json()["devices"]
        (gone,) = {1, 2} - {int(there["device_id"].removeprefix("device_"))}
        visit = Visit(box.url)
        visit.claim()
        shown = visit.get("/settings/sim").text
        assert "Modems no longer here" in shown and f"device_{gone}" in shown
        where = "/settings/sim/former/{}/remove"
        visit.post(where.format(3 - gone), {}, page="/settings/sim")
        visit.post(where.format(gone), {}, page="/settings/sim")
        assert "Modems no longer here" not in visit.get("/settings/sim").text
        program.url = box.url
        assert program.get("/devices").json()["devices"][0]["device_id"] == there["device_id"]
    finally:
        box.stop()


@pytest.mark.parametrize("wrong", ["21:30", "25:00-07:00", "a-b", "07:00-07:00"])
def test_invalid_quiet_hours_are_refused_with_a_reason(owner: Visit, wrong: str) -> None:
    answer = owner.post("/settings/sim/1/limits", {"quiet_hours": wrong}, page="/settings/sim")
    assert "Quiet hours are written 21:30-07:00." in answer.text


def test_a_blocked_number_gets_nothing_until_it_is_unblocked(
    owned: RunningBox, owner: Visit
) -> None:
    program = owned.client()
    number = "+33677755501"
    fields = {"number": "06 77 75 55 01", "reason": "=cmd()"}
    assert number in owner.post("/settings/blocked", fields, page="/settings/blocked").text
    answer = program.post("/sms/send", {"to": number, "message": "Bonjour"})
    assert code(answer, 403) == "BLOCKED_NUMBER"
    owner.post(
        "/settings/blocked/remove", {"number": number, "tenant": "0"}, page="/settings/blocked"
    )
    program.until(program.send(number), "delivered")


def test_a_double_tap_on_remove_is_not_an_error(owner: Visit) -> None:
    owner.post("/settings/blocked", {"number": "+33699999997"}, page="/settings/blocked")
    owner.post("/settings/keys", {"name": "double"}, page="/settings/keys")
    key = re.findall(r"/settings/keys/(\d+)/revoke", owner.get("/settings/keys").text)[-1]
    for path, page, fields in (
        (
            "/settings/blocked/remove",
            "/settings/blocked",
            {"number": "+33699999997", "tenant": "0"},
        ),
        (f"/settings/keys/{key}/revoke", "/settings/keys", {}),
    ):
        answers = [owner.post(path, fields, page=page) for _ in range(2)]
        assert [a.status_code for a in answers] == [200, 200], path
        assert all(a.url.endswith(page) and "not possible" not in a.text for a in answers)


def test_a_ussd_request_shows_the_operator_s_answer(owned: RunningBox, owner: Visit) -> None:
    owned.simulate(do="ussd", code="*100#", text="Solde : 12,34 EUR <b>")
    answer = owner.post("/settings/sim/1/ask", {"code": "*100#"}, page="/settings/sim")
    assert "12,34 EUR &lt;b&gt;" in answer.text
    assert "looks like *100#" in (
        owner.post("/settings/sim/1/ask", {"code": "AT+CFUN"}, page="/settings/sim").text
    )


def test_the_balance_is_asked_for_as_set_on_the_page_also_after_a_restart(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    box.simulate(do="ussd", code="[*]123#", text="Il vous reste 0,85 EUR.")
    wrong = visit.post(
        "/settings/sim/1/balance", {"code": "solde", "low": "2"}, page="/settings/sim"
    )
    assert "looks like *100#" in wrong.text
    for fields in ({"code": "*123#", "low": "deux"}, {"code": "*123#", "low": "2,50"}):
        answer = visit.post("/settings/sim/1/balance", fields, page="/settings/sim")
        assert ("An amount is written" in answer.text) == (fields["low"] == "deux")
    assert "nearly used up" not in visit.get("/").text
    visit.post("/settings/sim/1/ask", {"code": "*123#"}, page="/settings/sim")
    shown = visit.get("/").text
    assert "Il vous reste 0,85 EUR." in shown and "nearly used up" in shown
    assert "Il vous reste" not in requests.get(box.url, timeout=REQUEST_SECONDS).text, (
        "the owner's alone"
    )
    box.stop()
    box.start()
    visit = Visit(box.url)
    visit.login()
    assert 'name="code" maxlength="40" value="*123#"' in visit.get("/settings/sim").text


def test_times_are_shown_in_the_chosen_time_zone(new_box: NewBox) -> None:
    box = new_box()
    visit = Visit(box.url)
    visit.claim()
    wrong = visit.post("/settings/box", {"time_zone": "Mars/Olympus"}, page="/settings/box")
    assert "is no time zone" in wrong.text
    visit.post("/settings/box", {"time_zone": "Pacific/Auckland"}, page="/settings/box")
    assert "Pacific/Auckland" in visit.get("/settings/box").text
    box.stop()
    box.start()
    visit = Visit(box.url)
    visit.login()
    assert 'value="Pacific/Auckland"' in visit.get("/settings/box").text


def test_a_downloaded_backup_is_valid(owner: Visit) -> None:
    answer = owner.post("/settings/backup", {}, page="/settings/maintenance")
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.content[:2] == b"\x1f\x8b" and len(answer.content) > 1000


def test_a_modem_is_restarted(owned: RunningBox, owner: Visit) -> None:
    answer = owner.post("/settings/sim/1/restart", {}, page="/settings/sim")
    assert answer.status_code == 200
    ready(owned)


def test_the_support_file_has_no_numbers_and_no_texts(owned: RunningBox, owner: Visit) -> None:
    program = owned.client()
    program.until(program.send("+33655443322", "le mot de passe est tulipe"), "delivered")
    result = owner.get("/settings/box/support").text
    assert "SIM7600" in result and "event=part_sent" in result and "[sending]" in result
    for secret in ("655443322", "tulipe", program.api_key, "600000000", "8933010"):
        assert secret not in result, secret


class Receiver(BaseHTTPRequestHandler):
    """Somebody's server: takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on the test's output."""


@pytest.fixture
def receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/sms"
    server.shutdown()
    server.server_close()


def test_a_webhook_is_created_tested_logged_and_replayed(
    owned: RunningBox, log_in: Open, receiver: str
) -> None:
    person = log_in(owned.url, language="en", size="phone")
    person.go("/settings/webhooks")
    person.fill("url", "http://169.254.169.254/latest")
    person.click("main form button.primary")
    person.wait_for("webhook URL is invalid or not allowed")
    person.fill("url", receiver)
    person.click("main form button.primary")
    person.wait_for("it is shown this once")
    assert person.find(".secret").text.startswith("whsec_")
    person.press("Test")
    person.wait_for("Your server answered 204.")
    client = owned.client(of="client_1")
    client.until(client.send("+33655443311", "Bonjour"), "delivered")

    def logged() -> bool:
        person.go("/settings/webhooks")
        person.press("Log")
        return "sms.delivered" in person.text

    eventually(logged, "the call is in the log")
    assert not person.wider_than_the_screen(), "the table scrolls, not the page"
    person.press("Send again")
    person.wait_for("The notification goes out again.")
    person.go("/settings/webhooks")
    person.press("Remove")
    person.press("Remove this webhook")
    person.wait_for("No webhook.")
    assert [line for line in person.console if "400" not in line] == []  # of the refused address


def test_a_pin_typed_once_is_enough_after_a_power_cut(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    box.simulate(do="sim", iccid="8933019999999999999", pin="4321")
    box.simulate(do="restart")
    eventually(lambda: 'name="pin"' in visit.get("/settings/sim").text, "the PIN is asked for")
    answer = visit.post("/settings/sim/1/pin", {"pin": "4321"}, page="/settings/sim")
    assert "Done." in answer.text
    for file in box.data.iterdir():
        assert b"4321" not in file.read_bytes() or file.name == "secret.key", file
    box.kill()
    box.start()  # the simulated card of a new start has the PIN that the box would enter
    ready(box)
    box.simulate(do="pin", wanted=True)  # a card without the PIN that was kept stays locked now
    box.simulate(do="restart")
    eventually(
        lambda: (
            box.simulate(do="status")["sim"]["state"] == "READY"
            and box.simulate(do="status")["starts"] > 1
        ),
        "the box has opened the SIM by itself",
    )
    ready(box)
