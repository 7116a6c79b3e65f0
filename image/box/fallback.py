"""The gateway does not stay up: back to the release before it, and on with that."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from appliance.maintenance.update import fall_back, read_state, write_state
from image.box.slots import Places, point_at

# Nothing to go back to: the same release again, but not in a hurry.
REST_SECONDS = 60


def main() -> None:
    places = Places(Path("/data"), Path("/run/zimbox"))
    state = read_state(places.state)
    if state.trial is not None:
        return  # the steward watches over this one
    back = fall_back(state)
    if back is None:
        time.sleep(REST_SECONDS)
    else:
        print(
            f"release in slot {state.current} does not stay up: back to {back.current}",
            file=sys.stderr,
        )
        write_state(places.state, back)
        point_at(places, back.current)
    subprocess.run(["systemctl", "reset-failed", "zimbox.service"], check=True)
    subprocess.run(["systemctl", "start", "--no-block", "zimbox.service"], check=True)


if __name__ == "__main__":
    main()
