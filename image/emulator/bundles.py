"""Update bundles for the scenarios: some that work, some that are refused or taken back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.maintenance.bundle import write_bundle
from image.builder import build
from image.emulator import card_file
from image.emulator.harness import check


def stage(card: Path, files: dict[str, Path]) -> None:
    """Let data fill the card and copy files onto it, as a first start and an upload would leave it."""
    offset, data = card_file.data_offset(card), card.parent / "data.ext4"
    copy: list[str | Path] = ["dd", "bs=1M", "conv=notrunc", "status=none"]
    subprocess.run([*copy, f"if={card}", f"skip={offset >> 20}", f"of={data}"], check=True)
    os.truncate(data, card.stat().st_size - offset)
    for grow in (["e2fsck", "-f", "-p"], ["resize2fs"]):
        subprocess.run(
            [build.find_tool(grow[0]) or "", *grow[1:], data], capture_output=True, check=True
        )
    for name, file in files.items():
        write: list[str | Path] = ["debugfs", "-w", "-R", f"write {file} {name}", data]
        subprocess.run(write, check=True, capture_output=True)
    subprocess.run([*copy, f"if={data}", f"of={card}", f"seek={offset >> 20}"], check=True)
    card_file.fill_card(card)
    data.unlink()


def make_roots(folder: Path) -> dict[str, Path]:
    """Make good (the root of this build) and broken (the same without the gateway and what would confirm it)."""
    tree, key = folder / "tree", build.load_private_key(build.update_key())
    tree.mkdir(exist_ok=True)
    squashfs = tree / "root.squashfs"
    kernel = next((build.BUILD / "root/usr/lib/modules").iterdir()).name
    files = {"good": folder / "good", "broken": folder / "broken"}
    os.link(build.BUILD / "root.squashfs", squashfs)
    write_bundle(tree, build.version(), key, files["good"], kernel=kernel, preset=0)
    squashfs.unlink()
    app = "usr/lib/zimbox/app"
    lacking = [
        f"{app}/appliance/assembly.py",
        f"{app}/image/target/roots.py",
        f"{app}/image/target/__pycache__/roots.cpython-313.pyc",
    ]
    build.squash(build.BUILD / "root", squashfs, 1, leave_out=lacking)
    write_bundle(tree, build.version(), key, files["broken"], kernel=kernel, preset=0)
    return files


def make_bundles(folder: Path) -> dict[str, Path]:
    """Make good (9.9.9), unproven (names another version), broken (does not start), wrong (another key), cut (half)."""
    check(build.python() != "", "python3.13 must be on the PATH, for the byte code of the bundles")
    key = build.load_private_key(build.update_key())
    tree = folder / "tree"
    build.application(tree, "/run/zimbox/app")
    version = tree / "appliance/__init__.py"
    version.write_text(version.read_text().replace(build.version(), "9.9.9"))
    shutil.rmtree(tree / "appliance/__pycache__")
    build.compile_python(tree / "appliance", "/run/zimbox/app/appliance")
    files = {name: folder / name for name in ("good", "unproven", "broken", "wrong", "cut")}
    write_bundle(tree, "9.9.9", key, files["good"], preset=0)
    write_bundle(tree, "9.9.10", key, files["unproven"], preset=0)
    write_bundle(tree, "9.9.9", Ed25519PrivateKey.generate(), files["wrong"], preset=0)
    whole = files["good"].read_bytes()
    files["cut"].write_bytes(whole[: len(whole) // 2])
    (tree / "appliance/assembly.py").write_text("raise RuntimeError('broken on purpose')\n")
    for left in (tree / "appliance/__pycache__").glob("assembly.*"):
        left.unlink()
    write_bundle(tree, "9.9.9", key, files["broken"], preset=0)
    return files
