"""Valid, invalid and stateful requests that a fuzzer makes from the OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.box.running import REQUEST_SECONDS, Client, RunningBox

pytestmark = pytest.mark.seconds(50)

ROOT = Path(__file__).parents[2]
EXAMPLES = 40  # of each operation and phase
RUN_SECONDS = 900.0  # half a minute alone, several on a machine that does other things as well

# Checks that contradict the contract, each with its rule (docs/api-contract.md).
LEFT_OUT = """
[checks]
# "Missing header: 400 MISSING_AUTH_HEADERS": it wants 401 or 403.
ignored_auth.enabled = false
# It wants every request accepted that fits the schema, and 400 is also for what JSON Schema cannot
# say: "in the future and at most 30 days ahead", "at most 1,024 bytes", "from_date after to_date",
# "only queued, else 400 CANNOT_CANCEL_MESSAGE", "else 400 CANNOT_RESEND_MESSAGE".
positive_data_acceptance.enabled = false

# It wants every request refused that does not fit, but in a bulk "an entry that is refused appears
# in its place, and the others go".
[[operations]]
include-path-regex = "^/v1/sms/send-bulk"
checks.negative_data_rejection.enabled = false

# The same of queries, but "an empty query value means absent".
[[operations]]
include-method = "GET"
checks.negative_data_rejection.enabled = false
"""


def not_built(box: RunningBox, path: str) -> list[str]:
    """Leaves a route out that the document tells of and the box does not have yet."""
    missing = requests.get(box.url + path, timeout=REQUEST_SECONDS).status_code == 404
    return ["--exclude-path", path] if missing else []


@pytest.mark.timeout(RUN_SECONDS + 30)
def test_no_request_gets_a_5xx_or_an_answer_that_the_document_does_not_tell(
    box: RunningBox, client: Client, tmp_path: Path
) -> None:
    schemathesis = Path(sys.executable).parent / "schemathesis"
    (tmp_path / "left_out.toml").write_text(LEFT_OUT)
    done = subprocess.run(
        [
            *(str(schemathesis), "--config-file", "left_out.toml"),
            *("run", f"{box.url}/schema/openapi.json", "--url", box.url, "--no-color"),
            *("-H", f"X-API-Key: {client.api_key}", "-H", f"X-Client-ID: {client.client_id}"),
            *("--mode", "all", "--max-examples", str(EXAMPLES), "--generation-deterministic"),
            *not_built(box, "/metrics"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.box.envelope_check",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "status=500" not in box.log()
