"""How long the first visit takes at a person's pace, first page to *All is well*: `scripts/bench-page visit`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tests.box.running import RunningBox
from tests.page.browser import Browser, Size, browser
from tests.page.owner import PASSWORD

KEY_SECONDS = 0.25  # about 48 words a minute
POLL_SECONDS = 3.0  # to read what has come, and to find and press what comes next
NETWORK = {"ZIMBOX_SIMULATOR_LATENCY_SECONDS": "3", "ZIMBOX_SIMULATOR_REPORT_SECONDS": "4"}
OWN = "+33612345678"
WORDS = {
    "fr": ("Commencer", "C’est mon boîtier", "Continuer", "Envoyer un SMS", "Remis")
    + ("Créer la clé", "Terminer", "Tout va bien"),
    "en": ("Set it up", "This is my box", "Go on", "Send an SMS", "Delivered")
    + ("Create the key", "Finish", "All is well"),
}


class Person:
    """Types and presses no faster than somebody who sees the page for the first time."""

    def __init__(self, page: Browser) -> None:
        self._page = page
        self.keys = 0
        self.presses = 0

    def fill(self, name: str, text: str) -> None:
        self._page.fill(name, text)
        self.keys += len(text)
        time.sleep(len(text) * KEY_SECONDS)  # a person's pace

    def press(self, label: str) -> None:
        time.sleep(POLL_SECONDS)  # a person's pace
        self._page.press(label)
        self.presses += 1


def visit(page: Browser, language: str) -> dict[str, object]:
    """The whole of it on a box that has just been switched on."""
    begin, mine, save, send, delivered, key, finish, well = WORDS[language]
    person = Person(page)
    started = time.monotonic()
    page.go("/")
    person.press(begin)
    person.fill("password", PASSWORD)
    person.fill("again", PASSWORD)
    person.press(mine)
    page.wait_until(lambda: any(page.all(css) for css in ("#own_number", ".found")), "a step")
    if not page.all("#own_number"):
        person.press(save)
    person.fill("own_number", OWN)
    person.press(save)
    person.press(send)
    page.wait_for_badge(delivered)
    sent = time.monotonic() - started
    person.press(save)
    person.press(key)
    page.wait_until(lambda: bool(page.all(".take")), "the key")
    person.press(finish)
    page.wait_for(well)
    return {
        "language": language,
        "delivered_after_seconds": round(sent, 1),
        "over_after_seconds": round(time.monotonic() - started, 1),
        "keys": person.keys,
        "presses": person.presses,
    }


def main() -> None:
    """In French on a phone, in English at a desk, each on a new box."""
    looks: list[tuple[str, Size]] = [("fr", "phone"), ("en", "desktop")]
    for language, size in looks:
        home = Path(tempfile.mkdtemp(prefix="zimbox-bench-"))
        box = RunningBox(home, NETWORK).start()
        try:
            with browser(box.url, home / "profile", size=size, language=language) as page:
                sys.stdout.write(json.dumps(visit(page, language)) + "\n")
        finally:
            box.stop()


if __name__ == "__main__":
    main()
