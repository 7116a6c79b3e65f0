"""Take pictures of every page: `scripts/screenshots [FOLDER]`, on a box with a simulated modem."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.box.running import QUICK_DRIVER, Client, RunningBox, eventually
from tests.page.browser import Browser, Size, browser
from tests.page.conftest import ready
from tests.page.image import Image, release
from tests.page.owner import PASSWORD, Visit
from tests.page.states import STATES
from tests.page.troubles import TROUBLES

LOOKS: tuple[tuple[str, Size, bool], ...] = (
    ("fr", "phone", False),
    ("en", "desktop", False),
    ("en", "phone", True),
    ("fr", "desktop", True),
)
MAINTENANCE = "/settings/maintenance"
PAGES = {
    "status": "/",
    "messages": "/messages",
    "send": "/send",
    "inbox": "/inbox",
    "settings": "/settings",
    "keys": "/settings/keys",
    "webhooks": "/settings/webhooks",
    "sim": "/settings/sim",
    "blocked": "/settings/blocked",
    "box": "/settings/box",
    "maintenance": MAINTENANCE,
    "lost": "/nowhere",
}
# What a page must bear: right to left, one endless word, nothing but pictures, markup.
HARD = {
    "rtl": "مرحبا، طلبك رقم 4812 جاهز للاستلام اليوم حتى الساعة 19:00",
    "german": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft "
    * 2,
    "emoji": "😊" * 800,
    "markup": "<script>alert(1)</script> & =SUMME(A1)",
}
TEXTS = (
    "Votre commande n° 4812 est prête. À tout de suite !",
    "Rappel : rendez-vous mardi à 10 h 30 avec le Dr Martin. Répondez STOP pour ne plus en recevoir.",
    "Code de retrait : casier 7. Ouvert jusqu’à 19 h.",
    "Your parcel arrives today between 2 and 4 pm.",
    "Merci pour votre visite 😊",
)


def sit(box: RunningBox) -> str:
    """Something to see: messages in every state, answers, a blocked number. Returns one's id."""
    client = box.client()
    box.simulate(do="send", to="+33612000003", cms=1, times=None)
    box.simulate(do="report", to="+33612000004", lost=True, times=None)
    sent = [client.send(f"+3361200000{n}", TEXTS[n % 5]) for n in range(8)]
    for n, message_id in enumerate(sent):
        client.until(message_id, "failed" if n == 3 else "sent" if n == 4 else "delivered")
    box.simulate(do="incoming", sender="+33612000001", text="Oui, merci, à mardi !")
    box.simulate(do="incoming", sender="ZimMobile", text="Votre forfait est renouvelé.")
    _more(client)
    return sent[1]


def _more(client: Client) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    client.send("+33612000009", "Bonjour, c’est demain !", scheduled_at=tomorrow.isoformat())
    client.post("/blocklist", {"number": "+33612000066", "reason": "ne veut plus de SMS"})


def first_visit(box: RunningBox, folder: Path, language: str, size: Size) -> None:
    """The first visit, step by step."""
    with _browser(box, language, size, dark=False) as person:

        def keep(name: str) -> None:
            person.picture(folder / f"{name}-{language}-{size}.png")

        person.go("/")
        keep("first-1-new")
        person.go("/claim")
        keep("first-2-claim")
        person.fill("password", PASSWORD)
        person.fill("again", PASSWORD)
        person.click("main form button")
        french = language == "fr"
        go_on = "Continuer" if french else "Go on"
        person.go("/welcome?step=sim")
        person.wait_for("ZimSim")
        keep("first-3-sim")
        person.press(go_on)
        person.fill("own_number", "06 12 34 56 78")
        keep("first-3-you")
        person.press(go_on)
        person.press("Envoyer un SMS" if french else "Send an SMS to")
        person.wait_for_badge("Remis" if french else "Delivered")
        keep("first-4-delivered")
        person.press(go_on)
        person.press("Créer la clé" if french else "Create the key")
        person.wait_until(lambda: bool(person.all(".take")), "the key")
        keep("first-5-key")
        person.press("Terminer" if french else "Finish")


def _browser(
    box: RunningBox, language: str, size: Size, *, dark: bool
) -> AbstractContextManager[Browser]:
    profile = Path(tempfile.mkdtemp(prefix="zimbox-look-"))
    return browser(box.url, profile, size=size, language=language, dark=dark)


def log_in(person: Browser) -> None:
    person.go("/login")
    person.fill("password", PASSWORD)
    person.click("main form button")
    person.wait_until(lambda: person.path == "/", "logged in")


def hard_texts(box: RunningBox) -> dict[str, str]:
    """A delivered message of each hard text: its page."""
    client = box.client(of="client_1")
    found = {name: client.send("+33612000010", text) for name, text in HARD.items()}
    for message_id in found.values():
        client.until(message_id, "delivered", seconds=120)
    return {name: f"/messages/{message_id}" for name, message_id in found.items()}


def for_the_documents(box: RunningBox, folder: Path, story: str) -> None:
    """The pictures of README.md and the manual, before the box has texts that only test the layout."""
    looks: tuple[tuple[str, Size], ...] = (("en", "desktop"), ("fr", "phone"))
    for language, size in looks:
        with _browser(box, language, size, dark=False) as person:
            log_in(person)
            for name, path in (("status", "/"), ("message", f"/messages/{story}")):
                person.go(path)
                person.picture(folder / f"{name}-{language}-{size}.png")


def every_page(box: RunningBox, folder: Path, story: str) -> None:
    hard = hard_texts(box)
    documented = {
        folder / f"{name}-{tag}.png"
        for name in ("status", "message")
        for tag in ("en-desktop", "fr-phone")
    }
    for language, size, dark in LOOKS:
        with _browser(box, language, size, dark=dark) as person:
            tag = f"{language}-{size}{'-dark' if dark else ''}"
            person.go("/")
            person.picture(folder / f"public-{tag}.png")
            log_in(person)
            for name, path in {**PAGES, "message": f"/messages/{story}", **hard}.items():
                person.go(path)
                if name == "send":
                    person.fill("to", "+33612000001")
                    person.fill("text", "Bonjour, ça fait 12 € — à bientôt !")
                    person.wait_for("UCS-2")
                if folder / f"{name}-{tag}.png" not in documented:
                    person.picture(folder / f"{name}-{tag}.png")


def bad_states(box: RunningBox, folder: Path) -> None:
    client = box.client()
    with (
        _browser(box, "fr", "phone", dark=False) as french,
        _browser(box, "en", "desktop", dark=False) as english,
    ):
        french.go("/")
        english.go("/")
        for state in STATES:
            french.wait_for("Tout va bien")
            for order in state.begin:
                box.simulate(**order)
            for n in range(state.sends):
                client.send(f"+3361234560{n}", "Bonjour")
            french.wait_for(state.french)
            english.wait_for(state.english)
            french.picture(folder / f"bad-{state.name}-fr-phone.png")
            english.picture(folder / f"bad-{state.name}-en-desktop.png")
            for order in state.end:
                box.simulate(**order)


def troubles(folder: Path) -> None:
    """What goes wrong with a box itself, one box each."""
    for trouble in TROUBLES:
        with trouble.happens(Path(tempfile.mkdtemp(prefix="zimbox-sits-"))) as box:
            for language, size, dark in LOOKS[:2]:
                with _browser(box, language, size, dark=dark) as person:
                    person.go("/")
                    person.wait_for(trouble.french if language == "fr" else trouble.english)
                    person.picture(folder / f"bad-{trouble.name}-{language}-{size}.png")


def update_and_restore(folder: Path) -> None:
    """An update from the form to its outcome, and a checked backup, on a box with a steward."""
    home = Path(tempfile.mkdtemp(prefix="zimbox-sits-"))
    for n, (language, size, _) in enumerate(LOOKS[:2]):
        here = home / str(n)
        here.mkdir()
        image = Image(here)
        try:
            image.switch_on()
            ready(image.box)
            owner = Visit(image.box.url)
            owner.claim()
            backup = here / "backup.tar.gz"
            backup.write_bytes(owner.post("/settings/backup", {}, page=MAINTENANCE).content)
            with _browser(image.box, language, size, dark=False) as person:
                log_in(person)

                def keep(
                    name: str, person: Browser = person, tag: str = f"{language}-{size}"
                ) -> None:
                    person.picture(folder / f"{name}-{tag}.png")

                person.go(MAINTENANCE)
                keep("update-1-form")
                person.find("#bundle").send_keys(str(release(here, "0.9.0")))
                person.press("Mettre à jour" if language == "fr" else "Update now")
                person.wait_until(lambda p=person: bool(p.all(".progress")), "under way")  # type: ignore[misc]
                keep("update-2-steps")
                person.wait_until(lambda p=person: "0.9.0" in p.find("footer").text, "updated")  # type: ignore[misc]
                keep("update-3-done")
                person.find("#backup").send_keys(str(backup))
                person.press("Vérifier ce fichier" if language == "fr" else "Check this file")
                person.wait_until(lambda p=person: bool(p.all("#restore .points")), "checked")  # type: ignore[misc]
                keep("restore-1-checked")
        finally:
            image.end()


def main(folder: Path) -> None:
    """All pictures into this folder."""
    made: list[RunningBox] = []
    try:
        for language, size, _ in LOOKS[:2]:
            box = RunningBox(Path(tempfile.mkdtemp(prefix="zimbox-sits-")), QUICK_DRIVER)
            made.append(box.start())
            ready(box)
            first_visit(box, folder, language, size)
        timeline = sit(made[0])
        eventually(lambda: "ZimMobile" in _inbox(made[0]), "the answers are in the inbox")
        for_the_documents(made[0], folder, timeline)
        every_page(made[0], folder, timeline)
        bad_states(made[1], folder)
        update_and_restore(folder)
        troubles(folder)
    finally:
        for box in made:
            box.stop()


def _inbox(box: RunningBox) -> str:
    visit = Visit(box.url)
    visit.login()
    return visit.get("/inbox").text


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
