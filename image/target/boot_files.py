"""Files on the boot partition: import settings, erase what was imported, write the setup code.

The order survives a power cut: settings are synced to the data partition before they are removed from the
boot partition. After a cut in between, the next start imports the same file again.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.core.durable import sync, write_durably
from image.target import imager
from image.target import user_config as w

FILE = "zimbox.toml"
ERASING = (
    f"{FILE}.erasing"  # imported; the rename keeps a power cut from importing a half-erased file
)
CODE = "zimbox-setup-code.txt"
MISTAKE = "zimbox-error.txt"
IMPORTED = "zimbox-imported.txt"
CODED = re.compile(rb"\b\d{4}-\d{4}-\d{4}\b")


@dataclass(frozen=True)
class DataPaths:
    """Paths on the data partition."""

    root: Path

    @property
    def user_config(self) -> Path:
        return self.root / "system/user-config.json"

    @property
    def gateway(self) -> Path:
        return self.root / "config/zimbox.toml"

    @property
    def code(self) -> Path:
        """The setup code; the gateway reads it, and deletes it once the box is claimed."""
        return self.root / "zimbox/setup-code"

    @property
    def forget_owner(self) -> Path:
        """Tells the gateway to forget the owner; it deletes the file when that is done."""
        return self.root / "zimbox/forget-owner"  # appliance.admin.auth.FORGET_OWNER_FILE

    @property
    def database(self) -> Path:
        return self.root / "zimbox/zimbox.db"

    @property
    def erasing(self) -> Path:
        """Hashes of files on the boot partition that were imported and are to be erased."""
        return self.root / "system/erasing.json"

    @property
    def ssh_key(self) -> Path:
        return self.root / "system/ssh/authorized_keys"


def import_settings(boot: Path, data: DataPaths, group: int | None = None) -> w.UserConfig:
    """Return the settings in force, after importing new files from the boot partition.

    A new zimbox.toml replaces all settings; Raspberry Pi Imager's files fill in what it leaves out, or change
    the stored settings if there is none. `boot` must be writable if it holds any of these files. A file with an
    error changes nothing and stays; zimbox-error.txt names the error. zimbox-imported.txt says what was taken.
    """
    _finish_erasing(boot, data)
    errors: list[str] = []
    used, imported = _read_imager(boot, errors)
    settings, text, replaced = _stored(data), None, False
    if (boot / FILE).exists():
        try:
            text = (boot / FILE).read_text("utf-8-sig")  # Windows editors write a byte order mark
            taken = w.read(text, imported.settings)
        except (w.UserConfigError, UnicodeDecodeError) as error:
            errors.append(f"{FILE}: {error}")
            text = None
        else:
            used[FILE] = (boot / FILE).read_bytes()
            errors += _left_out(taken)
            if taken.forget_owner:
                _write_for_gateway(data.forget_owner, b"")
            if replaced := not taken.only_forget:
                settings = taken
    if imported.settings and not replaced:
        try:
            settings = w.change(settings, imported.settings)
        except w.UserConfigError as error:
            wrong = [name for name in used if name != FILE]
            errors.append(f"{', '.join(wrong)}: {error}")
            used = {name: content for name, content in used.items() if name == FILE}
    if used:
        if replaced or used.keys() != {FILE}:
            _store(settings, data, group)
        _write_import_log(boot, used, imported)
        _clean(boot, data, used, text)
    if errors:
        _write_on_boot(boot / MISTAKE, "".join(f"{error}\r\n" for error in errors))
    elif used:
        (boot / MISTAKE).unlink(missing_ok=True)
    if not data.gateway.exists():
        _store(settings, data, group)
    return settings


def _left_out(taken: w.UserConfig) -> list[str]:
    """Return a line for each kind of name that was left out of a file that was taken."""
    reasons = {"unknown": taken.unknown, "cannot be set on this image": taken.fixed}
    return [
        f"{FILE}: {why}, left out: {', '.join(names)}" for why, names in reasons.items() if names
    ]


def _write_for_gateway(file: Path, content: bytes) -> None:
    """Write a file that the gateway, which owns the folder, reads and deletes."""
    folder = file.parent.stat()
    write_durably(file, content, 0o600, (folder.st_uid, folder.st_gid))


def _read_imager(boot: Path, errors: list[str]) -> tuple[dict[str, bytes], imager.Imported]:
    """Parse Imager's files. What can be read is used; errors are added to `errors`."""
    command_line = boot / imager.COMMAND_LINE
    words = command_line.read_text() if command_line.exists() else ""
    used: dict[str, bytes] = {}
    imported = imager.Imported()
    for name, content in imager.files(boot).items():
        try:
            imported.add(imager.read(name, content, words))
        except imager.ImagerError as error:
            errors.append(f"{name}: {error}")
        else:
            used[name] = content
    return used, imported


def _write_import_log(boot: Path, used: Mapping[str, bytes], imported: imager.Imported) -> None:
    """List Imager's files and the settings that were left out."""
    if used.keys() <= {FILE}:
        return
    lines = [f"Imported / importé: {', '.join(used)}"]
    lines += [f"Not a setting of this box / sans objet ici: {name}" for name in imported.ignored]
    try:
        _write_on_boot(boot / IMPORTED, "".join(f"{line}\r\n" for line in lines))
    except OSError as error:  # e.g. no space: the log is optional
        print(f"{IMPORTED}: {error}", file=sys.stderr)


def _stored(data: DataPaths) -> w.UserConfig:
    """Return the stored settings, with the page's password hash from the gateway's configuration."""
    try:
        settings = msgspec.json.decode(data.user_config.read_bytes(), type=w.UserConfig)
        page = tomllib.loads(data.gateway.read_text()).get("page", {})
    except (FileNotFoundError, msgspec.DecodeError, tomllib.TOMLDecodeError):
        return w.UserConfig()
    return msgspec.structs.replace(settings, password_hash=page.get("password_hash", ""))


def _store(settings: w.UserConfig, data: DataPaths, group: int | None) -> None:
    """Write the settings durably. The copy in user-config.json omits the page's password hash."""
    for file in (data.user_config, data.gateway, data.ssh_key):
        file.parent.mkdir(parents=True, exist_ok=True)
    if settings.ssh_keys:
        write_durably(
            data.ssh_key, "".join(f"{key}\n" for key in settings.ssh_keys).encode(), 0o600
        )
    else:
        data.ssh_key.unlink(missing_ok=True)
    _write_gateway_config(data.gateway, w.gateway_config(settings), group)
    own = msgspec.structs.replace(settings, password_hash="", forget_owner=False)
    write_durably(data.user_config, msgspec.json.encode(own), 0o600)


def _write_gateway_config(file: Path, text: str, group: int | None) -> None:
    write_durably(file, text.encode(), 0o640, None if group is None else (0, group))


def _clean(boot: Path, data: DataPaths, used: Mapping[str, bytes], text: str | None) -> None:
    """Erase the imported files; leave a copy of zimbox.toml without its secrets.

    Their hashes are stored first, so that the next start erases the rest after a power cut instead of importing
    some of the files alone.
    """
    if text is not None:
        try:
            _write_on_boot(boot / f"{FILE}.taken-over", w.without_secrets(text))
        except OSError as error:  # e.g. no space: the copy is optional, removing the secrets is not
            print(f"{FILE}.taken-over: {error}", file=sys.stderr)
            (boot / f"{FILE}.taken-over.new").unlink(missing_ok=True)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in used.items()}
    write_durably(data.erasing, msgspec.json.encode(hashes), 0o600)
    _finish_erasing(boot, data)


def _finish_erasing(boot: Path, data: DataPaths) -> None:
    """Overwrite and delete the files that were imported. Idempotent."""
    _erase(boot / ERASING)
    try:
        hashes = msgspec.json.decode(data.erasing.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return
    for name, expected in hashes.items():
        file = boot / name
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == expected:
            file.rename(boot / ERASING)
            sync(boot)
            _erase(boot / ERASING)
    command_line = boot / imager.COMMAND_LINE
    if "firstrun.sh" in hashes and command_line.exists():
        _write_on_boot(command_line, imager.clean_command_line(command_line.read_text()))
    if boot.exists():
        data.erasing.unlink()


def _erase(file: Path) -> None:
    if not file.exists():
        return
    with file.open("r+b") as stream:
        stream.write(b" " * file.stat().st_size)
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()


def _write_on_boot(file: Path, text: str) -> None:
    """Write a file on the boot partition atomically. FAT has no owners and few modes."""
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def setup_code(boot: Path, data: DataPaths) -> str:
    """Return the code with which the owner claims the box; "" once it is claimed.

    Created at the first start and when the owner is to be forgotten, in the gateway's folder and on the
    boot partition. The gateway deletes its file when the box is claimed.
    """
    code = _code_in(data.code)
    unclaimed = data.code.exists() or data.forget_owner.exists() or not data.database.exists()
    if not code and unclaimed:
        code = "-".join(f"{secrets.randbelow(10_000):04d}" for _ in range(3))
        _write_for_gateway(data.code, f"{code}\n".encode())
    if not code:
        (boot / CODE).unlink(missing_ok=True)
    elif _code_in(boot / CODE) != code:
        _write_on_boot(boot / CODE, f"ZimBox: {code}\r\n")
    return code


def _code_in(file: Path) -> str:
    """Return the setup code in a file; "" if there is no file, or a power cut left it without a code."""
    found = CODED.search(file.read_bytes()) if file.exists() else None
    return found[0].decode() if found else ""


def wants_writing(boot: Path, data: DataPaths) -> bool:
    """Return whether the boot partition, mounted read-only, must be written to."""
    if any((boot / name).exists() for name in (FILE, ERASING, *imager.FILES)):
        return True
    unclaimed = data.code.exists() or not data.database.exists()
    code = _code_in(data.code)
    return not code or _code_in(boot / CODE) != code if unclaimed else (boot / CODE).exists()
