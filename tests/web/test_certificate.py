"""HTTPS next to HTTP: the box's own certificate, kept over restarts, or the owner's."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from tests.box.running import REQUEST_SECONDS, RunningBox, free_port
from web import certificate


def test_the_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    certificate.context(tmp_path, "", "")
    made = (tmp_path / certificate.CERTIFICATE).read_bytes()
    certificate.context(tmp_path, "", "")
    assert (tmp_path / certificate.CERTIFICATE).read_bytes() == made
    assert (tmp_path / certificate.PRIVATE_KEY).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", [certificate.CERTIFICATE, certificate.PRIVATE_KEY])
@pytest.mark.parametrize("left", ["", "-----BEGIN"])
def test_a_truncated_certificate_is_replaced(tmp_path: Path, name: str, left: str) -> None:
    certificate.context(tmp_path, "", "")
    (tmp_path / name).write_text(left)
    certificate.context(tmp_path, "", "")
    assert (tmp_path / name).read_text() != left
    whole = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    whole.load_cert_chain(tmp_path / certificate.CERTIFICATE, tmp_path / certificate.PRIVATE_KEY)


def test_a_key_that_does_not_match_is_replaced_with_its_certificate(tmp_path: Path) -> None:
    certificate.context(tmp_path, "", "")
    older = (tmp_path / certificate.PRIVATE_KEY).read_bytes()
    (tmp_path / certificate.PRIVATE_KEY).unlink()
    certificate.context(tmp_path, "", "")
    (tmp_path / certificate.PRIVATE_KEY).write_bytes(older)
    certificate.context(tmp_path, "", "")
    assert (tmp_path / certificate.PRIVATE_KEY).read_bytes() != older


def test_an_invalid_configured_certificate_is_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        certificate.context(tmp_path, str(wrong), "")


@pytest.mark.process
def test_the_box_answers_over_https_under_its_own_certificate(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    box = RunningBox(tmp_path, {"ZIMBOX_SERVER_HTTPS_LISTEN": place})
    box.start()
    try:
        known = ssl.create_default_context(cafile=str(box.data / certificate.CERTIFICATE))
        answer = httpx.get(f"https://{place}/health", verify=known, timeout=REQUEST_SECONDS)
        assert answer.json()["success"] is True
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://{place}/health", timeout=REQUEST_SECONDS)
    finally:
        box.stop()
