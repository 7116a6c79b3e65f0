"""The export: all messages, as CSV that no spreadsheet runs, or as one JSON object a line."""

import csv
import io
import json

import httpx
import pytest

from tests.web.box import TO, WebBox

HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "＝1+1", "\n=1", "\r=1"]


async def fill(api: httpx.AsyncClient, *texts: str) -> None:
    for text in texts:
        answer = await api.post("/v1/sms/send", json={"to": TO, "message": text})
        assert answer.status_code == 202


async def test_csv_has_one_row_a_message_and_numbers_with_their_plus(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    await fill(api, "élève 😀")
    await box.fail_next()
    await fill(api, 'Bonjour, "vous"\nici')
    answer = await api.get("/v1/sms/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="messages.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["message"] for row in rows] == ['Bonjour, "vous"\nici', "élève 😀"]
    assert [row["to"] for row in rows] == [TO, TO]
    assert (rows[0]["sent_at"], rows[0]["error_code"]) == ("", "")
    assert rows[1]["error_code"] == "NETWORK_ERROR" and "CMS 38" in rows[1]["error_message"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_text_that_is_a_formula_stays_a_text(api: httpx.AsyncClient, text: str) -> None:
    await fill(api, text)
    answer = await api.get("/v1/sms/export?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert rows[0]["message"] == "'" + text


async def test_jsonl_has_one_object_a_line_as_in_the_history(api: httpx.AsyncClient) -> None:
    await fill(api, "a\nb", "=1+1")
    answer = await api.get("/v1/sms/export?format=jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["message"] for line in lines] == ["=1+1", "a\nb"]
    history = (await api.get("/v1/sms/history")).json()["data"]
    assert lines == history


async def test_jsonl_is_one_line_a_message_whatever_a_reader_takes_for_a_line_end(
    api: httpx.AsyncClient,
) -> None:
    text = "a\u2028b\u2029c"
    sent = {"to": TO, "message": text, "metadata": {"next\x85line": "\x85"}}
    assert (await api.post("/v1/sms/send", json=sent)).status_code == 202
    answer = await api.get("/v1/sms/export?format=jsonl")
    (line,) = answer.text.splitlines()
    assert json.loads(line)["message"] == text
    assert json.loads(line)["metadata"] == sent["metadata"]


async def test_an_empty_export_is_its_header_or_nothing(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/sms/export")).text.startswith("message_id,status,to,message,")
    assert (await api.get("/v1/sms/export?format=jsonl")).text == ""


async def test_the_filters_of_the_history_apply(api: httpx.AsyncClient, box: WebBox) -> None:
    await fill(api, "x failed", "y failed")
    await box.fail_next()
    await box.fail_next()
    await fill(api, "x queued")
    answer = await api.get(
        "/v1/sms/export?format=jsonl&status=failed&to=%2B33612345678&search=x&page=2&limit=1"
    )
    (line,) = answer.text.splitlines()
    assert json.loads(line)["message"] == "x failed"


async def test_another_format_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/sms/export?format=xls")
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "format")
