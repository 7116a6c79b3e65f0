"""SMPP end to end: smpplib and Debian's Kannel send through a box, answers get lost, and the box is killed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from smpplib.exceptions import ConnectionError as Disconnected

from tests.box.engine import Engine, account, smpp_port
from tests.box.kannel import kannel
from tests.box.running import RunningBox, eventually
from tests.needed import needed

SETTINGS = {
    "ZIMBOX_SMPP_LISTEN": "127.0.0.1:0",
    "ZIMBOX_SMPP_RATE_LIMIT": "0",
    "ZIMBOX_SMPP_RECEIPT_SECONDS": "0.1",
}
SUBMIT_SM_RESP = 0x80000004
WINDOW = 20


@pytest.fixture(scope="module")
def smpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box that serves SMPP, for the tests that leave it as it is."""
    running = RunningBox(tmp_path_factory.mktemp("smpp"), SETTINGS).start()
    eventually(lambda: running.health()["status"] == "ok", "the modem is ready")
    yield running
    running.stop()


def texts_to(box: RunningBox, number: str) -> list[str]:
    """The whole texts that a phone has received."""
    return [line["text"] for line in box.lines("message") if line["recipient"] == number]


def taken_from(box: RunningBox) -> Counter[str]:
    """How often the network has taken each text of one part."""
    return Counter(line["text"] for line in box.received())


def test_smpplib_sends_and_learns_that_it_arrived(smpp: RunningBox) -> None:
    engine = Engine(smpp_port(smpp), account(smpp))
    message_id = engine.accepted(engine.submit("+33612000001", b"Bonjour"))
    engine.until_receipt(message_id, "DELIVRD")
    assert texts_to(smpp, "+33612000001") == ["Bonjour"]
    found = engine.request("query_sm", message_id=message_id)
    assert (found.message_state, found.message_id.decode()) == (2, message_id)
    engine.leave()


def test_a_long_text_in_segments_arrives_as_one_and_each_gets_its_receipt(
    smpp: RunningBox,
) -> None:
    from smpplib import gsm

    engine = Engine(smpp_port(smpp), account(smpp))
    text = "Été à Noel. " * 40
    parts, coding, esm_class = gsm.make_parts(text)
    assert len(parts) == 4
    named = [
        engine.accepted(
            engine.submit("+33612000002", part, data_coding=coding, esm_class=esm_class)
        )
        for part in parts
    ]
    for message_id in named:
        engine.until_receipt(message_id, "DELIVRD")
    assert texts_to(smpp, "+33612000002") == [text]
    engine.leave()


def test_a_received_text_reaches_the_engine(smpp: RunningBox) -> None:
    who = account(smpp)
    transmitter, receiver = (
        Engine(smpp_port(smpp), who, mode) for mode in ("transmitter", "receiver")
    )
    message_id = transmitter.accepted(transmitter.submit("+33612000003", b"Oui ou non ?"))
    receiver.until_receipt(message_id, "DELIVRD")
    smpp.simulate(do="incoming", sender="+33612000003", text="Oui " * 70)
    receiver.until(lambda: len(receiver.delivered) == 2, "the received text")
    pdu = receiver.delivered[1]
    assert (pdu.source_addr, pdu.esm_class) == (b"33612000003", 0)
    assert pdu.message_payload == b"Oui " * 70
    for engine in (transmitter, receiver):
        engine.leave()


def test_a_test_password_sends_nothing_out(smpp: RunningBox) -> None:
    engine = Engine(smpp_port(smpp), account(smpp, "--test"))
    message_id = engine.accepted(engine.submit("+33612000004", b"Bonjour"))
    engine.until_receipt(message_id, "DELIVRD")
    assert texts_to(smpp, "+33612000004") == []
    engine.leave()


# --- lost answers ----------------------------------------------------------------------------------


class LosingRelay:
    """A relay in front of the box that cuts the connection instead of passing every n-th answer to submit_sm."""

    def __init__(self, upstream: int, every: int) -> None:
        self._upstream, self._every = upstream, every
        self._count = 0
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                engine, _ = self._listener.accept()
                box = socket.create_connection(("127.0.0.1", self._upstream))
                for work in (self._to_box, self._to_engine):
                    threading.Thread(target=work, args=(engine, box), daemon=True).start()

    def _to_box(self, engine: socket.socket, box: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := engine.recv(4096):
                box.sendall(octets)
        self._cut(engine, box)

    def _to_engine(self, engine: socket.socket, box: socket.socket) -> None:
        with contextlib.suppress(OSError), box.makefile("rb") as stream:
            while len(head := stream.read(16)) == 16:
                length, command = struct.unpack(">II", head[:8])
                if command == SUBMIT_SM_RESP:
                    self._count += 1
                    if self._count % self._every == 0:
                        self.cuts += 1
                        break  # it was read here, so TCP has acknowledged it
                engine.sendall(head + stream.read(length - 16))
        self._cut(engine, box)

    def _cut(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def submit_all(
    connect: Callable[[], Engine],
    orders: Sequence[tuple[str, bytes]],
    answered: Callable[[int], None] = lambda _: None,
) -> tuple[Engine, dict[bytes, str]]:
    """Submit orders as engines do: what has no answer when a connection ends is submitted again on the next.

    `answered` gets the number of answers so far. The last connection is still open.
    """
    named: dict[bytes, str] = {}
    waiting = deque(orders)
    under_way: dict[int, tuple[str, bytes]] = {}
    engine: Engine | None = None
    while waiting or under_way:
        try:
            engine = engine or connect()
            while waiting and len(under_way) < WINDOW:
                order = waiting.popleft()
                waiting.appendleft(order)  # it stays unless it was written
                under_way[engine.submit(*order)] = order
                waiting.popleft()
            engine.handle()
            for sequence in [each for each in under_way if each in engine.answers]:
                named[under_way[sequence][1]] = engine.accepted(sequence)
                del under_way[sequence]
                answered(len(named))
        except (Disconnected, OSError):
            waiting.extendleft(reversed(under_way.values()))
            under_way.clear()
            if engine is not None:
                engine.drop()
            engine = None
    assert engine is not None
    return engine, named


@pytest.mark.seconds(40)
def test_a_thousand_messages_with_lost_answers_none_twice_and_none_lost(tmp_path: Path) -> None:
    box = RunningBox(tmp_path, SETTINGS, modems=("sim", "sim")).start()
    try:
        who = account(box)
        relay = LosingRelay(smpp_port(box), every=70)
        orders = [("+33612345678", b"Message %d" % number) for number in range(1000)]
        engine, named = submit_all(lambda: Engine(relay.port, who), orders)
        assert relay.cuts >= 14
        assert len(named) == len(set(named.values())) == 1000
        eventually(lambda: box.health()["queued"] == 0, "the network has every message")
        assert taken_from(box) == Counter(text.decode() for _, text in orders)
        engine.drop()
        relay.stop()
    finally:
        box.stop()


@pytest.mark.seconds(15)
def test_a_box_killed_in_the_middle_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    box = RunningBox(tmp_path, SETTINGS).start()
    try:
        who = account(box)
        starts = 1

        def kill(answers: int) -> None:
            nonlocal starts
            if answers == 100 and starts == 1:
                box.kill()
                starts = 2
                box.start()

        orders = [("+33612345679", b"Message %d" % number) for number in range(200)]
        engine, named = submit_all(lambda: Engine(smpp_port(box, starts), who), orders, kill)
        assert starts == 2
        assert len(named) == len(set(named.values())) == 200
        client = box.client(of=who[0])
        texts = {text.decode(): message_id for text, message_id in named.items()}

        def settled() -> bool:
            queued = client.get("/sms/history?status=queued").json()["data"]
            return all(client.status(each["message_id"])["uncertain"] for each in queued)

        eventually(settled, "every message was sent or is uncertain")
        taken = taken_from(box)
        assert set(taken.values()) == {1} and set(taken) <= set(texts)
        missing = [client.status(texts[text]) for text in texts.keys() - taken.keys()]
        # At most the one that was on its way to the modem.
        assert len(missing) <= 1 and all(each["uncertain"] for each in missing)
        total = client.get("/sms/history").json()["pagination"]["total_items"]
        assert total == 200
        engine.drop()
    finally:
        box.stop()


# --- Kannel ----------------------------------------------------------------------------------------


@pytest.mark.seconds(20)
def test_kannel_of_debian_sends_and_receives_as_documented(
    smpp: RunningBox, tmp_path: Path
) -> None:
    needed("bearerbox", "smsbox")
    with kannel(tmp_path / "kannel", smpp_port(smpp), account(smpp)) as engine:
        engine.send("+33613000001", "Bonjour, été à 5 €", "short")
        long = "Un texte qui ne tient pas dans un seul SMS. " * 8
        engine.send("+33613000002", long, "long")
        engine.send("+33613000003", "Привет", "unicode", coding="2")
        engine.send("+1", "nobody", "refused")
        texts = ("short", "long", "unicode")
        eventually(lambda: all(1 in engine.kinds(name) for name in texts), "all are delivered")
        eventually(lambda: 16 in engine.kinds("refused"), "a wrong number is refused")
        assert texts_to(smpp, "+33613000001") == ["Bonjour, été à 5 €"]
        assert texts_to(smpp, "+33613000002") == [long]
        assert texts_to(smpp, "+33613000003") == ["Привет"]
        smpp.simulate(do="incoming", sender="+33613000001", text="Merci, à demain")
        smpp.simulate(do="incoming", sender="+33613000002", text="Long " * 60)
        eventually(lambda: len(engine.received()) == 2, "Kannel has the received texts")
        assert set(engine.received()) == {
            ("+33613000001", "Merci, à demain"),
            ("+33613000002", ("Long " * 60)),
        }
