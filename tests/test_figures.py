"""Figures from metrics: what is drawn, where, and in which colour."""

import json
import math

from app.figures import Curves, figures, main, small, sparkline, thin
from app.theme import REWARDS
from rft.config import Config

GRPO = Config("tiny-base", "grpo", samples=8, batch=4, steps=10, rewards=(("accuracy", 1), ("format", 1)))  # fmt: skip


def line(step: int, **more: object) -> dict[str, object]:
    return {
        "step": step, "stage": "grpo", "reward": 1.0, "reward_std": 0.5, "loss": 0.1,
        "rewards/accuracy/mean": 0.4, "rewards/accuracy/std": 0.5,
        "rewards/format/mean": 0.6, "rewards/format/std": 0.5, **more,
    }  # fmt: skip


def run(*metrics: dict, config: Config = GRPO, heldout: tuple = (), id: str = "a") -> Curves:
    return Curves(id, f"Run {id}", config, metrics, heldout)


def traces(figure: dict, name: str) -> list[dict]:
    return [trace for trace in figure["data"] if trace.get("name") == name]


def test_rewards_have_their_colours_and_total_is_a_share_of_the_full_marks() -> None:
    figure = main(run(line(1), line(2, reward=2.0)))
    total, accuracy = traces(figure, "total")[0], traces(figure, "accuracy")[0]
    assert total["y"] == [0.5, 1.0] and total["customdata"] == [1.0, 2.0]
    assert total["line"]["color"] == "var(--ink)"
    assert accuracy["line"]["color"] == REWARDS["accuracy"].colour
    assert accuracy["y"] == [0.4, 0.4]


def test_the_spread_is_a_band_that_stays_within_what_a_reward_can_be() -> None:
    figure = main(run(line(1), line(2)))
    low, high = (t for t in figure["data"] if t["uid"].startswith("rewards/accuracy/mean/"))
    assert low["y"] == [0.0, 0.0] and high["y"] == [0.9, 0.9]  # 0.4 ± 0.5, cut at 0
    assert high["fill"] == "tonexty" and high["legendgroup"] == "accuracy"


def test_held_out_accuracy_has_its_interval() -> None:
    rows = ({"step": 0, "n": 64, "strict": 16, "lenient": 32, "format": 8},)
    (dots,) = traces(main(run(line(1), heldout=rows)), "held-out")
    assert dots["x"] == [0] and dots["y"] == [0.25] and dots["customdata"] == ["16 of 64"]
    assert math.isclose(0.25 - dots["error_y"]["arrayminus"][0], 0.1600, abs_tol=1e-3)
    assert math.isclose(0.25 + dots["error_y"]["array"][0], 0.3683, abs_tol=1e-3)


def test_values_that_are_missing_or_broken_leave_no_point() -> None:
    figure = main(run(line(1), line(2, reward=None), line(3, reward=float("nan")), {"step": 4}))
    assert traces(figure, "total")[0]["x"] == [1]
    json.dumps(figures(run(line(1))), allow_nan=False)


def test_nothing_logged_yet_is_an_empty_figure() -> None:
    assert main(run())["data"] == [] and small(run()) == []


def test_a_run_of_sft_shows_its_loss_and_held_out_accuracy_at_the_right() -> None:
    sft = Config("tiny-base", "cot-sft", samples=8, batch=4, sft_steps=5)
    rows = ({"step": 5, "n": 10, "strict": 5, "lenient": 5, "format": 10},)
    figure = main(run({"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, config=sft, heldout=rows))
    assert traces(figure, "loss")[0]["y"] == [2.0, 1.0]
    assert traces(figure, "held-out")[0]["yaxis"] == "y2"
    assert "loss" not in {item["key"] for item in small(run({"step": 1, "loss": 2.0}, config=sft))}


def test_two_stages_are_told_apart() -> None:
    both = Config("tiny-base", "sft+grpo", samples=8, sft_samples=2, batch=4, steps=5, sft_steps=3)
    assert main(run(line(4), config=both))["layout"]["shapes"][0]["x1"] == 3


def test_zoom_and_hidden_curves_survive_what_a_run_adds() -> None:
    before, after = main(run(line(1))), main(run(line(1), line(2)))
    assert before["layout"]["uirevision"] == after["layout"]["uirevision"] == "a"
    assert {t["uid"] for t in before["data"]} <= {t["uid"] for t in after["data"]}


def test_other_runs_are_laid_over_in_grey_dashes_of_their_own() -> None:
    figure = main(run(line(1)), [run(line(1), id="b"), run(line(1), id="c")])
    other = [t for name in ("Run b", "Run c") for t in traces(figure, name)]
    assert len({t["line"]["dash"] for t in other}) == 2
    assert {t["line"]["color"] for t in other} == {"var(--soft)"}


def test_small_figures_are_those_that_the_run_logs() -> None:
    shown = small(run(line(1, kl=0.01, step_time=1.5)))
    assert [item["key"] for item in shown] == ["kl", "loss", "step_time"]
    assert shown[-1]["latest"] == "1.50 s"


def test_many_points_are_thinned_to_means_and_the_last_stays() -> None:
    points = [(step, float(step % 2)) for step in range(1, 2001)]
    kept = thin(points, 100)
    assert len(kept) <= 102 and kept[-1] == (2000, 0.0) and kept[0][1] == 0.5
    assert thin(points[:50], 100) == points[:50]


def test_the_sparkline_spans_the_planned_steps() -> None:
    assert sparkline(run(line(1))) == ""
    points = [p.split(",") for p in sparkline(run(line(5), line(10, reward=2.0))).split()]
    assert points[-1] == ["71.0", "1.0"] and points[0][1] == "21.0"
