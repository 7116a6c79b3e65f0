"""docs/webhooks.md: its commands and receivers run against a box."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import certifi
import msgspec
import pytest
import requests

from appliance.core import config
from appliance.domain.requests import WebhookEvent
from tests import receiver as receivers
from tests.box.running import Client, RunningBox, eventually, free_port
from tests.box.when import ahead
from tests.docs.blocks import check, fences, runnable
from tests.docs.readers import ShellReader
from tests.needed import needed
from tests.receiver import Receiver

PAGE = "webhooks"
HERE = "http://192.168.1.20:9000"  # where the page's reader listens
TEXT = (Path(__file__).parents[2] / "docs" / f"{PAGE}.md").read_text("utf-8")
SECRET = re.findall(r"`(whsec_[0-9a-f]+)`", TEXT)[0]
RUN_SECONDS = 280.0
PICTURE_MESSAGE = (  # the notification, with its address in the first of two SMS
    "079133660030510044088188580000000462119221030040850C0804ABCD020105040B8423F00106"
    "226170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500AF848C82985431"
    "008D908918802B33333630303030303030302F545950453D504C4D4E008A808E0210008805810303"
    "F48083687474703A2F2F6D6D732E6578616D706C652E696E76616C69642F6D3F69643D310078"
)
KINDS = {  # what of an answer is another in each run, and how the page writes it
    r"wh_\d+": "wh_1",
    r"log_[0-9a-f]{12}": "log_067a1b2c3d42",
    r"evt_[0-9a-f]{12}": "evt_067a1b2c3d40",
    r'"response_time_ms":\s*\d+': '"response_time_ms": 12',
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    running = RunningBox(tmp_path_factory.mktemp("webhooks")).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receivers.beside() as running:
        running.otherwise = receivers.answer(204, body=b"")
        yield running


def signature(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def example_call() -> tuple[dict[str, str], bytes]:
    """The headers and the body of the call that the page shows."""
    (block,) = (b for b in fences(PAGE) if b.kind == "http")
    head, _, body = block.text.removesuffix("\n").partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()[1:]), body.encode()


def test_the_example_call_has_a_valid_signature() -> None:
    headers, body = example_call()
    assert headers["X-Webhook-Signature"] == signature(SECRET, body)
    assert int(headers["Content-Length"]) == len(body)
    assert json.loads(body)["event"] == "sms.delivered"


def test_the_shell_lines_do_what_the_page_says(
    box: RunningBox, receiver: Receiver, tmp_path: Path
) -> None:
    needed("bash", "curl", "openssl")
    reader = ShellReader(box, box.client("--test"), tmp_path)
    set_up = next(b.text for b in runnable("quick-start", "bash") if "ZIMSEND_URL" in b.text)
    (tmp_path / "body.json").write_bytes(example_call()[1])
    found: dict[str, str] = {}
    for block in runnable(PAGE, "bash"):
        text = block.text.replace(HERE, receiver.url(""))
        for pattern, own in found.items():
            text = re.sub(pattern, own, text)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{reader.own(set_up)}\n{text}"],
            cwd=tmp_path,
            env={**reader.environment, "ZIMSEND_WEBHOOK_SECRET": SECRET},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{PAGE}.md:{block.line}\n{done.stdout}{done.stderr}"
        for pattern in KINDS:
            if seen := re.search(pattern, done.stdout):
                found.setdefault(pattern, seen[0])
        printed = done.stdout.replace(receiver.url(""), HERE)
        for pattern, result in KINDS.items():
            printed = re.sub(pattern, result, printed)
        check(block, printed)
    eventually(lambda: receiver.at("/orders/42"), "the message's own URL is called")
    eventually(lambda: len(receiver.at("/sms")) >= 2, "the test, and its replay")
    assert len(receiver.at("/sms")) == 2


# --- the receivers ---------------------------------------------------------------------------------


class Program:
    """A receiver as the page writes it, listening on a port of its own."""

    def __init__(self, folder: Path, language: str) -> None:
        (block,) = runnable(PAGE, language)
        self.port = free_port()
        name = {"python": "hook.py", "javascript": "hook.mjs", "php": "hook.php"}[language]
        command = {
            "python": [sys.executable, name],
            "javascript": ["node", name],
            "php": ["php", "-S", f"127.0.0.1:{self.port}", name],
        }[language]
        (folder / name).write_text(block.text.replace("9000", str(self.port)))
        self._out = folder / "printed"
        with self._out.open("w") as out:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": str(Path(shutil.which(command[0]) or "").parent)}
                | {"ZIMSEND_WEBHOOK_SECRET": SECRET},
                stdout=out,
                stderr=subprocess.STDOUT if language != "php" else subprocess.DEVNULL,
            )
        eventually(self._listens, f"the receiver in {language}")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self._out.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/sms"

    def printed(self, marks: str) -> list[str]:
        """The lines so far that tell of something."""
        return [line for line in self._out.read_text().splitlines() if marks in line]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(RUN_SECONDS)


@pytest.mark.parametrize("language", ["python", "javascript", "php"])
def test_an_example_receiver_accepts_only_signed_calls(
    box: RunningBox, tmp_path: Path, language: str
) -> None:
    needed({"python": "python3", "javascript": "node"}.get(language, language))
    program = Program(tmp_path, language)
    try:
        client = box.client("--test")
        answer = client.post(
            "/webhooks/configure",
            {"url": program.url, "events": ["sms.sent", "sms.delivered"], "secret": SECRET},
        )
        assert answer.status_code == 200, answer.text
        message_id = client.send("+33612345678", "Été 😀")
        result = eventually(
            lambda: lines if len(lines := program.printed(message_id)) >= 2 else None,
            "two events printed",
        )
        assert result == [f"sms.sent {message_id}", f"sms.delivered {message_id}"]
        logs = eventually(
            lambda: found if len(found := attempts(client)) == 2 else None, "two attempts logged"
        )
        assert [entry["response_status"] for entry in logs] == [204, 204]
        replay(client, logs[0]["log_id"])
        assert len(program.printed(message_id)) == 2  # seen already

        _, body = example_call()
        for given in ("", "0" * 64, "é", signature("another secret", body), None):
            headers = {} if given is None else {"X-Webhook-Signature": given.encode()}
            refused = requests.post(
                program.url,
                data=body,
                headers=headers,  # octets beyond ASCII, as forgers send them
                timeout=RUN_SECONDS,
            )
            assert refused.status_code == 401
        assert program.printed("msg_18a5f3c2b1d00001") == []
        genuine = requests.post(
            program.url,
            data=body,
            headers={"X-Webhook-Signature": signature(SECRET, body)},
            timeout=RUN_SECONDS,
        )
        assert genuine.status_code == 204
        assert program.printed("msg_18a5f3c2b1d00001")
    finally:
        program.stop()


def attempts(client: Client) -> list[dict[str, Any]]:
    """All that the log has, newest first."""
    logs: list[dict[str, Any]] = client.get("/webhooks/logs").json()["logs"]
    return logs


def replay(client: Client, log_id: str) -> None:
    """Tell an event again, and wait until it was."""
    before = len(attempts(client))
    assert client.post(f"/webhooks/logs/{log_id}/replay").status_code == 202
    eventually(lambda: len(attempts(client)) > before, "the replay")


# --- the bodies ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_bodies(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> dict[str, dict[str, Any]]:
    """One event of each kind, as a box sent it."""
    box = RunningBox(tmp_path_factory.mktemp("bodies")).start()
    try:
        client = box.client()
        names = [name for name in examples() if name != "webhook.test"]
        answer = client.post("/webhooks/configure", {"url": receiver.url("/all"), "events": names})
        assert answer.status_code == 200, answer.text
        client.until(client.send("+33612345678", metadata={"order_id": "1"}), "delivered")
        client.until(client.send("+33695550106"), "failed")
        planned = client.send("+33612345678", scheduled_at=ahead(hours=1))
        assert client.delete(f"/sms/{planned}").status_code == 200
        box.simulate(do="incoming", sender="+33612345678", text="Merci !")
        eventually(lambda: "sms.received" in _by_name(receiver), "what was received")
        box.simulate(do="urc", lines=["+CMTI: ,-1"])
        eventually(lambda: "device.warning" in _by_name(receiver), "what the modem cannot do")
        box.simulate(do="incoming", pdu=PICTURE_MESSAGE)
        eventually(lambda: "mms.received" in _by_name(receiver), "a picture message")
        box.stop()
        box.start()
        eventually(
            lambda: _by_name(receiver).keys() >= set(names), "the modem is back, all is delivered"
        )
    finally:
        box.stop()
    return _by_name(receiver)


def _by_name(receiver: Receiver) -> dict[str, dict[str, Any]]:
    return {result.body["event"]: result.body for result in receiver.at("/all")}


def examples() -> dict[str, dict[str, Any]]:
    """The bodies that the page shows, by event."""
    bodies = [
        json.loads(b.text) for b in fences(PAGE) if b.kind == "json" and '"event_id"' in b.text
    ]
    return {body["event"]: body for body in bodies if "event" in body}


@pytest.mark.parametrize("name", examples())
def test_a_body_on_the_page_is_a_real_one(
    real_bodies: dict[str, dict[str, Any]], name: str
) -> None:
    result, real = examples()[name], real_bodies[name]
    assert _shape(result) == _shape(real)
    assert list(result) == list(real)
    assert list(result["data"]) == list(real["data"])


def _shape(value: Any, name: str = "") -> Any:
    """Names and kinds, without the values; metadata is its client's own."""
    if isinstance(value, dict) and name != "metadata":
        return {key: _shape(inner, key) for key, inner in value.items()}
    if name in ("metadata", "ip_address"):
        return "of any kind"
    return type(value).__name__


def test_every_event_is_on_the_page() -> None:
    assert set(examples()) == set(get_args(WebhookEvent))
    for name in examples():
        assert f"| `{name}` |" in TEXT


def test_the_settings_on_the_page_are_settings(tmp_path: Path) -> None:
    (block,) = (b for b in fences(PAGE) if b.kind == "toml")
    file = tmp_path / "zimbox.toml"
    file.write_text(re.sub(r'(?<=ca_file = ").*(?=")', certifi.where(), block.text))
    loaded = config.load(file, {}).webhook
    assert msgspec.structs.replace(loaded, ca_file="") == config.WebhookSettings()
    file.write_text(block.text)
    with pytest.raises(
        config.ConfigError, match=r"webhook.ca_file: '/etc/zimbox/our-authority.pem'"
    ):
        config.load(file, {})


def test_every_block_of_the_page_is_checked() -> None:
    kinds = {block.kind for block in fences(PAGE)}
    assert kinds <= {"bash", "python", "javascript", "php", "json", "text", "http", "toml"}
    assert [len(runnable(PAGE, kind)) for kind in ("python", "javascript", "php")] == [1, 1, 1]
