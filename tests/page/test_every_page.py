"""Every page, in both languages, on a phone and a desk, by day and by night: nothing serious anywhere."""

from __future__ import annotations

import pytest

from tests.box.running import Client, RunningBox
from tests.page.conftest import Open

pytestmark = pytest.mark.xdist_group(__name__)  # one worker, one box

OPEN_PAGES = ("/", "/login")
OWNED_PAGES = (
    *("/", "/welcome", "/messages", "/messages?mode=test", "/send", "/inbox", "/settings"),
    *("/settings/keys", "/settings/webhooks", "/settings/webhooks/2/log", "/settings/sim"),
    *("/settings/blocked", "/settings/box", "/messages/msg_0000000000000000"),
)


@pytest.mark.parametrize(
    ("language", "size", "dark"),
    [("fr", "phone", False), ("en", "desktop", False), ("en", "phone", True)],
)
def test_every_page_is_sound(
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
        refused = [line for line in looker.console if "msg_0000000000000000" not in line]
        assert refused == []


def test_the_page_can_be_used_with_the_keyboard_alone(owned: RunningBox, log_in: Open) -> None:
    """The first stop leads past the menu; every stop can be seen."""
    person = log_in(owned.url, language="en")
    person.go("/settings")
    seen: list[str] = []
    for _ in range(14):
        person.tab()
        told = person.driver.execute_script(
            "const e = document.activeElement;"
            "return [e.innerText, getComputedStyle(e).outlineStyle, e.getBoundingClientRect().width]"
        )
        seen.append(told[0])
        assert told[1] != "none" and told[2] > 0, told
    assert seen[0] == "Skip to content"
    assert any("Clients and keys" in text for text in seen)
