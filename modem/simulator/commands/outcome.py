"""Outcomes of a command: a response, a prompt, a wait. The terminal executes them one by one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from modem.simulator.commands.errors import AtError


class Response(msgspec.Struct, frozen=True):
    """Information lines and a final result code; `final` None is OK, a string is sent unchanged."""

    lines: tuple[str, ...] = ()
    final: AtError | str | None = None
    after: Callable[[], None] | None = None  # called after the response is written
    middle: Callable[[], None] | None = None  # called between the lines and the final result code


class Ask(msgspec.Struct, frozen=True):
    """The prompt, and the continuation for the input up to Ctrl-Z (None: ESC)."""

    then: Callable[[str | None], CommandOutcome]
    shown: Callable[[], None] | None = None  # called after the prompt is written


class Wait(msgspec.Struct, frozen=True):
    """A wait of some seconds before the next outcome."""

    seconds: float
    then: Callable[[], CommandOutcome]


class Silence(msgspec.Struct, frozen=True):
    """No response; the modem accepts the next command."""


class Dead(msgspec.Struct, frozen=True):
    """No response, and no further input until the next start."""


CommandOutcome = Response | Ask | Wait | Silence | Dead

OK = Response()


def refuse(refusal: AtError) -> Response:
    """Return a response that is only an error."""
    return Response((), refusal)


def respond(*lines: str) -> Response:
    """Return a response of information lines and OK."""
    return Response(lines)
