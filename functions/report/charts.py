"""Bar charts as inline SVG: one bar for each day, and marks below it. They have no text, so they stretch to any width.

The chart has a title for screen readers, and each day has one, which a browser shows under the mouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

# Widths and heights in units of the drawing.
_SLOT, _BAR = 10, 7
_TOP = 60
_LEAST = 2.0
_MARK = 5


class Bar(NamedTuple):
    """One day: two values, one on top of the other, marks below them, and the text for this day.

    A day with ``values=None`` had no run. ``marks`` says for each lane below the bars if it is marked.
    """

    text: str
    values: tuple[float, float] | None
    marks: tuple[bool, ...] = ()


def chart(title: str, bars: Sequence[Bar], classes: tuple[str, str], lanes: Sequence[str] = ()) -> str:
    """Draw bars; ``classes`` are the CSS classes of the two values, ``lanes`` those of the marks."""
    height = _TOP + 2 + (_MARK + 2) * len(lanes)
    top = max((sum(bar.values) for bar in bars if bar.values), default=0)
    days = "".join(_day(number * _SLOT, bar, top, classes, lanes, height) for number, bar in enumerate(bars))
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {len(bars) * _SLOT} {height}" preserveAspectRatio="none">'
        f"<title>{escape(title)}</title>"
        f'<rect class="line" y="{_TOP}" width="{len(bars) * _SLOT}" height="1"/>{days}</svg>'
    )


def _day(left: int, bar: Bar, top: float, classes: tuple[str, str], lanes: Sequence[str], height: int) -> str:
    parts = [f'<rect class="day" x="{left}" width="{_SLOT}" height="{height}"/>']
    if bar.values is not None:
        parts.append(_rect("base", left, _TOP, 1))
        bottom = float(_TOP)
        for name, value in zip(classes, bar.values, strict=True):
            if value > 0:
                # Something small is seen beside something large, and both stay inside the drawing.
                size = min(max(_LEAST, (_TOP - _LEAST) * value / top), bottom)
                bottom -= size
                parts.append(_rect(name, left, bottom, size))
    for lane, (name, is_marked) in enumerate(zip(lanes, bar.marks, strict=False)):
        if is_marked:
            parts.append(_rect(name, left, _TOP + 3 + lane * (_MARK + 2), _MARK))
    return f"<g><title>{escape(bar.text)}</title>{''.join(parts)}</g>"


def _rect(name: str, left: int, y: float, height: float) -> str:
    return f'<rect class="{name}" x="{left + 1}" y="{y:.4g}" width="{_BAR}" height="{height:.4g}"/>'
