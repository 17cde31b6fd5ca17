"""Plots as inline SVG: bars with intervals, and curves. Colours are classes, so the page's style decides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from answerbox.evaluation.metrics import Interval

WIDTH = 640
LEFT, RIGHT, TOP, BOTTOM = 220, 60, 12, 28
BAR, GAP = 13, 12
CURVE_LEFT, CURVE_HEIGHT = 48, 220
COLOURS = 4


@dataclass(frozen=True)
class Bar:
    series: str
    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Group:
    label: str
    bars: list[Bar]


@dataclass(frozen=True)
class Curve:
    series: str
    points: list[tuple[float, float]]


def bars(title: str, groups: Sequence[Group]) -> str:
    """Horizontal bars of shares, 0 to 1, each with its value and, if it has one, its 95 % interval as a line."""
    names = list(dict.fromkeys(bar.series for group in groups for bar in group.bars))
    height = TOP + sum(len(group.bars) * BAR + GAP for group in groups) + BOTTOM
    room = WIDTH - LEFT - RIGHT
    parts = [_bar_axis(room, height)]
    y = TOP
    for group in groups:
        middle = y + len(group.bars) * BAR / 2
        parts.append(_text(LEFT - 8, middle, group.label, "end"))
        for bar in group.bars:
            parts.append(_bar(bar, y, room, names.index(bar.series)))
            y += BAR
        y += GAP
    return _figure(title, names, height, parts)


def curves(title: str, lines: Sequence[Curve], x_label: str, x_max: float) -> str:
    """Shares, 0 to 1, over x from 0."""
    names = [line.series for line in lines]
    height = TOP + CURVE_HEIGHT + BOTTOM + 16
    room = WIDTH - CURVE_LEFT - RIGHT
    parts = [_curve_axes(room, x_max), _text(CURVE_LEFT + room / 2, height - 8, x_label, "middle")]
    for place, line in enumerate(lines):
        points = " ".join(
            f"{CURVE_LEFT + room * min(1.0, x / x_max):.1f},{TOP + CURVE_HEIGHT * (1 - y):.1f}" for x, y in line.points
        )
        parts.append(f'<polyline class="curve l{place % COLOURS}" points="{points}"/>')
    return _figure(title, names, height, parts)


def _bar_axis(room: float, height: float) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = LEFT + room * share
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - BOTTOM}"/>')
        parts.append(_text(x, height - BOTTOM + 14, f"{share:g}", "middle"))
    return "".join(parts)


def _bar(bar: Bar, y: float, room: float, colour: int) -> str:
    middle = y + BAR / 2 - 1
    told = f"{bar.series}: {bar.value:.3f}"
    parts = [
        f'<rect class="f{colour % COLOURS}" x="{LEFT}" y="{y}" rx="2" '
        f'width="{room * bar.value:.1f}" height="{BAR - 2}"><title>{escape(told)}</title></rect>'
    ]
    end = bar.value
    if bar.interval:
        low, end = bar.interval.low, max(bar.value, bar.interval.high)
        parts.append(
            f'<line class="whisker" x1="{LEFT + room * low:.1f}" x2="{LEFT + room * bar.interval.high:.1f}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
    parts.append(_text(LEFT + room * end + 6, middle, f"{bar.value:.3f}", "start"))
    return "".join(parts)


def _curve_axes(room: float, x_max: float) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = TOP + CURVE_HEIGHT * (1 - share)
        parts.append(f'<line class="grid" x1="{CURVE_LEFT}" x2="{CURVE_LEFT + room}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(CURVE_LEFT - 8, y, f"{share:g}", "end"))
        parts.append(_text(CURVE_LEFT + room * share, TOP + CURVE_HEIGHT + 14, f"{x_max * share:.3g}", "middle"))
    return "".join(parts)


def _figure(title: str, names: Sequence[str], height: float, parts: Sequence[str]) -> str:
    keys = "".join(f'<span><i class="k{place % COLOURS}"></i>{escape(name)}</span>' for place, name in enumerate(names))
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )
    return f'<figure><figcaption>{escape(title)}</figcaption><div class="keys">{keys}</div>{svg}</figure>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{anchor}">{escape(text)}</text>'
