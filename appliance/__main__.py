"""`python -m appliance` is the command `zimbox`."""

import sys


def main() -> None:
    """Run the command line."""
    # Litestar depends on rich, so it is installed; structlog imports whatever it finds of it, with Pygments:
    # 5 MiB of memory for tracebacks in colour that the box never writes.
    # httpx imports Pygments for a command of its own, which needs rich.
    for name in ("rich", "pygments"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python marks what cannot be imported

    from appliance.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
