"""What the Debian package and the wheel contain, and that a box starts from each alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from appliance import __version__
from appliance.core import config
from image.builder.build import PROJECT
from image.package import deb, unit, wheels
from tests.box.running import RunningBox
from tests.needed import needed

pytestmark = [pytest.mark.process, pytest.mark.seconds(60)]

# Without `site`, which finds this project, installed for development.
ALONE = (sys.executable, "-P", "-s", "-S", "-m", "appliance")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package with the libraries of this Python alone."""
    needed("git", "dpkg-deb")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return deb.build("amd64", pythons=(python,), folder=tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "-R", package, root], check=True)
    return root


def serves_everything(folder: Path, path: Sequence[Path | str]) -> None:
    """Start a box on this code alone; read page, style and reference, and send an SMS."""
    # Byte code would become part of the unpacked package.
    settings = {"PYTHONPATH": ":".join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    box = RunningBox(folder, settings, program=ALONE).start()
    try:
        assert box.health()["version"] == __version__
        with requests.Session() as visitor:
            for language, word in (("en", "Password"), ("fr", "Mot de passe")):
                seen = visitor.get(
                    f"{box.url}/", headers={"Accept-Language": language}, timeout=120
                )
                assert seen.status_code == 200
                assert word.lower() in seen.text.lower()
            style = visitor.get(f"{box.url}/static/page.css", timeout=120)
            assert style.status_code == 200
            assert visitor.get(f"{box.url}/schema", timeout=120).status_code == 200
        client = box.client()
        message = client.send("+33612345678", "Bonjour")
        client.until(message, "delivered")
    finally:
        box.stop()


def test_a_box_starts_from_the_debian_package_alone(unpacked: Path, tmp_path: Path) -> None:
    serves_everything(tmp_path, [unpacked / unit.APP.lstrip("/")])


def test_the_package_has_the_unit_the_settings_and_the_name_of_the_modem(unpacked: Path) -> None:
    service = (unpacked / "usr/lib/systemd/system/zimbox.service").read_text("utf-8")
    assert service == unit.of_the_package()
    settings = unpacked / unit.CONFIG.lstrip("/")
    assert f"{unit.CONFIG}\n" == (unpacked / "DEBIAN/conffiles").read_text("utf-8")
    (modem,) = config.load(settings, {}).modem
    rules = (unpacked / "usr/lib/udev/rules.d/70-zimbox.rules").read_text("utf-8")
    assert f'SYMLINK+="{modem.port.removeprefix("/dev/")}"' in rules
    assert "gpio" not in rules


def test_nothing_in_the_package_is_of_the_card_or_of_this_machine(unpacked: Path) -> None:
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".pyc"]
    assert not (unpacked / unit.APP.lstrip("/") / "image").exists()
    for path in files:
        if path.name == "md5sums":
            continue  # names files of libraries
        if "DEBIAN" in path.parts or "etc" in path.parts or path.suffix in (".service", ".rules"):
            text = path.read_text("utf-8")
            assert str(PROJECT) not in text
            assert "/data/" not in text


def test_the_scripts_of_the_package_are_shell_and_executable(unpacked: Path) -> None:
    scripts = [unpacked / "DEBIAN" / name for name in deb.SCRIPTS]
    for script in (*scripts, unpacked / "usr/bin/zimbox"):
        assert script.stat().st_mode & 0o777 == 0o755
        subprocess.run(["sh", "-n", script], check=True)


def test_the_same_tree_makes_the_same_package(
    unpacked: Path, package: Path, tmp_path: Path
) -> None:
    again = tmp_path / package.name
    deb.pack(unpacked, again)
    # Not the bytes themselves: what pytest says of two that differ takes it an hour.
    assert sha256(again.read_bytes()).digest() == sha256(package.read_bytes()).digest()


def test_wheels_of_two_pythons_that_differ_in_a_common_file_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for number, text in enumerate(("one", "one", "other")):
        found = tmp_path / str(number)
        found.mkdir()
        (found / "library.py").write_text(text)
        (found / f"extension-{number}.so").write_text(text)
        if text == "one":
            wheels.merge(found, target)
        else:
            with pytest.raises(wheels.Conflict, match=r"library\.py"):
                wheels.merge(found, target)


def test_a_box_starts_from_the_wheel_alone(tmp_path: Path) -> None:
    needed("git")
    built = wheels.wheel(tmp_path / "built")
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--no-compile",
         "--target", target, built],
        check=True,
    )  # fmt: skip
    # The libraries are this environment's; the wheel names them for pip.
    serves_everything(tmp_path, [target, sysconfig.get_path("purelib")])
    for name in ("en", "fr"):
        assert (target / "web/page/manual_texts" / name).is_file()
    metadata = next(target.glob("zimbox-*.dist-info/METADATA")).read_text("utf-8")
    assert "Requires-Dist: litestar" in metadata
