"""The leg between the store and an MQTT broker: commands come in, committed events and states go out."""

from __future__ import annotations

import asyncio
import random
import secrets

import msgspec
import structlog

from appliance.clients.rate_limit import Limiter
from appliance.core.mqtt_state import MqttState
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.devices.manager import Devices
from appliance.devices.snapshot import names_of
from appliance.domain.errors import ApiError
from appliance.monitoring.dashboard import Overview
from appliance.mqtt import packets
from appliance.mqtt.commands import MqttCommands
from appliance.mqtt.connection import (
    ANSWER_SECONDS,
    FAILURES,
    KEEP_ALIVE_SECONDS,
    BrokerConnection,
    BrokerError,
    password,
)
from appliance.mqtt.discovery import OFFLINE, ONLINE, ModemReport, Topics, discovery
from appliance.mqtt.packets import Puback, Publish, Suback, Will
from appliance.services import Services
from appliance.store import mqtt as store

log = structlog.get_logger(__name__)

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 60.0
BATCH = 20  # events on their way at a time; a usual limit of brokers (receive maximum, max_inflight_messages)
WAITING_COMMANDS = 50  # read and not queued yet; further ones wait in the broker
# The state is published again after a change, but not more often than this.
STATE_SECONDS = 5.0


class MqttBridge:
    """Connects to the broker again and again. Reads commands and publishes while connected."""

    def __init__(self, services: Services, devices: Devices, state: MqttState) -> None:
        self._services = services
        self._box = services.context
        self._devices = devices
        self._settings = self._box.config.mqtt
        self._topics = Topics(self._settings.base_topic)
        self._commands = MqttCommands(services)
        self._limiter = Limiter(self._box.clock, self._box.config.rate_limit, 1)
        self._identity = ""
        self._failures = 0
        self._random = random.Random()
        self.state = state

    @property
    def _birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self._settings.discovery_prefix}/status"

    async def run(self) -> None:
        """Connect, and after a failure again with growing pauses, until cancelled."""
        await self._box.db.write(store.switch_on, await self._commands.client() * 2)
        self._identity = await self._box.db.write(store.identity, f"zimbox-{secrets.token_hex(4)}")
        while True:
            try:
                await self._connected()
            except* FAILURES as group:
                self._failed(_first(group))
            await self._drop_oldest()
            await asyncio.sleep(self._pause())

    def _failed(self, error: BaseException) -> None:
        problem = str(error) or type(error).__name__
        if self.state.connected or problem != self.state.problem:  # not the same line every minute
            log.warning("mqtt_disconnected", broker=self.state.broker, reason=problem)
        if self.state.connected:
            self.state.connected, self.state.since = False, self._box.clock.monotonic()
            self._box.wakeups.changed()
        self.state.problem = problem

    def _pause(self) -> float:
        """Return how long to wait before the next attempt, doubling and with some chance in it."""
        longest = min(FIRST_BACKOFF_SECONDS * 2.0**self._failures, LONGEST_BACKOFF_SECONDS)
        self._failures = min(self._failures + 1, 10)
        return longest * self._random.uniform(0.5, 1.0)

    async def _drop_oldest(self) -> None:
        """Give up the oldest events while there are too many for a broker that is away."""
        while lost := await self._box.db.write(store.drop_oldest, self._settings.most_pending):
            self.state.given_up += lost
            log.warning("mqtt_events_given_up", events=lost, kept=self._settings.most_pending)

    async def _connected(self) -> None:
        will = Will(self._topics.availability, OFFLINE)
        opening = BrokerConnection.open(
            self._settings, self._identity, password(self._settings), will
        )
        async with opening as connection:
            session = await self._box.db.write(store.session, present=connection.session_present)
            link = _Link(connection, self._box.wakeups.watchers)
            with link:
                await self._run_link(link, session)

    async def _run_link(self, link: _Link, session: int) -> None:
        commands: asyncio.Queue[Publish] = asyncio.Queue(WAITING_COMMANDS)
        filters = [self._topics.send, self._topics.notify]
        if self._settings.discovery_prefix:
            filters.append(self._birth)
        await link.connection.subscribe(filters)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(link, commands))
            tasks.create_task(self._take(link, commands, session))
            tasks.create_task(self._publish_events(link))
            tasks.create_task(self._publish_states(link))
            tasks.create_task(self._keep_alive(link))

    # --- in ------------------------------------------------------------------------------------------

    async def _read(self, link: _Link, commands: asyncio.Queue[Publish]) -> None:
        while True:
            packet = await link.connection.read()
            if isinstance(packet, Puback):
                link.acknowledged(packet.packet_id)
            elif isinstance(packet, Suback):
                link.connection.check(packet)
                self._is_connected()
            elif isinstance(packet, Publish):
                if packet.topic == self._birth:
                    if packet.payload == ONLINE:
                        link.published.clear()
                        link.changed.set()
                    await self._acknowledge(link, packet)
                elif commands.full() and not packet.qos:
                    self.state.refused += 1
                    log.warning("mqtt_command_dropped", reason="QoS 0, and too many are waiting")
                else:
                    await commands.put(packet)  # of QoS 1 a broker has a bounded number on its way

    def _is_connected(self) -> None:
        self._failures = 0
        self.state.connected, self.state.problem = True, ""
        self.state.since = self._box.clock.monotonic()
        self.state.connections += 1
        log.info("mqtt_connected", broker=self.state.broker)
        self._box.wakeups.changed()

    async def _take(self, link: _Link, commands: asyncio.Queue[Publish], session: int) -> None:
        """Answer command after command. One is acknowledged after its answer was written, in this order.

        So a broker that has the acknowledgement has the answer; without it, it repeats the command, which is
        then answered as before.
        """
        while True:
            message = await commands.get()
            await self._until_admitted()
            answer = await self._commands.answer(message, session)
            if answer["success"]:
                self.state.accepted += 1
            else:
                self.state.refused += 1
                log.info("mqtt_command_refused", code=answer["error"]["code"])
            await link.publish(self._topics.result, msgspec.json.encode(answer))
            await self._acknowledge(link, message)

    async def _until_admitted(self) -> None:
        """Wait while there are more commands than the box's rate limit: the broker keeps the others."""
        while True:
            try:
                self._limiter.admit(0, "write")
            except ApiError as refusal:
                await asyncio.sleep(float(refusal.headers["Retry-After"]))
            else:
                return

    async def _acknowledge(self, link: _Link, message: Publish) -> None:
        if message.packet_id:
            await link.connection.write(packets.puback(message.packet_id))

    async def _keep_alive(self, link: _Link) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS / 2)
            await link.connection.write(packets.PINGREQ)

    # --- out -----------------------------------------------------------------------------------------

    async def _publish_events(self, link: _Link) -> None:
        """Publish committed events in order; the position moves once the broker has them."""
        while True:
            events = await self._box.db.read(store.pending, None, BATCH)
            if not events:
                await self._box.clock.wait(link.woken, SAFETY_POLL_SECONDS)
                continue
            for event in events:
                topic = self._topics.event(event.name)
                await link.publish(topic, event.body.encode(), awaited=True)
            await link.all_acknowledged()
            await self._box.db.write(store.published, [event.id for event in events], events[-1].id)
            self.state.published += len(events)

    async def _publish_states(self, link: _Link) -> None:
        """Publish what has changed since this connection began: availability first, retained."""
        while True:
            for topic, payload in (await self._states()).items():
                if link.published.get(topic) != payload:
                    await link.publish(topic, payload, retain=True)
                    link.published[topic] = payload
            await asyncio.sleep(STATE_SECONDS)
            await self._box.clock.wait(link.changed, SAFETY_POLL_SECONDS)

    async def _states(self) -> dict[str, bytes]:
        """Return the retained messages of the box as it is now, by topic, in the order to publish them."""
        overview = await self._services.dashboard.take()
        modems = self._modems()
        found: dict[str, bytes] = {}
        if self._settings.discovery_prefix:
            topic = f"{self._settings.discovery_prefix}/device/{self._identity}/config"
            config = discovery(
                self._topics,
                self._identity,
                modems,
                notify=bool(self._settings.notify_to),
                language=self._services.admin.preferences.language,
                url=self._box.config.server.public_url,
            )
            found[topic] = msgspec.json.encode(config)
        found[self._topics.availability] = ONLINE
        found[self._topics.state] = _state(overview, self._services.admin.preferences.language)
        found |= {self._topics.modem(modem.number): modem.payload() for modem in modems}
        last = await self._box.db.read(store.last_received)
        if last is not None:
            found[self._topics.received] = last
        return found

    def _modems(self) -> tuple[ModemReport, ...]:
        attached = [a for a in self._devices.attached if not a.test]
        return tuple(
            ModemReport(
                number=a.number,
                name=name,
                online=a.online,
                state=a.status.state.value,
                operator=a.status.operator,
                technology=a.status.technology,
                signal_dbm=a.status.signal_dbm,
                balance=a.balance,
                phone_number=a.status.identity.phone_number if a.status.identity else "",
            )
            for a, name in zip(attached, names_of(attached), strict=True)
            if a.number
        )


class _Link:
    """A connection with what is on its way, and what was published on it."""

    def __init__(self, connection: BrokerConnection, watchers: set[asyncio.Event]) -> None:
        self.connection = connection
        self.published: dict[str, bytes] = {}
        self.woken, self.changed = asyncio.Event(), asyncio.Event()
        self._watchers = watchers
        self._waiting: set[int] = set()
        self._none_waits = asyncio.Event()

    def __enter__(self) -> None:
        self._watchers |= {self.woken, self.changed}

    def __exit__(self, *_: object) -> None:
        self._watchers -= {self.woken, self.changed}

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, awaited: bool = False
    ) -> None:
        number = self.connection.next_number()
        if awaited:
            self._waiting.add(number)
            self._none_waits.clear()
        await self.connection.write(
            packets.publish(topic, payload, packet_id=number, retain=retain)
        )

    def acknowledged(self, number: int) -> None:
        self._waiting.discard(number)
        if not self._waiting:
            self._none_waits.set()

    async def all_acknowledged(self) -> None:
        """Wait until the broker has everything that is awaited. Raises BrokerError if it takes too long."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._none_waits.wait()
        except TimeoutError:
            raise BrokerError(f"no acknowledgement within {ANSWER_SECONDS:g} s") from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that has ended the connection; the others follow from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _state(overview: Overview, language: str) -> bytes:
    return msgspec.json.encode(
        {
            "ready": overview.ready,
            "queue": overview.queue.messages,
            "scheduled": overview.queue.scheduled,
            "sent_today": overview.today.gone,
            "failed_today": overview.today.failed,
            "received_today": overview.received_today,
            "problems": [p.code for p in overview.problems if p.severity != "note"],
            "problem": " ".join(
                p.text.plain(language) for p in overview.problems if p.severity != "note"
            ),
        }
    )
