"""What the scenarios ask of the box: every path exists, so that a rename is seen in seconds and not after a build."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute

from image.emulator import harness, machine, power_cuts, scenarios, update_scenarios, wifi_scenario
from tests.web.box import WebBox
from web.app import create
from web.page.routes import StatusPage

# A path as the scenarios write it; in an f-string up to the first value, which stands for one segment.
PATH = re.compile(r"/(health|claim|settings/[\w/]+|v1/[\w/]+)")
MODULES = (harness, machine, power_cuts, scenarios, update_scenarios, wifi_scenario)


def paths() -> set[str]:
    found = set()
    for module in MODULES:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {match[0] for match in [PATH.fullmatch(node.value)] if match}
    return {path + "x" if path.endswith("/") else path for path in found}


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")  # Litestar's, of the page's paths
async def test_every_path_that_a_scenario_asks_for_exists(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path)
    page = StatusPage(box.services)
    app = create(box.services, page.handlers)
    page.close()
    await box.stop()
    routes = [route.path for route in app.routes if isinstance(route, HTTPRoute)]
    known = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route)) for route in routes]
    asked = paths()
    assert {"/claim", "/settings/update", "/v1/sms/send", "/v1/sms/status/x"} <= asked
    assert {path for path in asked if not any(route.fullmatch(path) for route in known)} == set()
