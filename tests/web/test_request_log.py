"""The access log: written off the loop, whole, and by the end at the latest."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from web.request_log import RequestLog, without_empty_fields


async def test_requests_are_held_back_and_written_together() -> None:
    written: list[str] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(text: str) -> None:
        written.append(text)
        loop.call_soon_threadsafe(done.set)

    log = RequestLog([structlog.processors.LogfmtRenderer()], write)
    for number in range(3):
        with pytest.raises(structlog.DropEvent):
            log(None, "info", {"event": "request", "status": 200 + number})
    assert not written
    await done.wait()
    assert [line.split(" timestamp=")[0] for line in "".join(written).splitlines()] == [
        f"event=request status={status}" for status in (200, 201, 202)
    ]
    assert len(written) == 1


async def test_the_end_of_the_box_writes_what_is_held_back() -> None:
    written: list[str] = []
    log = RequestLog([structlog.processors.LogfmtRenderer()], written.append)
    with pytest.raises(structlog.DropEvent):
        log(None, "info", {"event": "request"})
    log.flush()
    assert len(written) == 1


def test_other_events_pass_at_once() -> None:
    log = RequestLog([structlog.processors.LogfmtRenderer()], str)
    assert log(None, "info", {"event": "box_started"}) == {"event": "box_started"}


def test_a_line_has_no_empty_fields_but_keeps_zero_and_false() -> None:
    event = {"event": "part_sent", "part": 0, "ok": False, "fault": None, "name": "", "modems": []}
    assert without_empty_fields(None, "info", event) == {
        "event": "part_sent",
        "part": 0,
        "ok": False,
    }
