"""What forms never do: lose what was typed, say another's words, destroy at one tap, go twice."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
import requests

from tests.box.running import RunningBox, eventually
from tests.page.conftest import Open, ready
from tests.page.owner import REQUEST_SECONDS, Visit

pytestmark = pytest.mark.seconds(25)

NewBox = Callable[..., RunningBox]


@pytest.mark.parametrize(
    ("page", "path", "fields", "wrong", "kept"),
    [
        (
            *("/settings/sim", "/settings/sim/1/limits"),
            *({"per_day": "beaucoup", "per_month": "4321", "quiet_hours": "22:00-07:00"},),
            *("per_day", ["beaucoup", "4321", "22:00-07:00"]),
        ),
        (
            *("/settings/sim", "/settings/sim/1/limits"),
            *({"per_day": "77", "quiet_hours": "le soir"}, "quiet_hours", ["77", "le soir"]),
        ),
        (
            *("/settings/sim", "/settings/sim/1/balance"),
            *({"code": "*123#", "low": "deux"}, "low", ["*123#", "deux"]),
        ),
        (
            *("/settings/webhooks", "/settings/webhooks"),
            *({"url": "http://example.com/x", "events": "sms.sent"}, "url"),
            ["http://example.com/x"],
        ),
        (
            *("/settings/box", "/settings/box"),
            *({"own_number": "12 34", "time_zone": "Europe/Zurich"}, "own_number", ["12 34"]),
        ),
        ("/settings/blocked", "/settings/blocked", {"number": "7", "reason": "bruit"}, "number", ["7", "bruit"]),
        (
            *("/settings/keys", "/settings/keys"),
            *({"name": "caisse", "prefixes": "33", "mode": "test"}, "prefixes", ["caisse", "33"]),
        ),
        ("/welcome?step=you", "/welcome/basics", {"own_number": "abc"}, "own_number", ["abc"]),
    ],
)  # fmt: skip
def test_what_was_typed_stays_and_the_error_stands_at_its_field(
    owner: Visit, page: str, path: str, fields: dict[str, str], wrong: str, kept: list[str]
) -> None:
    answer = owner.post(path, fields, page=page).text
    for value in kept:
        assert f'value="{value}"' in answer, f"{value!r} is lost"
    field = next(
        part for part in answer.split("<") if f'name="{wrong}"' in part and "invalid" in part
    )
    assert 'aria-invalid="true"' in field
    named = field.partition('aria-describedby="')[2].partition('"')[0].split()[-1]
    assert f'<p class="wrong" id="{named}"' in answer
    assert 'class="alert bad"' not in answer, "said once, at the field"
    again = owner.get(page).text
    assert 'aria-invalid="true"' not in again and 'class="wrong" id=' not in again


def test_the_time_zone_that_was_chosen_stays_beside_a_wrong_number(owner: Visit) -> None:
    fields = {"own_number": "12", "time_zone": "Europe/Zurich"}
    answer = owner.post("/settings/box", fields, page="/settings/box").text
    assert '<option value="Europe/Zurich" selected>Zurich</option>' in answer


@pytest.mark.parametrize(
    "page",
    [
        *("/settings/sim", "/settings/box", "/settings/webhooks", "/settings/keys", "/welcome"),
        *("/settings/maintenance", "/settings/blocked", "/settings/webhooks/2/log"),
    ],
)
def test_text_of_an_address_is_never_the_word_of_the_box(owner: Visit, page: str) -> None:
    lie = "Your SIM is blocked, call +33899123456"
    names = ("error", "answer", "saved", "tested", "message", "notice")
    query = "&".join(f"{name}={quote(lie)}" for name in names)
    text = owner.get(f"{page}?{query}").text
    assert "call +33899123456" not in text.partition("<main")[2]
    assert 'class="alert' not in text


def test_what_one_browser_is_told_no_other_browser_reads(owned: RunningBox, owner: Visit) -> None:
    other = Visit(owned.url)
    other.login()
    path = "/settings/sim/1/limits"
    owner.post(path, {"per_day": "zzz"}, page="/settings/sim", follow=False)
    assert "zzz" not in other.get("/settings/sim").text
    assert "zzz" in owner.get("/settings/sim").text


def test_nothing_that_cannot_be_undone_goes_at_one_tap(
    owned: RunningBox, log_in: Open, owner: Visit
) -> None:
    fields = {"events": "sms.sent"}
    owner.post(
        "/settings/webhooks", {**fields, "url": "https://198.41.0.4/"}, page="/settings/webhooks"
    )
    person = log_in(owned.url, language="en", size="phone")
    for page in ("/settings/sim", "/settings/webhooks", "/settings/keys", "/settings/maintenance"):
        person.go(page)
        assert person.shown(".danger") == [], f"{page}: at one tap"
    person.go("/settings/webhooks")
    person.press("Remove")
    person.wait_for("the signing secret is lost")
    person.press("Remove this webhook")
    person.wait_for("No webhook.")


def test_a_secret_can_be_copied_and_has_a_qr_code(owned: RunningBox, log_in: Open) -> None:
    person = log_in(owned.url, language="en", size="phone")
    person.go("/settings/webhooks")
    person.fill("url", "https://198.41.0.4/hook")
    person.press("Add")
    person.wait_for("it is shown this once")
    secret = person.find("#secret").text
    assert secret.startswith("whsec_") and person.all(".take svg.qr")
    person.press("Copy")
    person.wait_for("Copied")
    assert person.pasted() == secret
    person.press("Remove")
    person.press("Remove this webhook")
    person.wait_for("No webhook.")


def test_a_password_can_be_shown(owned: RunningBox, open_browser: Open) -> None:
    person = open_browser(owned.url, language="en", size="phone")
    person.go("/login")
    person.fill("password", "wrong one")
    person.press("Forgotten password?")
    person.wait_for("forget_owner = true")
    assert person.find("#password").get_attribute("type") == "password"
    person.click('[data-reveals="password"]')
    assert person.find("#password").get_attribute("type") == "text"
    assert person.find("#password").get_attribute("value") == "wrong one"


def test_the_settings_of_the_sim_follow_the_modem(new_box: NewBox, log_in: Open) -> None:
    box = new_box()
    ready(box)
    Visit(box.url).claim()
    person = log_in(box.url, language="en", size="phone")
    person.go("/settings/sim")
    person.wait_until(lambda: "Ready" in person.find(".facts").text, "ready")
    person.find("#per_day-1").send_keys("12")
    box.simulate(do="registration", stat=2)
    person.wait_until(lambda: "Searching" in person.find(".facts").text, "the state, live")
    box.simulate(do="registration", stat=1)
    person.wait_until(lambda: "Ready" in person.find(".facts").text, "the state, live")
    typed = person.find("#per_day-1").get_attribute("value")
    assert typed == "12", "what is being typed stays"


def test_the_verdict_looks_at_the_failures_of_the_last_hours_and_leads_to_them(
    new_box: NewBox, log_in: Open
) -> None:
    box = new_box()
    ready(box)
    Visit(box.url).claim()
    person = log_in(box.url, language="en", size="phone")
    person.wait_for("All is well, on a simulated modem.")
    person.wait_for("Nothing goes on the air.")
    client = box.client()
    box.simulate(do="send", to="+33612000003", cms=1, times=None)
    for n in range(3):
        failed = client.send("+33612000003", f"no such number {n}")
        client.until(failed, "failed")
    person.wait_for("3 of 3 SMS of the last 3 hours have failed")
    assert "All is well" not in person.text

    def followed() -> bool:
        """The row may be replaced by its like between being found and being pressed."""
        (row,) = [one for one in person.all(".region-today li") if "Failures" in one.text]
        person.click(row.find_element("css selector", "a"))
        return True

    person.wait_until(followed, "the row of the failures leads on")
    person.wait_until(lambda: person.path == "/messages", "the failed messages")
    assert len(person.all(".rows li")) == 3
    assert {badge.text for badge in person.all(".rows .badge")} == {"Failed"}


def test_the_chart_has_a_scale_and_says_the_figures_of_the_day_that_is_tapped(
    new_box: NewBox, log_in: Open
) -> None:
    box = new_box()
    ready(box)
    Visit(box.url).claim()
    client = box.client()
    client.until(client.send("+33612345678", "Bonjour"), "delivered")
    person = log_in(box.url, language="en", size="phone")
    person.wait_for("06 12 34 56 78")

    def scaled() -> bool:
        scale = [one.text for one in person.all(".levels-of span")]
        return len(scale) >= 2 and scale[-1] == "0"

    person.wait_until(scaled, "a scale down to 0")

    figures = "1 SMS, 1 delivered, 0 sent, 0 failed"

    def said() -> bool:
        person.click(person.all(".chart g")[-1])
        return figures in person.text

    person.wait_until(said, "the figures of the day")
    person.go("/")
    assert figures not in person.text

    def said_at_a_touch() -> bool:
        person.touch(".chart g")
        return figures in person.text

    person.wait_until(said_at_a_touch, "the figures of the day under a finger")


def test_the_manual_and_the_reference_are_on_the_box_and_lead_back(
    owned: RunningBox, open_browser: Open
) -> None:
    for language, heading in (("fr", "La page du boîtier"), ("en", "The status page")):
        person = open_browser(owned.url, language=language, size="phone")
        person.go("/manual")
        assert person.find("h1").text == heading
        links = [one.get_attribute("href") for one in person.all(".manual a[href]")]
        assert all(link.startswith(f"{owned.url}/manual#") for link in links if link)
        person.go("/schema")
        person.click(".brand")
        person.wait_for("ZimSim")
        assert person.strangers() == []


def test_the_anchors_of_the_manual_are_there(owned: RunningBox) -> None:
    for language in ("fr", "en"):
        headers = {"Accept-Language": language}
        login = requests.get(owned.url + "/login", headers=headers, timeout=REQUEST_SECONDS).text
        anchor = login.partition('href="/manual#')[2].partition('"')[0]
        assert anchor
        text = requests.get(owned.url + "/manual", headers=headers, timeout=REQUEST_SECONDS).text
        assert f'id="{anchor}"' in text


def test_an_upload_shows_its_progress_and_cannot_be_pressed_twice(
    owned: RunningBox, log_in: Open, tmp_path: object
) -> None:
    person = log_in(owned.url, language="en", size="phone")
    person.go("/settings/maintenance")
    script = """
    window.seen = [];
    const bar = document.querySelector('#restore progress');
    new MutationObserver(() => window.seen.push(bar.max + ':' + bar.hidden)).observe(
      bar, {attributes: true});
    const file = new File([new Uint8Array(6 << 20)], 'b.tar.gz');
    const list = new DataTransfer(); list.items.add(file);
    document.querySelector('#backup').files = list.files;
    const form = document.querySelector('#restore form');
    let sent = 0;
    const open = XMLHttpRequest.prototype.open;
    XMLHttpRequest.prototype.open = function (...words) { sent += 1; open.apply(this, words); };
    form.requestSubmit(); form.requestSubmit();
    return sent;
    """
    assert person.driver.execute_script(script) == 1, "pressed twice, sent once"
    person.wait_for("This file is not a complete backup of a ZimBox.")
    eventually(lambda: not list(owned.data.glob("incoming/*")), "nothing is left of it")
