"""A run's numbers as Plotly figures, in plain JSON. Pure: metrics in, traces out.

A colour is written as the page's CSS variable (``var(--ink)``, with two more hexadecimal digits
for transparency) and resolved in the browser, so one figure serves light and dark. Smoothing,
zoom and hidden curves are the browser's business too. Knows no file and no component.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.theme import reward_look
from rft.config import Config
from rft.evaluate import wilson
from rft.rewards import Rubric

Record = Mapping[str, Any]
Figure = dict[str, Any]

MOST_POINTS = 600  #: a curve; more than the pixels of a wide figure only cost time
_BAND, _FAINT = "1C", "0E"  # opacity of a spread, in hexadecimal: the total's, a reward's
_DASHES = ("dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True)
class Curves:
    """What a figure is drawn from: one run's config and what was measured so far."""

    id: str
    title: str
    config: Config
    metrics: Sequence[Record] = ()
    heldout: Sequence[Record] = ()

    @property
    def full_marks(self) -> float:
        """What a perfect completion is paid; 1 for a run without rewards."""
        return Rubric(self.config.rewards).full_marks if self.config.reinforced else 1.0


def figures(run: Curves, others: Sequence[Curves] = ()) -> Figure:
    """Everything that the page draws for a run: the wide figure and the small ones."""
    return {"run": run.id, "main": main(run, others), "small": small(run)}


def main(run: Curves, others: Sequence[Curves] = ()) -> Figure:
    """The wide figure: rewards (or the loss of a run without any), spread, held-out accuracy."""
    traces: list[Figure] = []
    layout = _layout(run)
    if run.config.reinforced:
        traces += _rewards(run)
        layout["yaxis"] |= {"tickformat": ".0%", "range": [-0.02, 1.04]}
        layout["meta"] = {"y": "share of full marks"}
    else:
        traces += _line(run.metrics, "loss", "loss", "var(--ink)", hover="loss %{y:.3f}", width=2.2)
        layout["yaxis"] |= {"rangemode": "tozero"}
        layout["yaxis2"] = {**_axis(), "overlaying": "y", "side": "right", "showgrid": False,
                            "tickformat": ".0%", "range": [-0.02, 1.04]}  # fmt: skip
        layout["meta"] = {"y": "loss; held-out accuracy at the right"}
    axis = "y" if run.config.reinforced else "y2"
    traces += _heldout(run, axis)
    for dash, other in zip(_DASHES, others, strict=False):
        traces += _overlay(other, dash, reinforced=run.config.reinforced)
    if run.config.method == "sft+grpo":
        layout["shapes"] = [_stage(run.config.sft_steps)]
        layout["annotations"] = [_stage_name(run.config.sft_steps)]
    return {"data": traces, "layout": layout}


@dataclass(frozen=True)
class _Small:
    key: str
    title: str
    form: str  # how Plotly and Python write a value, without braces
    unit: str = ""
    percent: bool = False
    low: str = ""
    high: str = ""


_SMALL = (
    _Small("completions/mean_length", "Completion length", ".0f", " tokens",
           low="completions/min_length", high="completions/max_length"),
    _Small("completions/clipped_ratio", "Cut at the limit", ".0%", percent=True),
    _Small("frac_reward_zero_std", "Groups without spread", ".0%", percent=True),
    _Small("kl", "KL from the start", ".4f"),
    _Small("entropy", "Entropy", ".3f", " nats"),
    _Small("loss", "Loss", ".4f"),
    _Small("learning_rate", "Learning rate", ".1e"),
    _Small("grad_norm", "Gradient norm", ".2f"),
    _Small("step_time", "Time a step", ".2f", " s"),
)  # fmt: skip


def small(run: Curves) -> list[Figure]:
    """The small figures, of what the run logs; in the order of their meaning."""
    found = []
    for item in _SMALL:
        points = _points(run.metrics, item.key)
        if not points or (item.key == "loss" and not run.config.reinforced):
            continue
        traces: list[Figure] = []
        if item.low:
            traces += _range(run.metrics, item.low, item.high)
        traces += _line(run.metrics, item.key, item.title, "var(--ink)",
                        hover=f"%{{y:{item.form}}}{item.unit}", width=1.6)  # fmt: skip
        layout = _layout(run)
        layout["margin"] = {"l": 38, "r": 8, "t": 4, "b": 20}
        layout["yaxis"] |= {"nticks": 3, "tickformat": item.form if item.percent else "~g"}
        layout["xaxis"] |= {"nticks": 4}
        if min(y for _, y in points) >= 0:
            layout["yaxis"]["rangemode"] = "tozero"
        layout["showlegend"] = False
        if item.percent:
            layout["yaxis"]["range"] = [-0.04, 1.06]
        latest = f"{points[-1][1]:{item.form}}{item.unit}"
        found.append({"key": item.key, "title": item.title, "latest": latest,
                      "data": traces, "layout": layout})  # fmt: skip
    return found


def sparkline(run: Curves, width: int = 72, height: int = 22) -> str:
    """The points of an SVG polyline: total reward (or loss); "" where there is too little."""
    key = "reward" if run.config.reinforced else "loss"
    points = thin(_points(run.metrics, key), width // 2)
    if len(points) < 2:
        return ""
    values = [y for _, y in points]
    low, high = min(values), max(values)
    last = max(run.config.total_steps, points[-1][0])
    span = (high - low) or 1.0
    return " ".join(
        f"{1 + (width - 2) * x / last:.1f},{1 + (height - 2) * (1 - (y - low) / span):.1f}"
        for x, y in points
    )


def thin(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """At most about ``most`` of the points: means over equal runs of them, the last kept exact."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[i : i + size] for i in range(0, len(points) - 1, size)]
    means = [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
    return [*(point for point in means if point[0] != points[-1][0]), points[-1]]


def _rewards(run: Curves) -> list[Figure]:
    traces: list[Figure] = []
    full = run.full_marks or 1.0
    for name, _ in run.config.rewards:
        look = reward_look(name)
        key = f"rewards/{name}"
        traces += _band(run.metrics, f"{key}/mean", f"{key}/std", name, look.colour, 1.0)
        traces += _line(run.metrics, f"{key}/mean", name, look.colour, hover="%{y:.0%}")
    traces += _band(run.metrics, "reward", "reward_std", "total", "var(--ink)", full)
    traces += _line(
        run.metrics, "reward", "total", "var(--ink)", hover=f"%{{customdata:.2f}} of {full:g}",
        width=2.6, scale=full,
    )  # fmt: skip
    return traces


def _line(
    metrics: Sequence[Record],
    key: str,
    name: str,
    colour: str,
    *,
    hover: str,
    width: float = 1.7,
    scale: float = 1.0,
) -> list[Figure]:
    points = thin(_points(metrics, key))
    if not points:
        return []
    return [
        {
            "uid": key,
            "type": "scatter",
            "mode": "lines" if len(points) > 1 else "markers",
            "name": name,
            "legendgroup": name,
            "x": [x for x, _ in points],
            "y": [y / scale for _, y in points],
            "customdata": [y for _, y in points],
            "line": {"color": colour, "width": width},
            "marker": {"color": colour, "size": 6},
            "hovertemplate": f"{hover}<extra>{name}</extra>",
            "meta": {"smooth": True},
        }
    ]


def _band(
    metrics: Sequence[Record], mean: str, std: str, name: str, colour: str, full: float
) -> list[Figure]:
    """Mean ± standard deviation, within what the reward can be."""
    means, spreads = dict(_points(metrics, mean)), dict(_points(metrics, std))
    steps = [step for step in means if step in spreads]
    if len(steps) < 2:
        return []
    low = min(0.0, min(means.values()) / full)
    high = max(1.0, max(means.values()) / full)
    edges = []
    for sign, end in ((-1, "low"), (1, "high")):
        points = thin([(s, (means[s] + sign * spreads[s]) / full) for s in steps])
        values = [min(max(y, low), high) for _, y in points]
        edges.append(_edge(f"{mean}/{end}", [x for x, _ in points], values, name))
    tint = _BAND if mean == "reward" else _FAINT
    edges[1] |= {"fill": "tonexty", "fillcolor": colour + tint}
    return edges


def _range(metrics: Sequence[Record], low: str, high: str) -> list[Figure]:
    edges = []
    for key in (low, high):
        points = thin(_points(metrics, key))
        edges.append(_edge(key, [x for x, _ in points], [y for _, y in points], "range"))
    edges[1] |= {"fill": "tonexty", "fillcolor": "var(--ink)" + _BAND}
    return edges


def _edge(uid: str, steps: list[int], values: list[float], group: str) -> Figure:
    return {
        "uid": uid,
        "type": "scatter",
        "mode": "lines",
        "x": steps,
        "y": values,
        "line": {"width": 0},
        "legendgroup": group,
        "showlegend": False,
        "hoverinfo": "skip",
        "meta": {"smooth": True},
    }


def _heldout(run: Curves, axis: str) -> list[Figure]:
    """Greedy accuracy on the held-out problems, with 95% intervals."""
    rows = [row for row in run.heldout if row.get("n")]
    if not rows:
        return []
    green = reward_look("accuracy").colour
    traces = []
    for key, name in (("strict", "held-out"), ("lenient", "held-out, lenient")):
        shown = key == run.config.measure
        rates = [row[key] / row["n"] for row in rows]
        bounds = [wilson(row[key], row["n"]) for row in rows]
        traces.append(
            {
                "uid": f"heldout/{key}",
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [row["step"] for row in rows],
                "y": rates,
                "yaxis": axis,
                "visible": True if shown else "legendonly",
                "customdata": [f"{row[key]} of {row['n']}" for row in rows],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - rate for rate, (_, high) in zip(rates, bounds, strict=True)],
                    "arrayminus": [
                        rate - low for rate, (low, _) in zip(rates, bounds, strict=True)
                    ],
                    "color": green + "88",
                    "thickness": 1.2,
                    "width": 0,
                },
                "line": {"color": green, "width": 1.4, "dash": "dot"},
                "marker": {
                    "color": green if shown else "var(--surface)",
                    "size": 10,
                    "line": {"color": "var(--surface)" if shown else green, "width": 2},
                },
                "hovertemplate": f"%{{y:.0%}} (%{{customdata}})<extra>{name}</extra>",
            }
        )
    return traces


def _overlay(other: Curves, dash: str, *, reinforced: bool) -> list[Figure]:
    """Another run's leading curve, in grey and dashed, on its own steps."""
    key = "reward" if reinforced else "loss"
    scale = other.full_marks or 1.0
    traces = _line(other.metrics, key, other.title, "var(--soft)", hover="%{y:.0%}", scale=scale)
    for trace in traces:
        trace["uid"] = f"{other.id}/{key}"
        trace["line"] |= {"dash": dash, "width": 2}
    return traces


def _points(metrics: Sequence[Record], key: str) -> list[tuple[int, float]]:
    """(step, value) wherever the value is a number that can be drawn."""
    found = []
    for row in metrics:
        value, step = row.get(key), row.get("step")
        if isinstance(value, (int, float)) and isinstance(step, int) and math.isfinite(value):
            found.append((step, float(value)))
    return found


def _axis() -> Figure:
    return {
        "color": "var(--soft)",
        "gridcolor": "var(--line)",
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": 12},
        "fixedrange": False,
    }


def _layout(run: Curves) -> Figure:
    last = max(run.config.total_steps, 1)
    layout: Figure = {
        "uirevision": run.id,
        "margin": {"l": 44, "r": 14, "t": 8, "b": 34},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--ink)", "size": 13},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--edge)",
            "font": {"color": "var(--ink)", "size": 12.5},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left"},
        "xaxis": {**_axis(), "range": [-0.01 * last, 1.01 * last], "showgrid": False,
                  "hoverformat": "d", "unifiedhovertitle": {"text": "step %{x}"}},
        "yaxis": _axis(),
    }  # fmt: skip
    if last <= 10:  # else Plotly would mark half steps
        layout["xaxis"]["dtick"] = 1
    return layout


def _stage(steps: int) -> Figure:
    return {"type": "rect", "xref": "x", "yref": "paper", "x0": 0, "x1": steps, "y0": 0, "y1": 1,
            "fillcolor": "var(--stage-cot-sft)14", "line": {"width": 0}, "layer": "below"}  # fmt: skip


def _stage_name(steps: int) -> Figure:
    return {"text": "SFT", "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "yref": "paper",
            "showarrow": False, "font": {"color": "var(--soft)", "size": 12}}  # fmt: skip
