"""Access to the pages, tested without a browser and so without JavaScript."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
import requests

from tests.box.running import Client, RunningBox, code, eventually
from tests.page.owner import PASSWORD, REQUEST_SECONDS, Visit

pytestmark = pytest.mark.seconds(40)

NewBox = Callable[..., RunningBox]
OWNED_PAGES = (
    *("/welcome", "/messages", "/messages/export", "/messages/msg_0000000000000000", "/send"),
    *(
        "/inbox",
        "/conversations",
        "/settings",
        "/settings/keys",
        "/settings/webhooks",
        "/settings/sim",
    ),
    *("/settings/blocked", "/settings/box"),
)
SECRET_TEXT = "le code du coffre est 1234"


def test_the_first_visitor_claims_the_box_and_no_other(new_box: NewBox) -> None:
    box = new_box()
    first, second = Visit(box.url), Visit(box.url)
    second_form = second.token("/claim")
    answer = first.claim()
    assert answer.url.endswith("/welcome") and answer.status_code == 200
    late = second.session.post(
        box.url + "/claim",
        data={"form_token": second_form, "password": "another one", "again": "another one"},
        timeout=REQUEST_SECONDS,
    )
    assert late.status_code == 400 and "has a password already" in late.text
    assert 'action="/login"' in late.text, "a double tap is not left before a closed door"
    assert Visit(box.url).login("another one").status_code == 401
    assert Visit(box.url).login().url == box.url + "/"


def test_after_the_claim_window_only_the_setup_code_opens_the_box(new_box: NewBox) -> None:
    box = new_box(page_claim_window_minutes="0")
    secret = (box.data / "setup-code").read_text("ascii").strip()
    assert re.fullmatch(r"\d{4}-\d{4}-\d{4}", secret)
    stranger = Visit(box.url)
    assert "Setup code" in stranger.get("/claim").text
    assert stranger.claim(code="0000-0000-0000").status_code == 400
    assert stranger.claim().status_code == 400
    assert Visit(box.url).claim(code=secret.replace("-", " ")).url.endswith("/welcome")
    assert not (box.data / "setup-code").exists(), "a code that opens nothing does not lie around"


def test_a_weak_password_and_two_different_ones_are_refused(new_box: NewBox) -> None:
    visit = Visit(new_box().url)
    assert "at least 8" in visit.claim("court").text
    answer = visit.post(
        "/claim", {"password": "eight letters", "again": "eight digits"}, page="/claim"
    )
    assert answer.status_code == 400 and "not the same" in answer.text
    assert "/claim" in visit.get("/login").url, "still nobody's"


def test_the_wait_grows_with_each_wrong_password(new_box: NewBox) -> None:
    box = new_box()
    Visit(box.url).claim()
    guesser = Visit(box.url)
    answers = [guesser.login(f"guess number {n}").status_code for n in range(6)]
    assert answers == [401] * 5 + [429]
    assert guesser.login().status_code == 429, "the right one has to wait as well"


@pytest.mark.parametrize("path", OWNED_PAGES)
def test_pages_of_the_admin_need_a_login(owned: RunningBox, path: str) -> None:
    answer = requests.get(owned.url + path, allow_redirects=False, timeout=REQUEST_SECONDS)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login")


def test_a_form_from_another_site_does_nothing(owned: RunningBox, owner: Visit) -> None:
    before = owner.get("/settings/blocked").text
    fields = {"number": "+33699999999"}
    for headers, data in (
        ({}, fields),
        ({}, {**fields, "form_token": "0" * 64}),
        ({"Sec-Fetch-Site": "cross-site"}, {**fields, "form_token": owner.token("/send")}),
    ):
        answer = owner.session.post(
            owned.url + "/settings/blocked", data=data, headers=headers, timeout=REQUEST_SECONDS
        )
        assert answer.status_code == 403 and "Reload" in answer.text
    assert owner.get("/settings/blocked").text == before


def test_logout_ends_a_session_and_a_new_password_ends_all_others(
    new_box: NewBox,
) -> None:
    box = new_box()
    one, other, left = Visit(box.url), Visit(box.url), Visit(box.url)
    one.claim()
    other.login()
    left.login()
    kept = left.session.cookies["zimbox_session"]
    left.post("/logout", {}, page="/settings/box")
    stolen = requests.get(
        box.url + "/inbox",
        cookies={"zimbox_session": kept},
        allow_redirects=False,
        timeout=REQUEST_SECONDS,
    )
    assert stolen.status_code == 303
    new = {"old": PASSWORD, "new": "another long one", "again": "another long one"}
    assert "Saved." in one.post("/settings/password", new, page="/settings/box").text
    assert one.get("/inbox").url.endswith("/inbox")
    assert "/login" in other.get("/inbox").url


def test_a_visitor_without_login_sees_no_numbers_and_no_texts(
    owned: RunningBox, client: Client
) -> None:
    client.until(client.send("+33612345678", SECRET_TEXT), "delivered")
    # One look serves all who come within a second: the last visitor's may be from before the message.
    eventually(
        lambda: b"+336****5678" in requests.get(owned.url, timeout=REQUEST_SECONDS).content,
        "the page shows the message",
    )
    for path in ("/", "/live"):
        with requests.get(owned.url + path, stream=True, timeout=REQUEST_SECONDS) as answer:
            result = b""
            for chunk in answer.iter_content(1024):
                result += chunk
                if b"+336****5678" in result:
                    break
        assert b"+336****5678" in result and b"ZimSim" in result
        assert SECRET_TEXT.encode() not in result and b"612345678" not in result


@pytest.mark.parametrize("path", ["/", "/live"])
def test_dns_rebinding_gives_access_to_nothing(owned: RunningBox, owner: Visit, path: str) -> None:
    trap = {"Host": "trap.example.com"}
    for headers, status in ((trap, 303), ({"Host": "zimbox.local"}, 200)):
        with requests.get(
            owned.url + path,
            headers=headers,
            allow_redirects=False,
            stream=True,
            timeout=REQUEST_SECONDS,
        ) as answer:
            assert answer.status_code == status
    # The owner may call the box by a name of his own, once he has logged in under it.
    with requests.get(
        owned.url + path,
        headers={"Host": "sms.example.com"},
        cookies=owner.session.cookies.get_dict(),
        stream=True,
        timeout=REQUEST_SECONDS,
    ) as answer:
        assert answer.status_code == 200 and not answer.history


def test_the_session_cookie_is_the_page_s_alone(owned: RunningBox) -> None:
    visit = Visit(owned.url)
    answer = visit.post("/login", {"password": PASSWORD}, page="/login", follow=False)
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie


def test_the_content_security_policy_forbids_inline_code_and_other_hosts(
    owned: RunningBox, owner: Visit
) -> None:
    for path in ("/", "/login", *OWNED_PAGES):
        answer = owner.get(path)
        policy = answer.headers.get("Content-Security-Policy", "")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        if path == "/messages/export":
            continue
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert " style=" not in answer.text and "<script>" not in answer.text
        assert " onclick" not in answer.text


def test_login_leads_back_to_this_box_only(owned: RunningBox) -> None:
    for target in ("https://example.com/", "//example.com/", "/\\example.com", "javascript:1"):
        visit = Visit(owned.url)
        fields = {"password": PASSWORD, "next": target}
        answer = visit.post("/login", fields, page="/login", follow=False)
        assert answer.headers["Location"] == "/"


def test_the_whole_page_is_small_over_the_wire(owned: RunningBox, owner: Visit) -> None:
    """Under 100 KB, packed as the server sends it."""
    page = owner.get("/").text
    size = len(page.encode())
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        answer = requests.get(
            owned.url + path,
            headers={"Accept-Encoding": "gzip"},
            stream=True,
            timeout=REQUEST_SECONDS,
        )
        size += len(answer.raw.read(decode_content=False))
        assert "immutable" in answer.headers["Cache-Control"]
    assert size < 100_000, size


def test_the_reference_is_small_over_the_wire_and_the_same_unpacked(owned: RunningBox) -> None:
    html = {"Accept": "text/html"}
    packed = requests.get(owned.url + "/schema", headers=html, stream=True, timeout=REQUEST_SECONDS)
    assert len(packed.raw.read(decode_content=False)) < 50_000
    plain = requests.get(
        owned.url + "/schema",
        headers={**html, "Accept-Encoding": "identity"},
        timeout=REQUEST_SECONDS,
    )
    again = requests.get(owned.url + "/schema", headers=html, timeout=REQUEST_SECONDS)
    assert "Content-Encoding" not in plain.headers and plain.text == again.text


def test_the_language_is_the_browser_s_until_it_is_switched(owned: RunningBox) -> None:
    visit = Visit(owned.url, "fr-FR,fr;q=0.9,en;q=0.5")
    assert '<html lang="fr">' in visit.get("/").text
    assert '<html lang="en">' in visit.get("/language?to=en&back=/").text
    assert '<html lang="en">' in visit.get("/").text
    assert visit.get("/language?to=fr&back=//example.com").url == owned.url + "/"


def test_switching_the_language_returns_to_the_same_page(owned: RunningBox) -> None:
    visit = Visit(owned.url)
    visit.login()
    switch = re.compile(r'href="(/language[^"]+)"')
    shown = visit.get("/messages?q=bonjour&status=failed")
    back = visit.get(html.unescape(switch.findall(shown.text)[0]))
    assert back.url.endswith("/messages?q=bonjour&status=failed") and "Search" not in back.text
    for path, page, fields in (
        ("/settings/keys", "/settings/keys", {"name": "x", "daily_cap": "mille"}),
        ("/settings/keys/999/revoke", "/settings/keys", {}),
        ("/welcome/key", "/welcome", {}),
    ):
        token = visit.token(page)
        answer = visit.session.post(
            owned.url + path,
            data={"form_token": token, **fields},
            headers={"Referer": owned.url + page},
            timeout=REQUEST_SECONDS,
        )
        back = visit.get(html.unescape(switch.findall(answer.text)[0]))
        assert back.status_code == 200 and back.url.endswith(page)


def test_a_forgotten_password_can_be_reset_with_physical_access(
    new_box: NewBox,
) -> None:
    box = new_box()
    visit = Visit(box.url)
    visit.claim()
    box.command("owner", "forget")
    box.stop()
    box.start()
    again = Visit(box.url)
    again.session.cookies.update(visit.session.cookies)
    assert "/claim" in again.get("/inbox").url, "the old session is gone too"
    assert again.claim("another long one").url.endswith("/welcome")


@pytest.mark.parametrize("trap", ["trap.example.com", "trap.box", "box.", "trap.local.example.com"])
def test_dns_rebinding_cannot_claim_the_box(new_box: NewBox, trap: str) -> None:
    visit = Visit(new_box().url)
    visit.session.headers["Host"] = trap
    assert "Setup code" in visit.get("/claim").text
    assert visit.claim().status_code == 400


@pytest.mark.parametrize(
    "name", ["zimbox.local", "zimbox", "zimbox.fritz.box:8080", "[fe80::1]:80"]
)
def test_a_name_of_the_lan_needs_no_code(new_box: NewBox, name: str) -> None:
    page = requests.get(new_box().url + "/claim", headers={"Host": name}, timeout=REQUEST_SECONDS)
    assert "d’installation" not in page.text and 'name="password"' in page.text


def test_a_form_survives_a_restart_of_the_box(new_box: NewBox) -> None:
    box = new_box()
    visit = Visit(box.url)
    visit.claim()
    typed = {"form_token": visit.token("/settings/keys"), "name": "Atelier"}
    box.stop()
    box.start()
    answer = visit.session.post(box.url + "/settings/clients", data=typed, timeout=REQUEST_SECONDS)
    assert answer.status_code == 200 and "Atelier" in answer.text


def test_a_forged_form_is_refused_on_a_page_without_a_server_error(
    owned: RunningBox, owner: Visit
) -> None:
    token = owner.token("/send")
    huge = "9" * 30
    by_form = {"X-Form-Token": token, "Content-Type": "multipart/form-data; boundary=x"}
    bad = b'--x\r\nContent-Disposition: form-data; name="to"\r\n\r\n\xff\r\n--x--'
    answers = [
        (
            403,
            owner.session.post(
                owned.url + "/send", data={"form_token": "é"}, timeout=REQUEST_SECONDS
            ),
        ),
        (
            403,
            requests.post(
                owned.url + "/login", headers={"X-Form-Token": b"\xe9"}, timeout=REQUEST_SECONDS
            ),
        ),
        (
            400,
            owner.session.post(
                owned.url + "/send", data=bad, headers=by_form, timeout=REQUEST_SECONDS
            ),
        ),
        (413, owner.post("/send", {"to": "+33612345678", "text": "a" * 300_000}, page="/send")),
        (404, owner.get(f"/settings/webhooks/{huge}/log")),
        (404, owner.post(f"/settings/keys/{huge}/revoke", {}, page="/settings/keys")),
        (404, owner.get("/settings/webhooks/-4/log")),
        (200, owner.get("/messages?start=0001-01-01&end=9999-12-31&q=a%00bc")),
        (200, owner.get("/inbox?q=a%00bc&to=%00")),
    ]
    for status, answer in answers:
        assert answer.status_code == status, answer.url
        assert answer.headers["Content-Type"].startswith("text/html"), answer.url
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_after_a_form_of_a_session_that_ended_the_login_leads_to_a_page(owned: RunningBox) -> None:
    answer = requests.post(
        owned.url + "/settings/update", allow_redirects=False, timeout=REQUEST_SECONDS
    )
    assert answer.headers["Location"] == "/login", "an update's form is no page to come back to"
    answer = requests.get(
        owned.url + "/settings/maintenance", allow_redirects=False, timeout=REQUEST_SECONDS
    )
    assert answer.headers["Location"] == "/login?next=/settings/maintenance"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/nowhere", "/settings/nowhere", "/static", "/v10", "/index.php"])
def test_a_browser_at_an_unknown_address_gets_a_page(owned: RunningBox, path: str) -> None:
    for language, words in (("fr", "Cette page n’existe pas."), ("en", "There is no such page.")):
        headers = {"Accept": BROWSER, "Accept-Language": language}
        answer = requests.get(owned.url + path, headers=headers, timeout=REQUEST_SECONDS)
        assert answer.status_code == 404 and words in answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/v1/nowhere", BROWSER),
        ("/v1", BROWSER),
        ("/nowhere", "*/*"),
        ("/nowhere", "application/json"),
        ("/nowhere", "application/json, text/html;q=0.5"),
        ("/nowhere", "text/html;q=0"),
        ("/nowhere", ""),
    ],
)
def test_a_program_at_an_unknown_address_gets_json(
    owned: RunningBox, path: str, accept: str
) -> None:
    answer = requests.get(owned.url + path, headers={"Accept": accept}, timeout=REQUEST_SECONDS)
    assert code(answer, 404) == "NOT_FOUND"
    answer = requests.post(
        owned.url + "/nowhere", headers={"Accept": BROWSER}, timeout=REQUEST_SECONDS
    )
    assert code(answer, 404) == "NOT_FOUND"


def test_a_get_on_a_form_address_is_405(owned: RunningBox) -> None:
    answer = requests.get(
        owned.url + "/logout", headers={"Accept": BROWSER}, timeout=REQUEST_SECONDS
    )
    assert answer.status_code == 405 and "n’existe pas" in answer.text
