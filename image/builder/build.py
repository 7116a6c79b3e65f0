"""`scripts/image build`: build zimbox-VERSION.img.zst from the locked packages and the project."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.maintenance.bundle import write_bundle
from image.builder import debs, initramfs, manifest, rootfs

HERE = Path(__file__).resolve().parents[1]  # image/
PROJECT = HERE.parent
BUILD = Path(os.environ.get("IMAGE_BUILD", PROJECT / "build" / "image")).resolve()
# The date of everything in the image: by default that of the last commit.
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0")) or int(
    subprocess.run(
        ["git", "log", "-1", "--format=%ct"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
)
SIGNATURE = "5a494d42"  # "ZIMB": the disk signature by which the initramfs finds the card
BOARDS = (
    "bcm2837-rpi-zero-2-w",
    "bcm2837-rpi-3-a-plus",
    "bcm2837-rpi-3-b",
    "bcm2837-rpi-3-b-plus",
    "bcm2711-rpi-4-b",
    "bcm2711-rpi-400",
)
# Our overlays, and the boards for which config.txt loads them.
OVERLAYS = {"zimbox-uart": BOARDS, "zimbox-usb-host": ("bcm2837-rpi-zero-2-w",)}
# Our packages that run on the box.
PACKAGES = ("appliance", "modem", "web", "image/target")
# Kernel modules for hardware that no Pi has or an SMS gateway never uses.
USELESS_MODULES = (
    "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/iio", "drivers/ata", "drivers/nvme",
    "drivers/staging", "drivers/isdn", "drivers/video", "drivers/edac", "drivers/mtd", "drivers/net/can",
    "drivers/net/ethernet/mellanox", "drivers/net/ethernet/intel", "drivers/net/ethernet/marvell",
    "drivers/net/ethernet/cavium", "drivers/net/ethernet/hisilicon", "drivers/net/ethernet/chelsio",
    "drivers/net/wireless/ath", "drivers/net/wireless/intel", "drivers/net/wireless/marvell",
    "drivers/net/wireless/mediatek", "drivers/net/wireless/ti", "drivers/crypto", "drivers/bluetooth", "drivers/nfc",
    "drivers/input/touchscreen", "drivers/input/joystick", "net/bluetooth", "net/nfc", "net/ceph", "net/sctp",
    "net/openvswitch", "net/batman-adv", "net/dccp", "net/tipc",
    "net/rds", "net/smc", "net/mac802154",
    "net/ieee802154", "fs/btrfs", "fs/xfs", "fs/ocfs2", "fs/gfs2", "fs/f2fs", "fs/jfs", "fs/ceph", "fs/smb",
    "fs/nfs", "fs/nfsd", "fs/nilfs2", "fs/reiserfs", "fs/ubifs", "fs/afs", "fs/9p", "fs/dlm",
    "fs/orangefs", "fs/bcachefs",
)  # fmt: skip
TOOLS = {
    "mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "qemu-aarch64-static": "qemu-user-static",
    "depmod": "kmod", "dtc": "device-tree-compiler", "mksquashfs": "squashfs-tools", "genimage": "genimage",
    "mcopy": "mtools", "mkfs.vfat": "dosfstools", "mke2fs": "e2fsprogs", "zstd": "zstd", "systemctl": "systemd",
    "systemd-sysusers": "systemd", "dpkg-deb": "dpkg", "git": "git",
}  # fmt: skip


def missing() -> list[str]:
    """Return what this machine lacks for a build, in words."""
    packages = {package for tool, package in TOOLS.items() if not find_tool(tool)}
    lacks = [f"apt-get install {' '.join(sorted(packages))}"] if packages else []
    if not find_tool("uv"):
        lacks.append("uv (pip install uv)")
    if not python():
        lacks.append(
            "a Python 3.13 for the byte code: Debian 13's python3, or any on the PATH as python3.13"
        )
    if os.geteuid():
        lacks.append("root: package scripts run in a chroot, and the image keeps its owners")
    return lacks


def build() -> Path:
    """Build the card and return the compressed image. Raises CalledProcessError, LockError."""
    os.umask(0o022)  # modes of what is unpacked and written are part of the image
    kernel = os.environ.get("KERNEL", "debian")
    locked = debs.read_lock(debs.lock_file(kernel).read_text())
    BUILD.mkdir(parents=True, exist_ok=True)
    _say("packages, by hash")
    debs.fetch(locked, BUILD / "pool", BUILD / "apt", kernel)
    tar = _debian(locked)
    loose = _unpack(locked)
    root = _root(tar)
    _modules(root, loose)
    _application(root)
    _configure(root)
    boot = _boot_partition(root, loose, kernel)
    _say("root.squashfs")
    squash(root, BUILD / "root.squashfs")
    return _card(boot, kernel)


def squash(root: Path, target: Path, level: int = 15, *, leave_out: Sequence[str] = ()) -> None:
    _run("mksquashfs", root, target, "-noappend", "-quiet", "-no-progress",
         "-comp", "zstd", "-Xcompression-level", level, "-b", "256K",
         "-all-time", EPOCH, "-mkfs-time", EPOCH, *(["-e", *leave_out] if leave_out else []),
         without_epoch=True)  # fmt: skip


def _debian(locked: list[debs.Deb]) -> Path:
    """Return the tar of Debian's packages; made anew only if the lock or rootfs.py has changed."""
    install = [deb for deb in locked if deb.kind == "install"]
    way = Path(rootfs.__file__).read_text() + "".join(deb.line for deb in install)
    tar = BUILD / f"debian-{hashlib.sha256(way.encode()).hexdigest()[:16]}.tar"
    if not tar.exists():
        _say("Debian packages under emulation (minutes)")
        debs.repository(install, BUILD / "pool", BUILD / "repository")
        rootfs.make([deb.name for deb in install], BUILD / "repository", tar, PACKAGES_EPOCH)
    return tar


# The date of files in that tar, which is kept between builds and must not depend on the commit.
PACKAGES_EPOCH = 1_767_225_600


def _unpack(locked: list[debs.Deb]) -> Path:
    folder = fresh(BUILD / "loose")
    for deb in locked:
        if deb.kind == "unpack":
            _run("dpkg-deb", "-x", BUILD / "pool" / f"{deb.sha256}.deb", folder)
    return folder


def _root(tar: Path) -> Path:
    _say("root")
    root = fresh(BUILD / "root")
    _run("tar", "-xf", tar, "-C", root)
    # etc/apt contains the path of this build; there is no apt on the box.
    for left in ("usr/share/doc-base", "usr/lib/udev/hwdb.d", "etc/apt"):
        shutil.rmtree(root / left, ignore_errors=True)
    fresh(root / "var")  # a tmpfs on the box: files of packages would never be seen
    return root


def _modules(root: Path, loose: Path) -> None:
    """Install kernel modules and firmware, without those that no board needs."""
    source = next((loose / "usr/lib/modules").iterdir())
    target = root / "usr/lib/modules" / source.name
    shutil.copytree(source, target, symlinks=True)
    for useless in USELESS_MODULES:
        shutil.rmtree(target / "kernel" / useless, ignore_errors=True)
    _run("depmod", "-b", root, source.name)
    # Its libraries come with wpa_supplicant.
    shutil.copy2(loose / "usr/sbin/iw", root / "usr/sbin/iw")
    firmware = root / "usr/lib/firmware"
    shutil.copytree(loose / "usr/lib/firmware", firmware, symlinks=True, dirs_exist_ok=True)
    for name in ("regulatory.db", "regulatory.db.p7s"):
        (firmware / name).unlink(missing_ok=True)
        (firmware / name).symlink_to(f"{name}-debian")


def _application(root: Path) -> None:
    """Install the application and the public key for updates."""
    _say("application")
    application(root / "usr/lib/zimbox/app", "/usr/lib/zimbox/app")
    public = load_private_key(update_key()).public_key()
    (root / "usr/lib/zimbox/update-key.pem").write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def application(app: Path, shown_as: str) -> None:
    """Make the application's tree for arm64 and Debian's Python: the project and its locked wheels, compiled."""
    _run("uv", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps",
         "--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.13", "--link-mode", "copy",
         "--target", app, "-r", PROJECT / "requirements/run.txt")  # fmt: skip
    shutil.rmtree(app / "bin", ignore_errors=True)
    (app / ".lock").unlink(missing_ok=True)
    copy_project(app)
    for record in app.glob("*.dist-info/RECORD"):
        record.unlink()  # lists the dropped bin/, in an order that varies
    for direct in [
        *app.glob("*.dist-info/direct_url.json"),
        *app.glob("*.dist-info/uv_cache.json"),
    ]:
        direct.unlink()
    compile_python(app, shown_as)


def copy_project(app: Path) -> None:
    """Copy the project's own files that run on the card: those that git knows, and no others.

    A link is copied as the file that it names.
    """
    listed = _output(
        "git", "ls-files", "--cached", *PACKAGES, "image/__init__.py", cwd=PROJECT
    ).splitlines()
    for name in listed:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, app / name)


def update_key() -> Path:
    """Return the private key that signs updates for this image: UPDATE_KEY, else a development key."""
    if given := os.environ.get("UPDATE_KEY"):
        return Path(given)
    key = BUILD / "development-key.pem"
    if not key.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return key


def load_private_key(file: Path) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{file} is no Ed25519 key")
    return key


def bundle() -> Path:
    """Make a signed update of the application, for boxes whose image was built with the same key."""
    tree = fresh(BUILD / "bundle")
    application(tree, "/run/zimbox/app")
    target = BUILD / f"zimbox-{version()}.zimbox"
    write_bundle(tree, version(), load_private_key(update_key()), target, epoch=EPOCH)
    return target


def root_bundle() -> Path:
    """Make a signed update of the last build's root, for cards with the same kernel."""
    tree = fresh(BUILD / "root-bundle")
    os.link(BUILD / "root.squashfs", tree / "root.squashfs")
    kernel = next((BUILD / "root/usr/lib/modules").iterdir()).name
    target = BUILD / f"zimbox-{version()}-root.zimbox"
    # The squashfs is compressed already: level 0 takes seconds instead of minutes.
    key = load_private_key(update_key())
    write_bundle(tree, version(), key, target, epoch=EPOCH, kernel=kernel, preset=0)
    return target


def compile_python(tree: Path, shown_as: str, by: str = "") -> None:
    """Compile to byte code, which is the same for every processor; the root is read-only."""
    subprocess.run(
        [by or python(), "-B", "-W", "ignore", "-m", "compileall", "-q", "-s", tree, "-p", shown_as,
         "--invalidation-mode", "unchecked-hash", tree],
        check=True, env=os.environ | {"PYTHONHASHSEED": "0"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def python() -> str:
    """Return a Python of this machine with Debian 13's byte code (3.13), "" if there is none."""
    ask = "import sys; print(*sys.version_info[:2])"
    for name in ("python3.13", "python3", sys.executable):
        asked = (
            subprocess.run([name, "-c", ask], capture_output=True, text=True, check=False)
            if find_tool(name)
            else None
        )
        if asked and asked.stdout.split() == ["3", "13"]:
            return name
    return ""


def _configure(root: Path) -> None:
    """Copy our files over Debian's, create the users, enable and mask units."""
    _say("configuration")
    for name in _output("git", "ls-files", "--cached", "image/root", cwd=PROJECT).splitlines():
        target = root / Path(name).relative_to("image/root")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target)
        target.chmod(0o755 if os.access(PROJECT / name, os.X_OK) else 0o644)
    compile_python(root / "usr/lib/python3.13", "/usr/lib/python3.13")
    compile_python(root / "usr/lib/python3", "/usr/lib/python3")
    _run("systemd-sysusers", f"--root={root}", without_epoch=False)
    _run("systemctl", f"--root={root}", "preset-all", "--preset-mode=full")
    wants = root / "etc/systemd/system"
    for unit in MASKED:
        (wants / unit).unlink(missing_ok=True)
        (wants / unit).symlink_to("/dev/null")
    # Imager 1.x may append systemd.run=/boot/firstrun.sh and systemd.unit=kernel-command-line.target to
    # cmdline.txt: the box starts all the same, and zimbox-prepare takes both out.
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(parents=True, exist_ok=True)
    (generators / "systemd-run-generator").symlink_to("/dev/null")
    (wants / "kernel-command-line.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for folder in ("data", "boot/firmware"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/shadow-").unlink(missing_ok=True)
    (root / "etc/zimbox-release").write_text(
        json.dumps({"version": version(), "built": EPOCH}) + "\n"
    )


MASKED = (
    # Would run at every start, because /var is empty at every start.
    "systemd-journal-catalog-update.service", "ldconfig.service", "systemd-hwdb-update.service",
    "systemd-update-done.service", "systemd-random-seed.service", "systemd-machine-id-commit.service",
    "systemd-sysusers.service", "systemd-firstboot.service",
    # No screen, no keyboard.
    "getty@tty1.service", "getty.target", "console-getty.service", "serial-getty@.service",
    "systemd-ask-password-wall.path",
    # Not needed.
    "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "systemd-networkd-wait-online.service",
)  # fmt: skip


def _boot_partition(root: Path, loose: Path, kernel: str) -> Path:
    """Make the files of the FAT partition and return their folder."""
    _say("boot partition")
    card = fresh(BUILD / "card")
    boot = card / "boot"
    (boot / "overlays").mkdir(parents=True)
    for file in sorted((loose / "usr/lib/raspi-firmware").iterdir()):
        if file.is_file() and not file.stem.endswith(("_x", "_db", "4x", "4db")):
            shutil.copyfile(file, boot / file.name)
    shutil.copyfile(next((loose / "boot").glob("vmlinuz-*")), boot / "vmlinuz")
    kernel_files = next((loose / "usr/lib").glob("linux-image-*"))
    if kernel == "debian":
        for board in BOARDS:
            shutil.copyfile(kernel_files / f"broadcom/{board}.dtb", boot / f"{board}.dtb")
        for name in OVERLAYS:
            overlay(name, boot / f"overlays/{name}.dtbo")
        # Some firmware looks for overlays only in a folder with this file.
        (boot / "overlays/README").write_text("Their sources are image/boot/*.dtso.\n")
    else:  # Raspberry Pi's own: every board's tree, and their overlays
        shutil.copytree(kernel_files / "broadcom", boot, dirs_exist_ok=True)
        shutil.copytree(kernel_files / "overlays", boot / "overlays", dirs_exist_ok=True)
    config = "config.txt" if kernel == "debian" else f"config-{kernel}.txt"
    shutil.copyfile(HERE / "boot" / config, boot / "config.txt")
    cmdline = (HERE / "boot/cmdline.txt").read_text().replace("@SIGNATURE@", SIGNATURE)
    (boot / "cmdline.txt").write_text(cmdline)
    shutil.copyfile(HERE / "boot/zimbox.toml.example", boot / "zimbox.toml.example")
    modules = next((root / "usr/lib/modules").iterdir())
    archive = initramfs.cpio(
        initramfs.contents(
            modules,
            loose / "usr/bin/busybox",
            loose / "usr/sbin/e2fsck.static",
            HERE / "initramfs/init",
            initramfs.MODULES if kernel == "debian" else initramfs.MODULES_RPI,
        )
    )
    (BUILD / "initrd.cpio").write_bytes(archive)
    _run("zstd", "-q", "-f", "-19", "-T1", BUILD / "initrd.cpio", "-o", boot / "initrd.img")
    return boot


def overlay(name: str, target: Path) -> None:
    """Compile boot/NAME.dtso."""
    _run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", target, HERE / f"boot/{name}.dtso")


def fat(files: Path, target: Path) -> None:
    """Make the boot partition: files in the order of their names, all with the image's date."""
    _empty(target, FAT_MIB)
    _run("mkfs.vfat", "--invariant", "-i", SIGNATURE, "-n", "ZIMBOX", target)
    for path in sorted(files.rglob("*")):
        os.utime(path, (EPOCH, EPOCH))
        name = f"::{path.relative_to(files)}"
        _run(
            *(["mmd", "-i", target] if path.is_dir() else ["mcopy", "-m", "-i", target, path]), name
        )


def ext4(target: Path) -> None:
    """Make the empty data partition. Its identifiers are fixed, because only the disk signature is used."""
    _empty(target, DATA_MIB)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "zimbox-data", "-b", 4096, "-i", 65536, "-m", 1,
         "-J", "size=16", "-U", f"{UUID}1", "-E", f"hash_seed={UUID}2,root_owner=0:0,nodiscard",
         target)  # fmt: skip


FAT_MIB, DATA_MIB = 192, 256
UUID = "7a696d62-6f78-4000-8000-64617461303"


def _empty(target: Path, mib: int) -> None:
    target.unlink(missing_ok=True)
    target.touch()
    os.truncate(target, mib << 20)


def _card(boot: Path, kernel: str) -> Path:
    _say("card")
    commit = _output("git", "describe", "--always", "--dirty", cwd=PROJECT)
    (BUILD / "commit").write_text(commit)
    fat(boot, BUILD / "boot.vfat")
    ext4(BUILD / "data.ext4")
    config = (HERE / "genimage.cfg").read_text().replace("@SIGNATURE@", f"0x{SIGNATURE}")
    (BUILD / "genimage.cfg").write_text(config)
    # genimage requires a root path; ours is empty.
    nothing = fresh(BUILD / "tmp")
    _run("genimage", "--config", BUILD / "genimage.cfg", "--rootpath", fresh(nothing / "root"),
         "--inputpath", BUILD, "--outputpath", BUILD, "--tmppath", nothing / "work", "--loglevel", "1")  # fmt: skip
    target = compressed_card(kernel)
    _run("zstd", "-q", "-f", "-12", "-T1", BUILD / "zimbox.img", "-o", target)
    return target


def compressed_card(kernel: str) -> Path:
    suffix = "" if kernel == "debian" else f"-{kernel}"
    return BUILD / f"zimbox-{version()}{suffix}.img.zst"


def write_manifest(folder_url: str = "") -> Path:
    """Describe the last build for Raspberry Pi Imager; `folder_url` is where the image will be published."""
    kernel = os.environ.get("KERNEL", "debian")
    return manifest.write(BUILD / "zimbox.img", compressed_card(kernel), folder_url,
                          version=version(), epoch=EPOCH, kernel=kernel)  # fmt: skip


def version() -> str:
    found = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    return str(found)


STARTED = time.monotonic()


def _say(step: str) -> None:
    print(f"[{time.monotonic() - STARTED:6.1f} s] {step}", flush=True)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def find_tool(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(*command: object, without_epoch: bool = False) -> None:
    """Run a tool with the image's date. mksquashfs takes the date by its own options instead."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C", "TZ": "UTC"}
    environment["E2FSPROGS_FAKE_TIME"] = str(EPOCH)  # mke2fs before 1.47.1 knows no other
    if without_epoch:
        del environment["SOURCE_DATE_EPOCH"]
    environment["PATH"] += ":/usr/sbin:/sbin"
    subprocess.run([str(word) for word in command], check=True, env=environment, stdout=sys.stderr)


def _output(*command: object, cwd: Path | None = None) -> str:
    return subprocess.run(
        [str(word) for word in command], check=True, cwd=cwd, text=True, capture_output=True
    ).stdout
