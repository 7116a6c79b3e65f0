"""A check for schemathesis: every answer has the documented JSON form."""

import json
from typing import Any

import schemathesis


@schemathesis.check
def in_the_envelope(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Failures are `{"success": false, "error": {…}}`, and successes under /v1 say so."""
    if case.path == "/v1/simple/send" and case.method in ("GET", "POST"):  # in one line
        assert response.headers["content-type"][0].startswith("text/plain"), response.headers
        assert response.content.startswith((b"OK ", b"ERROR ")), response.content
        return
    if response.status_code in (200, 202) and not case.path.startswith("/v1"):
        return
    if response.status_code == 204 or case.method == "HEAD" or case.path == "/v1/sms/export":
        return
    body = json.loads(response.content)
    if response.status_code < 400:
        assert body["success"] is True, body
        return
    assert body.keys() == {"success", "error"} and body["success"] is False, body
    assert {"code", "message"} <= body["error"].keys() <= {"code", "message", "details"}, body
    assert body["error"]["message"], body
