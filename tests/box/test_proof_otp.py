"""The code of a one-time password is only in the SMS, not in the data folder."""

from __future__ import annotations

import re
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import requests

from appliance.core.encryption import Encryption
from appliance.domain import ids
from modem.sms import gsm7, tpdu
from tests.box.outside import Truth, order
from tests.box.running import REQUEST_SECONDS, Client, RunningBox, eventually

TO, BAD = "+33612345678", "+33695550106"  # CMS 1: no such number
TEMPLATE = "Zauberwort {{code}} bitte"
LENGTH = 8  # so long that no clock or id looks like it by chance


class Code(msgspec.Struct, frozen=True):
    """A code, known to this test because it holds the key that lies outside the database."""

    digits: str
    otp_id: str
    message_id: str
    to: str

    def forms(self) -> list[bytes]:
        """All that anybody could mistake for harmless: plain, wide, and as the modem gets it."""
        text = f"Zauberwort {self.digits} bitte"
        plan = gsm7.plan(text)
        submit = tpdu.Submit(recipient=self.to, text=text, alphabet=plan.alphabet)
        packed = tpdu.encode_submit(submit).hex[-2 * 12 :]  # from inside the text to its end
        return [
            self.digits.encode(),
            self.digits.encode("utf-16-le"),
            self.digits.encode("utf-16-be"),
            self.digits.encode().hex().encode(),
            packed.encode(),
            packed.lower().encode(),
            bytes.fromhex(packed),
        ]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RunningBox]:
    settings = {"ZIMBOX_ARCHIVE_AFTER_MINUTES": "0.005", "ZIMBOX_SENDING_WAIT_SECONDS": "0.2"}
    running = RunningBox(tmp_path, settings).start()
    yield running
    running.stop()


def rows(box: RunningBox, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    db = sqlite3.connect(f"{(box.data / 'zimbox.db').as_uri()}?mode=ro", uri=True)
    try:
        return db.execute(statement, arguments).fetchall()
    finally:
        db.close()


def ask(box: RunningBox, client: Client, to: str) -> Code:
    """A code that waits, with its digits."""
    answer = client.post(
        "/sms/send-otp", {"to": to, "template": TEMPLATE, "length": LENGTH, "purpose": "login"}
    )
    assert answer.status_code == 202, answer.text
    result = answer.json()
    number = ids.parse("msg", result["message_id"])
    ((secret,),) = rows(box, "SELECT secret FROM message WHERE id = ?", number)
    assert isinstance(secret, bytes)
    text = Encryption(box.data / "secret.key").decrypt(secret)
    found = re.fullmatch(r"Zauberwort (\d{8}) bitte", text)
    assert found is not None
    code = Code(found[1], result["otp_id"], result["message_id"], to)
    assert not any(form in answer.content for form in code.forms())
    return code


def everything(box: RunningBox, client: Client, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """All that the box keeps or tells, by name."""
    for file in sorted(box.data.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.name != "secret.key":
            yield str(file), file.read_bytes()
    yield "log", box.log().encode()
    backup = scratch / "backup"
    backup.unlink(missing_ok=True)
    box.command("backup", str(backup))
    yield from unpacked(backup)
    for path, params in (
        ("/sms/history", {}),
        ("/sms/history", {"search": "zauberwort"}),
        ("/sms/export", {"format": "csv"}),
        ("/sms/export", {"format": "jsonl"}),
    ):
        yield path, client.get(path, params=params).content
    for path in ("/", "/health", "/metrics"):
        yield path, requests.get(box.url + path, timeout=REQUEST_SECONDS).content


def unpacked(backup: Path) -> Iterator[tuple[str, bytes]]:
    """A backup, and what is inside it."""
    yield "backup", backup.read_bytes()
    if tarfile.is_tarfile(backup):
        with tarfile.open(backup) as tar:
            for member in tar.getmembers():
                if inside := tar.extractfile(member):
                    yield f"backup: {member.name}", inside.read()
    elif zipfile.is_zipfile(backup):
        with zipfile.ZipFile(backup) as archive:
            for name in archive.namelist():
                yield f"backup: {name}", archive.read(name)


def nowhere(box: RunningBox, client: Client, codes: list[Code], scratch: Path, stage: str) -> None:
    names = []
    for name, content in everything(box, client, scratch):
        names.append(name)
        for code in codes:
            for form in code.forms():
                assert form not in content, f"{stage}: the code is in {name} as {form!r}"
    assert any(name.endswith("zimbox.db-wal") for name in names), names
    for code in codes:
        assert code.digits not in client.get(f"/sms/status/{code.message_id}").text


def erased(box: RunningBox, code: Code) -> bool:
    number = ids.parse("msg", code.message_id)
    found = rows(box, "SELECT secret FROM message WHERE id = ?", number)
    return found in ([], [(None,)])


def test_the_code_is_only_in_the_sms(box: RunningBox, tmp_path: Path) -> None:
    client = box.client()
    eventually(
        lambda: client.get("/auth/test").json()["device_status"] == "online", "the modem is ready"
    )
    order(box.control, "registration", stat=2)
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "offline", "no network")
    sent, failed, cancelled = (ask(box, client, to) for to in (TO, BAD, "+33612345679"))
    codes = [sent, failed, cancelled]
    nowhere(box, client, codes, tmp_path, "waiting")

    assert client.delete(f"/sms/{cancelled.message_id}").status_code == 200
    nowhere(box, client, codes, tmp_path, "cancelled")
    assert erased(box, cancelled)

    order(box.control, "registration", stat=1)
    client.until(sent.message_id, "delivered")
    client.until(failed.message_id, "failed")
    nowhere(box, client, codes, tmp_path, "sent and failed")
    assert erased(box, sent) and erased(box, failed)
    (part,) = Truth.read(box.journal).parts
    assert part.text == f"Zauberwort {sent.digits} bitte", "and there it is"

    body = {"otp_id": sent.otp_id, "code": sent.digits}
    assert client.post("/sms/verify-otp", body).json()["valid"] is True
    eventually(lambda: rows(box, "SELECT 1 FROM history LIMIT 1"), "the move to the history")
    nowhere(box, client, codes, tmp_path, "verified and in the history")


def test_a_restored_backup_cannot_read_a_waiting_code(box: RunningBox, tmp_path: Path) -> None:
    """The key is not in the backup: what waited there can be read by nobody."""
    client = box.client()
    order(box.control, "registration", stat=2)
    code = ask(box, client, TO)
    backup = tmp_path / "backup"
    box.command("backup", str(backup))
    key = (box.data / "secret.key").read_bytes().strip()
    for name, content in unpacked(backup):
        assert key not in content, name
        assert code.digits.encode() not in content, name
