"""End a box by SIGKILL right before or after one of its functions, without code in the product."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

VARIABLE = "TEST_CRASH_POINT"


class CrashPoint(msgspec.Struct, frozen=True):
    """The place of a crash. `armed`: the file whose presence makes calls count."""

    function: str  # "appliance.store.database:group", "modem.driver.device:ModemDriver.send"
    when: Literal["before", "after"]
    armed: str = ""
    call: int = 1  # which call ends the process

    def __str__(self) -> str:
        return f"{self.when} {self.function}, call {self.call}"


def environment(point: CrashPoint) -> dict[str, str]:
    """Return what a launched box needs to know of it."""
    return {VARIABLE: msgspec.json.encode(point).decode()}


def install(given: Mapping[str, str] = os.environ) -> None:
    """Wrap the function that the environment names, if it names one."""
    if VARIABLE not in given:
        return
    point = msgspec.json.decode(given[VARIABLE], type=CrashPoint)
    module, _, path = point.function.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for one in outer:
        owner = getattr(owner, one)
    setattr(owner, name, _wrapped(getattr(owner, name), point))


def _wrapped(function: Callable[..., Any], point: CrashPoint) -> Callable[..., Any]:
    calls = itertools.count(1)

    def crash(when: str) -> None:
        if when == point.when and Path(point.armed).exists() and next(calls) == point.call:
            os.kill(os.getpid(), signal.SIGKILL)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waited(*arguments: Any, **named: Any) -> Any:
            crash("before")
            result = await function(*arguments, **named)
            crash("after")
            return result

        return waited

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        crash("before")
        result = function(*arguments, **named)
        crash("after")
        return result

    return called
