"""Generated clients send, read the status and list the history of a running box.

Each generator reads the document that the box serves. The tools are installed as the lock files in
`generators/` say, once: all tests of this file run in one worker.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.box.running import REQUEST_SECONDS, Client, RunningBox
from tests.needed import needed

pytestmark = [pytest.mark.seconds(40), pytest.mark.timeout(900)]

HERE = Path(__file__).parent / "generators"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints. A failure shows all of it."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the Python generators, in a virtual environment of their own."""
    folder = tmp_path_factory.mktemp("generators")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    run(
        *(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"),
        *("--require-hashes", "-r", HERE / "requirements.txt"),
        cwd=folder,
    )
    return folder / "bin"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm packages of the lock file."""
    needed("node", "npm")
    folder = tmp_path_factory.mktemp("node")
    for file in (HERE / "node").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    return folder


@pytest.fixture
def document(box: RunningBox, tmp_path: Path) -> Path:
    """The document as this box serves it."""
    file = tmp_path / "openapi.json"
    answer = requests.get(f"{box.url}/schema/openapi.json", timeout=REQUEST_SECONDS)
    file.write_bytes(answer.content)
    return file


def check(printed: str, client: Client) -> None:
    """Two messages were sent, with a named and a numbered priority, and were read and listed."""
    found = json.loads(printed.splitlines()[-1])
    first, second = found["sent"]
    assert found["priorities"] == ["high", "high"]
    assert found["status"] == first
    assert found["listed"] == [second, first]
    assert found["refused"] == "INVALID_PHONE_NUMBER"
    data = client.get("/sms/history").json()["data"]
    assert [each["message_id"] for each in data] == [second, first], "sent once each"


def generated(tools: Path, document: Path, generator: str, folder: Path) -> Path:
    out = folder / generator
    options = ("-i", document, "-g", generator, "-o", out)
    run(tools / "openapi-generator-cli", "generate", *options, cwd=folder)
    return out


def test_openapi_python_client(tools: Path, document: Path, client: Client, tmp_path: Path) -> None:
    out = tmp_path / "generated"
    result = run(
        *(tools / "openapi-python-client", "generate", "--meta", "none", "--path", document),
        *("--output-path", out / "zim_box_client"),
        cwd=tmp_path,
    )
    assert "WARNING parsing" not in result and "Warning(s) encountered" not in result, result
    shutil.copy(HERE / "openapi_python_client.py", out)
    run(tools / "python", "-m", "compileall", "-q", out, cwd=out)
    keys = (client.url, client.api_key, client.client_id)
    check(run(tools / "python", "openapi_python_client.py", *keys, cwd=out), client)


def test_openapi_generator_python(
    tools: Path, document: Path, client: Client, tmp_path: Path
) -> None:
    out = generated(tools, document, "python", tmp_path)
    shutil.copy(HERE / "openapi_generator_python.py", out)
    run(tools / "python", "-m", "compileall", "-q", out, cwd=out)
    keys = (client.url, client.api_key, client.client_id)
    check(run(tools / "python", "openapi_generator_python.py", *keys, cwd=out), client)


def compiled(node: Path, script: str) -> Path:
    run(
        *("npx", "--no-install", "tsc", "--strict", "--skipLibCheck", "--target", "es2022"),
        *("--module", "commonjs", "--esModuleInterop", "--types", "node", "--outDir", "out"),
        f"{script}.ts",
        cwd=node,
    )
    return node / "out" / f"{script}.js"


def test_openapi_generator_typescript_axios(
    tools: Path, node: Path, document: Path, client: Client
) -> None:
    generated(tools, document, "typescript-axios", node)
    shutil.copy(HERE / "axios.ts", node)
    keys = (client.url, client.api_key, client.client_id)
    check(run("node", compiled(node, "axios"), *keys, cwd=node), client)


def test_openapi_typescript(node: Path, document: Path, client: Client) -> None:
    run(
        "npx",
        "--no-install",
        "openapi-typescript",
        document,
        "-o",
        "openapi-typescript.ts",
        cwd=node,
    )
    shutil.copy(HERE / "fetch.ts", node)
    keys = (client.url, client.api_key, client.client_id)
    check(run("node", compiled(node, "fetch"), *keys, cwd=node), client)


def test_openapi_generator_php(tools: Path, document: Path, client: Client, tmp_path: Path) -> None:
    needed("php")
    out = generated(tools, document, "php", tmp_path)
    for file in sorted((out / "lib").rglob("*.php")):
        run("php", "-d", "display_errors=stderr", "-l", file, cwd=out)
    keys = (client.url, client.api_key, client.client_id)
    check(
        run("php", "-d", "error_reporting=E_ALL", HERE / "models.php", out / "lib", *keys, cwd=out),
        client,
    )


def test_redocly_finds_no_example_that_contradicts_its_schema(node: Path, document: Path) -> None:
    result = run("npx", "--no-install", "redocly", "lint", "--format", "json", document, cwd=node)
    rules = {problem["ruleId"] for problem in json.loads(result)["problems"]}
    # The routes are the contract's; /health has no failure of its own to document.
    assert rules <= {"no-ambiguous-paths", "operation-4xx-response"}
