"""Every page in both languages, on a phone and a desktop, light and dark: valid and accessible."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.box.running import Client, RunningBox
from tests.page.conftest import Open
from tests.page.owner import PASSWORD

pytestmark = pytest.mark.seconds(35)

OPEN_PAGES = ("/", "/login", "/manual", "/schema")
OWNED_PAGES = (
    *(
        "/",
        "/welcome",
        "/messages",
        "/messages?mode=test",
        "/send",
        "/inbox",
        "/conversations",
        "/settings",
    ),
    *("/settings/keys", "/settings/webhooks", "/settings/webhooks/2/log", "/settings/sim"),
    *("/settings/blocked", "/settings/box", "/settings/maintenance"),
    *("/messages/msg_0000000000000000", "/nowhere"),
)


@pytest.mark.parametrize(
    ("language", "size", "dark"),
    [("fr", "phone", False), ("en", "desktop", False), ("en", "phone", True)],
)
def test_every_page_is_valid_and_accessible(
    owned: RunningBox,
    client: Client,
    open_browser: Open,
    log_in: Open,
    axe: str,
    language: str,
    size: str,
    dark: bool,
) -> None:
    sent = client.send("+33612345678", "Un SMS de plus, <b>pas</b> de gras : " + "x" * 200)
    client.until(sent, "delivered")
    stranger = open_browser(owned.url, language=language, size=size, dark=dark)
    person = log_in(owned.url, language=language, size=size, dark=dark)
    for looker, pages in ((stranger, OPEN_PAGES), (person, (*OWNED_PAGES, f"/messages/{sent}"))):
        for page in pages:
            looker.go(page)
            assert looker.faults(axe) == [], page
            assert not looker.wider_than_the_screen(), page
            assert looker.find("html").get_attribute("lang") == language
            assert len(looker.all("h1")) == 1, page
        assert looker.strangers() == []
        missing = ("msg_0000000000000000", "/nowhere")  # a browser's console tells of a 404
        assert [line for line in looker.console if not any(m in line for m in missing)] == []


def test_the_page_can_be_used_with_the_keyboard_alone(owned: RunningBox, log_in: Open) -> None:
    """The first stop leads past the menu; every stop can be seen."""
    person = log_in(owned.url, language="en")
    person.go("/settings")
    seen: list[str] = []
    for _ in range(14):
        person.tab()
        result = person.driver.execute_script(
            "const e = document.activeElement;"
            "return [e.innerText, getComputedStyle(e).outlineStyle, e.getBoundingClientRect().width]"
        )
        seen.append(result[0])
        assert result[1] != "none" and result[2] > 0, result
    assert seen[0] == "Skip to content"
    assert any("Clients and keys" in text for text in seen)


def test_without_a_mouse_one_logs_in_and_sends(owned: RunningBox, open_browser: Open) -> None:
    """Tab, type, Enter: nothing else."""
    person = open_browser(owned.url, language="en")
    person.go("/login")
    person.wait_until(lambda: person.focused == "password", "the field has the focus by itself")
    person.type(PASSWORD + Keys.ENTER)
    person.wait_until(lambda: person.path == "/", "logged in")
    person.go("/send")
    person.tab_to("to")
    person.type("+33612340001")
    person.tab_to("text")
    person.type("without a mouse")
    while person.focused != "Send":
        person.tab()
    person.type(Keys.ENTER)
    person.wait_for_badge("Delivered")


def test_without_javascript_everything_can_be_read_and_forms_work(
    owned: RunningBox, client: Client, log_in: Open
) -> None:
    sent = client.send("+33612340002", "read without a script")
    client.until(sent, "delivered")
    person = log_in(owned.url, language="en", size="phone", scripts=False)
    for path in (*OWNED_PAGES, f"/messages/{sent}"):
        person.go(path)
        assert person.all("main h1"), path
    person.go("/")
    assert "read without a script" in person.find("main").text
    assert "does not update by itself" in person.find("main").text
    person.go("/settings/blocked")
    person.fill("number", "+33612340003")
    person.click("main form button")
    # A click does not wait for the page that a form leads to.
    person.wait_until(lambda: "+33612340003" in person.find("main").text, "the number is blocked")
