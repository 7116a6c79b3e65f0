"""Signed update bundles: write, check, unpack.

A bundle is a tar of three members in this order: manifest.json, manifest.sig (Ed25519 over the
manifest's bytes) and payload.tar.xz, whose SHA-256 and size are in the manifest. Nothing of the
payload is read before both have been checked.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.core.durable import sync
from appliance.maintenance.update import Slot

FORMAT = 1
MEMBERS = ("manifest.json", "manifest.sig", "payload.tar.xz")
ROOT = "root.squashfs"
# A manifest has a few hundred bytes.
LONGEST_MANIFEST = 64 * 1024
CHUNK = 1 << 20

Refused = Literal[
    "NOT_A_BUNDLE", "WRONG_SIGNATURE", "DAMAGED", "WRONG_MACHINE", "WRONG_KERNEL", "NO_SPACE"
]  # fmt: skip


class BundleRefused(Exception):
    """The bundle is refused; `code` says why. Nothing was changed."""

    def __init__(self, code: Refused, words: str) -> None:
        super().__init__(words)
        self.code = code


class BundleManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed manifest of a bundle."""

    format: int
    version: str
    machine: str  # "aarch64"
    python: str  # "3.13": byte code and wheels fit one minor version
    payload_size: int
    payload_sha256: str
    unpacked_size: int
    content: Literal["application", "root"] = "application"
    kernel: str = (
        ""  # of a root: the kernel that its modules belong to; the kernel itself is outside
    )


def write_bundle(
    tree: Path, version: str, private_key: Ed25519PrivateKey, target: Path, *, epoch: int = 0,
    machine: str = "aarch64", python: str = "3.13", kernel: str = "", preset: Literal[0, 6] = 6,
) -> BundleManifest:  # fmt: skip
    """Pack `tree` as a signed bundle: an application, or with `kernel` a root (only root.squashfs).

    The same tree, key and xz `preset` give the same bytes.
    """
    payload = target.with_suffix(".payload")
    with tarfile.open(payload, "w:xz", preset=preset) as tar:
        for path in sorted(tree.rglob("*")):
            tar.add(
                path,
                str(path.relative_to(tree)),
                recursive=False,
                filter=lambda m: _plain(m, epoch),
            )
    manifest = BundleManifest(
        format=FORMAT,
        version=version,
        machine=machine,
        python=python,
        payload_size=payload.stat().st_size,
        payload_sha256=_sha256(payload),
        unpacked_size=sum(p.stat().st_size for p in tree.rglob("*") if p.is_file()),
        content="root" if kernel else "application",
        kernel=kernel,
    )
    text = msgspec.json.encode(manifest)
    with tarfile.open(target, "w") as tar:
        for name, content in ((MEMBERS[0], text), (MEMBERS[1], private_key.sign(text))):
            info = _plain(tarfile.TarInfo(name), epoch)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        info = _plain(tarfile.TarInfo(MEMBERS[2]), epoch)
        info.size = manifest.payload_size
        with payload.open("rb") as stream:
            tar.addfile(info, stream)
    payload.unlink()
    return manifest


def _plain(info: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = epoch
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info


def check(
    bundle: Path, public_key: Ed25519PublicKey, *, machine: str, python: str
) -> BundleManifest:
    """Return the manifest after checking signature, hash and machine. Raises BundleRefused, OSError."""
    try:
        with tarfile.open(bundle, "r:") as tar:
            manifest = _manifest(tar, public_key)
            if (manifest.machine, manifest.python) != (machine, python):
                raise BundleRefused(
                    "WRONG_MACHINE",
                    f"made for {manifest.machine} with Python {manifest.python}; this is {machine} with {python}",
                )
            digest, size = hashlib.sha256(), 0
            with _member(tar, MEMBERS[2]) as payload:
                while chunk := payload.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
    except (tarfile.TarError, EOFError) as error:
        code: Refused = "DAMAGED" if tarfile.is_tarfile(bundle) else "NOT_A_BUNDLE"
        raise BundleRefused(code, f"the file is damaged or incomplete: {error}") from None
    except (ValueError, OverflowError, MemoryError) as error:  # a header that tarfile cannot parse
        raise BundleRefused("NOT_A_BUNDLE", f"its headers cannot be read: {error}") from None
    if (size, digest.hexdigest()) != (manifest.payload_size, manifest.payload_sha256):
        raise BundleRefused(
            "DAMAGED", f"{size} of {manifest.payload_size} bytes match the signature"
        )
    return manifest


def _manifest(tar: tarfile.TarFile, public_key: Ed25519PublicKey) -> BundleManifest:
    with _member(tar, MEMBERS[0]) as stream:
        text = stream.read(LONGEST_MANIFEST)
    with _member(tar, MEMBERS[1]) as stream:
        signature = stream.read(LONGEST_MANIFEST)
    try:
        public_key.verify(signature, text)
    except InvalidSignature:
        raise BundleRefused(
            "WRONG_SIGNATURE", "not signed with the key of this box's image"
        ) from None
    try:
        manifest = msgspec.json.decode(text, type=BundleManifest)
    except msgspec.DecodeError as error:
        raise BundleRefused("NOT_A_BUNDLE", f"its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise BundleRefused(
            "NOT_A_BUNDLE", f"its format is {manifest.format}, this release reads {FORMAT}"
        )
    return manifest


def _member(tar: tarfile.TarFile, wanted: str) -> IO[bytes]:
    """Open the next member, which must be a regular file of this name."""
    found = tar.next()
    stream = tar.extractfile(found) if found and found.name == wanted and found.isreg() else None
    if stream is None:
        raise BundleRefused("NOT_A_BUNDLE", f"{wanted} is missing")
    return stream


def unpack(bundle: Path, manifest: BundleManifest, slots: Path, slot: Slot) -> Path:
    """Unpack a checked bundle into a slot; it is on disk when this returns.

    The slot stays empty until everything is unpacked. Raises BundleRefused (NO_SPACE), OSError.
    """
    target, partial = slots / slot, slots / f"{slot}.partial"
    for old in (target, partial):
        shutil.rmtree(old, ignore_errors=True)
    if shutil.disk_usage(slots).free < manifest.unpacked_size * 3 // 2:
        raise BundleRefused(
            "NO_SPACE", f"more than {manifest.unpacked_size >> 20} MiB must be free"
        )
    partial.mkdir()
    with tarfile.open(bundle, "r:") as tar:
        _member(tar, MEMBERS[0]), _member(tar, MEMBERS[1])
        with (
            _member(tar, MEMBERS[2]) as stream,
            tarfile.open(fileobj=stream, mode="r|xz") as payload,
        ):
            if hasattr(
                tarfile, "data_filter"
            ):  # Python before 3.11.4 (Debian 12) relies on the signature
                payload.extraction_filter = tarfile.data_filter
            payload.extractall(partial)
    (partial / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    os.sync()
    partial.rename(target)
    sync(slots)
    return target


def copy_root(bundle: Path, manifest: BundleManifest, target: Path) -> None:
    """Write a checked bundle's root.squashfs to a partition and read it back from the medium.

    Raises BundleRefused (NO_SPACE, DAMAGED), OSError.
    """
    written = hashlib.sha256()
    with tarfile.open(bundle, "r:") as tar:
        _member(tar, MEMBERS[0]), _member(tar, MEMBERS[1])
        with (
            _member(tar, MEMBERS[2]) as stream,
            tarfile.open(fileobj=stream, mode="r|xz") as payload,
            _member(payload, ROOT) as source,
            target.open("r+b", buffering=0) as device,
        ):
            if device.seek(0, os.SEEK_END) < manifest.unpacked_size:
                raise BundleRefused("NO_SPACE", "the root partition is too small for it")
            device.seek(0)
            while chunk := source.read(CHUNK):
                device.write(chunk)
                written.update(chunk)
            os.fsync(device.fileno())
            os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            device.seek(0)
            left, read = manifest.unpacked_size, hashlib.sha256()
            while left and (chunk := device.read(min(left, CHUNK))):
                read.update(chunk)
                left -= len(chunk)
    if read.digest() != written.digest():
        raise BundleRefused("DAMAGED", "the card returned other data than was written")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_public_key(file: Path) -> Ed25519PublicKey:
    """Load an Ed25519 public key from a PEM file. Raises ValueError, OSError."""
    key = serialization.load_pem_public_key(file.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{file} does not contain an Ed25519 key")
    return key
