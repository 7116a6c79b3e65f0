"""The chart of the last days as numbers for an SVG, without scripts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.monitoring.dashboard import DayView

WIDTH, HEIGHT = 600, 120
GAP = 4


class Bar(msgspec.Struct, frozen=True):
    """A day: three stacked bars with top and height, and a description."""

    date: str
    x: float
    width: float
    delivered: tuple[float, float]
    sent: tuple[float, float]
    failed: tuple[float, float]
    total: int
    day: DayView


class Chart(msgspec.Struct, frozen=True):
    """The bars, and the value of the full height."""

    bars: tuple[Bar, ...]
    most: int
    total: int
    delivered: int
    failed: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def levels(self) -> tuple[int, ...]:
        """The labels of the scale from the top: the full height, half of it if that is whole, none."""
        return (self.most, self.most // 2, 0) if self.most % 2 == 0 else (self.most, 0)

    @property
    def delivery_rate(self) -> float:
        return 100 * self.delivered / self.total if self.total else 0.0


def ceiling(most: int) -> int:
    """Return the round end of a scale: 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= most:
                return factor * step
        step *= 10


def draw(days: Sequence[DayView]) -> Chart:
    """Return the chart of these days, the oldest first."""
    top = ceiling(max([day.figures.gone for day in days] + [5]))
    slot = WIDTH / max(len(days), 1)
    bars: list[Bar] = []
    for index, day in enumerate(days):
        at = float(HEIGHT)
        pieces: list[tuple[float, float]] = []
        for count in (day.figures.delivered, day.figures.sent, day.figures.failed):
            # Every non-zero value stays visible, however small.
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
