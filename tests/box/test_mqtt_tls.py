"""TLS to mosquitto: an authority of its own, a fingerprint, a login, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.cli.doctor import examine_broker
from appliance.core.config import Config, MqttSettings
from appliance.mqtt.connection import FAILURES, BrokerConnection, password
from tests.box.mosquitto import Broker
from tests.box.running import free_port

USER, PASSWORD = "zimbox", "un mot de passe"


def certificate(folder: Path, name: str) -> str:
    """Make a certificate for 127.0.0.1 that vouches for itself; return its fingerprint."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "3650", "-subj", f"/CN={name}"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    words += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
    subprocess.run(words, check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", f"{folder}/{name}.pem"],
        check=True,
        capture_output=True,
        text=True,
    )
    return shown.stdout.strip().partition("=")[2]


class Secured:
    """A broker with TLS and users on one port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fingerprint = certificate(folder, "broker")
        self.other = certificate(folder, "other")
        self.port = free_port()
        users = folder / "users"
        users.touch()
        subprocess.run(["mosquitto_passwd", "-b", str(users), USER, PASSWORD], check=True)
        self.broker = Broker(
            folder,
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"password_file {users}\ncertfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n",
            first="per_listener_settings true\n",
        ).start()

    def settings(self, **more: object) -> MqttSettings:
        known = MqttSettings(
            host="127.0.0.1",
            port=self.port,
            tls=True,
            ca_file=str(self.folder / "broker.pem"),
            user=USER,
            password=PASSWORD,
        )
        return msgspec.structs.replace(known, **more)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    one = Secured(tmp_path_factory.mktemp("tls"))
    yield one
    one.broker.stop()


async def connected(settings: MqttSettings) -> bool:
    async with BrokerConnection.open(settings, "zb", password(settings), None) as connection:
        return not connection.session_present


async def test_an_authority_of_its_own_is_trusted(secured: Secured) -> None:
    assert await connected(secured.settings())


async def test_a_fingerprint_stands_for_an_authority(secured: Secured) -> None:
    for written in (secured.fingerprint, secured.fingerprint.replace(":", "").lower()):
        assert await connected(secured.settings(ca_file="", fingerprint=written))


async def test_the_password_may_be_in_a_file(secured: Secured) -> None:
    file = secured.folder / "password"
    file.write_text(f"{PASSWORD}\n")
    assert await connected(secured.settings(password="", password_file=str(file)))


@pytest.mark.parametrize(
    "wrong",
    ["system authorities", "another authority", "another fingerprint", "password", "no tls"],
)
async def test_anything_else_is_refused(secured: Secured, wrong: str) -> None:
    settings = {
        "system authorities": secured.settings(ca_file=""),
        "another authority": secured.settings(ca_file=str(secured.folder / "other.pem")),
        "another fingerprint": secured.settings(ca_file="", fingerprint=secured.other),
        "password": secured.settings(password="x"),
        "no tls": secured.settings(tls=False, ca_file=""),
    }[wrong]
    with pytest.raises(FAILURES):
        await connected(settings)


async def test_the_doctor_says_whether_the_broker_accepts_the_box(secured: Secured) -> None:
    (good,) = await examine_broker(Config(mqtt=secured.settings()))
    assert (good.grade, good.text) == (
        "ok",
        f"MQTT broker 127.0.0.1:{secured.port}: accepts the box",
    )
    (bad,) = await examine_broker(Config(mqtt=secured.settings(password="x")))
    assert bad.grade == "bad" and "not authorized" in bad.text
    assert await examine_broker(Config()) == []
