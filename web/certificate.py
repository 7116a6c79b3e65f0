"""HTTPS with the box's own certificate, made at the first start, or with one of the owner's."""

from __future__ import annotations

import datetime
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.core.durable import write_durably
from appliance.devices.manager import own_address

CERTIFICATE, PRIVATE_KEY = "https.pem", "https.key"
# Browsers accept a private certificate for at most 825 days; it is renewed before it ends.
VALID = datetime.timedelta(days=820)
RENEW = datetime.timedelta(days=30)
STARTS = datetime.timedelta(days=90)  # back-dated, so that a board with a slow clock accepts it


def context(data: Path, certificate: str, private_key: str) -> ssl.SSLContext:
    """Return the TLS context with the owner's certificate, or the box's own. Raises OSError, ssl.SSLError."""
    if certificate:
        return _context(certificate, private_key or None)
    if not _good(data):
        _make(data)
    return _context(data / CERTIFICATE, data / PRIVATE_KEY)


def _context(certificate: Path | str, private_key: Path | str | None) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.load_cert_chain(certificate, private_key)
    return found


def _good(data: Path) -> bool:
    """Return whether the box has a certificate that does not expire soon, and its key.

    An incomplete pair from an interrupted creation does not count: the box must start nevertheless.
    """
    try:
        _context(data / CERTIFICATE, data / PRIVATE_KEY)
        known = x509.load_pem_x509_certificate((data / CERTIFICATE).read_bytes())
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return known.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > RENEW


def _make(data: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    write_durably(
        data / PRIVATE_KEY,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        0o600,
    )
    write_durably(data / CERTIFICATE, _signed(key).public_bytes(serialization.Encoding.PEM), 0o600)


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
    """Return the names of the box on its network."""
    host = socket.gethostname()
    names: list[x509.GeneralName] = [
        x509.DNSName(n) for n in dict.fromkeys((host, f"{host}.local", "zimbox.local", "localhost"))
    ]
    addresses = dict.fromkeys(a for a in (own_address(), "127.0.0.1") if a)
    return names + [x509.IPAddress(ip_address(a)) for a in addresses]
