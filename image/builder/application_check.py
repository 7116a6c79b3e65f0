"""The check `application`: what the units start is on the card, and the gateway starts from it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import select
import socket
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from pathlib import Path

from image.builder import build
from image.builder.checking import ROOT, CheckFailed, tool
from image.target import user_config

# Imports a module as a unit starts it, and prints where each of ours and of the libraries' modules lies.
IMPORT = """import importlib, json, sys
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
if hasattr(module, "__path__"):
    importlib.import_module(sys.argv[1] + ".__main__")
new = sys.modules.keys() - before
print(json.dumps({name: getattr(sys.modules[name], "__file__", None) or "" for name in new}))
"""
START_SECONDS = 300  # only a hang takes that long


def application() -> str:
    """Check that every module that a unit or a setting starts is on the card, and start the gateway from its files."""
    tool("git", "git")
    sources = [*ROOT.rglob("*"), build.HERE / "target/user_config.py"]
    text = "".join(file.read_text() for file in sources if file.is_file())
    modules = sorted(set(re.findall(r"""-m[ "',]+([a-z_]+(?:\.[a-z_]+)*)""", text)))
    if not {"appliance", "image.target.prepare"} <= set(modules):
        raise CheckFailed(f"the units start {modules}")
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app"
        build.copy_project(app)
        for module in modules:
            _import(app, module)
        _serve(app, Path(folder))
    return f"{', '.join(modules)} imported; the gateway answers"


def _python(app: Path, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """Run Python as the units do: ours from the copied files, libraries from this environment.

    Without `site`, which would find the project itself, installed for development.
    """
    environment = {k: value for k, value in os.environ.items() if not k.startswith("ZIMBOX_")}
    environment["PYTHONPATH"] = f"{app}:{sysconfig.get_path('purelib')}"
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-S", *map(str, arguments)],
        cwd="/", text=True, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _import(app: Path, module: str) -> None:
    process = _python(app, "-c", IMPORT, module)
    out, errors = process.communicate()
    if process.returncode:
        raise CheckFailed(f"-m {module}: {errors.strip().splitlines()[-1]}")
    own = tuple(f"{Path(package).parts[0]}." for package in build.PACKAGES)
    locked = _locked_modules()
    for name, file in json.loads(out).items():
        if name.startswith(own) and not file.startswith(str(app)):
            raise CheckFailed(f"-m {module}: {name} is not among the card's files, but {file}")
        top = name.partition(".")[0]
        if "site-packages" in file and not name.startswith(own) and top not in locked:
            raise CheckFailed(f"-m {module} needs {top}, which is not in requirements/run.txt")


def _locked_modules() -> set[str]:
    """Return the import names of the distributions in requirements/run.txt."""
    text = (build.PROJECT / "requirements/run.txt").read_text()
    pinned = {name.lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if {owner.lower().replace("_", "-") for owner in owners} & pinned
    }


def _serve(app: Path, folder: Path) -> None:
    """Start the gateway as zimbox.service does, up to its READY=1, and ask for its health and its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "data").mkdir()
    settings = user_config.read(f'[server]\nlisten = "{address}"\n')
    (folder / "zimbox.toml").write_text(user_config.gateway_config(settings))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(folder / "notify"))
        ready.settimeout(START_SECONDS)
        process = _python(
            app, "-m", "appliance", "serve", ZIMBOX_DATA=str(folder / "data"),
            ZIMBOX_CONFIG=str(folder / "zimbox.toml"), NOTIFY_SOCKET=str(folder / "notify"),
        )  # fmt: skip
        try:
            _wait_until_ready(ready, process)
            for path in ("/health", "/"):
                with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                    answer.read()
        except OSError as error:
            raise CheckFailed(f"the gateway: {error}") from None
        finally:
            process.terminate()
            process.communicate()


def _wait_until_ready(ready: socket.socket, process: subprocess.Popen[str]) -> None:
    with os.fdopen(os.pidfd_open(process.pid)) as ended:
        while True:
            waited_for = [ready.fileno(), ended.fileno()]
            readable, _, _ = select.select(waited_for, [], [], START_SECONDS)
            if ready.fileno() in readable and b"READY=1" in ready.recv(4096):
                return
            if ended.fileno() in readable:
                said = (process.communicate()[1] or "").strip().splitlines()
                raise CheckFailed(f"the gateway ended: {said[-1] if said else 'no word'}")
            if not readable:
                raise CheckFailed(f"the gateway is not ready after {START_SECONDS} s")
