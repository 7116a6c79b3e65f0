"""An engine made of smpplib: what a customer's own program does with the SMPP server."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Callable
from typing import Any

from smpplib import consts, smpp
from smpplib.client import Client

from tests.box.running import REQUEST_SECONDS, SETTLE_SECONDS, RunningBox, eventually

RECEIPT = re.compile(r"id:(\S+) .* stat:(\S+) err:(\d+)")
LISTENING = re.compile(r"event=smpp_listening listen=127\.0\.0\.1:(\d+)")


def smpp_port(box: RunningBox, starts: int = 1) -> int:
    """Where the SMPP server of a box listens after so many starts, as its log says."""
    found = eventually(
        lambda: ports if len(ports := LISTENING.findall(box.log())) >= starts else None,
        "the SMPP server listens",
    )
    return int(found[-1])


def account(box: RunningBox, *options: str) -> tuple[str, str]:
    """The id of a new client and its password."""
    client_id = box.zimbox("client", "create")["client_id"]
    made = box.zimbox("key", "create", "--client", client_id, "--smpp", *options)
    return client_id, made["smpp_password"]


class Engine(Client):  # type: ignore[misc]  # the library is not typed
    """A bound connection. It reads what the box sends while it waits for something."""

    _socket: Any

    def __init__(self, port: int, who: tuple[str, str], mode: str = "transceiver") -> None:
        super().__init__("127.0.0.1", port, timeout=REQUEST_SECONDS, allow_unknown_opt_params=True)
        self.answers: dict[int, Any] = {}  # by sequence
        self.delivered: list[Any] = []
        self.confirms = True  # answers deliver_sm
        self.connect()
        bind: Callable[..., Any] = getattr(self, f"bind_{mode}")
        bind(system_id=who[0], password=who[1])

    def handle(self) -> None:
        """Read a PDU and act."""
        pdu = self.read_pdu()
        if pdu.command == "deliver_sm":
            self.delivered.append(pdu)
            if self.confirms:
                self._respond("deliver_sm_resp", pdu)
        elif pdu.command == "enquire_link":
            self._respond("enquire_link_resp", pdu)
        elif pdu.command != "unbind":
            self.answers[pdu.sequence] = pdu

    def _respond(self, command: str, pdu: Any) -> None:
        answer = smpp.make_pdu(command, client=self)
        answer.sequence = pdu.sequence
        self.send_pdu(answer)

    def until(self, look: Callable[[], object], what: str) -> None:
        """Read from the box until something holds."""
        last = time.monotonic() + SETTLE_SECONDS
        while not look():
            assert time.monotonic() < last, f"never: {what}"
            if select.select([self._socket], [], [], 1.0)[0]:
                self.handle()

    def submit(self, to: str, text: bytes, **more: Any) -> int:
        """Submit a message without waiting; its sequence."""
        fields: dict[str, Any] = {
            "source_addr_ton": 1,
            "source_addr_npi": 1,
            "source_addr": "33600000000",
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            "destination_addr": to.removeprefix("+"),
            "short_message": text,
            "registered_delivery": True,
        }
        return int(self.send_message(**{**fields, **more}).sequence)

    def request(self, command: str, **fields: Any) -> Any:
        """Send a request and return its answer."""
        pdu = smpp.make_pdu(command, client=self, **fields)
        self.send_pdu(pdu)
        return self.answer(pdu.sequence)

    def answer(self, sequence: int) -> Any:
        """The answer to a request."""
        self.until(lambda: sequence in self.answers, f"the answer to {sequence}")
        return self.answers[sequence]

    def accepted(self, sequence: int) -> str:
        """The id in the answer to a submission. AssertionError for a refusal."""
        answer = self.answer(sequence)
        assert answer.status == consts.SMPP_ESME_ROK, answer.status
        return str(answer.message_id.decode())

    def receipts(self) -> list[tuple[str, str, int]]:
        """The receipts so far: id, state, error."""
        lines = (pdu.short_message.decode() for pdu in self.delivered if pdu.esm_class & 0x04)
        found = (RECEIPT.match(line) for line in lines)
        return [(match[1], match[2], int(match[3])) for match in found if match]

    def until_receipt(self, message_id: str, state: str) -> None:
        """Wait for a receipt."""
        self.until(
            lambda: any(each[:2] == (message_id, state) for each in self.receipts()),
            f"{state} of {message_id}",
        )

    def drop(self) -> None:
        """Close the connection without a word."""
        self._socket.close()
        self._socket = None
        self.state = consts.SMPP_CLIENT_STATE_CLOSED

    def leave(self) -> None:
        """Unbind and close."""
        self.request("unbind")
        self.drop()
