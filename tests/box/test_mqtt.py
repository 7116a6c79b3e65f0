"""MQTT with Debian's mosquitto: commands in, committed events out, whatever is killed in between."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.mqtt import packets
from appliance.mqtt.packets import Puback, Publish
from tests.box.mosquitto import Broker, Subscriber
from tests.box.running import REQUEST_SECONDS, RunningBox, eventually

ONE, TWO, SENDER = "+33611113001", "+33611113002", "+33611113003"
QUICK = {"ZIMBOX_SENDING_OFFLINE_GRACE_MINUTES": "60"}


class Installation:
    """A broker, a box that is connected to it, and somebody who listens to everything."""

    def __init__(self, folder: Path) -> None:
        (folder / "broker").mkdir()
        (folder / "box").mkdir()
        self.broker = Broker(folder / "broker").start()
        self.heard = Subscriber(self.broker, "listener")
        self.box = RunningBox(
            folder / "box",
            {
                **QUICK,
                "ZIMBOX_MQTT_HOST": "127.0.0.1",
                "ZIMBOX_MQTT_PORT": str(self.broker.port),
                "ZIMBOX_MQTT_NOTIFY_TO": ONE,
            },
        )

    def start(self) -> Installation:
        self.box.start()
        eventually(lambda: self.box.health()["status"] == "ok", "the modem is ready")
        return self

    def stop(self) -> None:
        self.box.stop()
        self.heard.close()
        self.broker.stop()

    def connections(self) -> int:
        """How often the box has said that it is there."""
        return self.heard.payloads("zimbox/availability").count("online")

    def result(self, mark: str) -> dict[str, Any]:
        """The answer to the command with that id."""
        return self.heard.until(
            "zimbox/result", lambda body: body.get("id") == mark, f"{mark} is answered"
        )

    def event(self, name: str, **wanted: object) -> dict[str, Any]:
        """The event about a message."""
        return self.heard.until(
            f"zimbox/events/{name}",
            lambda body: wanted.items() <= body["data"].items(),
            f"{name} with {wanted}",
        )

    def sent(self, text: str) -> int:
        """How often the network got a text."""
        return sum(line["text"] == text for line in self.box.received())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    one = Installation(tmp_path_factory.mktemp("mqtt")).start()
    eventually(one.connections, "the box is connected")
    yield one
    one.stop()


def test_a_command_is_sent_and_its_events_follow(home: Installation) -> None:
    home.broker.publish("zimbox/send", {"to": ONE, "message": "Bonjour MQTT", "id": "first"})
    message_id = home.result("first")["message_id"]
    sent = home.event("sms.sent", message_id=message_id)
    delivered = home.event("sms.delivered", message_id=message_id)
    assert sent["event_id"] < delivered["event_id"]
    assert sent["data"]["message"] == "Bonjour MQTT"
    home.broker.publish("zimbox/send", {"to": ONE, "message": "Bonjour MQTT", "id": "first"})
    eventually(
        lambda: (
            [b["message_id"] for b in home.heard.bodies("zimbox/result") if b.get("id") == "first"]
            == [message_id] * 2
        ),
        "the same answer again",
    )
    assert home.sent("Bonjour MQTT") == 1


def test_plain_text_goes_to_the_numbers_of_the_settings(home: Installation) -> None:
    home.broker.publish("zimbox/notify", "La porte est ouverte")
    event = home.event("sms.delivered", message="La porte est ouverte")
    assert event["data"]["to"] == ONE


def test_a_received_sms_is_an_event_and_the_last_one(home: Installation) -> None:
    home.box.simulate(do="incoming", sender=SENDER, text="Qui est là ?")
    event = home.event("sms.received", message="Qui est là ?")
    assert event["data"]["from"] == SENDER
    last = home.heard.until(
        "zimbox/received", lambda body: body["from"] == SENDER, "the last one is retained"
    )
    assert last["inbox_id"] == event["data"]["inbox_id"]


def test_a_refused_command_is_answered(home: Installation) -> None:
    home.broker.publish("zimbox/send", {"to": "x", "message": "y", "id": "wrong"})
    assert home.result("wrong")["error"]["code"] == "INVALID_PHONE_NUMBER"


def test_the_birth_of_home_assistant_brings_discovery_again(home: Installation) -> None:
    def announced() -> str | None:
        names = (name for name, _, _ in list(home.heard.lines))
        return next((n for n in names if n.startswith("homeassistant/device/zimbox-")), None)

    topic = eventually(announced, "discovery")
    before = len(home.heard.payloads(topic))
    home.broker.publish("homeassistant/status", "online")
    eventually(lambda: len(home.heard.payloads(topic)) > before, "discovery again")
    assert home.heard.bodies(topic)[-1]["origin"]["name"] == "ZimBox"


def test_a_flood_of_garbage_costs_nothing_else(home: Installation) -> None:
    home.broker.publish_lines("zimbox/send", ["{}"] * 300)
    home.broker.publish("zimbox/send", "x" * 300_000)
    client = home.box.client()
    message_id = client.send(TWO, "Pendant le déluge")
    client.until(message_id, "delivered")
    home.heard.until(
        "zimbox/result",
        lambda body: not body["success"] and body["error"]["code"] == "PAYLOAD_TOO_LARGE",
        "what comes after the flood is answered",
    )


def test_the_connection_shows_in_the_metrics(home: Installation) -> None:
    def connected() -> bool:
        text = requests.get(f"{home.box.url}/metrics", timeout=REQUEST_SECONDS).text
        return "\nzimbox_mqtt_connected 1.0\n" in text

    eventually(connected, "connected in /metrics")


def test_nothing_is_lost_or_sent_twice_over_restarts(tmp_path: Path) -> None:
    """The broker ends and comes back, the box is killed and comes back, and commands and events go on."""
    home = Installation(tmp_path).start()
    try:
        eventually(home.connections, "the box is connected")
        home.broker.publish("zimbox/send", {"to": ONE, "message": "Avant", "id": "before"}, "-r")
        home.event("sms.delivered", message_id=home.result("before")["message_id"])

        home.broker.stop()
        client = home.box.client()
        # Commands belong to the first client; so does this one, by its key.
        own = home.box.zimbox("key", "create", "--client", "client_1")
        client.headers |= {"X-API-Key": own["api_key"], "X-Client-ID": own["client_id"]}
        while_away = client.send(TWO, "Sans courtier")
        client.until(while_away, "delivered")
        home.broker.start()
        home.event("sms.sent", message_id=while_away)
        home.event("sms.delivered", message_id=while_away)

        home.box.kill()
        eventually(
            lambda: home.heard.payloads("zimbox/availability")[-1] == "offline", "the last will"
        )
        home.broker.publish("zimbox/send", {"to": ONE, "message": "Boîte absente"})
        home.start()
        absent = home.event("sms.delivered", message="Boîte absente")
        assert absent["data"]["to"] == ONE
        eventually(lambda: home.heard.payloads("zimbox/availability")[-1] == "online", "it is back")
        # The retained command came again with the subscription.
        home.heard.until(
            "zimbox/result",
            lambda b: not b["success"] and b["error"]["details"]["field"] == "retain",
            "what is retained is refused",
        )
        for text in ("Avant", "Sans courtier", "Boîte absente"):
            assert home.sent(text) == 1, text
    finally:
        home.stop()


class Scripted:
    """A broker that the test plays: it decides what is acknowledged, and when."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(REQUEST_SECONDS)
        self.port = int(self._server.getsockname()[1])

    def accept(self, *, session_present: bool) -> None:
        """Accept a connection that subscribes; one that the box has given up on while it waited does not."""
        while True:
            self._socket, _ = self._server.accept()
            self._socket.settimeout(REQUEST_SECONDS)
            self._file = self._socket.makefile("rb")
            try:
                first, _ = self._packet()
                assert first >> 4 == packets.PacketType.CONNECT
                self._socket.sendall(bytes([0x20, 2, int(session_present), 0]))
                first, body = self._packet()
            except OSError:
                self.drop()
                continue
            assert first >> 4 == packets.PacketType.SUBSCRIBE
            self._socket.sendall(b"\x90\x05" + body[:2] + b"\x01\x01\x01")
            return

    def publish(self, topic: str, body: object, number: int, *, dup: bool = False) -> None:
        packet = bytearray(packets.publish(topic, json.dumps(body).encode(), packet_id=number))
        packet[0] |= 0x08 if dup else 0
        self._socket.sendall(packet)

    def _packet(self) -> tuple[int, bytes]:
        head = self._file.read(1)
        if not head:
            raise ConnectionError("the box closed the connection")
        length, shift = 0, 0
        while True:
            digit = self._file.read(1)[0]
            length |= (digit & 0x7F) << shift
            if digit < 0x80:
                return head[0], self._file.read(length)
            shift += 7

    def until(self, wanted: Callable[[Publish | Puback], object]) -> Publish | Puback:
        """Read on until this packet, and acknowledge everything else."""
        while True:
            first, body = self._packet()
            kind = first >> 4
            if kind == packets.PacketType.PINGREQ:
                self._socket.sendall(b"\xd0\x00")
            elif kind in (packets.PacketType.PUBLISH, packets.PacketType.PUBACK):
                packet = packets.parse(first, body)
                assert isinstance(packet, Publish | Puback)
                if wanted(packet):
                    return packet
                if isinstance(packet, Publish):
                    self._socket.sendall(packets.puback(packet.packet_id))

    def answer(self) -> dict[str, Any]:
        """The next answer to a command, not acknowledged."""
        found = self.until(lambda p: isinstance(p, Publish) and p.topic == "zimbox/result")
        assert isinstance(found, Publish) and found.payload is not None
        body: dict[str, Any] = json.loads(found.payload)
        return body

    def event(self, name: str, *, acknowledge: bool) -> dict[str, Any]:
        """The next event of this name."""
        topic = f"zimbox/events/{name}"
        found = self.until(lambda p: isinstance(p, Publish) and p.topic == topic)
        assert isinstance(found, Publish) and found.payload is not None
        if acknowledge:
            self._socket.sendall(packets.puback(found.packet_id))
        body: dict[str, Any] = json.loads(found.payload)
        return body

    def drop(self) -> None:
        self._file.close()
        self._socket.close()

    def close(self) -> None:
        self.drop()
        self._server.close()


def test_a_box_killed_between_accept_and_answer_sends_once(tmp_path: Path) -> None:
    """The command is on disk, and the broker never hears of it: it repeats it to the box that comes back."""
    broker = Scripted()
    box = RunningBox(
        tmp_path,
        {**QUICK, "ZIMBOX_MQTT_HOST": "127.0.0.1", "ZIMBOX_MQTT_PORT": str(broker.port)},
    ).start()
    try:
        eventually(lambda: box.health()["status"] == "ok", "the modem is ready")
        broker.accept(session_present=False)
        command = {"to": ONE, "message": "Une seule fois"}
        broker.publish("zimbox/send", command, 7)
        first = broker.answer()
        sent = broker.event("sms.sent", acknowledge=False)
        assert sent["data"]["message_id"] == first["message_id"]
        box.kill()  # neither the answer nor the event was acknowledged
        broker.drop()
        box.start()
        broker.accept(session_present=True)
        # What was not acknowledged comes again, with the same event id.
        assert broker.event("sms.sent", acknowledge=True)["event_id"] == sent["event_id"]
        broker.publish("zimbox/send", command, 7, dup=True)
        assert broker.answer() == first
        broker.until(lambda p: p == Puback(7))
        assert [line["text"] for line in box.received()] == ["Une seule fois"]
    finally:
        box.stop()
        broker.close()
