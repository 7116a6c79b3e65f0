"""The chart of the last days as plain numbers for an SVG: no script draws anything. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.monitoring.dashboard import DayView

WIDTH, HEIGHT = 600, 120
GAP = 4


class Bar(msgspec.Struct, frozen=True):
    """One day: three stacked pieces, each with its top and height; what a person is told of it."""

    date: str
    x: float
    width: float
    delivered: tuple[float, float]
    sent: tuple[float, float]
    failed: tuple[float, float]
    total: int
    day: DayView


class Chart(msgspec.Struct, frozen=True):
    """The bars and what the highest stands for."""

    bars: tuple[Bar, ...]
    most: int
    total: int
    delivered: int
    failed: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def delivery_rate(self) -> float:
        return 100 * self.delivered / self.total if self.total else 0.0


def ceiling(most: int) -> int:
    """The round number a scale ends at: 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= most:
                return factor * step
        step *= 10


def draw(days: Sequence[DayView]) -> Chart:
    """The chart of these days, the oldest first."""
    top = ceiling(max([day.figures.gone for day in days] + [5]))
    slot = WIDTH / max(len(days), 1)
    bars: list[Bar] = []
    for index, day in enumerate(days):
        at = float(HEIGHT)
        pieces: list[tuple[float, float]] = []
        for count in (day.figures.delivered, day.figures.sent, day.figures.failed):
            # What is there is seen, however little it is beside the rest.
            height = max(HEIGHT * count / top, 1.5 if count else 0.0)
            at -= height
            pieces.append((round(at, 2), round(height, 2)))
        bars.append(
            Bar(
                date=day.date,
                x=round(index * slot + GAP / 2, 2),
                width=round(slot - GAP, 2),
                delivered=pieces[0],
                sent=pieces[1],
                failed=pieces[2],
                total=day.figures.gone,
                day=day,
            )
        )
    return Chart(
        tuple(bars),
        top,
        sum(day.figures.gone for day in days),
        sum(day.figures.delivered for day in days),
        sum(day.figures.failed for day in days),
    )
