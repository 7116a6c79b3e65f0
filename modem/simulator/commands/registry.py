"""The shape of the command tables in commands_*.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from modem.simulator.commands.errors import ERROR, AtError
from modem.simulator.commands.outcome import Step
from modem.simulator.commands.syntax import Command

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment

Run = Callable[["Equipment", Command], Step]


class CommandHandler(msgspec.Struct, frozen=True):
    """How one command is done."""

    run: Run
    needs: Literal["", "sim", "sms"]  # refused while the SIM is not open, or not ready for messages
    test: str | Callable[[Equipment], str] | None  # the answer to "=?"; None: refused
    syntax: AtError  # the answer to wrong arguments


class Commands(dict[str, CommandHandler]):
    """A table of handlers by name; called, it makes an entry of the function below it."""

    def __call__(
        self,
        *names: str,
        needs: Literal["", "sim", "sms"] = "",
        test: str | Callable[[Equipment], str] | None = None,
        syntax: AtError = ERROR,
    ) -> Callable[[Run], Run]:
        """Enter a function under these names."""

        def enter(run: Run) -> Run:
            for name in names:
                self[name] = CommandHandler(run, needs, test, syntax)
            return run

        return enter
