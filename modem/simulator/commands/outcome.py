"""What a command leads to: an answer, a prompt, a wait. The terminal takes these steps one by one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from modem.simulator.commands.errors import AtError


class Response(msgspec.Struct, frozen=True):
    """Information lines and a final result; `final` None is OK, a string is said as it stands."""

    lines: tuple[str, ...] = ()
    final: AtError | str | None = None
    after: Callable[[], None] | None = None  # done once the answer is out
    middle: Callable[[], None] | None = None  # done between the lines and the final result


class Ask(msgspec.Struct, frozen=True):
    """The prompt; goes on with what was typed up to Ctrl-Z, or None at ESC."""

    then: Callable[[str | None], Step]
    shown: Callable[[], None] | None = None  # done once the prompt is out


class Wait(msgspec.Struct, frozen=True):
    """Nothing for some seconds, then the next step."""

    seconds: float
    then: Callable[[], Step]


class Silence(msgspec.Struct, frozen=True):
    """No answer, ever; the next command is heard."""


class Dead(msgspec.Struct, frozen=True):
    """No answer, and nothing is heard any more until the next start."""


Step = Response | Ask | Wait | Silence | Dead

OK = Response()


def refuse(refusal: AtError) -> Response:
    """An answer that is only a refusal."""
    return Response((), refusal)


def tell(*lines: str) -> Response:
    """Lines, then OK."""
    return Response(lines)
