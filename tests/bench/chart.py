"""Bar charts of docs/performance.md as SVG: `python -m tests.bench.chart` writes docs/charts/.

The figures are those of the tables beside the charts; change both together.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

FOLDER = Path(__file__).parents[2] / "docs" / "charts"
WIDTH, LABEL, ROW, BAR = 640, 250, 24, 16
COLOURS = ("#9aa7b4", "#1f6f54")  # before, now


class Chart(msgspec.Struct, frozen=True):
    """Bars in pairs: a label, the figure before, the figure now."""

    title: str
    rows: tuple[tuple[str, float, float], ...]


CHARTS = {
    "api": Chart(
        "Processor time of an empty Litestar GET, as a share of the request's (more is better)",
        (
            ("POST /v1/sms/send", 0.24, 0.27),
            ("GET /v1/sms/status/{id}", 0.36, 0.43),
        ),
    ),
    "steps": Chart(
        "Steps of SQLite for a page of 1,000,000 messages, thousands (less is better)",
        (
            ("history, newest 50 with total", 27.9, 3.4),
            ("history, status and dates", 10.6, 5.6),
            ("history, page at 30 % depth", 34.0, 9.5),
            ("statistics, all", 6.3, 5.5),
        ),
    ),
    "memory": Chart(
        "Memory (PSS) of the idle box, MiB (less is better)",
        (("idle", 50.5, 47.5),),
    ),
}


def svg(chart: Chart) -> str:
    """Return a chart as SVG text."""
    most = max(max(before, now) for _, before, now in chart.rows)
    room = WIDTH - LABEL - 60
    height = 2 * ROW + 2 * ROW * len(chart.rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="4" y="17" font-weight="bold">{escape(chart.title)}</text>',
    ]
    for number, (label, *pair) in enumerate(chart.rows):
        top = ROW + 6 + 2 * ROW * number
        lines.append(f'<text x="4" y="{top + ROW}">{escape(label)}</text>')
        for place, (name, value, colour) in enumerate(
            zip(("before", "now"), pair, COLOURS, strict=True)
        ):
            y = top + place * (BAR + 4)
            wide = round(room * value / most, 1)
            lines.append(
                f'<rect x="{LABEL}" y="{y}" width="{wide}" height="{BAR}" fill="{colour}"/>'
            )
            lines.append(f'<text x="{LABEL + wide + 6:g}" y="{y + 13}">{value:g} {name}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, chart in CHARTS.items():
        (FOLDER / f"{name}.svg").write_text(svg(chart))


if __name__ == "__main__":
    main()
