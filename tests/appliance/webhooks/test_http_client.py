"""Webhook calls over real sockets to badly behaved receivers."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.core.i18n import Text
from appliance.webhooks.egress import TO_THE_BOX, Address, Egress
from appliance.webhooks.http_client import (
    BODY_SECONDS,
    CallResult,
    Lookups,
    Resolve,
    WebhookClient,
    is_own,
    trust,
)
from tests import receiver as receivers
from tests.needed import ipv6_needed
from tests.receiver import Receiver

SECONDS = 0.4  # where a test is about waiting
PATIENCE_SECONDS = 30.0  # where it is not: a busy machine may take its time
HEADERS = [("Content-Type", "application/json"), ("User-Agent", "ZimSend-Webhook/1.0")]


class Town(Egress):
    """The rules in a town where 127.0.0.2 and 127.0.0.3 are neighbours on the LAN."""

    def objection_to(self, scheme: str, address: Address) -> Text | None:
        if str(address) in ("127.0.0.2", "127.0.0.3"):
            address = ip_address("192.168.7.7")
        return super().objection_to(scheme, address)


STRICT = Town(is_own)
LOOSE = Egress(is_own, allow_loopback=True)


def webhook_client(
    rules: Egress = LOOSE,
    names: Resolve | None = None,
    trusted: ssl.SSLContext | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> WebhookClient:
    return WebhookClient(
        rules,
        timeout_seconds=seconds,
        trusted=trusted,
        lookups=Lookups(names) if names else None,
    )


def known(**names: Sequence[str]) -> Resolve:
    """A name server that knows these names."""
    return lambda host: [ip_address(text) for text in names[host.removesuffix(".local")]]


async def post(carrier: WebhookClient, url: str) -> CallResult:
    try:
        return await carrier.post(url, HEADERS, b'{"a":1}')
    finally:
        await carrier.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    running = await Receiver().start()
    yield running
    await running.stop()


@pytest.fixture
async def neighbour() -> AsyncIterator[Receiver]:
    """Listens on every address of the machine: it sees whatever gets through."""
    running = await Receiver("0.0.0.0").start()
    yield running
    await running.stop()


# --- what goes out -------------------------------------------------------------------------------


async def test_the_request_has_exactly_the_given_headers_and_body(receiver: Receiver) -> None:
    answer = await post(webhook_client(), receiver.url("/a?b=%20c"))
    assert (answer.status, answer.success, answer.reason) == (200, True, "")
    (result,) = receiver.calls
    assert result.raw == b'{"a":1}'
    assert result.path == "/a?b=%20c"
    assert result.headers == (
        ("Host", f"127.0.0.1:{receiver.port}"),
        *HEADERS,
        ("Content-Length", "7"),
    )


async def test_the_host_header_keeps_the_name(neighbour: Receiver) -> None:
    url = f"http://nas.local:{neighbour.port}/x"
    answer = await post(webhook_client(STRICT, known(nas=["127.0.0.2"])), url)
    assert answer.success
    assert neighbour.calls[0].header("Host") == f"nas.local:{neighbour.port}"


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert (await post(webhook_client(), receiver.url())).success


async def test_each_call_is_a_connection_of_its_own(receiver: Receiver) -> None:
    carrier = webhook_client()
    for _ in range(3):
        assert (await carrier.post(receiver.url(), HEADERS, b"{}")).success
    await carrier.close()
    assert len(receiver.calls) == 3


async def test_ipv6_receivers_are_called() -> None:
    ipv6_needed()
    running = await Receiver("::1").start()
    try:
        assert (await post(webhook_client(), running.url())).success
        assert running.calls[0].header("Host") == f"[::1]:{running.port}"
    finally:
        await running.stop()


# --- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_success(receiver: Receiver, status: int) -> None:
    receiver.otherwise = receivers.answer(status, body=b"")
    assert (await post(webhook_client(), receiver.url())).success


@pytest.mark.parametrize("status", [300, 304, 400, 404, 410, 500, 503])
async def test_any_other_status_is_a_failure(receiver: Receiver, status: int) -> None:
    receiver.otherwise = receivers.answer(status)
    answer = await post(webhook_client(), receiver.url())
    assert (answer.status, answer.success) == (status, False)
    assert answer.reason == f"answered {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.behave["/hook"] = receivers.answer(status, f"Location: {receiver.url('/elsewhere')}")
    answer = await post(webhook_client(), receiver.url())
    assert (answer.status, answer.success) == (status, False)
    assert [result.path for result in receiver.calls] == ["/hook"]


@pytest.mark.parametrize("behaviour", [receivers.hang, receivers.drip_head])
async def test_a_late_answer_is_a_time_out(
    receiver: Receiver, behaviour: receivers.Behaviour
) -> None:
    receiver.otherwise = behaviour
    answer = await post(webhook_client(seconds=SECONDS), receiver.url())
    assert (answer.status, answer.reason) == (None, "no answer within 0.4 s")
    assert answer.milliseconds >= SECONDS * 1000


async def test_a_connection_closed_without_an_answer_is_a_failure(receiver: Receiver) -> None:
    receiver.otherwise = receivers.close
    answer = await post(webhook_client(), receiver.url())
    assert answer.status is None
    assert answer.reason.startswith("no HTTP answer: ")


async def test_a_refused_connection_is_a_failure_with_the_system_s_reason(
    receiver: Receiver,
) -> None:
    await receiver.stop()
    answer = await post(webhook_client(), receiver.url())
    assert (answer.status, answer.reason) == (None, "not connected: Connection refused")


async def test_an_answer_that_is_not_http_is_a_failure(receiver: Receiver) -> None:
    async def babble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    receiver.otherwise = babble
    answer = await post(webhook_client(), receiver.url())
    assert answer.status is None
    assert answer.reason.startswith("no HTTP answer: ")


async def test_an_endless_response_head_is_dropped(
    receiver: Receiver,
) -> None:
    async def boast(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X: " + b"x" * 65536 + b"\r\n")
            await writer.drain()

    receiver.otherwise = boast
    answer = await post(webhook_client(), receiver.url())
    assert answer.status is None
    assert answer.reason.startswith("no HTTP answer: ")


async def test_only_the_beginning_of_a_huge_body_is_read(receiver: Receiver) -> None:
    flood = receivers.Flood()
    receiver.otherwise = flood
    answer = await post(webhook_client(), receiver.url())
    assert answer.success
    # What the sockets' buffers swallowed counts as sent, too.
    assert flood.sent < 16 * 1024 * 1024


async def test_a_slow_endless_body_delays_nothing(receiver: Receiver) -> None:
    receiver.otherwise = receivers.drip_body
    started = time.monotonic()
    answer = await post(webhook_client(), receiver.url())
    assert answer.success
    took = time.monotonic() - started
    # Its time is that to the status; what was waited for the body comes after it.
    assert took - answer.milliseconds / 1000 >= BODY_SECONDS * 0.9


# --- where it goes -------------------------------------------------------------------------------


async def test_a_literal_address_of_the_box_is_not_connected_to(neighbour: Receiver) -> None:
    answer = await post(webhook_client(STRICT), f"http://127.0.0.1:{neighbour.port}/")
    assert answer.status is None
    assert answer.reason == f"not connected to 127.0.0.1: {TO_THE_BOX}"
    assert neighbour.calls == []


async def test_a_name_that_resolves_to_the_box_is_not_connected_to(neighbour: Receiver) -> None:
    answer = await post(
        webhook_client(STRICT, known(nas=["127.0.0.1", "::1", "169.254.169.254"])),
        f"http://nas:{neighbour.port}/",
    )
    assert answer.status is None
    assert "127.0.0.1: the URL leads to the box itself" in answer.reason
    assert "169.254.169.254: the URL leads to a metadata service" in answer.reason
    assert neighbour.calls == []


async def test_a_rebound_name_never_reaches_the_box(
    neighbour: Receiver,
) -> None:
    """Each call asks once, and connects to what was answered then: there is no second look to cheat."""
    asked: list[str] = []

    def rebinding(host: str) -> Sequence[Address]:
        asked.append(host)
        return [ip_address("127.0.0.2" if len(asked) % 2 else "127.0.0.1")]

    carrier = webhook_client(STRICT, rebinding)
    answers = [
        await carrier.post(f"http://nas:{neighbour.port}/{n}", HEADERS, b"{}") for n in range(6)
    ]
    await carrier.close()
    assert [answer.success for answer in answers] == [True, False] * 3
    assert asked == ["nas"] * 6
    assert [result.path for result in neighbour.calls] == ["/0", "/2", "/4"]


async def test_only_the_allowed_addresses_of_a_name_are_tried(neighbour: Receiver) -> None:
    names = known(nas=["127.0.0.1", "127.0.0.2"])
    answer = await post(webhook_client(STRICT, names), f"http://nas:{neighbour.port}/")
    assert answer.success


async def test_the_next_address_is_tried_after_a_failed_connection() -> None:
    running = await Receiver("127.0.0.3").start()
    try:
        names = known(nas=["127.0.0.2", "127.0.0.3"])
        answer = await post(webhook_client(STRICT, names), f"http://nas:{running.port}/")
        assert answer.success
        assert len(running.calls) == 1
    finally:
        await running.stop()


async def test_a_lan_name_with_a_public_address_is_not_called_over_http() -> None:
    answer = await post(webhook_client(STRICT, known(nas=["8.8.8.8"])), "http://nas.local/")
    assert answer.reason == (
        "not connected to 8.8.8.8: http is only allowed to the local network; use https"
    )


async def test_a_redirect_to_the_box_is_not_followed(neighbour: Receiver) -> None:
    neighbour.behave["/hook"] = receivers.answer(
        307, f"Location: http://127.0.0.1:{neighbour.port}/inside"
    )
    answer = await post(
        webhook_client(STRICT, known(nas=["127.0.0.2"])), f"http://nas:{neighbour.port}/hook"
    )
    assert (answer.status, answer.success) == (307, False)
    assert [result.path for result in neighbour.calls] == ["/hook"]


# --- names -----------------------------------------------------------------------------------------


async def test_an_unknown_name_is_a_failure() -> None:
    def nobody(host: str) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    answer = await post(webhook_client(STRICT, nobody), "https://nowhere.example/")
    assert answer.reason.startswith("the name nowhere.example was not resolved: ")


async def test_a_dead_name_server_delays_only_its_names_and_is_queried_once(
    neighbour: Receiver,
) -> None:
    release = threading.Event()
    asked: list[str] = []

    def half_dead(host: str) -> Sequence[Address]:
        asked.append(host)
        if host == "dead":
            release.wait(PATIENCE_SECONDS)
        return [ip_address("127.0.0.2")]

    carrier = webhook_client(STRICT, half_dead)
    try:
        dead = [
            asyncio.create_task(carrier.post(f"http://dead:{neighbour.port}/{n}", HEADERS, b"{}"))
            for n in range(100)
        ]
        well = await carrier.post(f"http://well:{neighbour.port}/", HEADERS, b"{}")
        assert well.success
        assert not any(one.done() for one in dead)
        release.set()
        assert all(answer.success for answer in await asyncio.gather(*dead))
        assert asked.count("dead") == 1
    finally:
        release.set()
        await carrier.close()


async def test_a_lookup_at_a_dead_name_server_times_out() -> None:
    release = threading.Event()

    def dead(host: str) -> Sequence[Address]:
        release.wait(PATIENCE_SECONDS)
        return [ip_address("127.0.0.2")]

    carrier = webhook_client(STRICT, dead, seconds=SECONDS)
    try:
        answers = await asyncio.gather(
            *(carrier.post("http://dead/", HEADERS, b"{}") for _ in range(3))
        )
        assert {answer.reason for answer in answers} == {"no answer within 0.4 s"}
    finally:
        release.set()
        await carrier.close()


async def test_a_failed_lookup_is_repeated_by_the_next_call(
    neighbour: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    carrier = webhook_client(STRICT, known(nas=["127.0.0.2"]))
    url = f"http://nas:{neighbour.port}/"
    try:
        with monkeypatch.context() as short_of_memory:
            short_of_memory.setattr(threading.Thread, "start", no_thread)
            assert not (await carrier.post(url, HEADERS, b"{}")).success
        assert (await carrier.post(url, HEADERS, b"{}")).success
    finally:
        await carrier.close()


async def test_a_name_that_cannot_be_looked_up_is_a_failure() -> None:
    answer = await post(webhook_client(STRICT), f"https://{'a' * 64}.example/")
    assert answer.status is None
    assert "was not resolved" in answer.reason


# --- TLS -------------------------------------------------------------------------------------------


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """Signs certificates for names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Town authority")])
        certificate = self._sign(self._name, self._key.public_key(), ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool, host: str = ""
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        kind: Callable[[str], x509.GeneralName] = (
            (lambda text: x509.IPAddress(IPv4Address(text)))
            if host.replace(".", "").isdigit()
            else x509.DNSName
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # RFC 5280 wants both, and since Python 3.13 so does `ssl`.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_usage(ca), critical=True)
        )
        if host:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([kind(host)]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())

    def server(self, host: str) -> ssl.SSLContext:
        """What a server of this name shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key.public_key(), ca=False, host=host)
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_the_certificate_must_match_the_name(authority: Authority) -> None:
    seen: list[str | None] = []
    context = authority.server("shop.example")
    context.sni_callback = lambda _, name, __: seen.append(name)
    running = await Receiver("127.0.0.2", tls=context).start()
    trusted = trust(str(authority.file))
    names = lambda host: [ip_address("127.0.0.2")]  # noqa: E731
    try:
        right = await post(
            webhook_client(STRICT, names, trusted), f"https://shop.example:{running.port}/"
        )
        assert right.success, right.reason
        wrong = await post(
            webhook_client(STRICT, names, trusted), f"https://other.example:{running.port}/"
        )
        assert wrong.status is None
        assert wrong.reason.startswith("TLS: Hostname mismatch"), wrong.reason
        assert seen == ["shop.example", "other.example"]
        assert len(running.calls) == 1
    finally:
        await running.stop()


async def test_an_unknown_certificate_authority_is_refused(authority: Authority) -> None:
    running = await Receiver("127.0.0.2", tls=authority.server("127.0.0.2")).start()
    try:
        url = running.url()
        unknown = await post(webhook_client(STRICT), url)
        assert unknown.reason.startswith("TLS: "), unknown.reason
        assert running.calls == []
        known_one = await post(webhook_client(STRICT, None, trust(str(authority.file))), url)
        assert known_one.success, known_one.reason
    finally:
        await running.stop()


def test_the_machines_own_addresses_are_known() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert is_own(ip_address("127.8.8.8"))
    assert not is_own(ip_address("192.0.2.77"))
    assert not is_own(ip_address("2001:db8::1"))
    assert not is_own(ip_address("fe80::77"))
