"""scripts/package deb [amd64 | arm64] [VERSION] | wheel | unit [command]

`deb` builds the Debian package, `wheel` the Python package, both in build/package/; `unit` prints the
service unit of either."""

from __future__ import annotations

import subprocess
import sys

from image.package import deb, unit, wheels


def main() -> int:
    match sys.argv[1:]:
        case ["deb", *rest] if len(rest) < 3:
            architecture = rest.pop(0) if rest and rest[0] in wheels.MACHINES else _own()
            print(deb.build(architecture, named=rest[0] if rest else ""))
        case ["wheel"]:
            print(wheels.wheel(deb.BUILD))
        case ["unit"]:
            print(unit.of_the_package(), end="")
        case ["unit", "command"]:
            print(unit.of_the_command(), end="")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _own() -> str:
    """Return this machine's architecture in Debian's words."""
    asked = ["dpkg", "--print-architecture"]
    return subprocess.run(asked, check=True, text=True, capture_output=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
