"""Authentication of the admin: guesses, the first password, sessions. The test sets the clock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.admin.auth import (
    FORGET_OWNER_FILE,
    FREE_ATTEMPTS,
    LONGEST_WAIT_SECONDS,
    SESSION_IDLE_MS,
    SESSIONS_MOST,
    TRIES_A_MINUTE,
    AdminAuth,
    Denied,
    Throttle,
    is_a_name_of_the_lan,
    on_the_lan,
)
from appliance.context import Context
from appliance.core.config import Config, PageSettings
from appliance.core.encryption import Encryption
from appliance.domain.ids import Ids
from appliance.store import admin, archive
from appliance.store.database import Database
from tests.manual_clock import ManualClock

LAN, AFAR = "192.168.1.20", "198.41.0.4"
HOST = "zimbox.local"
PASSWORD = "une phrase bien longue"


class Stage:
    """A box that nobody has claimed, with a clock that stands still."""

    def __init__(self, db: Database, ids: Ids, folder: Path) -> None:
        self.clock = ManualClock()
        self.folder = folder
        config = Config(page=PageSettings(setup_code_file=str(folder / "boot" / "code.txt")))
        self.box = Context(config, self.clock, db, ids, Encryption(folder / "secret.key"))
        self.access = AdminAuth(self.box)

    async def session(self, agent: str) -> str:
        """A new session of the owner, whose password this becomes."""
        hashed = "any that stands in the store"
        await self.box.db.write(admin.keep, "password", hashed)
        return await self.access.open_session(agent, hashed)

    async def restart(self) -> None:
        """As after a power cut: only what is on the disk is left."""
        self.access = AdminAuth(self.box)
        await self.access.start()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    (tmp_path / "boot").mkdir()
    db = await Database.open(tmp_path / "zimbox.db")
    made = Stage(db, await db.read(archive.marks), tmp_path)
    await made.access.start()
    yield made
    await db.close()


async def test_the_setup_code_stays_the_same_until_the_box_is_claimed(stage: Stage) -> None:
    code = stage.access.setup_code
    assert (stage.folder / "boot" / "code.txt").read_text("ascii").strip() == code
    await stage.restart()
    assert stage.access.setup_code == code
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    assert stage.access.setup_code == ""
    assert not (stage.folder / "boot" / "code.txt").exists()
    assert not (stage.folder / "setup-code").exists()


async def test_the_claim_window_is_for_the_lan_and_ends(stage: Stage) -> None:
    assert not stage.access.code_needed(LAN, HOST)
    assert stage.access.code_needed(AFAR, HOST)
    stage.clock.advance(61 * 60)
    assert stage.access.code_needed(LAN, HOST)
    with pytest.raises(Denied, match="code"):
        await stage.access.claim(PASSWORD, "", LAN, HOST)
    await stage.access.claim(PASSWORD, stage.access.setup_code, AFAR, HOST)


async def test_a_restart_does_not_open_the_claim_window_again(stage: Stage) -> None:
    stage.clock.advance(40 * 60)
    await stage.restart()
    assert not stage.access.code_needed(LAN, HOST)
    stage.clock.advance(21 * 60)
    assert stage.access.code_needed(LAN, HOST)
    await stage.restart()
    assert stage.access.code_needed(LAN, HOST)


async def test_guesses_of_the_setup_code_are_limited(stage: Stage) -> None:
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(Denied, match="code"):
            await stage.access.claim(PASSWORD, "000000000000", AFAR, HOST)
    with pytest.raises(Denied, match="wait"):
        await stage.access.claim(PASSWORD, stage.access.setup_code, AFAR, HOST)


async def test_the_first_password_claims_the_box_and_only_it_logs_in(stage: Stage) -> None:
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    with pytest.raises(Denied, match="claimed"):
        await stage.access.claim("another long one", "", LAN, HOST)
    await stage.access.login(PASSWORD, LAN)
    with pytest.raises(Denied, match="password"):
        await stage.access.login("another long one", LAN)
    await stage.restart()
    assert stage.access.claimed
    await stage.access.login(PASSWORD, LAN)


async def test_concurrent_guesses_count_like_sequential_ones(
    stage: Stage,
) -> None:
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    guesses = [stage.access.login(f"guess number {n}", LAN) for n in range(2 * FREE_ATTEMPTS)]
    denied = await asyncio.gather(*guesses, return_exceptions=True)
    reasons = [one.reason for one in denied if isinstance(one, Denied)]
    assert reasons.count("password") == FREE_ATTEMPTS
    assert reasons.count("wait") == FREE_ATTEMPTS


async def test_concurrent_logins_with_the_right_password_are_not_limited(
    stage: Stage,
) -> None:
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    logins = (stage.access.login(PASSWORD, LAN) for _ in range(2 * FREE_ATTEMPTS))
    hashes = await asyncio.gather(*logins)
    assert len(set(hashes)) == 1 and hashes[0]
    with pytest.raises(Denied, match="password"):  # and not "wait": none of these was a guess
        await stage.access.login("another long one", LAN)


async def test_a_burst_of_guesses_is_counted_one_by_one(stage: Stage) -> None:
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    attempts = (stage.access.login(f"guess number {n}", LAN) for n in range(3 * FREE_ATTEMPTS))
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    assert [str(a) for a in answers].count("password") == FREE_ATTEMPTS


async def test_a_password_change_ends_a_login_that_is_being_checked(stage: Stage) -> None:
    await stage.access.claim(PASSWORD, "", LAN, HOST)
    own = await stage.access.open_session("Firefox", await stage.access.login(PASSWORD, LAN))

    async def thief() -> str:
        hashed = await stage.access.login(PASSWORD, "192.168.1.66")
        return await stage.access.open_session("Thief", hashed)

    change = asyncio.create_task(
        stage.access.change_password(PASSWORD, "another long one", own, LAN)
    )
    late: list[asyncio.Task[str]] = []
    for _ in range(20):
        late.append(asyncio.create_task(thief()))
        await asyncio.sleep(0.01)  # spreads the logins over the change, a race and not a wait
    await change
    tokens = await asyncio.gather(*late, return_exceptions=True)
    with pytest.raises(Denied, match="password"):
        await stage.access.login(PASSWORD, LAN)
    for token in tokens:
        assert isinstance(token, Denied) or not await stage.access.is_admin(str(token))
    assert await stage.access.is_admin(own)


@pytest.mark.seconds(5)
async def test_wrong_passwords_of_others_do_not_lock_out_a_browser_of_the_owner(
    stage: Stage,
) -> None:
    hashed = await stage.access.claim(PASSWORD, "", LAN, HOST)
    device = stage.access.device_cookie(hashed)
    for n in range(TRIES_A_MINUTE):  # from many addresses, one of them the owner's own
        with pytest.raises(Denied):
            await stage.access.login("not this one", f"192.168.1.{n % 6 + 20}")
    with pytest.raises(Denied, match="wait"):
        await stage.access.login(PASSWORD, LAN)
    await stage.access.login(PASSWORD, LAN, device)


async def test_a_device_cookie_gives_as_many_guesses_as_an_address(stage: Stage) -> None:
    hashed = await stage.access.claim(PASSWORD, "", LAN, HOST)
    device = stage.access.device_cookie(hashed)
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(Denied, match="password"):
            await stage.access.login("not this one", LAN, device)
    with pytest.raises(Denied, match="wait"):
        await stage.access.login(PASSWORD, AFAR, device)
    await stage.access.login(PASSWORD, LAN)  # whoever stole the cookie locks out the cookie only


async def test_forged_and_old_device_cookies_are_ignored(stage: Stage) -> None:
    hashed = await stage.access.claim(PASSWORD, "", LAN, HOST)
    old = stage.access.device_cookie(hashed)
    own = await stage.access.open_session("Firefox", hashed)
    await stage.access.change_password(PASSWORD, "another long one", own, LAN)
    for n, cookie in enumerate(("", ".", "é.é", "x.0", old, *(f"{n}.{n}" for n in range(20)))):
        with pytest.raises(Denied, match="password" if n < FREE_ATTEMPTS else "wait"):
            await stage.access.login("not this one", AFAR, cookie)


@pytest.mark.parametrize("left", [b"", b"\0" * 15, b"\xff\xfe", b"----", b"1234-56"])
async def test_a_setup_code_damaged_by_a_power_cut_is_replaced(stage: Stage, left: bytes) -> None:
    (stage.folder / "setup-code").write_bytes(left)
    await stage.restart()
    assert re.fullmatch(r"\d{4}-\d{4}-\d{4}", stage.access.setup_code)
    with pytest.raises(Denied, match="code"):
        await stage.access.claim(PASSWORD, "", AFAR, HOST)
    assert (stage.folder / "setup-code").read_text().strip() == stage.access.setup_code


async def test_a_session_ends_when_it_is_unused(stage: Stage) -> None:
    token = await stage.session("Firefox")
    for _ in range(3):
        stage.clock.advance(SESSION_IDLE_MS / 1000 - 60)
        assert await stage.access.is_admin(token)
    stage.clock.advance(SESSION_IDLE_MS / 1000 + 60)
    assert not await stage.access.is_admin(token)
    assert not await stage.access.is_admin("")


async def test_the_cookie_of_a_session_is_not_in_the_store(stage: Stage) -> None:
    token = await stage.session("Firefox")
    await stage.box.db.write(lambda db: db.execute("PRAGMA user_version").fetchone()[0])
    for file in stage.folder.glob("zimbox.db*"):
        assert token.encode() not in file.read_bytes()


async def test_beyond_the_session_limit_the_least_recently_used_one_ends(stage: Stage) -> None:
    first = await stage.session("1")
    for n in range(SESSIONS_MOST):
        stage.clock.advance(1)
        await stage.session(str(n))
    assert not await stage.access.is_admin(first)


async def test_a_login_works_while_the_clock_is_in_the_past(stage: Stage) -> None:
    for n in range(SESSIONS_MOST):
        await stage.session(str(n))
    stage.clock.step(-10 * 86_400_000)  # a board without a clock chip was switched on again
    assert await stage.access.is_admin(await stage.session("Firefox"))


async def test_setting_the_clock_ends_no_session(stage: Stage) -> None:
    stage.clock.trusted = False
    token = await stage.session("Firefox")
    stage.clock.step(SESSION_IDLE_MS + 86_400_000)
    stage.clock.trusted = True
    assert await stage.access.is_admin(token)
    await stage.box.clock_jumps.adjust()
    assert await stage.access.is_admin(token)
    stage.clock.advance(SESSION_IDLE_MS / 1000 + 60)
    assert not await stage.access.is_admin(token)


async def test_a_form_needs_the_token_of_its_own_cookie(stage: Stage) -> None:
    token = stage.access.form_token("cookie")
    assert stage.access.form_is_ours("cookie", token)
    assert not stage.access.form_is_ours("another", token)
    assert not stage.access.form_is_ours("", stage.access.form_token(""))


def test_the_wait_doubles_with_each_wrong_guess() -> None:
    throttle, now = Throttle(0.0), 0.0
    waits: list[int] = []
    for _ in range(12):
        throttle.admit("a", now)
        throttle.wrong("a", now)
        try:
            throttle.admit("a", now)
        except Denied as denied:
            waits.append(denied.seconds)
            now += denied.seconds
        now += 60  # the common limit is another test's
    assert waits == sorted(waits) and len(waits) == 12 - FREE_ATTEMPTS + 1
    assert waits[-1] <= LONGEST_WAIT_SECONDS + 1 and waits[1] > waits[0]


def test_guesses_from_one_address_do_not_lock_out_others() -> None:
    throttle = Throttle(0.0)
    for _ in range(FREE_ATTEMPTS):
        throttle.admit("a", 0.0)
        throttle.wrong("a", 0.0)
    with pytest.raises(Denied):
        throttle.admit("a", 1.0)
    throttle.admit("b", 1.0)
    throttle.right("b")


def test_guesses_from_many_addresses_have_a_common_limit() -> None:
    throttle = Throttle(0.0)
    for n in range(TRIES_A_MINUTE):
        throttle.admit(f"10.0.0.{n}", 1.0)
    with pytest.raises(Denied, match="wait"):
        throttle.admit("10.0.1.1", 2.0)
    throttle.admit("10.0.1.1", 61.0)


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("192.168.1.20", True),
        ("127.0.0.1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.0.0.5", True),
        ("::ffff:8.8.8.8", False),
        ("8.8.8.8", False),
        ("2a00:1450::1", False),
        ("", False),
    ],
)
def test_addresses_of_the_lan_are_recognised(address: str, near: bool) -> None:
    assert on_the_lan(address) is near


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("192.168.1.20:8080", True),
        ("[fe80::1]:80", True),
        ("localhost:8080", True),
        ("zimbox", True),
        ("zimbox.local", True),
        ("zimbox.fritz.box", True),
        ("rebound.example.com", False),
        ("192.168.1.20.example.com", False),
    ],
)
def test_a_host_name_that_is_not_the_box_s_is_refused(host: str, ours: bool) -> None:
    assert is_a_name_of_the_lan(host) is ours


async def test_the_card_can_remove_the_password_once_and_then_the_setup_code_is_needed(
    stage: Stage,
) -> None:
    await stage.restart()
    code = stage.access.setup_code
    hashed = await stage.access.claim(PASSWORD, code, LAN, HOST)
    token = await stage.access.open_session("phone", hashed)
    stage.clock.advance(2 * 3600)
    (stage.box.db.path.parent / FORGET_OWNER_FILE).touch()
    await stage.restart()
    assert not stage.access.claimed and not await stage.access.is_admin(token)
    assert stage.access.setup_code
    assert stage.access.code_needed(LAN, HOST), "whoever is on the LAN does not get the box"
    await stage.access.claim(PASSWORD, stage.access.setup_code, LAN, HOST)
    await stage.restart()
    assert stage.access.claimed, "the file was obeyed once"
