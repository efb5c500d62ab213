"""The doctor: each finding from a series made for it; noisy healthy ones raise no alarm."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rft import series
from rft.config import Config
from rft.doctor import Finding, examine
from rft.signs import JUDGES, no_spread

CONFIG = Config(checkpoint="tiny-base", method="grpo", steps=100, beta=0.04)
SFT = Config(checkpoint="tiny-base", method="cot-sft", sft_steps=100)
BARE = Config(checkpoint="tiny-base", method="ans-sft", sft_steps=100)


def lines(steps: int, seed: int = 0, **curves: Callable[[float], float]) -> list[dict[str, Any]]:
    """A GRPO run: a healthy one but for ``curves``, functions of progress from 0 to 1."""
    rng = random.Random(seed)
    healthy: dict[str, Callable[[float], float]] = {
        "accuracy": lambda t: 0.4 + 0.25 * t,
        "format": lambda t: 0.6 + 0.3 * t,
        "zero": lambda t: 0.25,
        "entropy": lambda t: 0.4 - 0.1 * t,
        "length": lambda t: 30.0,
        "cut": lambda t: 0.01,
        "kl": lambda t: 0.05 * t,
        "grad_norm": lambda t: 0.5,
    }
    made = []
    for i in range(steps):
        at = {name: f(i / max(1, steps - 1)) for name, f in {**healthy, **curves}.items()}
        # 64 completions, correlated within their groups: the noise of a share of about 25.
        accuracy, form = (_share(rng, at[name], 25) for name in ("accuracy", "format"))
        made.append({
            "step": i + 1, "stage": "grpo", "loss": rng.gauss(0, 0.02),
            "reward": accuracy + form,
            "rewards/accuracy/mean": accuracy, "rewards/format/mean": form,
            "frac_reward_zero_std": _share(rng, at["zero"], 8),
            "entropy": at["entropy"] * rng.uniform(0.9, 1.1),
            "completions/mean_length": at["length"] * rng.uniform(0.9, 1.1),
            "completions/clipped_ratio": _share(rng, at["cut"], 64),
            "kl": at["kl"] * rng.uniform(0.8, 1.2),
            "grad_norm": at["grad_norm"] * math.exp(rng.gauss(0, 0.5)),
            "learning_rate": 1e-4,
        })  # fmt: skip
    return made


def _share(rng: random.Random, rate: float, of: int) -> float:
    return sum(rng.random() < rate for _ in range(of)) / of


def held(*right: int, n: int = 64, every: int = 10) -> list[dict[str, int]]:
    return [{"step": i * every, "n": n, "strict": r, "lenient": r} for i, r in enumerate(right)]


def titles(found: list[Finding]) -> dict[str, str]:
    return {finding.title: finding.severity for finding in found}


def seen(steps: int = 80, **curves: Callable[[float], float]) -> dict[str, str]:
    return titles(examine(CONFIG, lines(steps, **curves), []))


@pytest.mark.parametrize("steps", [0, 1, 5, 12, 30, 100, 400])
def test_healthy_noisy_runs_raise_nothing_grave(steps: int) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        counts = [
            sum(rng.random() < 0.5 + 0.001 * i for _ in range(64)) for i in range(steps // 10)
        ]
        found = examine(CONFIG, lines(steps, seed), held(*counts))
        assert found
        assert not [f for f in found if f.severity == "grave"], (seed, found)


def test_nothing_learned_yet() -> None:
    metrics = lines(20, accuracy=lambda t: 0.4, format=lambda t: 0.6)
    (only,) = examine(CONFIG, metrics, held(30, 31))
    assert (only.severity, only.title) == ("watch", "Nothing learned yet")
    assert "no more than its noise" in only.sentence


def test_a_flat_noisy_run_raises_nothing_grave() -> None:
    for seed in range(40):
        metrics = lines(100, seed, accuracy=lambda t: 0.4, format=lambda t: 0.6)
        assert "grave" not in titles(examine(CONFIG, metrics, held(*[32] * 10))).values()


def test_healthy_is_said_with_its_numbers() -> None:
    found = examine(CONFIG, lines(100), held(15, 18, 25, 33, 35, 36))
    assert titles(found) == {"It learns": "good", "Held-out accuracy rises": "good"}
    learns = next(f for f in found if f.title == "It learns")
    assert "of 2 in 100 steps" in learns.sentence and not learns.advice
    rises = next(f for f in found if f.title != "It learns")
    assert rises.sentence == "From 23% to 55% on 64 problems it does not train on."


def test_too_early_to_say() -> None:
    (only,) = examine(CONFIG, lines(1), held(20))
    assert (only.severity, only.title) == ("watch", "Too early to say")
    assert only.sentence.startswith("1 step so far")
    assert titles(examine(CONFIG, [], [])) == {"Too early to say": "watch"}


@pytest.mark.parametrize("value", [math.nan, math.inf, "NaN", "-Infinity"])
def test_numbers_that_broke(value: Any) -> None:
    metrics = lines(12)
    metrics[4]["loss"] = value
    first = examine(CONFIG, metrics, [])[0]
    assert (first.severity, first.title) == ("grave", "The numbers broke")
    assert "at step 5" in first.sentence and "3e-05 (it was 0.0001)" in first.advice


def test_missing_values_are_passed_over() -> None:
    metrics = lines(60)
    for line in metrics[::3]:
        line.update({name: None for name in line if name not in ("step", "stage")})
    assert "grave" not in titles(examine(CONFIG, metrics, [])).values()
    assert examine(CONFIG, [{"step": 1}, {}], [{"step": 0}, {"n": 0, "step": 1, "strict": 0}])
    assert json.dumps([f.title for f in examine(CONFIG, metrics, [])])


def test_no_spread() -> None:
    one, none = (lambda t: 1.0), (lambda t: 0.0)
    assert seen(accuracy=one, format=one, zero=one) == {"Too easy": "grave"}
    assert seen(accuracy=none, format=none, zero=one) == {"Too hard": "grave"}
    assert seen(accuracy=none, format=one, zero=one)["No spread"] == "grave"
    assert seen(accuracy=none, format=one, zero=lambda t: 0.7)["No spread"] == "watch"
    rising = seen(accuracy=lambda t: min(1, 0.4 + t), format=one, zero=lambda t: t * 0.9)
    assert rising == {"The examples are mastered": "watch", "It learns": "good"}
    assert seen(5, accuracy=none, format=none, zero=one) == {"Too hard": "grave"}  # said at once


def test_only_the_format_is_learned() -> None:
    curves = {"format": lambda t: min(1, 0.3 + 2 * t), "accuracy": lambda t: 0.4}
    assert seen(**curves)["Only the format is learned"] == "watch"
    curves["accuracy"] = lambda t: 0.02
    assert seen(**curves)["Only the format is learned"] == "grave"
    assert "Only the format is learned" not in seen(format=lambda t: min(1, 0.3 + 2 * t))


def test_truncation() -> None:
    assert seen(cut=lambda t: 0.2)["Completions are cut off"] == "watch"
    found = examine(CONFIG, lines(30, cut=lambda t: 0.7), [])
    assert (found[0].severity, found[0].title) == ("grave", "Completions are cut off")
    assert "limit of 256 tokens" in found[0].sentence and "512" in found[0].advice


def test_far_from_the_start() -> None:
    assert seen(kl=lambda t: 0.8)["Far from the start"] == "watch"
    assert seen(kl=lambda t: 5 * t)["Far from the start"] == "grave"


def test_entropy() -> None:
    low = {"entropy": lambda t: 0.4 * (1 - t) ** 4, "zero": lambda t: 0.2 + 0.7 * t}
    assert seen(**low)["Entropy collapsed"] == "grave"
    # Sure of every answer because all are right: the end of learning, not a collapse.
    sure = seen(accuracy=lambda t: min(1, 0.5 + t), format=lambda t: 1.0, **low)
    assert "Entropy collapsed" not in sure
    assert seen(entropy=lambda t: 0.4 + 1.5 * t)["Entropy rises"] == "watch"


def test_length_drift() -> None:
    flat = {"accuracy": lambda t: 0.4, "format": lambda t: 0.9}
    assert seen(length=lambda t: 30 + 60 * t, **flat)["Completions grow"] == "watch"
    assert seen(length=lambda t: 60 - 45 * t, **flat)["Completions shrink"] == "watch"
    assert "Completions grow" not in seen(length=lambda t: 30 + 60 * t)  # the reward rose with it


def test_a_collapse() -> None:
    fallen = {"accuracy": lambda t: 0.7 if t < 0.6 else 0.1, "format": lambda t: 0.9 - 0.4 * t}
    assert seen(**fallen)["The reward collapsed"] == "grave"


def test_spiking_gradients() -> None:
    metrics = lines(40)
    metrics[10]["grad_norm"] = 40.0
    assert "Gradients spike" not in titles(examine(CONFIG, metrics, []))  # one is an accident
    metrics[30]["grad_norm"] = 60.0
    assert titles(examine(CONFIG, metrics, []))["Gradients spike"] == "watch"


def test_nothing_moves() -> None:
    still = {"accuracy": lambda t: 0.4, "format": lambda t: 0.6, "entropy": lambda t: 0.4}
    assert seen(**still, kl=lambda t: 0.0) == {"Nothing moves": "watch"}
    assert seen(**still, kl=lambda t: 0.1) == {"The reward does not rise": "watch"}
    assert "Nothing moves" not in seen(30, **still, kl=lambda t: 0.0)  # patience


def test_memorising_needs_more_than_the_noise_of_the_problems() -> None:
    """79% to 67%: on 400 problems sqrt(2·.73·.27/400) = .031, 3.8 errors; on 64, .078 and 1.5."""
    metrics = lines(100)
    large = examine(CONFIG, metrics, held(316, 310, 290, 268, 268, n=400))
    assert (large[0].severity, large[0].title) == ("grave", "Memorising")
    assert "from 79% at step 0 to 67% at step 40" in large[0].sentence
    assert "grave" not in titles(examine(CONFIG, metrics, held(51, 50, 46, 43, 43))).values()
    once = examine(CONFIG, metrics, held(316, 310, 316, 312, 268, n=400))
    assert "grave" not in titles(once).values()  # a single bad measurement
    flat = lines(100, accuracy=lambda t: 0.4, format=lambda t: 0.6)
    assert titles(examine(CONFIG, flat, held(316, 290, 268, 268, n=400)))["Held-out accuracy falls"]


def test_right_answers_that_lose_their_tag() -> None:
    """What a base does that answers bare: accuracy pays that, and format is never found."""
    curve = [(8, 10), (6, 8), (3, 11), (0, 10), (0, 13), (0, 12)]
    heldout = [
        {"step": 10 * i, "n": 48, "strict": s, "lenient": a} for i, (s, a) in enumerate(curve)
    ]
    metrics = lines(60, accuracy=lambda t: 0.25 + 0.15 * t, format=lambda t: 0.0)
    found = titles(examine(CONFIG, metrics, heldout))
    assert found["Right answers lose their tag"] == "grave"
    assert found["Never earned: format"] == "watch"
    assert "Never earned: format" not in seen(9, format=lambda t: 0.0)
    assert "Never earned: format" not in seen(accuracy=lambda t: 0.0, format=lambda t: 0.0)


def test_past_its_best() -> None:
    found = examine(CONFIG, lines(100), held(200, 260, 316, 250, 240, n=400))
    past = next(f for f in found if f.title == "Past its best")
    assert past.severity == "watch" and "79% at step 20" in past.sentence


def group(gold: str, *texts: str) -> dict[str, Any]:
    return {"step": 1, "gold": gold, "completions": [{"text": text} for text in texts]}


FORMED = "<think>{}</think><answer>{}</answer>"


def hints(*groups: dict[str, Any]) -> set[str]:
    return set(titles(examine(CONFIG, lines(100), [], groups))) - {"It learns"}


def test_hints_of_reward_hacking() -> None:
    good = [group(str(i % 5), *[FORMED.format(f"{i} and {j}", i % 5) for j in range(8)])
            for i in range(8)]  # fmt: skip
    assert hints(*good) == set()
    empty = [group(str(i), *[FORMED.format(" ", j) for j in range(8)]) for i in range(3)]
    assert hints(*empty) == {"Empty thinking"}
    bare = [group(str(i), *[f"<answer>{j}</answer>" for j in range(8)]) for i in range(3)]
    assert hints(*bare) == set()  # no thinking at all is a matter of format
    several = FORMED.format("one", 1) + "<answer>2</answer>"
    assert hints(*good[:2], group("1", *[several] * 4)) == {"Several answers"}
    same = [group(str(i), *[FORMED.format("so", 4)] * 8) for i in range(3)]
    assert hints(*same) == {"One answer for everything"}
    assert hints(*[group("4", *[FORMED.format("so", 4)] * 8)] * 3) == set()  # it is 4 each time
    assert hints({"completions": None}, {}, group("1", "x")) == set()


@pytest.mark.parametrize(
    ("paid", "right", "title"),
    [(0.6, 0.4, "Paid, but not right"), (0.3, 0.5, "Right, but not paid"), (0.5, 0.52, "")],
)
def test_paid_and_right_apart(paid: float, right: float, title: str) -> None:
    metrics = [
        {**line, "rewards/accuracy/mean": paid, "rewards/accuracy_robust/mean": right}
        for line in lines(30)
    ]
    found = titles(examine(CONFIG, metrics, []))
    assert {"Paid, but not right", "Right, but not paid"} & set(found) == ({title} - {""})


def losses(values: list[float]) -> list[dict[str, Any]]:
    return [{"step": i + 1, "stage": "sft", "loss": loss} for i, loss in enumerate(values)]


def test_supervised() -> None:
    rng = random.Random(0)

    def noisy(curve: Callable[[float], float]) -> dict[str, str]:
        values = [curve(i / 59) + rng.gauss(0, 0.03) for i in range(60)]
        return titles(examine(SFT, losses(values), []))

    assert noisy(lambda t: 0.5 + 1.5 * (1 - t) ** 3) == {"It learns": "good"}
    assert noisy(lambda t: 1.0) == {"Nothing moves": "watch"}
    assert noisy(lambda t: 1.0 if t < 0.5 else 2.5) == {"The loss rises": "grave"}
    lessons = replace(SFT, data="lessons/base")  # whose later ones may be of another sort
    rising = losses([1.0] * 30 + [2.5] * 30)
    assert titles(examine(lessons, rising, [])) == {"The loss rises": "watch"}
    assert titles(examine(SFT, losses([1.0] * 3), [])) == {"Too early to say": "watch"}


def test_answers_without_a_tag_are_no_loss_where_none_is_taught() -> None:
    curve = [{"step": 10 * i, "n": 64, "strict": 40 - 10 * i, "lenient": 40 + i} for i in range(5)]
    told = [{"step": i, "stage": "sft", "loss": 1 - i / 100} for i in range(1, 60)]
    assert "Right answers lose their tag" in titles(examine(SFT, told, curve))
    assert "Right answers lose their tag" not in titles(examine(BARE, told, curve))


def test_the_second_stage_is_judged_when_it_has_begun() -> None:
    config = Config(checkpoint="x", method="sft+grpo", sft_samples=8, sft_steps=60, steps=100)
    metrics = losses([1.0] * 60) + lines(100)
    assert titles(examine(config, metrics, [])) == {"It learns": "good"}


def test_weights_and_form() -> None:
    """Accuracy is what is paid for content, by weight; without such a reward there is none."""
    from rft.signs import Seen

    config = Config(checkpoint="x", method="grpo", steps=9,
                    rewards=(("function_full", 3.0), ("function", 1.0), ("format", 2.0),
                             ("function_exact", 0.0)))  # fmt: skip
    line = {"rewards/function_full/mean": 0.2, "rewards/function/mean": 0.6,
            "rewards/format/mean": 0.5, "rewards/function_exact/mean": 1.0}  # fmt: skip
    seen = Seen(config, [line, {"rewards/function/mean": 0.6}])
    assert seen.content == [pytest.approx((3 * 0.2 + 0.6) / 4)] and seen.form == [0.5]
    assert seen.full == 6.0
    form = Config(checkpoint="x", method="grpo", steps=9, rewards=(("format", 1.0),))
    assert Seen(form, lines(30)).content == []
    assert all(judge(Seen(form, lines(30))) == [] for judge in JUDGES if judge is not no_spread)


def test_changes_by_hand() -> None:
    rising = series.change([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    # differences: one of 1 in nine, so the noise is sqrt(1/9/2) = .2357, times sqrt(2/5): .149
    assert rising is not None and (rising.early, rising.late) == (0, 1)
    assert rising.error == pytest.approx(0.14907, abs=1e-5) and rising.rose and not rising.fell
    assert series.change([1.0] * 9) is None and series.late([1.0] * 4) is None
    fall = series.fall([0.0] * 5 + [1.0] * 5 + [0.2] * 5)
    assert fall is not None and (fall.early, fall.late) == (1, pytest.approx(0.2))
    assert series.window(8) == 5 and series.window(48) == 12 and series.window(1000) == 20
    assert series.share_error(0.5, 50) == pytest.approx(0.1)
    assert [series.number(x) for x in (1, True, None, "1", math.nan)] == [1, None, None, None, None]
