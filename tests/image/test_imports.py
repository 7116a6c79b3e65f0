"""The modules of image/ import each other in one direction."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

IMAGE = Path(__file__).parents[2] / "image"


def imported(file: Path) -> set[str]:
    """Names of the modules that `file` imports, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_no_module_of_image_imports_itself_through_another() -> None:
    files = {
        ".".join(file.relative_to(IMAGE.parent).with_suffix("").parts): file
        for file in IMAGE.rglob("*.py")
    }
    graph = {name: imported(file) & files.keys() for name, file in files.items()}
    assert "image.target.gateway" in graph["image.target.roots"]
    TopologicalSorter(graph).prepare()  # raises CycleError and names the modules
