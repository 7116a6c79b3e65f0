"""Ordinary events in the life of a box: equal requests, a stop, a full disk, schedules, limits, two modems."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import perf_counter, sleep
from zoneinfo import ZoneInfo

import pytest

from tests.box.launcher import ZIMBOX
from tests.box.outside import OutsideModem, Truth, order
from tests.box.running import START_SECONDS, Client, RunningBox, code, eventually
from tests.box.when import SOON_SECONDS, noon

pytestmark = pytest.mark.seconds(50)

TO = "+33612345678"


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# --- idempotency -------------------------------------------------------------------------------


def test_fifty_concurrent_equal_requests_are_one_message(box: RunningBox, client: Client) -> None:
    body = {"to": TO, "message": "Cinquante fois la même"}
    start = threading.Barrier(50)

    def one(_: int) -> tuple[int, str]:
        start.wait()
        answer = client.post("/sms/send", body, headers={"Idempotency-Key": "fifty"})
        return answer.status_code, answer.text

    with ThreadPoolExecutor(50) as crowd:
        answers = set(crowd.map(one, range(50)))
    assert len(answers) == 1, answers
    assert next(iter(answers))[0] == 202
    page = client.get("/sms/history").json()
    assert page["pagination"]["total_items"] == 1
    client.until(page["data"][0]["message_id"], "delivered")
    assert len(Truth.read(box.journal).of_text(body["message"], TO)) == 1


def test_an_idempotency_key_outlives_a_kill(tmp_path: Path) -> None:
    box = RunningBox(tmp_path).start()
    try:
        client = box.client()
        body = {"to": TO, "message": "Avant et après"}
        first = client.post("/sms/send", body, headers={"Idempotency-Key": "k"})
        box.kill()
        box.start()
        client.url = box.url
        again = client.post("/sms/send", body, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        other = client.post(
            "/sms/send", {**body, "to": "+33612345679"}, headers={"Idempotency-Key": "k"}
        )
        assert code(other, 409) == "IDEMPOTENCY_CONFLICT"
        assert client.get("/sms/history").json()["pagination"]["total_items"] == 1
    finally:
        box.stop()


@pytest.mark.measure
def test_a_batch_of_a_thousand_is_answered_well_under_a_second(client: Client) -> None:
    batch = [{"to": f"+3369{n:07d}", "message": f"Bonjour numéro {n}"} for n in range(1000)]
    taken: list[float] = []
    for _ in range(3):
        began = perf_counter()
        answer = client.post(
            "/sms/send-bulk", {"messages": batch, "scheduled_at": later(3600), "priority": 5}
        )
        taken.append(perf_counter() - began)
        assert answer.status_code == 202
        assert answer.json()["queued_messages"] == 1000
    assert min(taken) < 1.0, taken


# --- starting and stopping ---------------------------------------------------------------------


def test_sigterm_in_the_middle_of_a_part_finishes_and_records_it(tmp_path: Path) -> None:
    modem = OutsideModem(tmp_path, "--latency", "4000", "--report-delay", "3000")
    box = RunningBox(tmp_path, modems=(str(modem.port),)).start()
    try:
        client = box.client()
        first = client.send(TO, "Je suis en route")
        second = client.send(TO, "Et moi après")
        eventually(lambda: not client.status(first)["cancellable"], "the first is handed over")
        box.stop()  # answers nothing until it is over
        assert [part.text for part in modem.truth().parts] == ["Je suis en route"]
        box.start()
        client.url = box.url
        assert not client.status(first)["uncertain"]
        assert client.status(first)["status"] in ("sent", "delivered")
        client.until(second, "sent", "delivered")
        assert [part.text for part in modem.truth().parts] == ["Je suis en route", "Et moi après"]
        assert "uncertain_parts_after_start" not in box.log()
    finally:
        box.stop()
        modem.stop()


def test_a_second_box_on_the_same_data_is_refused_in_clear_words(box: RunningBox) -> None:
    done = subprocess.run(
        [
            str(ZIMBOX),
            "serve",
            "--data",
            str(box.data),
            "--listen",
            "127.0.0.1:0",
            "--modem",
            "sim",
        ],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert str(box.data) in done.stderr and "Traceback" not in done.stderr, done.stderr


# --- a full disk -------------------------------------------------------------------------------


def test_below_the_disk_reserve_new_messages_are_refused(tmp_path: Path) -> None:
    box = RunningBox(tmp_path, {"ZIMBOX_STORAGE_RESERVE_MIB": "1000000000"}).start()
    try:
        client = box.client()
        refused = client.post("/sms/send", {"to": TO, "message": "Bonjour"})
        assert code(refused, 503) == "STORAGE_FULL"
        assert client.get("/sms/history").json()["pagination"]["total_items"] == 0
        bulk = client.post("/sms/send-bulk", {"recipients": [TO], "message": "Bonjour"})
        assert code(bulk, 503) == "STORAGE_FULL"
    finally:
        box.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("NOT TESTED: mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_accepted_messages_are_sent_and_new_ones_refused(
    small_disk: Path, tmp_path: Path
) -> None:
    modem = OutsideModem(tmp_path, "--latency", "5", "--report-delay", "20")
    settings = {"ZIMBOX_STORAGE_RESERVE_MIB": "0", "ZIMBOX_SENDING_WAIT_SECONDS": "0.2"}
    box = RunningBox(small_disk, settings, modems=(str(modem.port),)).start()
    try:
        client = box.client()
        before = client.send(TO, "Avant")
        client.until(before, "delivered")
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(small_disk).free - 64 * 1024))
        taken: list[str] = []
        for n in range(200):
            answer = client.post("/sms/send", {"to": TO, "message": f"{n} {'x' * 900}"})
            if answer.status_code != 202:
                assert code(answer, 503) == "STORAGE_FULL"
                break
            taken.append(answer.json()["message_id"])
        else:
            raise AssertionError("the disk never filled")
        ballast.unlink()
        for message_id in taken:
            result = client.until(message_id, "delivered")
            parts = modem.truth().of_text(result["message"], TO)
            assert [p.number for p in parts] == list(range(1, result["parts"] + 1)), "once each"
        after = client.send(TO, "Après")
        client.until(after, "delivered")
        total = client.get("/sms/history").json()["pagination"]["total_items"]
        assert total == len(taken) + 2  # what was refused left nothing behind
    finally:
        box.stop()
        modem.stop()


# --- order and time ----------------------------------------------------------------------------


def test_a_scheduled_message_is_sent_at_its_time(box: RunningBox, client: Client) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=SOON_SECONDS)
    sent = client.send(TO, "À l'heure dite", scheduled_at=moment.isoformat())
    assert client.status(sent)["cancellable"]
    client.until(sent, "delivered")
    (line,) = (each for each in box.received() if each["text"] == "À l'heure dite")
    late = (datetime.fromisoformat(line["at"]) - moment).total_seconds()
    assert 0 <= late < 30, "and not when something looks for it once a minute"


def test_priority_one_overtakes_a_long_queue(tmp_path: Path) -> None:
    modem = OutsideModem(tmp_path, "--latency", "60")
    box = RunningBox(tmp_path, modems=(str(modem.port),)).start()
    try:
        client = box.client()
        batch = [{"to": TO, "message": f"lent {n}"} for n in range(60)]
        assert client.post("/sms/send-bulk", {"messages": batch, "priority": 5}).status_code == 202
        eventually(lambda: modem.truth().parts, "the queue moves")
        normal = client.send(TO, "normal")
        urgent = client.send(TO, "urgent", priority=1)
        client.until(urgent, "delivered")
        client.until(normal, "delivered")
        texts = [part.text for part in modem.truth().parts]
        assert texts.index("urgent") < texts.index("normal") < 59
    finally:
        box.stop()
        modem.stop()


# --- limits ------------------------------------------------------------------------------------


def test_a_limit_per_minute_only_delays(tmp_path: Path) -> None:
    box = RunningBox(tmp_path, {"ZIMBOX_LIMITS_PER_MINUTE": "3"}).start()
    try:
        client = box.client()
        minute = datetime.now(UTC).minute
        sent = [client.send(f"+3361234567{n}", f"message {n}") for n in range(8)]
        eventually(lambda: len(box.received()) >= 3, "the first three")
        sleep(1.0)  # longer than many parts take
        received = len(box.received())
        if datetime.now(UTC).minute == minute:
            assert received == 3
        result = [client.status(message_id)["status"] for message_id in sent]
        assert result.count("queued") >= 2 and "failed" not in result
    finally:
        box.stop()


def test_in_quiet_hours_only_priority_one_is_sent(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    span = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    box = RunningBox(
        tmp_path, {"ZIMBOX_LIMITS_QUIET_HOURS": span, "ZIMBOX_TIME_ZONE": "UTC"}
    ).start()
    try:
        client = box.client()
        calm = client.send(TO, "rien ne presse")
        client.until(client.send(TO, "au feu", priority=1), "delivered")
        assert client.status(calm)["status"] == "queued"
        answer = client.post("/sms/send-bulk", {"recipients": [TO], "message": "en masse"}).json()
        assert answer["queued_messages"] == 1
        assert [line["text"] for line in box.received()] == ["au feu"]
    finally:
        box.stop()


def test_a_daily_cap_returns_how_many_are_sent_now_and_when_the_rest_is(tmp_path: Path) -> None:
    zone = noon()
    box = RunningBox(tmp_path, {"ZIMBOX_LIMITS_PER_DAY": "5", "ZIMBOX_TIME_ZONE": zone}).start()
    try:
        client = box.client()
        eventually(lambda: client.get("/devices").json()["devices"], "a device")
        eventually(
            lambda: client.get("/auth/test").json()["device_status"] == "online", "it is online"
        )
        batch = [{"to": f"+3361234567{n}", "message": f"message {n}"} for n in range(8)]
        answer = client.post("/sms/send-bulk", {"messages": batch})
        result = answer.json()
        assert answer.status_code == 202, result
        tomorrow = (datetime.now(ZoneInfo(zone)) + timedelta(days=1)).date()
        midnight = datetime.combine(tomorrow, time(), ZoneInfo(zone)).astimezone(UTC)
        assert (result["sendable_now"], result["rest_from"]) == (
            5,
            f"{midnight:%Y-%m-%dT%H:%M:%SZ}",
        )
        eventually(lambda: len(box.received()) == 5, "today's five")
    finally:
        box.stop()


# --- two modems --------------------------------------------------------------------------------


def test_a_modem_that_is_gone_for_good_can_be_removed(tmp_path: Path) -> None:
    def online(client: Client) -> list[str]:
        found = client.get("/devices").json()["devices"]
        return [d["device_id"] for d in found if d["status"] == "online"]

    both = RunningBox(tmp_path, modems=("sim", "sim")).start()
    client = both.client()
    eventually(lambda: len(online(client)) == 2, "both modems are online")
    both.stop()
    box = RunningBox(tmp_path, modems=("sim",)).start()
    try:
        client.url = box.url
        (left,) = eventually(lambda: online(client) or None, "the one that is left is online")
        (gone,) = {"device_1", "device_2"} - {left}
        later = {
            "to": TO,
            "message": "pour l'autre",
            "scheduled_at": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        }
        pinned = client.post("/sms/send", later, headers={"X-Device-ID": gone})
        waits = pinned.json()["message_id"]
        free = client.post("/sms/send", later).json()["message_id"]
        listed = {row["device_id"]: row for row in box.zimbox("device", "list")}
        assert (listed[gone]["status"], listed[gone]["parts_waiting"]) == ("offline", 1)
        box.command("device", "remove", gone, "--yes")
        assert online(client) == [left]
        assert len(client.get("/devices").json()["devices"]) == 1
        named = client.post("/sms/send", later, headers={"X-Device-ID": gone})
        assert code(named, 404) == "INVALID_DEVICE_ID"
        failed = client.until(waits, "failed")
        assert failed["error"]["code"] == "DEVICE_ERROR"
        assert "retiré" in str(failed["error"])
        assert client.status(free)["status"] == "queued"
        with pytest.raises(subprocess.CalledProcessError):
            box.command("device", "remove", left, "--yes")
        assert online(client) == [left], "one that is online is not removed"
    finally:
        box.stop()


class Two:
    """A box with two modems, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.modems = [
            OutsideModem(
                folder,
                *("--latency", "30", "--report-delay", "50"),
                *("--imei", f"86012345678901{n}", "--iccid", f"8949020000123456789{n}"),
                *("--imsi", f"26201987654321{n}"),
                name=f"modem{n}",
            )
            for n in (1, 2)
        ]
        self.box = RunningBox(folder, modems=[str(modem.port) for modem in self.modems]).start()
        self.client = self.box.client()
        eventually(self._online, "both modems are online")

    def _online(self) -> bool:
        return [d["status"] for d in self.client.get("/devices").json()["devices"]] == [
            "online"
        ] * 2

    def device_of(self, modem: OutsideModem) -> str:
        """Which device a modem is: the one that goes offline with it."""
        modem.order("unplug")
        gone: str = eventually(self.offline, "one is offline")
        modem.order("plug")
        eventually(self._online, "both modems are online")
        return gone

    def offline(self) -> str | None:
        devices = self.client.get("/devices").json()["devices"]
        return next((d["device_id"] for d in devices if d["status"] == "offline"), None)

    def taken(self) -> list[int]:
        return [len(modem.truth().parts) for modem in self.modems]

    def stop(self) -> None:
        self.box.stop()
        for modem in self.modems:
            modem.stop()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    both = Two(tmp_path)
    yield both
    both.stop()


def test_two_modems_share_a_queue_and_one_continues_alone(two: Two) -> None:
    client = two.client
    batch = [{"to": f"+336{n:08d}", "message": f"part {n}"} for n in range(40)]
    sent = [
        m["message_id"]
        for m in client.post("/sms/send-bulk", {"messages": batch}).json()["messages"]
    ]
    for message_id in sent:
        client.until(message_id, "delivered")
    assert sum(two.taken()) == 40 and min(two.taken()) >= 10, two.taken()
    two.modems[0].order("unplug")
    eventually(two.offline, "one is offline")
    before = two.taken()
    for message_id in [client.send(f"+337{n:08d}", f"seul {n}") for n in range(10)]:
        client.until(message_id, "delivered")
    assert two.taken() == [before[0], before[1] + 10]


def test_a_message_for_one_modem_waits_for_it(two: Two) -> None:
    first = two.modems[0]
    device = two.device_of(first)
    pinned = Client(two.client.url, two.client.client_id, two.client.api_key, two.client.key_id)
    pinned.headers = {**two.client.headers, "X-Device-ID": device}
    pinned.until(pinned.send(TO, "par le premier"), "delivered")
    assert [part.text for part in first.truth().parts] == ["par le premier"]
    first.order("unplug")
    eventually(two.offline, "it is offline")
    waiting = pinned.send(TO, "j'attends le premier")
    free = two.client.send(TO, "peu importe")
    two.client.until(free, "delivered")
    assert two.client.status(waiting)["status"] == "queued"
    first.order("plug")
    result = two.client.until(waiting, "delivered")
    assert result["device_id"] == device
    assert [p.text for p in first.truth().parts] == ["par le premier", "j'attends le premier"]
    assert [p.text for p in two.modems[1].truth().parts] == ["peu importe"]


def test_long_texts_stay_with_the_sim_that_began_them(two: Two) -> None:
    client = two.client
    texts = [f"{n}: " + "très long " * 40 for n in range(6)]
    # One attempt more than refusals, so that no message fails.
    order(two.modems[0].control, "send", probability=0.4, cms=42, times=4)
    sent = [client.send(f"+336{n:08d}", text, retry_attempts=5) for n, text in enumerate(texts)]
    for message_id in sent:
        client.until(message_id, "delivered")
    for n, text in enumerate(texts):
        of_each = [modem.truth().of_text(text, f"+336{n:08d}") for modem in two.modems]
        assert not all(of_each), "the parts of one message went through two SIMs"
