"""The tables of commands, one in each module of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from modem.simulator.commands.errors import ERROR, AtError
from modem.simulator.commands.outcome import CommandOutcome
from modem.simulator.commands.syntax import Command
from modem.simulator.equipment import Equipment

Run = Callable[[Equipment, Command], CommandOutcome]


class CommandHandler(msgspec.Struct, frozen=True):
    """The handler of one command and its conditions."""

    run: Run
    needs: Literal["", "sim", "sms"]  # an error while the SIM is locked, or messages are not ready
    test: str | Callable[[Equipment], str] | None  # the response to "=?"; None: an error
    syntax: AtError  # the error for wrong arguments


class Commands(dict[str, CommandHandler]):
    """A table of handlers by command name; used as a decorator, it adds the function."""

    def __call__(
        self,
        *names: str,
        needs: Literal["", "sim", "sms"] = "",
        test: str | Callable[[Equipment], str] | None = None,
        syntax: AtError = ERROR,
    ) -> Callable[[Run], Run]:
        """Return a decorator that adds a function under these names."""

        def enter(run: Run) -> Run:
            for name in names:
                self[name] = CommandHandler(run, needs, test, syntax)
            return run

        return enter
