"""A box that cannot start shows why on its own port, and starts once the cause is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests

from tests.box.launcher import Process, launcher
from tests.box.running import (
    REQUEST_SECONDS,
    SETTINGS,
    STOP_SECONDS,
    RunningBox,
    eventually,
    free_port,
)

pytestmark = pytest.mark.seconds(12)

MISPLACED = "zs_live_74185"  # written where it is no value


class Start:
    """`zimbox serve` on a data folder, whether it succeeds or not."""

    def __init__(self, data: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        words = ["serve", "--data", str(data), "--modem", "sim"]
        settings = {**SETTINGS, "ZIMBOX_SERVER_LISTEN": f"127.0.0.1:{self.port}"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ZIMBOX_")}
        with log.open("ab") as out:
            self.process: Process = launcher().start(
                words, {**kept, **settings, **(environment or {})}, out.fileno(), out.fileno()
            )

    def get(self, path: str, **headers: str) -> requests.Response | None:
        """One answer; None while nobody listens, between two attempts."""
        try:
            return requests.get(self.url + path, headers=headers, timeout=REQUEST_SECONDS)
        except requests.ConnectionError:
            return None

    def answer(self, path: str, status: int, **headers: str) -> requests.Response:
        def look() -> requests.Response | None:
            result = self.get(path, **headers)
            return result if result is not None and result.status_code == status else None

        return eventually(look, f"{path} answers {status}")

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def end(self) -> int:
        self.process.send_signal(15)  # type: ignore[arg-type]
        return self.process.wait(STOP_SECONDS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data of a box that ran before."""
    box = RunningBox(tmp_path).start()
    box.client()
    box.stop()
    return box.data


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Start]]:
    begun: list[Start] = []

    def begin(data: Path, environment: Mapping[str, str] | None = None) -> Start:
        begun.append(Start(data, tmp_path / "start.log", environment))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def newer(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = 9999 WHERE key = 'oldest_reader'")
        db.execute("PRAGMA user_version = 9999")
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy, "all of it is in the file itself"


SPOILED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "key_unusable": ("secret.key", half, "The key file secret.key is damaged."),
    "database_damaged": (
        "zimbox.db",
        lambda file: file.write_bytes(b"no database at all" * 1000),
        "The database is damaged.",
    ),
    "database_missing": ("zimbox.db", Path.unlink, "The database is gone."),
    "database_newer": ("zimbox.db", newer, "The data was written by a newer version"),
    "settings_invalid": (
        "zimbox.toml",
        lambda file: file.write_text(f"time_zone = '{MISPLACED}'\n"),
        "The settings file cannot be used.",
    ),
}


@pytest.mark.parametrize("reason", SPOILED)
def test_what_is_wrong_and_what_to_do_is_shown_until_it_is_right(
    data: Path, start: Callable[..., Start], tmp_path: Path, reason: str
) -> None:
    name, spoil, words = SPOILED[reason]
    shutil.copytree(data, tmp_path / "whole")
    spoil(data / name)
    begun = start(data)
    health = begun.answer("/health", 503)
    assert health.json() | {"version": ""} == {
        "success": False,
        "status": "failed",
        "reason": reason,
        "version": "",
        "devices": [],
        "error": health.json()["error"],
    }
    api = begun.answer("/v1/sms/history", 503, **{"Accept-Language": "en"})
    assert api.headers["Content-Type"] == "application/json; charset=utf-8"
    assert int(api.headers["Retry-After"]) >= 1
    error = api.json()["error"]
    assert (error["code"], error["details"]) == ("NOT_STARTED", {"reason": reason})
    assert words in error["message"]
    page = begun.answer("/", 503, Accept="text/html", **{"Accept-Language": "en"})
    assert words in page.text and '<section lang="fr">' in page.text
    assert page.text.index('lang="en"') < page.text.index('<section lang="fr">')
    assert MISPLACED not in page.text + api.text + health.text
    assert "Traceback" not in begun.log()

    # It is put right in one step, and the same process starts as ever.
    if (tmp_path / "whole" / name).exists():
        shutil.copy2(tmp_path / "whole" / name, tmp_path / name)
        # A write-ahead log of the file that was there would be applied to the one that replaces it.
        (data / f"{name}-wal").unlink(missing_ok=True)
        (tmp_path / name).replace(data / name)
    else:
        (data / name).unlink()
    assert begun.answer("/health", 200).json()["status"] in ("ok", "degraded")
    assert begun.end() == 0


def test_settings_that_are_no_toml_are_said_with_their_line_at_the_address_they_name(
    data: Path, start: Callable[..., Start], tmp_path: Path
) -> None:
    port = free_port()
    (data / "zimbox.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\n[webhook\n')
    begun = start(data, {"ZIMBOX_SERVER_LISTEN": ""})
    begun.url = f"http://127.0.0.1:{port}"
    assert "at line 3" in begun.answer("/", 503, Accept="text/html").text


def test_a_full_disk_is_said_and_the_box_starts_when_there_is_room(
    data: Path, start: Callable[..., Start], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: mounting a small disk needs root")
    try:
        shutil.copytree(data, disk / "data")
        with (disk / "ballast").open("wb") as ballast:
            ballast.write(bytes(shutil.disk_usage(disk).free))
        begun = start(disk / "data")
        assert begun.answer("/health", 503).json()["reason"] == "storage_full"
        assert begun.answer("/v1/devices", 503).json()["error"]["code"] == "STORAGE_FULL"
        (disk / "ballast").unlink()
        begun.answer("/health", 200)
        assert begun.end() == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_systemd_is_told_that_it_is_up_with_a_status_and_kept_awake(
    data: Path, start: Callable[..., Start], tmp_path: Path
) -> None:
    """Else it would restart it, and after five starts fall back to an older release."""
    half(data / "secret.key")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(STOP_SECONDS)
        start(data, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"})
        assert notified.recv(1000) == b"READY=1\nSTATUS=cannot start: key_unusable"
        assert notified.recv(1000) == b"WATCHDOG=1"


def test_a_fault_of_the_program_ends_the_process(
    data: Path, start: Callable[..., Start], tmp_path: Path
) -> None:
    """So that a release which never comes up is told from a disk that is broken."""
    with sqlite3.connect(data / "zimbox.db") as db:
        db.execute("DROP TABLE device")
    begun = start(data)
    assert begun.process.wait(STOP_SECONDS) == 1
    assert "no such table: device" in begun.log()


def test_many_idle_visitors_do_not_hold_up_the_page_or_the_start(
    data: Path, start: Callable[..., Start], tmp_path: Path
) -> None:
    whole = (data / "secret.key").read_bytes()
    half(data / "secret.key")
    begun = start(data)
    begun.answer("/health", 503)
    idle = []
    for _ in range(40):
        with_it = socket.create_connection(("127.0.0.1", begun.port))
        with_it.sendall(b"GET / HTTP/1.1\r\n")
        idle.append(with_it)
    begun.answer("/health", 503)
    (data / "secret.key").write_bytes(whole)
    begun.answer("/health", 200)
    for with_it in idle:
        with_it.close()
