"""The documented page's own examples, taken from its text, run against the box.

Only the base URL, the keys and the example's message id are replaced.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox
from tests.needed import needed

PAGE = (Path(__file__).parent.parent / "seed" / "tracking.md").read_text("utf-8")
BASE, EXAMPLE_ID = "https://api.zimsend.com/v1", "msg_1234567890abcdef"
NODE = Path(__file__).parent / "node"
RUN_SECONDS = 280.0
INSTALL_SECONDS = 280.0


def blocks(language: str) -> list[str]:
    """The code blocks of one language, in the order of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


class Seed:
    """A client with one message delivered, one failed and one to cancel."""

    def __init__(self, client: Client) -> None:
        self.client = client
        metadata = {"order_id": "order_12345", "user_id": "user_789"}
        self.delivered = client.send(
            "+33612345678", "Bonjour, votre commande est en cours de livraison", metadata=metadata
        )
        self.failed = client.send("+33695550106", "Votre colis sera livré demain")
        client.until(self.delivered, "delivered")
        client.until(self.failed, "failed")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        self.planned = client.send("+33698765432", "Demain", scheduled_at=tomorrow.isoformat())

    def prepared(self, code: str, message_id: str) -> str:
        """The page's code for this box."""
        assert BASE in code
        return code.replace(BASE, f"{self.client.url}/v1").replace(EXAMPLE_ID, message_id)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ZIMSEND_API_KEY": self.client.api_key,
            "ZIMSEND_CLIENT_ID": self.client.client_id,
        }

    def run(self, *command: str, cwd: Path) -> str:
        """What the command prints. It must succeed."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def seed(box: RunningBox) -> Seed:
    return Seed(box.client())


# What each class must give, called as `(method, arguments)` by a driver in its own language.
def expected(seed: Seed, answers: list[dict[str, object]]) -> None:
    status, history, stats, cancelled, again, unknown = answers
    assert status["status"] == "delivered"
    assert status["metadata"] == {"order_id": "order_12345", "user_id": "user_789"}
    assert status["delivered_at"]
    data = history["data"]
    assert isinstance(data, list) and [m["message_id"] for m in data] == [seed.delivered]
    pagination = history["pagination"]
    assert isinstance(pagination, dict)
    assert pagination == pagination | {"current_page": 1, "per_page": 20, "total_items": 1}
    counted = stats["stats"]
    assert isinstance(counted, dict)
    assert counted == counted | {
        **{"total_sent": 2, "delivered": 1, "failed": 1, "pending": 1, "delivery_rate": 50.0}
    }
    assert cancelled == {
        "success": True,
        "message": "SMS annulé avec succès",
        "message_id": seed.planned,
        "status": "cancelled",
    }
    for failure, code in ((again, "CANNOT_CANCEL_MESSAGE"), (unknown, "MESSAGE_NOT_FOUND")):
        error = failure["error"]
        assert failure["success"] is False and isinstance(error, dict) and error["code"] == code


def around_now() -> tuple[str, str]:
    """From yesterday to tomorrow: no midnight falls between a message and its count."""
    day = datetime.now(UTC).date()
    return f"{day - timedelta(days=1)}T00:00:00Z", f"{day + timedelta(days=1)}T23:59:59Z"


def test_every_curl_line_of_the_page_is_answered(seed: Seed, tmp_path: Path) -> None:
    needed("bash", "curl")
    lines = blocks("bash")
    assert len(lines) == 8
    for line in lines:
        ours = seed.prepared(line, seed.planned if "DELETE" in line else seed.delivered)
        ours = ours.replace("votre_cle_api", seed.client.api_key)
        ours = ours.replace("votre_client_id", seed.client.client_id)
        result = json.loads(seed.run("bash", "-c", ours, cwd=tmp_path))
        assert result["success"] is True, line


def test_the_python_example_runs_as_it_stands(seed: Seed, tmp_path: Path) -> None:
    (code,) = blocks("python")
    (tmp_path / "example.py").write_text(seed.prepared(code, seed.delivered))
    out = seed.run(sys.executable, "example.py", cwd=tmp_path)
    assert "Statut: delivered" in out and "SMS envoyés: 1" in out and "Taux de délivrance" in out


def test_the_python_class_gets_what_the_page_promises(seed: Seed, tmp_path: Path) -> None:
    (code,) = blocks("python")
    start, end = around_now()
    driver = f"""
import json, os
tracking = ZimSendTracking(os.getenv('ZIMSEND_API_KEY'), os.getenv('ZIMSEND_CLIENT_ID'))
print(json.dumps([
    tracking.get_status({seed.delivered!r}),
    tracking.get_history({{'status': 'delivered', 'limit': 20, 'to': '+33612345678'}}),
    tracking.get_stats({start!r}, {end!r}),
    tracking.cancel_message({seed.planned!r}),
    tracking.cancel_message({seed.planned!r}),
    tracking.get_status('msg_0000000000000000'),
]))
"""
    (tmp_path / "driven.py").write_text(
        seed.prepared(code.partition("# Utilisation")[0], "") + driver
    )
    expected(seed, json.loads(seed.run(sys.executable, "driven.py", cwd=tmp_path)))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with axios in it, as the lock file says."""
    needed("node", "npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        timeout=INSTALL_SECONDS,
        check=True,
    )
    return folder


def test_the_javascript_example_runs_as_it_stands(seed: Seed, node: Path) -> None:
    (code,) = blocks("javascript")
    # Its four calls run side by side: the one that cancels is given the message to cancel.
    before, cancel, after = code.partition("tracking.cancelMessage(")
    ours = seed.prepared(before, seed.delivered) + cancel + after.replace(EXAMPLE_ID, seed.planned)
    (node / "example.js").write_text(ours)
    out = seed.run("node", "example.js", cwd=node)
    for line in ("Statut: delivered", "SMS envoyés: 1", "SMS annulé:", "Taux de délivrance:"):
        assert line in out


def test_the_javascript_class_gets_what_the_page_promises(seed: Seed, node: Path) -> None:
    (code,) = blocks("javascript")
    start, end = around_now()
    driver = f"""
const tracking = new ZimSendTracking(process.env.ZIMSEND_API_KEY, process.env.ZIMSEND_CLIENT_ID);
(async () => {{
  const answers = [];
  answers.push(await tracking.getStatus('{seed.delivered}'));
  answers.push(await tracking.getHistory({{ status: 'delivered', limit: 20, to: '+33612345678' }}));
  answers.push(await tracking.getStats('{start}', '{end}'));
  answers.push(await tracking.cancelMessage('{seed.planned}'));
  answers.push(await tracking.cancelMessage('{seed.planned}').catch(error => error));
  answers.push(await tracking.getStatus('msg_0000000000000000').catch(error => error));
  console.log(JSON.stringify(answers));
}})();
"""
    (node / "driven.js").write_text(seed.prepared(code.partition("// Utilisation")[0], "") + driver)
    expected(seed, json.loads(seed.run("node", "driven.js", cwd=node)))


def test_the_php_example_runs_as_it_stands(seed: Seed, tmp_path: Path) -> None:
    needed("php")
    (code,) = blocks("php")
    (tmp_path / "example.php").write_text(seed.prepared(code, seed.delivered))
    out = seed.run("php", "example.php", cwd=tmp_path)
    assert "Statut: delivered" in out and "Total: 1" in out and "Total envoyés: " in out


def test_the_php_class_gets_what_the_page_promises(seed: Seed, tmp_path: Path) -> None:
    needed("php")
    (code,) = blocks("php")
    start, end = around_now()
    driver = f"""
$tracking = new ZimSendTracking(getenv('ZIMSEND_API_KEY'), getenv('ZIMSEND_CLIENT_ID'));
echo json_encode([
    $tracking->getStatus('{seed.delivered}'),
    $tracking->getHistory(['status' => 'delivered', 'limit' => 20, 'to' => '+33612345678']),
    $tracking->getStats('{start}', '{end}'),
    $tracking->cancelMessage('{seed.planned}'),
    $tracking->cancelMessage('{seed.planned}'),
    $tracking->getStatus('msg_0000000000000000'),
]);
"""
    (tmp_path / "driven.php").write_text(
        seed.prepared(code.partition("// Utilisation")[0], "") + driver
    )
    expected(seed, json.loads(seed.run("php", "driven.php", cwd=tmp_path)))
