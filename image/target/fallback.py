"""Handle a gateway that keeps crashing: start the previous release if it never came up, else the same again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from appliance.maintenance.update import SlotState, fall_back, read_state, write_state
from image.target.slots import ReleasePaths, point_at

# Wait before the same release is started again.
REST_SECONDS = 60


def fallback_state(paths: ReleasePaths, state: SlotState) -> SlotState | None:
    """Return the state to fall back to; None to start the same release again.

    An older release would not help one that came up and was killed later (memory, a flood of requests).
    The `came-up` mark is deleted, so that a release that never comes up again falls back the next time.
    """
    came_up = paths.run / "came-up"
    if came_up.exists():
        came_up.unlink()
        return None
    return fall_back(state)


def main() -> None:
    paths = ReleasePaths(Path("/data"), Path("/run/zimbox"))
    state = read_state(paths.state)
    if state.trial is not None:
        return  # the steward decides about a release on trial
    back = fallback_state(paths, state)
    if back is None:
        time.sleep(REST_SECONDS)
    else:
        print(
            f"release in slot {state.current} does not stay up: back to {back.current}",
            file=sys.stderr,
        )
        write_state(paths.state, back)
        point_at(paths, back.current)
    subprocess.run(["systemctl", "reset-failed", "zimbox.service"], check=True)
    subprocess.run(["systemctl", "start", "--no-block", "zimbox.service"], check=True)


if __name__ == "__main__":
    main()
