"""Run the card in QEMU: with a modem on its serial line and a shell inside.

QEMU loads kernel, initramfs and device tree as the Pi's firmware would; the firmware itself (start.elf,
config.txt, overlays) is not emulated.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image.builder.build import BUILD, SIGNATURE, find_tool
from image.emulator import boards
from image.emulator.boards import Board

# A bound for hangs only: 71 s on an idle machine of two cores, 760 s were seen at load 20.
BOOT_SECONDS = 2400

# A unit that only the scenarios add, by the kernel's command line (systemd.system-credentials(7)): it connects to
# the host and runs what comes over the line. The image itself has nothing like it.
PROBE = """[Unit]
After=basic.target network.target
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=1
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/10.0.2.100/9000;while IFS= read -r l<&3;do \
eval "$l" >&3 2>&1 </dev/null;printf "\\n@@%%s@@\\n" $? >&3;done'
"""

# An emulated box beside other work may need an hour for what a Pi does in a minute: what is tried is whether the
# gateway starts and answers, not how soon. A drop-in for zimbox.service, given as the probe is.
PATIENCE = """[Service]
TimeoutStartSec=infinity
WatchdogSec=30min
"""


TOOLS = {
    "qemu-system-aarch64": "qemu-system-arm", "fdtoverlay": "device-tree-compiler", "mcopy": "mtools",
    "debugfs": "e2fsprogs", "resize2fs": "e2fsprogs", "curl": "curl",
}  # fmt: skip
ROM = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")  # without it QEMU's network card does not start


def missing(wanted: Collection[Board] = ()) -> list[str]:
    """Return what this machine lacks to run scenarios on the boards that are wanted, in words."""
    packages = {package for tool, package in TOOLS.items() if not find_tool(tool)}
    if not ROM.exists():
        packages.add("ipxe-qemu")
    lacks = [f"apt-get install {' '.join(sorted(packages))}"] if packages else []
    if not find_tool("uv"):
        lacks.append("uv (pip install uv)")
    if find_tool("qemu-system-aarch64"):
        lacks += [
            f"a QEMU that models {board}: {boards.WHERE_QEMU_IS}"
            for board in wanted
            if not boards.is_modelled(board)
        ]
    if not (BUILD / "zimbox.img").exists():
        lacks.append("a card: scripts/image build")
    return lacks


class EmulationError(Exception):
    """The box did not do in time what was expected; its console is in the folder."""


@dataclass
class Machine:
    """One running QEMU. `folder` holds the card, the sockets and the console's log."""

    board: Board
    folder: Path
    card: Path
    http_port: int
    modem: Path | None = None  # the simulated modem's serial port
    drive: str = ""  # QEMU's -drive options for the card, if it is not a plain file
    exit_on_restart: bool = False  # end QEMU when the box restarts
    memory_mb: int = 1024
    kernel_words: tuple[str, ...] = ()  # more of the kernel's command line
    _process: subprocess.Popen[bytes] | None = None
    _probe: socket.socket | None = None
    started: float = field(default=0.0)

    def start(self) -> None:
        boot = BUILD / "card/boot"
        arguments = [
            "-kernel",
            boot / "vmlinuz",
            "-initrd",
            boot / "initrd.img",
            "-append",
            self._command_line(),
        ]
        drive = self.drive or f"file={self.card},format=raw,{boards.drive_options(self.board)}"
        net = (
            f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.http_port}-:80,"
            "guestfwd=tcp:10.0.2.100:9000-chardev:probe"
        )
        serial = f"serial,id=modem,path={self.modem}" if self.modem else "null,id=modem"
        arguments += [
            "-chardev", serial, "-chardev", f"socket,id=probe,path={self.folder}/probe,server=on,wait=off",
            "-serial", "chardev:modem", "-drive", drive, "-netdev", net,
            "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
            *(["-no-reboot"] if self.exit_on_restart else []),
        ]  # fmt: skip
        arguments += boards.arguments(self.board, self.folder, boot, self.memory_mb)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["qemu-system-aarch64", "-display", "none", "-monitor", "none", *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.started = time.monotonic()

    def _command_line(self) -> str:
        unit, drop_in = (base64.b64encode(text.encode()).decode() for text in (PROBE, PATIENCE))
        words = [
            f"zimbox.disk={SIGNATURE}", "panic=10", "systemd.show_status=no", "systemd.ssh_auto=no",
            f"systemd.set_credential_binary=systemd.extra-unit.probe.service:{unit}", "systemd.wants=probe.service",
            f"systemd.set_credential_binary=systemd.unit-dropin.zimbox.service~patience:{drop_in}",
        ]  # fmt: skip
        return " ".join([*words, *boards.command_line(self.board), *self.kernel_words])

    def shell(self, command: str, seconds: float = 900) -> str:
        """Run a shell line as root in the box and return its output. Raises EmulationError if nothing answers."""
        deadline = time.monotonic() + seconds
        if self._probe is None:
            self._probe = socket.socket(socket.AF_UNIX)
            self._probe.connect(str(self.folder / "probe"))
        self._probe.settimeout(1)
        self._probe.sendall(command.encode() + b"\n")
        output = b""
        while b"@@\n" not in output:
            if time.monotonic() > deadline:
                raise EmulationError(
                    f"{command!r} was not answered in {seconds:.0f} s: {output[-200:]!r}"
                )
            with contextlib.suppress(TimeoutError):
                output += self._probe.recv(65536)
        return output.decode(errors="replace").rpartition("\n@@")[0].strip()

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float = 30,
    ) -> Any:
        """Request JSON over the forwarded port. Raises OSError, ValueError."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            headers={"Content-Type": "application/json", **(headers or {})},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return json.load(answer)

    def wait_http(self, path: str = "/health", seconds: float = BOOT_SECONDS) -> float:
        """Wait for the first 200; return the seconds since power-on. Raises EmulationError."""
        while time.monotonic() - self.started < seconds:
            if self._process is None or self._process.poll() is not None:
                raise EmulationError(f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-500:]}")
            try:
                self.get(path)
            except (OSError, ValueError):
                time.sleep(0.5)
            else:
                return time.monotonic() - self.started
        raise EmulationError(
            f"no 200 from {path} within {seconds:.0f} s; console: {self.folder}/console.log"
        )

    def raw(self, path: str, headers: Mapping[str, str], body: object = None) -> tuple[int, str]:
        """Return status and text of any answer. Raises OSError."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            headers=dict(headers),
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def wait_answer(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until HTTP answers at all. Raises EmulationError."""
        while time.monotonic() - self.started < seconds:
            try:
                self.raw("/", {})
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise EmulationError(
            f"no answer within {seconds:.0f} s; console: {self.folder}/console.log"
        )

    def plug_cable(self, plugged: bool) -> None:
        """Set the link of the network card, over QEMU's machine protocol. Raises EmulationError, OSError."""
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as stream:
            _connect(line, self.folder / "qmp")
            stream.readline()  # its greeting
            for command, arguments in (
                ("qmp_capabilities", {}),
                ("set_link", {"name": "net", "up": plugged}),
            ):
                stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                if "return" not in answer:
                    raise EmulationError(f"{command}: {answer}")

    def close_probe(self) -> None:
        """Close the line to the probe, which a restart of the box has ended."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def wait_for_restart(self, seconds: float) -> None:
        """Wait until the box restarts, which ends QEMU (`exit_on_restart`). Raises EmulationError."""
        assert self._process is not None, "it was started"
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise EmulationError(f"the box did not restart within {seconds:.0f} s") from None

    def cut_power(self) -> None:
        """Kill QEMU: writes that the guest had not submitted are lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        self.close_probe()


def _connect(line: socket.socket, path: Path, seconds: float = 60) -> None:
    """Connect to a socket that QEMU is about to open. Raises OSError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            line.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def started(
    board: Board,
    folder: Path,
    card: Path,
    modem: Path | None = None,
    drive: str = "",
    *,
    exit_on_restart: bool = False,
    memory_mb: int = 1024,
    kernel_words: tuple[str, ...] = (),
) -> Iterator[Machine]:
    found = Machine(
        board, folder, card, free_port(), modem, drive, exit_on_restart, memory_mb, kernel_words
    )
    found.start()
    try:
        yield found
    finally:
        found.cut_power()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
