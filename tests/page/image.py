"""The image around the gateway: a steward on its socket, releases in slots, and the part of systemd."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import appliance
from appliance.maintenance.bundle import write_bundle
from appliance.maintenance.update import Shown
from appliance.maintenance.uploads import FOLDER
from image.target.gateway import read_health
from image.target.roots import Roots
from image.target.slots import ReleasePaths
from image.target.steward import Progress, VerbRefused, serve_connection
from image.target.updating import Updater
from tests.box.running import RunningBox, free_port

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
SOURCES = Path(appliance.__file__).parent.parent
PROBATION_SECONDS = 280.0  # a release that comes up is judged as soon as it is there


class Image:
    """A box with its steward. The real updater works on the real slots; only systemctl is not there."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.paths = ReleasePaths(folder / "card", folder / "run", folder / "built-in")
        for made in (self.paths.data, self.paths.run, self.paths.built_in, self.paths.slots):
            made.mkdir()
        for package in ("appliance", "modem", "web", "image"):
            (self.paths.built_in / package).symlink_to(SOURCES / package)
        (self.paths.run / "app").symlink_to(self.paths.built_in)
        self._address = ("--listen", f"127.0.0.1:{free_port()}")
        self.box = RunningBox(
            folder,
            {
                "PYTHONPATH": str(self.paths.run / "app"),
                "ZIMBOX_STEWARD_SOCKET": str(self.paths.run / "steward.sock"),
                "ZIMBOX_STEWARD_RELEASES": str(self.paths.slots),
                **settings,
            },
        )
        (self.paths.data / "zimbox").symlink_to(self.box.data)
        self._key = folder / "key.pem"
        self._key.write_bytes(
            KEY.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self.asked: list[str] = []
        self._restarting: threading.Thread | None = None
        self.verbs = {
            "update": self._update,
            "restart-gateway": self._restart,
            "restart-box": self._note,
            "power-off": self._note,
        }
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.paths.run / "steward.sock"))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    # --- the steward ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                connection, _ = self._listening.accept()
                serve_connection(connection, self.verbs)

    def _note(self, request: Mapping[str, Any], progress: Progress) -> None:
        self.asked.append(request["verb"])

    def _restart(self, request: Mapping[str, Any], progress: Progress) -> None:
        """As `systemctl restart --no-block` does it: the answer comes first."""
        self._note(request, progress)

        def again() -> None:
            self.stop()
            self.start()

        self._restarting = threading.Thread(target=again, daemon=True)
        self._restarting.start()

    def _update(self, request: Mapping[str, Any], progress: Progress) -> None:
        self._note(request, progress)
        file = self.box.data / FOLDER / request["file"]
        roots = Roots(self.paths, {}, "6.12")
        updater = Updater(
            self.paths, self, self._key, roots, PROBATION_SECONDS, machine="here", python="3"
        )
        result = updater.update(file, lambda step: progress({"step": step}))
        file.unlink(missing_ok=True)
        if not result.ok:
            raise VerbRefused(result.code, result.words)

    # --- systemd's unit of the gateway ---------------------------------------------------------------

    def switch_on(self) -> None:
        """Start it and wait until it takes requests."""
        self.box.start(*self._address)

    def start(self) -> None:
        """As `systemctl start`: a release that does not come up is judged by /health, which then nobody answers."""
        with contextlib.suppress(AssertionError):
            self.switch_on()

    def stop(self) -> None:
        self.box.stop()

    def shown(self) -> Shown | None:
        try:
            return read_health(requests.get(f"{self.box.url}/health", timeout=5).json())
        except (requests.RequestException, ValueError):
            return None

    def end(self) -> None:
        self._listening.close()
        if self._restarting is not None:
            self._restarting.join()
        self.box.stop()


def release(
    folder: Path, version: str, *, breaks: bool = False, key: Ed25519PrivateKey = KEY
) -> Path:
    """This checkout as a signed bundle of another version; or one that does not start."""
    tree = folder / f"tree-{version}"
    for package in ("appliance", "modem", "web", "image"):
        shutil.copytree(
            SOURCES / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    marked = f'"""ZimBox, release {version}."""\n\n__version__ = "{version}"\n'
    (tree / "appliance/__init__.py").write_text(marked + ("raise SystemExit\n" if breaks else ""))
    bundle = folder / f"zimbox-{version}.zimbox"
    write_bundle(tree, version, key, bundle, machine="here", python="3", preset=0)
    return bundle
