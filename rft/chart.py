"""Accuracies with their intervals and rewards as SVG pictures: bars, lines over samples, curves.

Pure: numbers in, text out. A picture follows the reader's light or dark scheme by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: A stage's colour (Okabe and Ito's palette, which the colour-blind can tell apart) and its name.
LOOKS = {
    "base": ("#8A8F98", "Base"),
    "ans-sft": ("#56B4E9", "ANS-SFT"),
    "cot-sft": ("#0072B2", "CoT-SFT"),
    "zero": ("#E69F00", "Zero"),
    "sft+grpo": ("#D55E00", "Reason-RFT"),
}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#5A616D}.strong{fill:#1C1F26;font-weight:600}"
    ".grid{stroke:#E1E1DC}.whisker{stroke:#1C1F26;stroke-width:1.3}"
    "@media(prefers-color-scheme:dark){text{fill:#A9B0BC}.strong{fill:#E8EAEE}"
    ".grid{stroke:#3A3F4A}.whisker{stroke:#E8EAEE}}"
)
_TOP, _BOTTOM, _LEFT, _PLOT = 58, 34, 46, 210  # margins and the height of a plot, in pixels
_BAR, _GAP, _APART = 15, 18, 34  # a bar's width, between groups, between panels
_CURVE = 220  # the width of a panel of curves


@dataclass(frozen=True)
class Measured:
    """A rate between 0 and 1 with its interval, of a stage; ``x`` is where it stands on a line."""

    stage: str
    rate: float
    low: float
    high: float
    x: float = 0.0


def bars(panels: Mapping[str, Mapping[str, Sequence[Measured]]]) -> str:
    """A panel for each task, in it a group for each split, in it a bar for each stage."""
    drawn, left = [], float(_LEFT)
    for title, groups in panels.items():
        start = left
        for group, found in groups.items():
            middle = left + _BAR * len(found) / 2
            drawn.append(_text(middle, _TOP + _PLOT + 18, group))
            for one in found:
                drawn += _bar(left, one)
                left += _BAR
            left += _GAP
        drawn.insert(0, _grid(start, left - _GAP, labelled=start == _LEFT))
        drawn.append(_text((start + left - _GAP) / 2, _TOP - 14, title, "strong"))
        left += _APART - _GAP
    stages = dict.fromkeys(o.stage for p in panels.values() for f in p.values() for o in f)
    return _svg(left - _APART + 12, [*drawn, *_legend(list(stages))])


def lines(series: Sequence[Sequence[Measured]], label: str, width: int = 560) -> str:
    """A line for each stage over ``x``, which is drawn in powers of two; ``label`` names x."""
    every = [math.log2(one.x) for line in series for one in line]
    low, span = min(every), (max(every) - min(every)) or 1.0

    def across(one: Measured) -> float:
        return _LEFT + 14 + (math.log2(one.x) - low) / span * (width - _LEFT - 40)

    drawn = [_grid(_LEFT, width - 12, labelled=True)]
    for x in sorted({one.x for line in series for one in line}):
        at = across(Measured("", 0, 0, 0, x))
        drawn.append(_text(at, _TOP + _PLOT + 18, f"{x:,.0f}"))
    for line in series:
        colour = LOOKS[line[0].stage][0]
        drawn.append(_path([(across(one), one.rate) for one in line], colour))
        for one in line:
            at = across(one)
            drawn.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_up(one.low):.1f}" '
                f'y2="{_up(one.high):.1f}" stroke="{colour}"/>'
                f'<circle cx="{at:.1f}" cy="{_up(one.rate):.1f}" r="3.5" fill="{colour}">'
                f"<title>{_says(one)}</title></circle>"
            )
    drawn.append(_text((_LEFT + width) / 2, _TOP + _PLOT + 34, label))
    return _svg(width, [*drawn, *_legend([line[0].stage for line in series])], below=14)


def curves(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], label: str) -> str:
    """A panel for each task, in it a line for each stage through its (step, share) points."""
    drawn, left = [], float(_LEFT)
    for title, series in panels.items():
        most = max(step for line in series.values() for step, _ in line)
        drawn.append(_grid(left, left + _CURVE, labelled=left == _LEFT))
        drawn.append(_text(left + _CURVE / 2, _TOP - 14, title, "strong"))
        drawn += [
            _text(left + _CURVE * part, _TOP + _PLOT + 18, f"{most * part:,.0f}") for part in (0, 1)
        ]
        for stage, line in series.items():
            path = [(left + _CURVE * step / most, share) for step, share in line]
            drawn.append(_path(path, LOOKS[stage][0]))
        left += _CURVE + _APART
    width = left - _APART + 24
    drawn.append(_text(width / 2, _TOP + _PLOT + 34, label))
    stages = dict.fromkeys(stage for series in panels.values() for stage in series)
    return _svg(width, [*drawn, *_legend(list(stages))], below=14)


def _path(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line through places across and rates up."""
    path = " ".join(f"{across:.1f},{_up(rate):.1f}" for across, rate in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _bar(left: float, one: Measured) -> list[str]:
    colour, middle = LOOKS[one.stage][0], left + (_BAR - 2) / 2
    return [
        f'<rect x="{left:.1f}" y="{_up(one.rate):.1f}" width="{_BAR - 2}" '
        f'height="{max(1.0, _PLOT * one.rate):.1f}" rx="2" fill="{colour}">'
        f"<title>{_says(one)}</title></rect>",
        f'<line class="whisker" x1="{middle:.1f}" x2="{middle:.1f}" '
        f'y1="{_up(one.high):.1f}" y2="{_up(one.low):.1f}"/>',
    ]


def _says(one: Measured) -> str:
    name = LOOKS[one.stage][1]
    return f"{name}: {one.rate:.1%} [{one.low:.1%}, {one.high:.1%}]"


def _up(rate: float) -> float:
    return _TOP + _PLOT * (1 - rate)


def _grid(left: float, right: float, *, labelled: bool) -> str:
    drawn = []
    for quarter in range(5):
        y = _up(quarter / 4)
        drawn.append(
            f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        if labelled:
            drawn.append(_text(left - 8, y + 4, f"{quarter * 25}%", anchor="end"))
    return "".join(drawn)


def _legend(stages: Sequence[str]) -> list[str]:
    drawn, left = [], float(_LEFT)
    for stage in stages:
        colour, name = LOOKS[stage]
        drawn.append(f'<rect x="{left:.1f}" y="10" width="12" height="12" rx="3" fill="{colour}"/>')
        drawn.append(_text(left + 18, 20, name, anchor="start"))
        left += 36 + 7.2 * len(name)
    return drawn


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    given = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{given}>{escape(text)}</text>'


def _svg(width: float, drawn: Sequence[str], below: int = 0) -> str:
    height = _TOP + _PLOT + _BOTTOM + below
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img"><style>{_STYLE}</style>'
        f"{''.join(drawn)}</svg>\n"
    )
