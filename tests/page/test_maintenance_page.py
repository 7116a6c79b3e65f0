"""Update, backup and restore on the page, across restarts; a bad file loses nothing."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import resource
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import __version__
from appliance.maintenance.update import Result, read_result
from image.target.steward import Progress
from tests.box.running import RunningBox, eventually, free_port
from tests.page.conftest import Open, ready
from tests.page.image import KEY, Image, release
from tests.page.owner import PASSWORD, REQUEST_SECONDS, Visit

pytestmark = pytest.mark.seconds(55)

NewBox = Callable[..., RunningBox]
Files = list[tuple[str, tuple[str | None, str | bytes]]]
PAGE = "/settings/maintenance"


def send(
    visit: Visit, path: str, content: bytes, *, token: str | None = None, name: str = "file"
) -> requests.Response:
    """A form with a file, the token first, as a browser sends it."""
    fields: Files = [
        ("form_token", (None, token or visit.token(PAGE))),
        ("file", (name, content)),
    ]
    return visit.session.post(visit.url + path, files=fields, timeout=REQUEST_SECONDS)


def cleared(box: RunningBox) -> None:
    """Wait until nothing is left of what was uploaded: the page has the outcome before it is removed."""
    eventually(lambda: not list((box.data / "incoming").iterdir()), "the upload is removed")


# --- update ------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    made = Image(tmp_path)
    made.switch_on()
    yield made
    made.end()


@pytest.mark.parametrize(("language", "size"), [("fr", "phone"), ("en", "desktop")])
def test_an_update_is_uploaded_and_followed_across_the_restart_of_the_box(
    image: Image, tmp_path: Path, log_in: Open, language: str, size: str
) -> None:
    french = language == "fr"
    Visit(image.box.url).claim()
    ready(image.box)
    new = release(tmp_path, "9.9.1")
    person = log_in(image.box.url, language=language, size=size)
    person.go(PAGE)
    person.wait_for(__version__)
    person.find("#bundle").send_keys(str(new))
    person.press("Mettre à jour" if french else "Update now")
    person.wait_for("Vérification de la signature" if french else "Checking the signature")
    assert not person.wider_than_the_screen()
    person.wait_for("Mise à jour réussie." if french else "Updated.")
    person.wait_until(lambda: "9.9.1" in person.find("footer").text, "the new release serves")
    assert image.asked == ["update"]
    cleared(image.box)
    assert person.strangers() == []


def test_a_release_that_does_not_start_is_taken_back_and_the_page_says_so(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.page.image.PROBATION_SECONDS", 1.0)
    visit = Visit(image.box.url, "fr")
    visit.claim()
    answer = send(visit, "/settings/update", release(tmp_path, "9.9.2", breaks=True).read_bytes())
    assert answer.status_code == 200

    def went_back() -> bool:
        try:
            return "est revenu à la précédente" in visit.get(PAGE).text
        except requests.RequestException:
            return False  # between two releases

    eventually(went_back, "the page says that the box went back")
    kept = read_result(image.paths.result)
    assert kept is not None and kept.code == "ROLLED_BACK"
    assert __version__ in visit.get(PAGE).text


@pytest.mark.parametrize(
    ("spoil", "french", "english"),
    [
        ("signature", "pas celle du fabricant", "not signed by whoever made this box"),
        ("cut", "abîmé ou incomplet", "damaged or cut off"),
        ("other", "pas une mise à jour de ZimBox", "not an update of ZimBox"),
    ],
)
def test_a_bad_update_is_refused_in_words_and_the_box_never_stops(
    image: Image, tmp_path: Path, spoil: str, french: str, english: str
) -> None:
    visit = Visit(image.box.url)
    visit.claim()
    pid = image.box.pid
    key = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    file = release(tmp_path, "9.9.3", key=key if spoil == "signature" else KEY)
    content = file.read_bytes()
    if spoil == "cut":
        content = content[: len(content) // 2]
    elif spoil == "other":
        content = gzip.compress(b"holiday pictures")
    send(visit, "/settings/update", content)
    eventually(lambda: english in visit.get(PAGE).text, "the refusal in English")
    assert french in visit.get("/language?to=fr&back=" + PAGE).text
    assert image.box.pid == pid and image.shown() is not None
    cleared(image.box)


def test_the_page_follows_an_update_of_the_root_across_the_restart(image: Image) -> None:
    def root(request: Mapping[str, Any], progress: Progress) -> None:
        progress({"step": "unpacking"})
        Result(True, "RESTARTING", "", "9.9.4").keep(image.paths.result)

    image.verbs["update"] = root
    visit = Visit(image.box.url)
    visit.claim()
    send(visit, "/settings/update", b"a root")
    eventually(lambda: "the box restarts to try it" in visit.get(PAGE).text, "it restarts")
    assert "did not start" not in visit.get(PAGE).text
    image.stop()
    (image.paths.run / "root-trial").touch()
    image.switch_on()
    assert "Trial: does everything work?" in visit.get(PAGE).text
    image.stop()
    (image.paths.run / "root-trial").unlink()
    image.switch_on()
    assert "The new system did not start" in visit.get(PAGE).text


def test_only_the_owner_s_own_form_sends_a_file(image: Image) -> None:
    visit = Visit(image.box.url)
    visit.claim()
    wrong = send(visit, "/settings/update", b"x" * 5000, token="0" * 64)
    assert wrong.status_code == 403 and "Reload" in wrong.text
    # A file before its token is not even begun.
    files: Files = [("file", ("a", b"x" * 5000)), ("form_token", (None, visit.token(PAGE)))]
    answer = visit.session.post(
        visit.url + "/settings/update", files=files, timeout=REQUEST_SECONDS
    )
    assert answer.status_code == 403
    elsewhere = visit.session.post(
        visit.url + "/settings/update",
        files=files[::-1],
        headers={"Sec-Fetch-Site": "cross-site"},
        timeout=REQUEST_SECONDS,
    )
    assert elsewhere.status_code == 403
    for path in ("/settings/update", "/settings/restore"):
        stranger = requests.post(
            visit.url + path,
            files={"file": ("a", b"x")},
            timeout=REQUEST_SECONDS,
            allow_redirects=False,
        )
        assert stranger.headers["Location"].startswith("/login")
    assert image.asked == []
    folder = image.box.data / "incoming"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_large_file_goes_to_the_disk_and_not_into_memory(image: Image) -> None:
    """120 MiB; what the process has at the most grows by a few MiB."""
    visit = Visit(image.box.url)
    visit.claim()
    token, boundary = visit.token(PAGE), "edge"
    most = _most_memory_mib(image.box.pid)

    def body() -> Iterator[bytes]:
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n{token}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        ).encode()
        for _ in range(120):
            yield bytes(1 << 20)
        yield f"\r\n--{boundary}--\r\n".encode()

    answer = visit.session.post(
        visit.url + "/settings/update",
        data=body(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        timeout=REQUEST_SECONDS,
    )
    assert answer.status_code == 200
    eventually(lambda: "not an update of ZimBox" in visit.get(PAGE).text, "it was read to its end")
    assert _most_memory_mib(image.box.pid) - most < 30


def test_a_file_larger_than_any_update_is_refused_before_it_is_sent(image: Image) -> None:
    visit = Visit(image.box.url)
    visit.claim()
    head = {
        "Content-Type": "multipart/form-data; boundary=edge",
        "Content-Length": str(1 << 40),
        "Accept-Language": "en",
    }
    address = visit.url.removeprefix("http://")
    line = http.client.HTTPConnection(address, timeout=REQUEST_SECONDS)
    cookies = "; ".join(f"{name}={value}" for name, value in visit.session.cookies.items())
    line.request("POST", "/settings/update", headers={**head, "Cookie": cookies})
    answer = line.getresponse()
    assert (answer.status, answer.headers["Location"]) == (303, PAGE)
    line.close()
    assert "This file is too large. Nothing was changed." in visit.get(PAGE).text


def _most_memory_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def test_an_upload_without_free_space_is_refused(new_box: NewBox) -> None:
    visit = Visit(new_box(storage_reserve_mib="100000000").url)
    visit.claim()
    for path in ("/settings/update", "/settings/restore"):
        assert "Not enough room on the memory card" in send(visit, path, b"x" * 1000).text
    answer = visit.post("/settings/backup", {}, page=PAGE)
    assert "Not enough room on the memory card" in answer.text


def test_a_failed_backup_is_reported_and_leaves_no_file(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    visit = Visit(box.url)
    visit.claim()
    files = {path.name for path in box.data.iterdir()}
    limit = resource.prlimit(box.pid, resource.RLIMIT_FSIZE, (100_000, -1))  # as a full card
    answer = visit.post("/settings/backup", {}, page=PAGE)
    resource.prlimit(box.pid, resource.RLIMIT_FSIZE, limit)
    assert answer.status_code == 200 and "The backup failed" in answer.text
    assert {path.name for path in box.data.iterdir()} == files


def test_a_backup_that_was_cut_off_is_gone_after_the_next_start(new_box: NewBox) -> None:
    box = new_box()
    visit = Visit(box.url)
    visit.claim()
    assert backup_of(visit)
    eventually(lambda: not list(box.data.glob("outgoing-*")), "the backup is gone")
    box.stop()
    left = box.data / "outgoing-abc/tmpxyz"
    left.mkdir(parents=True)
    (left / "zimbox.db").write_bytes(b"all the texts")
    box.start()
    assert not left.exists()


def test_without_the_image_the_page_says_how_to_update(owned: RunningBox, owner: Visit) -> None:
    shown = owner.get(PAGE).text
    assert "does not run on the ready-made image" in shown
    assert 'id="bundle"' not in shown and __version__ in shown


def test_restart_and_switch_off_go_through_the_steward(image: Image, log_in: Open) -> None:
    Visit(image.box.url).claim()
    person = log_in(image.box.url, language="en")
    person.go("/settings/box")
    person.press("Switch the box off")
    person.wait_for("no SMS goes out")
    person.press("Switch off")
    person.wait_for("Wait until the green light has stopped flashing")
    person.go("/settings/box")
    person.press("Restart the box")
    person.press("Restart now")
    person.wait_for("The box restarts.")
    assert image.asked == ["power-off", "restart-box"]


# --- restore -----------------------------------------------------------------------------------------


def backup_of(visit: Visit) -> bytes:
    answer = visit.post("/settings/backup", {}, page=PAGE)
    assert answer.headers["Content-Type"] == "application/gzip"
    return answer.content


def kept_port(box: RunningBox) -> None:
    """The same box at an address that stays over restarts."""
    box.stop()
    box.start("--listen", f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize(("language", "size"), [("fr", "phone"), ("en", "desktop")])
def test_another_box_s_backup_is_checked_shown_and_restored(
    new_box: NewBox, tmp_path: Path, log_in: Open, language: str, size: str
) -> None:
    french = language == "fr"
    old = new_box()
    ready(old)
    program = old.client()
    sent = program.send("+33612345678", "from the other box")
    program.until(sent, "delivered")
    before = Visit(old.url)
    before.claim("the other password")
    file = tmp_path / "other.tar.gz"
    file.write_bytes(backup_of(before))
    box = new_box()
    kept_port(box)
    Visit(box.url).claim()
    person = log_in(box.url, language=language, size=size)
    person.go(PAGE)
    person.find("#backup").send_keys(str(file))
    person.press("Vérifier ce fichier" if french else "Check this file")
    person.wait_for("Cette sauvegarde est complète" if french else "This backup is complete")
    pid = box.pid
    person.press("Tout remplacer" if french else "Replace everything")
    person.wait_for("Le boîtier redémarre" if french else "The box restarts")
    person.wait_until(lambda: person.path == "/login", "the box is back, and asks who comes")
    assert box.pid == pid, "in the same process: whoever watches it saw no end"
    person.fill("password", "the other password")
    person.click("main form button")
    person.wait_for("Mis de côté" if french else "Kept aside")
    person.go(f"/messages/{sent}")
    person.wait_for("from the other box")
    program.url = box.url
    assert program.status(sent)["status"] == "delivered", "its keys came along"
    (aside,) = box.data.glob("before-restore-*")
    person.go(PAGE)
    person.press("Effacer ces données" if french else "Erase these data")
    person.press("Les effacer pour toujours" if french else "Erase them for good")
    person.wait_for("C’est fait." if french else "Done.")
    assert not aside.exists()
    assert person.strangers() == []


def test_a_restore_on_the_image_restarts_through_the_steward(image: Image) -> None:
    visit = Visit(image.box.url)
    visit.claim()
    content = backup_of(visit)
    visit.post("/settings/blocked", {"number": "+33677000001"}, page="/settings/blocked")
    assert "This backup is complete" in send(visit, "/settings/restore", content).text
    first = image.box.pid
    visit.post("/settings/restore/now", {}, page=PAGE)

    def gone() -> bool:
        try:
            answer = visit.get("/settings/blocked")
        except requests.RequestException:
            return False
        return answer.ok and "+33677000001" not in answer.text

    eventually(gone, "what came after the backup is gone")
    assert image.asked == ["restart-gateway"] and image.box.pid != first


def _spoiled(content: bytes, how: str, tmp_path: Path) -> bytes:
    if how == "cut":
        return content[: len(content) // 2]
    if how == "garbage":
        return b"no backup at all" * 100
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        archive.extractall(tmp_path / "spoiled", filter="data")
    database, manifest = tmp_path / "spoiled/zimbox.db", tmp_path / "spoiled/manifest.json"
    if how == "pages":
        raw = bytearray(database.read_bytes())
        raw[4096:40960] = bytes(40960 - 4096)
        database.write_bytes(raw)
    elif how == "newer":
        result = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**result, "schema": 9999, "version": "9.9.9"}))
    elif how == "another database":
        database.unlink()
        with sqlite3.connect(database) as other:
            other.execute("CREATE TABLE message (recipe TEXT)")
            other.execute("PRAGMA user_version = 1")
        other.close()
    elif how == "settings":
        (tmp_path / "spoiled/zimbox.toml").write_text("no_such_setting = 1")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for file in sorted((tmp_path / "spoiled").iterdir(), reverse=True):
            archive.add(file, file.name)
    return made.getvalue()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("cut", "not a complete backup"),
        ("garbage", "not a complete backup"),
        ("pages", "not a complete backup"),
        ("another database", "not a complete backup"),
        ("newer", "from a newer ZimBox"),
        ("settings", "do not fit this box"),
    ],
)
def test_a_wrong_or_damaged_backup_loses_nothing(
    owned: RunningBox, owner: Visit, tmp_path: Path, how: str, says: str
) -> None:
    files = sorted(path.name for path in owned.data.iterdir())
    pid = owned.pid
    backup = backup_of(owner)
    eventually(lambda: not list(owned.data.glob("outgoing-*")), "the backup is gone")
    answer = send(owner, "/settings/restore", _spoiled(backup, how, tmp_path))
    assert says in answer.text and "Replace everything" not in answer.text
    assert owned.pid == pid and owner.get("/inbox").url.endswith("/inbox")
    left = {path.name for path in owned.data.iterdir()} - {"incoming"}
    assert left <= set(files)


def test_a_checked_backup_can_be_discarded(owner: Visit, owned: RunningBox) -> None:
    assert "This backup is complete" in send(owner, "/settings/restore", backup_of(owner)).text
    owner.post("/settings/restore/drop", {}, page=PAGE)
    assert "This backup is complete" not in owner.get(PAGE).text
    assert not (owned.data / "restore-checked").exists()
    answer = owner.post("/settings/restore/now", {}, page=PAGE)
    assert "upload it again" in answer.text


def test_a_form_without_a_file_gets_an_error(owner: Visit) -> None:
    assert "Choose a file first." in send(owner, "/settings/restore", b"", name="").text


def test_a_restore_whose_box_does_not_start_is_given_back(new_box: NewBox, tmp_path: Path) -> None:
    """As it would be if the card broke in between: what was handed over cannot be opened."""
    box = new_box()
    visit = Visit(box.url)
    visit.claim()
    box.stop()
    waiting = box.data / "restore-waiting"
    waiting.mkdir()
    (waiting / "zimbox.db").write_bytes(b"no database at all" * 1000)
    box.start()  # shows why it cannot, and tries again with its own data
    assert "cannot start: file is not a database" in box.log()
    again = Visit(box.url)
    again.login(PASSWORD)
    assert "took its data from before" in again.get(PAGE).text


def test_after_a_download_the_page_can_be_used_again(owned: RunningBox, log_in: Open) -> None:
    person = log_in(owned.url, language="en", size="phone")
    person.go(PAGE)
    person.press("Download a backup")
    person.wait_until(
        lambda: person.find("[name=ready]").get_attribute("value") != "", "the download has begun"
    )
    form = person.find("[data-download]")
    person.wait_until(
        lambda: "under-way" not in (form.get_attribute("class") or ""), "the download has arrived"
    )
    assert not person.find("[data-download] progress").is_displayed()
    person.wait_until(person.find("[data-download] button").is_enabled, "it can be pressed again")
