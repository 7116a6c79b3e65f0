"""Live streams: changes arrive soon and bundled, and cost nothing without visitors."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.box.running import Client, RunningBox, eventually
from tests.page.conftest import ready
from tests.page.listening import SILENCE_SECONDS, Listener
from tests.page.owner import Visit
from web.page.live import STREAMS_MOST

pytestmark = pytest.mark.seconds(20)

NewBox = Callable[..., RunningBox]
MESSAGES = 200
STREAMS = 10


def bulk(client: Client, n: int, text: str = "Bonjour") -> list[str]:
    """Messages taken in one request."""
    entries = [{"to": f"+33612{number:06d}", "message": text} for number in range(n)]
    answer = client.post("/sms/send-bulk", {"messages": entries})
    assert answer.status_code == 202, answer.text
    found: list[str] = answer.json()["message_ids"]
    return found


def test_many_changes_are_few_events_and_the_last_one_is_current(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    client = box.client()
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(box.url)) for _ in range(STREAMS)]
        for listener in listeners:
            assert listener.opened.wait(SILENCE_SECONDS)
        begun = time.monotonic()
        for message_id in bulk(client, MESSAGES):
            client.until(message_id, "delivered", seconds=120)
        took = time.monotonic() - begun
        for listener in listeners:
            eventually(
                lambda stream=listener: f"<b>{MESSAGES}</b>" in stream.last.get("today", ""),  # type: ignore[misc]
                "every stream tells the end of it",
            )
            updates = listener.events.count("today")
            assert updates <= took + 5, "a look a second at the most, whatever happens"


def test_a_change_is_pushed_to_open_pages(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    client = box.client()
    visit = Visit(box.url)
    visit.claim()
    with Listener(box.url, visit.session) as listener:
        assert listener.opened.wait(SILENCE_SECONDS)
        client.send("+33612345678", "tout de suite")
        eventually(
            lambda: "tout de suite" in listener.last.get("latest", ""), "the page is updated"
        )


def test_open_streams_do_not_keep_the_box_from_stopping(new_box: NewBox) -> None:
    box = new_box()
    ready(box)
    with Listener(box.url) as listener:
        assert listener.opened.wait(SILENCE_SECONDS)
        box.stop()
        assert listener.ended.wait(SILENCE_SECONDS)
    assert "timeout graceful shutdown exceeded" not in box.log(), "the streams ended by themselves"


def test_closed_pages_free_their_stream(owned: RunningBox) -> None:
    for _ in range(STREAMS_MOST + 5):
        with Listener(owned.url) as listener:
            assert listener.opened.wait(SILENCE_SECONDS)


def test_visitors_without_login_cannot_exhaust_the_admin_s_streams(
    owned: RunningBox, owner: Visit
) -> None:
    with ExitStack() as stack:
        for _ in range(STREAMS_MOST):
            stack.enter_context(Listener(owned.url))
        mine = stack.enter_context(Listener(owned.url, owner.session))
        assert mine.opened.wait(SILENCE_SECONDS), "the page of the owner stays live"


def test_a_stream_of_the_owner_ends_with_the_session(owned: RunningBox) -> None:
    visit = Visit(owned.url)
    visit.login()
    with Listener(owned.url, visit.session) as listener:
        assert listener.opened.wait(SILENCE_SECONDS)
        other = Visit(owned.url)
        other.session.cookies.update(visit.session.cookies)
        other.post("/logout", {}, page="/settings/box")
        assert listener.ended.wait(SILENCE_SECONDS)
