"""The page over HTTPS in a browser, with the box's own certificate and a configured one."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.box.running import RunningBox, free_port
from tests.page.browser import Browser
from tests.page.conftest import Open, ready
from tests.page.owner import PASSWORD, Visit
from web import certificate

pytestmark = pytest.mark.seconds(15)

NewBox = Callable[..., RunningBox]


def spki(public: ec.EllipticCurvePublicKey) -> str:
    """A public key as a browser is told to believe in it."""
    return base64.b64encode(
        hashlib.sha256(
            public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).digest()
    ).decode()


def bring(folder: Path) -> tuple[Path, Path, str]:
    """A certificate as a shop's own authority would sign it: its file, its key, what identifies it."""
    key, authority = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sms.shop.lan")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The shop")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    file, private = folder / "shop.pem", folder / "shop.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file, private, spki(key.public_key())


def walk(box: RunningBox, person: Browser) -> None:
    """Log in, see a message arrive by itself, change something, and log out."""
    person.go("/login")
    person.fill("password", PASSWORD)
    person.click("main form button")
    person.wait_until(lambda: person.path == "/", "logged in")
    cookies = person.driver.get_cookies()
    assert {"__Host-zimbox_session"} <= {cookie["name"] for cookie in cookies}
    for cookie in cookies:
        assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
    program = box.client()
    program.send("+33612345678", "seen without a reload")
    person.wait_for("seen without a reload")
    person.wait_for_badge("Delivered")
    person.go("/settings/keys")
    person.press("Create the key")
    person.wait_for(f"curl -X POST {person.base}/v1/sms/send")
    person.press("Log out")
    person.wait_for("Log in")
    assert person.driver.get_cookie("__Host-zimbox_session") is None
    assert person.strangers() == []
    assert person.console == []


def test_the_page_is_walked_over_the_box_s_own_certificate(
    new_box: NewBox, open_browser: Open
) -> None:
    port = free_port()
    box = new_box(server_https_listen=f"127.0.0.1:{port}")
    ready(box)
    Visit(box.url).claim()
    secure = f"https://localhost:{port}"
    careful = open_browser(secure, language="en")
    careful.go("/")
    careful.wait_for("NET::ERR_CERT_AUTHORITY_INVALID")
    own = x509.load_pem_x509_certificate((box.data / certificate.CERTIFICATE).read_bytes())
    public = own.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    walk(box, open_browser(secure, language="en", size="phone", warned=True))
    walk(box, open_browser(secure, language="en", trusts=spki(public)))


def test_the_page_is_walked_over_a_certificate_of_the_owner_s(
    new_box: NewBox, open_browser: Open, tmp_path: Path
) -> None:
    file, private, trusted = bring(tmp_path)
    port = free_port()
    box = new_box(
        server_https_listen=f"127.0.0.1:{port}",
        server_certificate=str(file),
        server_private_key=str(private),
    )
    ready(box)
    Visit(box.url).claim()
    walk(box, open_browser(f"https://localhost:{port}", language="en", trusts=trusted))


def test_whoever_came_over_https_can_still_come_over_http(
    new_box: NewBox, open_browser: Open
) -> None:
    """A browser that keeps a secure cookie takes none of its name over HTTP, and shows it to nobody there."""
    port = free_port()
    box = new_box(server_https_listen=f"127.0.0.1:{port}")
    Visit(box.url).claim()
    name = "zimbox.local"
    secure, plain = f"https://{name}:{port}", box.url.replace("127.0.0.1", name)
    person = open_browser(secure, language="fr", warned=True, knows=name)
    for base in (secure, plain):
        person.base = base
        person.go("/login")
        person.press("English")
        person.wait_for("Password of the box")
        person.fill("password", PASSWORD)
        person.click("main form button")
        person.wait_for("Log out")
    person.base = secure
    person.go("/inbox")
    person.wait_for("Log out")


def test_over_plain_http_the_cookie_goes_without_tls_too(owned: RunningBox, log_in: Open) -> None:
    person = log_in(owned.url, language="en")
    (session,) = (c for c in person.driver.get_cookies() if c["name"] == "zimbox_session")
    assert not session["secure"] and session["httpOnly"]
