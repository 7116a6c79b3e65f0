"""scripts/image build | compare | bundle [root] | manifest [URL] | lock | check | test [NAME …] | table

Names: sms raspi3b raspi4b plainboot firstboot imager wifi small latemodem nonetwork destroyed full update updatecut
root powercut; see docs/image.md."""

from __future__ import annotations

import os
import sys

from image.builder import build, checks, compare, debs
from image.emulator import machine, results, scenarios


def main() -> int:
    match sys.argv[1:]:
        case ["build" | "compare" as what]:
            if lacks := build.missing():
                print("Building the image needs:", *lacks, sep="\n  ", file=sys.stderr)
                return 1
            if what == "compare":
                return compare.compare()
            print(build.build())
        case ["check"]:
            return checks.main()
        case ["lock"]:
            kernel = os.environ.get("KERNEL", "debian")
            found = debs.resolve(build.BUILD / "apt", kernel)
            debs.lock_file(kernel).write_text(debs.write_lock(found))
            print(f"{len(found)} packages locked")
        case ["bundle"]:
            print(build.bundle())
        case ["bundle", "root"]:
            print(build.root_bundle())
        case ["table"]:
            print(results.write_table())
        case ["manifest", *urls] if len(urls) < 2:
            print(build.write_manifest(*urls))
        case ["test", *names] if set(names) <= set(scenarios.SCENARIOS):
            if lacks := machine.missing(scenarios.boards_of(names)):
                print("The scenarios need:", *lacks, sep="\n  ", file=sys.stderr)
                return 1
            return scenarios.run(names)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except debs.LockError as error:
        sys.exit(f"image: {error}")
