"""The gateway does not stay up: back to the release before it if it never came up, else again the same."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from appliance.maintenance.update import SlotState, fall_back, read_state, write_state
from image.target.slots import Places, point_at

# Nothing to go back to: the same release again, but not in a hurry.
REST_SECONDS = 60


def chosen(places: Places, state: SlotState) -> SlotState | None:
    """Return the state to fall back to; None to start the same release again.

    A release that came up and was killed later (memory, a client's flood) would not be helped by an older one.
    The mark is taken away, so that it falls back if it then never comes up again.
    """
    came_up = places.run / "came-up"
    if came_up.exists():
        came_up.unlink()
        return None
    return fall_back(state)


def main() -> None:
    places = Places(Path("/data"), Path("/run/zimbox"))
    state = read_state(places.state)
    if state.trial is not None:
        return  # the steward watches over this one
    back = chosen(places, state)
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
