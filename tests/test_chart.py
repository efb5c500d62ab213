"""Charts: what is drawn stands where its number says, and the text cannot break the picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from rft.chart import LOOKS, Measured, bars, curves, lines

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_a_bar_is_as_high_as_its_rate_and_its_whisker_spans_the_interval() -> None:
    found = [Measured("base", 0.25, 0.2, 0.3), Measured("zero", 0.5, 0.4, 0.6)]
    chart = drawn(bars({"Counting": {"ID": found}}))
    rects = [r for r in chart.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    low, high = (float(r.get("height", "")) for r in rects)
    assert high == pytest.approx(2 * low)
    whiskers = [w for w in chart.iter(f"{SVG}line") if w.get("class") == "whisker"]
    top, bottom = (float(whiskers[0].get(name, "")) for name in ("y1", "y2"))
    assert top < float(rects[0].get("y", "")) < bottom
    assert "Base: 25.0% [20.0%, 30.0%]" in "".join(chart.itertext())


def test_panels_and_groups_stand_beside_each_other() -> None:
    one = [Measured(stage, 0.5, 0.4, 0.6) for stage in LOOKS]
    chart = drawn(bars({"A": {"ID": one, "OOD": one}, "B": {"ID": one}}))
    rects = [r for r in chart.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    lefts = [float(r.get("x", "")) for r in rects]
    assert lefts == sorted(lefts) and len(set(lefts)) == 15
    assert lefts[-1] < float(chart.get("width", ""))


def test_a_line_goes_through_its_points_in_powers_of_two() -> None:
    series = [
        [Measured("zero", rate, rate, rate, x) for x, rate in ((16, 0.1), (64, 0.5), (256, 0.9))]
    ]
    chart = drawn(lines(series, "training samples"))
    xs = [float(c.get("cx", "")) for c in chart.iter(f"{SVG}circle")]
    ys = [float(c.get("cy", "")) for c in chart.iter(f"{SVG}circle")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2) and ys == sorted(ys, reverse=True)


def test_curves_go_through_their_points_each_in_its_panel() -> None:
    zero, whole = [(4, 0.25), (8, 0.75)], [(8, 1.0)]
    text = curves({"A": {"zero": zero}, "B": {"zero": zero, "sft+grpo": whole}}, "GRPO step")
    paths = [
        (
            line.get("stroke"),
            [tuple(map(float, p.split(","))) for p in line.get("points", "").split()],
        )
        for line in drawn(text).iter(f"{SVG}polyline")
    ]
    assert [colour for colour, _ in paths] == [LOOKS[s][0] for s in ("zero", "zero", "sft+grpo")]
    (first, last), (again, beside) = paths[0][1], paths[1][1]
    assert first[0] < last[0] < again[0] and first[1] > last[1] == beside[1]
    assert last[0] - first[0] == beside[0] - again[0]
    assert paths[2][1][0][0] == beside[0] and paths[2][1][0][1] < beside[1]
    assert text.count(">Zero<") == 1 and "GRPO step" in text


def test_names_are_text_and_no_markup() -> None:
    found = [Measured("base", 0.25, 0.2, 0.3)]
    chart = drawn(bars({"<script>alert(1)</script>": {"a & b": found}}))
    assert not list(chart.iter(f"{SVG}script"))
    assert "a & b" in "".join(chart.itertext())
