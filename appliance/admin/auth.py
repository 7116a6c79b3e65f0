"""Authentication of the owner: claiming the box, password, sessions, throttling."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import re
import secrets
from pathlib import Path
from sqlite3 import Connection
from urllib.parse import urlsplit

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from appliance.context import Context
from appliance.core.durable import write_durably
from appliance.domain.local_names import is_local
from appliance.store import admin as table

log = structlog.get_logger(__name__)

PASSWORD_CHARACTERS = (8, 200)
SESSION_BYTES = 32
DEVICE_BYTES = 16
SESSION_IDLE_MS = 30 * 86_400_000
SESSION_SEEN_EVERY_MS = 3_600_000  # the last use of a session is stored at most once per hour
SESSIONS_MOST = 20
AGENT_CHARACTERS = 120

# RFC 9106 needs more memory than a Pi Zero has to spare; these are OWASP's parameters for little memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

FREE_ATTEMPTS = 5  # wrong passwords from one address before it has to wait
FIRST_WAIT_SECONDS = 10.0  # doubles with each further wrong password
LONGEST_WAIT_SECONDS = 900.0
TRIES_A_MINUTE = 30  # in total: each hash takes a Pi about a second
ADDRESSES_MOST = 1000

SETUP_CODE_FILE = "setup-code"
# In the data folder: written when the card's zimbox.toml says `forget_owner = true`, obeyed once.
FORGET_OWNER_FILE = "forget-owner"


def _device_proof(hashed: str, nonce: str) -> str:
    return hmac.new(hashed.encode(), f"device {nonce}".encode(), "sha256").hexdigest()


def _code_in(file: Path) -> str:
    """Return the setup code in a file; "" without a file, or if a power cut left something else in it."""
    try:
        code = file.read_bytes().strip()
    except OSError:
        return ""
    return code.decode() if re.fullmatch(rb"\d{4}-\d{4}-\d{4}", code) else ""


class Denied(Exception):
    """Access denied. `reason` is "claimed", "code", "short", "long", "password", or "wait" with seconds."""

    def __init__(self, reason: str, seconds: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


class Throttle:
    """Counts wrong passwords by address, in memory: a restart, which needs access to the box, resets them."""

    def __init__(self, monotonic: float) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}
        self._minute = monotonic
        self._tries = 0

    def admit(self, address: str, now: float, *, known: bool = False) -> None:
        """Raise Denied("wait") with the remaining seconds.

        The total of a minute does not bind a `known` browser, so that strangers cannot use it up for the owner.
        """
        attempts, until = self._wrong.get(address, (0, 0.0))
        if attempts >= FREE_ATTEMPTS and now < until:
            raise Denied("wait", round(until - now) + 1)
        if known:
            return
        if now - self._minute >= 60:
            self._minute, self._tries = now, 0
        if self._tries >= TRIES_A_MINUTE:
            raise Denied("wait", round(60 - (now - self._minute)) + 1)
        self._tries += 1

    def wrong(self, address: str, now: float) -> None:
        attempts = self._wrong.pop(address, (0, 0.0))[0] + 1
        wait = min(
            FIRST_WAIT_SECONDS * 2.0 ** min(attempts - FREE_ATTEMPTS, 20), LONGEST_WAIT_SECONDS
        )
        self._wrong[address] = (attempts, now + (wait if attempts >= FREE_ATTEMPTS else 0.0))
        if len(self._wrong) > ADDRESSES_MOST:
            del self._wrong[next(iter(self._wrong))]

    def right(self, address: str) -> None:
        self._wrong.pop(address, None)


class AdminAuth:
    """The account of the box's owner: claiming, login, sessions."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._throttle = Throttle(box.clock.monotonic())
        self._one_guess = asyncio.Lock()  # concurrent attempts count one by one
        self._known_guess = asyncio.Lock()  # a known browser does not queue behind strangers
        self._one_hash = (
            asyncio.Lock()
        )  # two hashes at once would exhaust the memory of a small board
        self._started = box.clock.monotonic()
        self.claimed = False
        self.setup_code = ""  # while the box has no owner

    async def start(self) -> None:
        """Find out whether the box has an owner; if not, publish the setup code."""
        if self._box.config.page.password_hash:
            await self._box.db.write(table.given, self._box.config.page.password_hash)
        await self._forget_owner()
        self.claimed = await self._box.db.read(table.setting, "password", str) is not None
        data = self._box.db.path.parent
        if self.claimed:
            (data / SETUP_CODE_FILE).unlink(missing_ok=True)
            return
        # The claim window counts from the first start: a restart must not open it again.
        now = self._box.clock.now()
        first = await self._box.db.write(table.first_started, now)
        self._started -= max(0, now - first) / 1000
        self.setup_code = await asyncio.to_thread(self._lay_code, data / SETUP_CODE_FILE)

    async def _forget_owner(self) -> None:
        """Forget the owner if that was asked for; the file is deleted once that is on disk."""
        file = self._box.db.path.parent / FORGET_OWNER_FILE
        if not file.exists():
            return
        await self._box.db.write(table.forget)
        file.unlink()
        log.warning("owner_forgotten")

    def _lay_code(self, kept: Path) -> str:
        """Return the setup code, which stays the same over restarts until the box is claimed."""
        code = _code_in(kept)
        if not code:
            code = "-".join(f"{secrets.randbelow(10_000):04d}" for _ in range(3))
            try:
                write_durably(kept, f"{code}\n".encode(), 0o600)
            except OSError as error:
                log.warning("setup_code_not_written", file=str(kept), reason=str(error))
        if self._has_place:
            place = Path(self._box.config.page.setup_code_file)
            try:
                descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(code + "\n")
            except (
                OSError
            ) as error:  # the boot partition may be read-only; the log has the code too
                log.warning("setup_code_not_written", file=str(place), reason=str(error))
        return code

    @property
    def _has_place(self) -> bool:
        return bool(self._box.config.page.setup_code_file)

    def forget_code(self) -> None:
        """Delete the setup code once the box is claimed."""
        self.setup_code = ""
        places = [self._box.db.path.parent / SETUP_CODE_FILE]
        if self._has_place:
            places.append(Path(self._box.config.page.setup_code_file))
        for place in places:
            try:
                place.unlink(missing_ok=True)
            except OSError as error:
                log.warning("setup_code_not_removed", file=str(place), reason=str(error))

    # --- claiming and logging in ---------------------------------------------------------------------

    def code_needed(self, address: str, host: str) -> bool:
        """Return whether a claim needs the setup code: after the claim window, or from outside the LAN.

        `host` is the name that the browser uses: a foreign name may have been pointed at this box.
        """
        window = self._box.config.page.claim_window_minutes * 60
        late = self._box.clock.monotonic() - self._started > window
        return late or not self.near(address, host)

    def near(self, address: str, host: str) -> bool:
        """Return whether a request comes from the LAN, as `near`; behind a proxy to the internet none does."""
        outside = urlsplit(self._box.config.server.public_url).netloc
        return near(address, host) and (not outside or is_a_name_of_the_lan(outside))

    async def claim(self, password: str, code: str, address: str, host: str) -> str:
        """Set the first password; return its hash for `open_session`. Raises Denied."""
        if self.claimed:
            raise Denied("claimed")
        if self.code_needed(address, host):
            now = self._box.clock.monotonic()
            self._throttle.admit(address, now)
            digits = "".join(c for c in code if c.isdigit())
            wanted = self.setup_code.replace("-", "")
            if not hmac.compare_digest(digits.encode(), wanted.encode()):
                self._throttle.wrong(address, now)
                raise Denied("code")
            self._throttle.right(address)
        hashed = await self._hash(password)
        if not await self._box.db.write(table.claim, hashed):
            raise Denied("claimed")
        self.claimed = True
        await asyncio.to_thread(self.forget_code)
        log.info("box_claimed")
        return hashed

    async def login(self, password: str, address: str, device: str = "") -> str:
        """Check a password; return its hash for `open_session`. Raises Denied("password"), or "wait" unchecked.

        Wrong passwords count by address. A browser that the owner has logged in from before shows its device
        cookie (`device`), and its wrong passwords count by that, so that nobody else can lock it out.
        """
        # An attempt that only waits for its turn to be refused must not hold up the owner's.
        known = await self._is_known(device)
        origin = f"device {device}" if known else address
        lock = self._known_guess if known else self._one_guess
        async with lock:
            self._throttle.admit(origin, self._box.clock.monotonic(), known=known)
            hashed = await self._right(password)
            if hashed is None:
                self._throttle.wrong(origin, self._box.clock.monotonic())
                log.warning("login_refused", address=address, known_device=known)
                raise Denied("password")
            self._throttle.right(origin)
            return hashed

    def device_cookie(self, hashed: str) -> str:
        """Return a cookie that marks a browser as the owner's. It ends with the password, and opens nothing."""
        nonce = secrets.token_urlsafe(DEVICE_BYTES)
        return f"{nonce}.{_device_proof(hashed, nonce)}"

    async def _is_known(self, device: str) -> bool:
        nonce, dot, proof = device.partition(".")
        if not dot:
            return False
        hashed = await self._box.db.read(table.setting, "password", str)
        if hashed is None:
            return False
        return hmac.compare_digest(_device_proof(hashed, nonce).encode(), proof.encode())

    async def change_password(
        self, old: str, new: str, token: str, address: str, device: str = ""
    ) -> str:
        """Change the password and end all other sessions; return the new hash. Raises Denied."""
        await self.login(old, address, device)
        hashed = await self._hash(new)

        def work(db: Connection) -> None:
            table.keep(db, "password", hashed)
            table.end_other_sessions(db, token)

        await self._box.db.write(work)
        return hashed

    async def _hash(self, password: str) -> str:
        if len(password) < PASSWORD_CHARACTERS[0]:
            raise Denied("short")
        if len(password) > PASSWORD_CHARACTERS[1]:
            raise Denied("long")
        async with self._one_hash:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def _right(self, password: str) -> str | None:
        """Return the hash that a password matches; None for a wrong one."""
        hashed = await self._box.db.read(table.setting, "password", str)
        if hashed is None or len(password) > PASSWORD_CHARACTERS[1]:
            return None
        async with self._one_hash:
            try:
                await asyncio.to_thread(_HASHER.verify, hashed, password)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return None
        return hashed

    # --- sessions ------------------------------------------------------------------------------------

    async def open_session(self, agent: str, hashed: str) -> str:
        """Open a session and return its cookie, if this hash is still the password's. Raises Denied."""
        token = secrets.token_urlsafe(SESSION_BYTES)
        now = self._box.clock.now()

        def work(db: Connection) -> None:
            if (
                table.setting(db, "password", str) != hashed
            ):  # the password was changed since the comparison
                raise Denied("password")
            table.open_session(db, token, agent[:AGENT_CHARACTERS], now, SESSIONS_MOST)

        await self._box.db.write(work)
        return token

    async def is_admin(self, token: str) -> bool:
        """Return whether a cookie belongs to a live session. Reads the store each time."""
        if not token:
            return False
        seen = await self._box.db.read(table.session_seen, token)
        if seen is None:
            return False
        now = self._box.clock.now()
        if self._box.clock_jumps.pending:  # the clock has just been set; nobody was idle that long
            return True
        if now - seen[1] > SESSION_IDLE_MS and self._box.clock.trusted:
            await self._box.db.write_best_effort(table.end_session, token)
            return False
        if abs(now - seen[1]) > SESSION_SEEN_EVERY_MS:
            await self._box.db.write_best_effort(table.see_session, token, now)
        return True

    async def end_session(self, token: str) -> None:
        await self._box.db.write(table.end_session, token)

    def form_token(self, cookie: str) -> str:
        """Return the token that a form must carry for this cookie; another site cannot know it.

        It depends on the cookie alone, so that open pages survive a restart of the box.
        """
        return hmac.new(cookie.encode(), b"form", "sha256").hexdigest()

    def form_is_ours(self, cookie: str, token: str) -> bool:
        return bool(cookie) and hmac.compare_digest(
            self.form_token(cookie).encode(), token.encode()
        )


def is_a_name_of_the_lan(host: str) -> bool:
    """Return whether a Host header is an address, a single label or a local name."""
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return is_local(name)
    return True


def near(address: str, host: str) -> bool:
    """Return whether a request comes from the LAN under a local name, not through a foreign name pointed here."""
    return on_the_lan(address) and is_a_name_of_the_lan(host)


def on_the_lan(address: str) -> bool:
    """Return whether an address belongs to a private network, or to the box itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_private or found.is_link_local or found.is_loopback
