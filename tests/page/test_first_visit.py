"""The first visit from plugging in to the first SMS, in two languages, on a phone and a desktop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from shutil import which

import pytest

from tests.box.running import RunningBox, eventually
from tests.page.browser import Browser
from tests.page.conftest import Open, ready
from tests.page.owner import PASSWORD, Visit

pytestmark = pytest.mark.seconds(40)

NewBox = Callable[..., RunningBox]
OWN = "+33612345678"
OTHER_SIM = "8933019999999999999"


@pytest.mark.parametrize(("language", "size"), [("fr", "phone"), ("en", "desktop")])
def test_the_first_visit_ends_with_an_sms_delivered_and_a_key_that_works(
    new_box: NewBox, open_browser: Open, language: str, size: str
) -> None:
    box = new_box()
    french = language == "fr"
    person = open_browser(box.url, language=language, size=size)
    person.go("/")
    person.press("Commencer" if french else "Set it up")
    person.fill("password", PASSWORD)
    person.fill("again", f"not {PASSWORD}")
    person.press("C’est mon boîtier" if french else "This is my box")
    person.wait_for("ne sont pas les mêmes" if french else "are not the same")
    assert person.find("#again").get_attribute("aria-describedby") == "again-wrong"
    refused = f"{box.url}/claim - "
    person.fill("password", PASSWORD)
    person.fill("again", PASSWORD)
    person.press("C’est mon boîtier" if french else "This is my box")
    go_on = "Continuer" if french else "Go on"
    step = "Étape {} sur 4" if french else "Step {} of 4"
    # The network is found while the person looks on; a box that has it already begins with the next step.
    person.wait_until(lambda: any(step.format(n) in person.text for n in (1, 2)), "a step")
    if step.format(1) in person.text:
        person.wait_for("ZimSim")
        one_button(person, go_on)
        person.press(go_on)
    person.wait_for(step.format(2))
    one_button(person, go_on)
    person.fill("own_number", "06 12" if french else "12345")
    if not french:
        person.choose("time_zone", "Europe/Zurich")
    person.press(go_on)
    person.wait_for("format international" if french else "international format")
    assert person.find("#own_number").get_attribute("value") == ("06 12" if french else "12345")
    assert person.find("#own_number").get_attribute("aria-invalid") == "true"
    zone = person.find("#time_zone").get_attribute("value")
    assert zone == ("Europe/Paris" if french else "Europe/Zurich"), "what was chosen stays"
    person.fill("own_number", "06 12 34 56 78" if french else OWN)
    person.press(go_on)
    person.wait_for(step.format(3))
    shown = "06 12 34 56 78"  # as the country of one's own number writes it, whatever the zone
    person.press(f"Envoyer un SMS à {shown}" if french else f"Send an SMS to {shown}")
    person.wait_for_badge("Remis" if french else "Delivered")
    one_button(person, go_on)
    assert [sms["recipient"] for sms in box.received()] == [OWN]
    person.press(go_on)
    person.wait_for(step.format(4))
    make = "Créer la clé" if french else "Create the key"
    one_button(person, make)
    person.press(make)
    person.wait_for("elle n’est montrée que cette fois" if french else "it is shown this once")
    key = person.find(".secret").text
    assert {element.text for element in person.all(".take .code")} == {
        key, "client_1", f"{box.url}/v1",
    }  # fmt: skip
    assert len(person.all(".take [data-copy]")) == len(person.all(".take svg.qr")) == 3
    person.press("Copier" if french else "Copy")
    person.wait_for("Copié" if french else "Copied")
    assert person.pasted() == key
    person.press("Exemples" if french else "Examples")
    person.wait_for("curl -X POST")
    curl, python, php = (block.text for block in person.all("pre"))
    for line in (curl, python, php):
        assert key in line and f"{box.url}/v1/sms/send" in line and "client_1" in line
    for n, command in enumerate((["sh", "-c", curl], [sys.executable, "-c", python], None), 2):
        if command is None:
            if which("php") is None:
                continue
            command = ["php", "-r", php.removeprefix("<?php\n")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        eventually(lambda n=n: len(box.received()) == n, f"{command[0]} has sent")  # type: ignore[misc]
    person.press("Terminer" if french else "Finish")
    person.wait_for("Tout va bien" if french else "All is well")
    person.go("/settings/keys")
    assert key not in person.driver.page_source, "shown once"
    assert person.strangers() == []
    assert [line for line in person.console if not line.startswith(refused)] == []


def one_button(person: Browser, label: str) -> None:
    """A step has one primary button, in view."""
    assert person.shown(".primary") == [label]
    bottom = person.driver.execute_script(
        "return [...document.querySelectorAll('.primary')].find((e) => e.checkVisibility())"
        ".getBoundingClientRect().bottom - innerHeight"
    )
    assert bottom <= 0, "the button is in view without scrolling"


def test_a_sim_that_wants_its_pin_is_unlocked_on_the_page(
    new_box: NewBox, open_browser: Open
) -> None:
    box = new_box()
    ready(box)
    box.simulate(do="sim", iccid=OTHER_SIM, pin="4321")
    box.simulate(do="restart")
    person = open_browser(box.url, language="en", size="phone")
    person.go("/")
    person.wait_for("The SIM card asks for its PIN")
    person.go("/claim")
    person.fill("password", PASSWORD)
    person.fill("again", PASSWORD)
    person.press("This is my box")
    person.wait_for("Tries left: 3")
    person.fill("pin", "1111")
    person.press("Unlock")
    person.wait_for("The card did not accept it")
    person.wait_for("Tries left: 2")
    person.fill("pin", "4321")
    person.press("Unlock")
    person.wait_for("ZimSim")


def test_the_page_never_spends_the_last_pin_try(new_box: NewBox, open_browser: Open) -> None:
    box = new_box()
    ready(box)
    box.simulate(do="sim", iccid=OTHER_SIM, pin="4321")
    box.simulate(do="pin", tries=1)
    box.simulate(do="restart")
    person = open_browser(box.url, language="fr")
    person.go("/")
    person.wait_for("Il ne reste qu’un essai")
    person.go("/claim")
    person.fill("password", PASSWORD)
    person.fill("again", PASSWORD)
    person.press("C’est mon boîtier")
    person.wait_for("Il ne reste qu’un essai")
    assert person.all('[name="pin"]') == []


def test_a_locked_card_is_opened_with_its_puk(new_box: NewBox, log_in: Open) -> None:
    box = new_box()
    ready(box)
    Visit(box.url).claim()
    box.simulate(do="sim", iccid=OTHER_SIM, pin="4321", puk="87654321")
    box.simulate(do="pin", tries=0)
    box.simulate(do="restart")
    person = log_in(box.url, language="fr", size="phone")
    person.wait_for("La carte SIM est bloquée")
    person.press("Saisir le code")
    person.wait_for("Dix codes PUK erronés bloquent la carte SIM")
    person.fill("puk", "12345678")
    person.fill("pin", "5555")
    person.press("Débloquer la carte")
    person.wait_for("La carte n’a pas accepté ce code : vérifiez-le chiffre par chiffre.")
    person.fill("puk", "87654321")
    person.fill("pin", "5555")
    person.press("Débloquer la carte")
    person.wait_for("C’est fait.")
    person.go("/")
    person.wait_for("Tout va bien")
