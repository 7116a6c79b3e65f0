"""Valid update bundles, and all kinds of invalid ones."""

import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.maintenance import bundle
from appliance.maintenance.bundle import BundleRefused

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "appliance").mkdir(parents=True)
    (folder / "appliance/__init__.py").write_text("__version__ = '2'\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    return folder


@pytest.fixture
def made(tree: Path, tmp_path: Path) -> Path:
    file = tmp_path / "two.zimbox"
    bundle.write_bundle(tree, "2.0.0", KEY, file)
    return file


def checked(file: Path, *, machine: str = "aarch64", python: str = "3.13") -> bundle.BundleManifest:
    return bundle.check(file, KEY.public_key(), machine=machine, python=python)


def test_unpacking_a_bundle_gives_the_packed_files(made: Path, tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    manifest = checked(made)
    assert manifest.version == "2.0.0"
    slot = bundle.unpack(made, manifest, tmp_path / "slots", "a")
    assert (slot / "appliance/__init__.py").read_text() == "__version__ = '2'\n"
    assert (slot / "run.sh").stat().st_mode & 0o111
    assert [path.name for path in (tmp_path / "slots").iterdir()] == ["a"]


def test_the_same_tree_gives_the_same_bytes(tree: Path, made: Path, tmp_path: Path) -> None:
    bundle.write_bundle(tree, "2.0.0", KEY, tmp_path / "again.zimbox")
    assert (tmp_path / "again.zimbox").read_bytes() == made.read_bytes()


def test_a_bundle_signed_with_another_key_is_refused(tree: Path, tmp_path: Path) -> None:
    bundle.write_bundle(tree, "2.0.0", OTHER, tmp_path / "other.zimbox")
    with pytest.raises(BundleRefused) as refused:
        checked(tmp_path / "other.zimbox")
    assert refused.value.code == "WRONG_SIGNATURE"


def test_one_letter_changed_in_the_manifest_is_a_wrong_signature(made: Path) -> None:
    made.write_bytes(made.read_bytes().replace(b'"2.0.0"', b'"3.0.0"'))
    with pytest.raises(BundleRefused) as refused:
        checked(made)
    assert refused.value.code == "WRONG_SIGNATURE"


def test_every_cut_is_refused(made: Path, tmp_path: Path) -> None:
    """A download that broke off, at any place: never taken, always with a word."""
    whole = made.read_bytes()
    end_of_payload = len(whole.rstrip(b"\0"))
    cut = tmp_path / "cut.zimbox"
    for length in range(0, end_of_payload - 1, 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(BundleRefused):
            checked(cut)


def test_one_bit_flipped_in_the_payload_is_damage(made: Path) -> None:
    whole = bytearray(made.read_bytes())
    whole[len(bytes(whole).rstrip(b"\0")) - 40] ^= 1
    made.write_bytes(whole)
    with pytest.raises(BundleRefused) as refused:
        checked(made)
    assert refused.value.code == "DAMAGED"


@pytest.mark.parametrize(("machine", "python"), [("x86_64", "3.13"), ("aarch64", "3.14")])
def test_a_bundle_for_another_machine_says_so(made: Path, machine: str, python: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        checked(made, machine=machine, python=python)
    assert refused.value.code == "WRONG_MACHINE"


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\0" * 10240])
def test_a_file_that_is_not_a_bundle_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BundleRefused):
        checked(tmp_path / "x")


def _hostile(size: int, records: bytes) -> bytes:
    """A tar whose first header (pax) is not what it says."""
    header, member = tarfile.TarInfo("x"), tarfile.TarInfo("manifest.json")
    header.type, header.size = tarfile.XHDTYPE, size
    return (
        header.tobuf(tarfile.GNU_FORMAT) + records.ljust(512, b"\0") + member.tobuf() + bytes(1024)
    )


@pytest.mark.parametrize(
    "content",
    [_hostile(1 << 80, b""), _hostile(22, b"22 GNU.sparse.map=a,b\n"), _hostile(-7, b"")],
    ids=["endless", "sparse", "negative"],
)
def test_an_unreadable_tar_header_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "hostile.zimbox"
    file.write_bytes(content)
    with pytest.raises(BundleRefused) as refused:
        checked(file)
    assert refused.value.code == "NOT_A_BUNDLE"


def test_a_partly_unpacked_slot_is_not_used(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = tmp_path / "slots"
    slots.mkdir()
    manifest = checked(made)

    def off() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.sync", off)
    with pytest.raises(KeyboardInterrupt):
        bundle.unpack(made, manifest, slots, "a")
    assert not (slots / "a").exists()
    monkeypatch.undo()
    assert bundle.unpack(made, manifest, slots, "a").is_dir()


def test_the_key_is_read_from_pem_and_nothing_else(tmp_path: Path) -> None:
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(pem)
    assert bundle.load_public_key(tmp_path / "key.pem") == KEY.public_key()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ValueError):
        bundle.load_public_key(tmp_path / "key.pem")
