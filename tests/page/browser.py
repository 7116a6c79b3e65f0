"""A person's browser: Debian's Chromium, at the size of a phone or a desk, in one language."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

Size = Literal["phone", "desktop"]
SIZES: dict[Size, tuple[int, int]] = {"phone": (390, 844), "desktop": (1280, 900)}
TABS_MOST = 40
PATIENCE_SECONDS = 120.0  # until a test says what it never saw; not waited in full


_FIND = """
const label = arguments[0];
return [...document.querySelectorAll('button, a, summary')].find(
  (e) => e.checkVisibility() && e.innerText.replace(/[\u00a0\u202f]/g, ' ').includes(label)) ?? null;
"""


class Browser:
    """Reads and presses what a person reads and presses; keeps what was asked of the network."""

    def __init__(self, driver: webdriver.Chrome, base: str, size: Size) -> None:
        self.driver = driver
        self.size: Size = size
        self.base = base
        self.asked: list[str] = []
        self.console: list[str] = []
        self._resize()

    def _resize(self) -> None:
        width, height = SIZES[self.size]
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": self.size == "phone",
            },
        )

    def go(self, path: str) -> None:
        self.driver.get(self.base + path)

    @property
    def path(self) -> str:
        return urlsplit(self.driver.current_url).path

    @property
    def text(self) -> str:
        """What can be read on the page, an unbreakable blank as a blank."""
        read: str = self.driver.execute_script("return document.body?.innerText ?? ''")
        return read.replace("\u00a0", " ").replace("\u202f", " ")

    def find(self, css: str) -> WebElement:
        found: WebElement = self.driver.find_element(By.CSS_SELECTOR, css)
        return found

    def all(self, css: str) -> list[WebElement]:
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found

    def shown(self, css: str) -> list[str]:
        """What reads on all of these that a person sees, at one moment: what is live may be replaced in the next."""
        read: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.checkVisibility()).map((e) => e.innerText)",
            css,
        )
        return read

    def fill(self, name: str, text: str) -> None:
        """Type into the field of this name, in place of what stood there."""

        def filled(driver: webdriver.Chrome) -> bool:
            for field in self.all(f'[name="{name}"]')[:1]:
                field.clear()
                field.send_keys(text)
                return True
            return False

        # What is live comes when the box has it: a SIM that has just refused a code starts anew first.
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.1, [StaleElementReferenceException]).until(
            filled, f"no field {name!r}"
        )

    def choose(self, name: str, value: str) -> None:
        """Choose an entry of a list."""
        Select(self.find(f'select[name="{name}"]')).select_by_value(value)

    def pasted(self) -> str:
        """What a person gets who pastes."""
        script = (
            "const field = document.createElement('textarea'); document.body.append(field); "
            "field.id = 'pasted'; field.focus();"
        )
        self.driver.execute_script(script)
        field = self.find("#pasted")
        field.send_keys(Keys.CONTROL, "v")
        text = str(field.get_property("value"))
        self.driver.execute_script("document.getElementById('pasted').remove()")
        return text

    def click(self, what: WebElement | str) -> None:
        """Click it (or what this selector finds), where neither head nor tabs of the page cover it."""
        element = self.find(what) if isinstance(what, str) else what
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def touch(self, css: str) -> None:
        """Touch the middle of the last of these with a finger, as a touch screen reports it."""
        script = (
            "const all = document.querySelectorAll(arguments[0]), one = all[all.length - 1];"
            "one.scrollIntoView({block: 'center'}); const at = one.getBoundingClientRect();"
            "return [at.x + at.width / 2, at.y + at.height / 2]"
        )
        x, y = self.driver.execute_script(script, css)
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
            command = {"type": kind, "touchPoints": points}
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", command)

    def press(self, label: str) -> None:
        """The button or link that reads so."""

        def pressed(driver: webdriver.Chrome) -> bool:
            element = driver.execute_script(_FIND, label)
            if element is None:
                return False
            self.click(element)
            return True

        # What is live may be replaced by its like between being found and being pressed.
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.1, [StaleElementReferenceException]).until(
            pressed, f"nothing to press reads {label!r}"
        )

    def tab(self) -> None:
        """On to the next thing that can be used."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()

    @property
    def focused(self) -> str:
        """What reads on, or names, the thing that has the focus."""
        found: str = self.driver.execute_script(
            "const e = document.activeElement; return e.name || e.innerText"
        )
        return found

    def tab_to(self, name: str) -> None:
        """On to the field of this name."""
        for _ in range(TABS_MOST):
            if self.focused == name:
                return
            self.tab()
        raise AssertionError(f"no tab leads to {name!r}")

    def type(self, text: str) -> None:
        """Keys, to whatever has the focus."""
        ActionChains(self.driver).send_keys(text).perform()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Until this holds."""
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.1, [StaleElementReferenceException]).until(
            lambda _: condition(), f"not yet: {what}"
        )

    def wait_for(self, text: str) -> None:
        """Until this can be read; nothing is reloaded for it."""
        try:
            self.wait_until(lambda: text in self.text, f"{text!r} can be read")
        except TimeoutException as error:
            raise AssertionError(f"never read {text!r} at {self.path}:\n{self.text}") from error

    def wait_for_badge(self, label: str) -> None:
        """Until the message on this page has come so far."""
        self.wait_until(
            lambda: label in [badge.text for badge in self.all(".badge")], f"the badge {label}"
        )

    def collect(self) -> None:
        """Take up what the browser asked the network for and what its console said."""
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
        self.console += [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] in ("SEVERE", "WARNING")
        ]

    def strangers(self) -> list[str]:
        """Requests that left the box."""
        self.collect()
        own = ("data:", "about:", "blob:", "chrome:", self.base + "/")
        return [url for url in self.asked if not url.startswith(own)]

    def faults(self, axe: str) -> list[str]:
        """What axe-core (its script) finds serious or worse on this page."""
        self.driver.execute_script(axe)
        result: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',"
            " 'best-practice']}).then(done)"
        )
        return [
            f"{found['impact']} {found['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for found in result["violations"]
            if found["impact"] in ("serious", "critical")
            for node in found["nodes"]
        ]

    def wider_than_the_screen(self) -> bool:
        """Whether a person has to scroll sideways."""
        wider: bool = self.driver.execute_script(
            "return document.documentElement.scrollWidth > arguments[0]", SIZES[self.size][0]
        )
        return wider

    def picture(self, file: Path) -> None:
        """The whole page, not only what fits into the window."""
        width, height = self.driver.execute_script(
            "return [innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]"
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))
        self._resize()


def _chromium(
    profile: Path, *, warned: bool, trusts: str, scripts: bool, knows: str
) -> webdriver.Chrome:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={profile}"),
        "--window-size={},{}".format(*SIZES["desktop"]),
    ):
        options.add_argument(flag)
    if knows:
        options.add_argument(f"--host-resolver-rules=MAP {knows} 127.0.0.1")
    options.accept_insecure_certs = warned
    if trusts:
        options.add_argument(f"--ignore-certificate-errors-spki-list={trusts}")
    allowed = 1 if scripts else 2
    options.add_experimental_option(
        "prefs", {"profile.managed_default_content_settings.javascript": allowed}
    )
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(PATIENCE_SECONDS)
    return driver


def _opened(driver: webdriver.Chrome, base: str, size: Size, language: str, dark: bool) -> Browser:
    """This Chromium as the browser of one person."""
    tag = "fr-FR,fr" if language == "fr" else "en-GB,en"
    agent = driver.execute_script("return navigator.userAgent")
    driver.execute_cdp_cmd(
        "Network.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": tag}
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return Browser(driver, base, size)


@contextmanager
def browser(
    base: str,
    profile: Path,
    *,
    size: Size = "desktop",
    language: str = "fr",
    dark: bool = False,
    warned: bool = False,
    trusts: str = "",
    scripts: bool = True,
    knows: str = "",
) -> Iterator[Browser]:
    """A fresh browser, closed at the end.

    `warned`: its person went on past the warning of a certificate that nobody vouches for; `trusts`:
    the one public key (SHA-256 of it, base64) that it believes in; `scripts`: JavaScript is on; `knows`:
    a name that it finds on this machine.
    """
    driver = _chromium(profile, warned=warned, trusts=trusts, scripts=scripts, knows=knows)
    try:
        yield _opened(driver, base, size, language, dark)
    finally:
        driver.quit()


class Browsers:
    """Chromiums that tests use one after the other; each test finds one that knows nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0
        self._free: list[webdriver.Chrome] = []

    @contextmanager
    def browser(
        self, base: str, *, size: Size = "desktop", language: str = "fr", dark: bool = False
    ) -> Iterator[Browser]:
        """A browser without any past."""
        driver = self._free.pop() if self._free else self._start()
        try:
            yield _opened(driver, base, size, language, dark)
            self._forget(driver, base)
        except BaseException:
            driver.quit()
            raise
        self._free.append(driver)

    def _start(self) -> webdriver.Chrome:
        self._started += 1
        profile = self._folder / f"profile{self._started}"
        return _chromium(profile, warned=False, trusts="", scripts=True, knows="")

    def _forget(self, driver: webdriver.Chrome, base: str) -> None:
        driver.get("about:blank")
        for command, words in (
            ("Network.clearBrowserCookies", {}),
            ("Network.clearBrowserCache", {}),
            ("Storage.clearDataForOrigin", {"origin": base, "storageTypes": "all"}),
            ("Page.resetNavigationHistory", {}),
        ):
            driver.execute_cdp_cmd(command, words)
        for log in ("performance", "browser"):
            driver.get_log(log)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        for driver in self._free:
            driver.quit()
