"""HTTPS with the box's own certificate, made at the first start, or with one of the owner's."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.devices import own_address

CERTIFICATE, PRIVATE_KEY = "https.pem", "https.key"
# Browsers take a certificate of one's own for 825 days at the most; it is made anew before it ends.
VALID = datetime.timedelta(days=820)
RENEW = datetime.timedelta(days=30)
STARTS = datetime.timedelta(days=90)  # back, so that a board whose clock is behind takes it too


def context(data: Path, certificate: str, private_key: str) -> ssl.SSLContext:
    """The owner's certificate if there is one, else the box's own. Raises OSError, ssl.SSLError."""
    if not certificate:
        _own(data)
        certificate, private_key = str(data / CERTIFICATE), str(data / PRIVATE_KEY)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.load_cert_chain(certificate, private_key or None)
    return found


def _own(data: Path) -> None:
    """Make the box's certificate if there is none, or if it ends soon."""
    file = data / CERTIFICATE
    if file.exists() and (data / PRIVATE_KEY).exists():
        known = x509.load_pem_x509_certificate(file.read_bytes())
        if known.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > RENEW:
            return
    key = ec.generate_private_key(ec.SECP256R1())
    _write(
        data / PRIVATE_KEY,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(file, _signed(key).public_bytes(serialization.Encoding.PEM))


def _signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ZimBox")])
    now = datetime.datetime.now(datetime.UTC)
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - STARTS)
        .not_valid_after(now + VALID - STARTS)
        .add_extension(x509.SubjectAlternativeName(_names()), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _names() -> list[x509.GeneralName]:
    """What the box is called on its network."""
    host = socket.gethostname()
    names: list[x509.GeneralName] = [
        x509.DNSName(n) for n in dict.fromkeys((host, f"{host}.local", "zimbox.local", "localhost"))
    ]
    addresses = dict.fromkeys(a for a in (own_address(), "127.0.0.1") if a)
    return names + [x509.IPAddress(ip_address(a)) for a in addresses]


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
