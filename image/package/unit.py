"""The service unit for a system that is not the card: the card's own, with another place for program and data.

There is one text of the sandbox, `image/root/etc/systemd/system/zimbox.service`.
"""

from __future__ import annotations

from image.builder.checking import ROOT

CARD = ROOT / "etc/systemd/system/zimbox.service"
APP = "/usr/lib/zimbox/app"
DATA = "/var/lib/zimbox"
CONFIG = "/etc/zimbox/zimbox.toml"

# Lines of the card's unit, and what takes their place. An empty text drops the line.
CHANGES = {
    "After=zimbox-prepare.service time-set.target network.target": "After=time-set.target network.target",
    # The preparation of the card, its data partition and the release before: a package has none of them.
    "Requires=zimbox-prepare.service": "",
    "ConditionPathExists=!/run/zimbox/data-broken": "",
    "OnFailure=zimbox-fallback.service": "",
    # Without a release to fall back to, the only help is to try again.
    "StartLimitIntervalSec=10min": "StartLimitIntervalSec=0",
    "StartLimitBurst=5": "",
    "# Runs once the gateway serves, even if only the page that says why it cannot start: a release that is": "",
    "# killed later did start, and is no reason for an older release. A program that fails before never gets here.": "",
    "ExecStartPost=+/bin/touch /run/zimbox/came-up": "",
    "Environment=PYTHONPATH=/run/zimbox/app PYTHONUNBUFFERED=1 HOME=/data/zimbox": (
        f"Environment=PYTHONPATH={APP} PYTHONUNBUFFERED=1 HOME={DATA}"
    ),
    "Environment=ZIMBOX_DATA=/data/zimbox ZIMBOX_CONFIG=/data/config/zimbox.toml": (
        f"Environment=ZIMBOX_DATA={DATA} ZIMBOX_CONFIG={CONFIG}"
    ),
    "Environment=ZIMBOX_FALLBACK_LISTEN=0.0.0.0:80": "Environment=ZIMBOX_FALLBACK_LISTEN=0.0.0.0:8080",
    "WorkingDirectory=/data/zimbox": (
        f"StateDirectory=zimbox\nStateDirectoryMode=0750\nWorkingDirectory={DATA}"
    ),
    "ReadWritePaths=/data/zimbox": "",  # StateDirectory can be written
    "InaccessiblePaths=-/data/system -/boot": "InaccessiblePaths=-/boot",
}
# For `pipx install` and `uv tool install`, which put the command into /usr/local/bin.
COMMAND_CHANGES = {
    f"Environment=PYTHONPATH={APP} PYTHONUNBUFFERED=1 HOME={DATA}": (
        f"Environment=PYTHONUNBUFFERED=1 HOME={DATA}"
    ),
    "ExecStart=/usr/bin/python3 -P -s -m appliance serve": "ExecStart=/usr/local/bin/zimbox serve",
}


class UnitChanged(Exception):
    """The card's unit no longer has a line that `CHANGES` replaces; names the line."""


def of_the_package() -> str:
    """Return the unit of the Debian package. Raises UnitChanged."""
    return _changed(CARD.read_text("utf-8"), CHANGES)


def of_the_command() -> str:
    """Return the unit for a `zimbox` in /usr/local/bin. Raises UnitChanged."""
    return _changed(of_the_package(), COMMAND_CHANGES)


def _changed(text: str, changes: dict[str, str]) -> str:
    lines = text.splitlines()
    if missing := changes.keys() - set(lines):
        raise UnitChanged(f"not in {CARD.name}: {', '.join(sorted(missing))}")
    changed = [changes.get(line, line) for line in lines]
    kept = [new for old, new in zip(lines, changed, strict=True) if new or not old]
    return "\n".join(kept) + "\n"
