"""What the page says of runs, rollouts, rehearsals and results, in every state."""

from dataclasses import replace

import pytest

from app.errands import Errand
from app.monitor import Row, Sight, doctor, head, log, run_list, seconds_a_step
from app.progress import span
from app.result import card, keeping
from app.rollouts import browser
from app.trials import panel
from rft.config import Config
from rft.doctor import Finding
from rft.evaluate import Verdict, report
from rft.paired import compare
from rft.parse import parse
from rft.types import Problem

CONFIG = Config("tiny-base", "grpo", samples=8, batch=4, steps=20)
SIGHT = Sight("r1", "My run", "running", CONFIG)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def metrics(count: int) -> list[dict[str, object]]:
    return [{"step": i + 1, "time": 100.0 + 2 * i, "step_time": 1.5} for i in range(count)]


def test_the_list_shows_the_form_unless_a_run_is_chosen() -> None:
    rows = [Row("r1", "One", "running", "grpo", 3, 20, 65.0, "1,1 2,2")]
    assert 'data-view="new"' in run_list(rows, "")
    assert 'data-view="new"' in run_list(rows, "gone")
    chosen = run_list(rows, "r1")
    assert 'data-view="run"' in chosen and "3 of 20" in chosen and "1 min 5 s" in chosen
    assert "stage-zero" in chosen


def test_other_runs_can_be_laid_over_the_chosen_one() -> None:
    rows = [Row(name, name, "done", "grpo", spark="1,1 2,2") for name in ("a", "b")]
    html = run_list(rows, "a", ["b"])
    assert html.count('data-do="overlay"') == 1 and 'aria-pressed="true"' in html


@pytest.mark.parametrize(
    ("state", "words", "button"),
    [
        ("new", "Not started yet", "Start"),
        ("queued", "free the device", "Stop"),
        ("running", "Loading the checkpoint", "Stop"),
        ("stopped", "Resume goes on", "Resume"),
        ("error", "Step 0 of 20", "Resume"),
        ("done", "Done: 20 steps", "Open in Chat"),
    ],
)
def test_every_state_says_what_it_is_and_what_can_be_done(
    state: str, words: str, button: str
) -> None:
    html = head(replace(SIGHT, state=state))
    assert words in html and button in html
    assert ('data-do="remove"' in html) == (state not in ("running", "queued"))


def test_time_left_is_the_pace_times_the_steps_left() -> None:
    html = head(replace(SIGHT, metrics=metrics(5), progress={"phase": "grpo", "step": 5}))
    assert "2 s a step" in html and "about 30 s left" in html  # 15 steps of 2 s


def test_the_pace_leaves_out_a_pause() -> None:
    lines = [{"time": t} for t in (0, 2, 4, 60, 62, 64)]
    assert seconds_a_step(lines) == 2 and seconds_a_step([]) is None


def test_a_stop_that_was_asked_for_is_told() -> None:
    html = head(replace(SIGHT, stopping=True))
    assert "Stopping…" in html and "disabled" in html


def test_an_error_is_its_sentence_with_details_folded() -> None:
    html = head(replace(SIGHT, state="error", error=f"The disk is full.\n{HOSTILE}"))
    assert "<p>The disk is full.</p>" in html and "<details" in html and "<script" not in html


def test_a_broken_run_can_only_be_deleted() -> None:
    html = head(Sight("r1", "r1", "error", None, error="config.json is no JSON: restore it."))
    assert "restore it" in html and 'data-do="remove"' in html and "Resume" not in html


def test_who_may_not_train_is_offered_nothing_to_press() -> None:
    html = head(replace(SIGHT, state="stopped"), allowed=False)
    assert 'data-do="resume"' not in html and 'data-do="remove"' not in html


def test_the_doctor_speaks_in_cards() -> None:
    html = doctor([Finding("grave", "Collapse", HOSTILE, "Stop.")], "running")
    assert 'class="grave"' in html and "<script" not in html and "Stop." in html
    assert "once there is something" in doctor([], "running")


def group(*totals: float, text: str = "<think>a</think><answer>3</answer>") -> dict:
    return {
        "step": 1, "problem": "p", "question": HOSTILE, "gold": "3", "prompt": HOSTILE,
        "images": ["data/images/a.png"],
        "completions": [
            {"text": text, "tokens": 5, "cut": i == 0, "rewards": {"accuracy": total},
             "reasons": {"accuracy": HOSTILE}, "total": total, "advantage": total - 0.5}
            for i, total in enumerate(totals)
        ],
    }  # fmt: skip


def test_rollouts_show_answers_rewards_and_advantages_and_run_nothing() -> None:
    html = browser([group(0.0, 1.0, text=f"<think>{HOSTILE}</think><answer>{HOSTILE}</answer>")],
                   lambda name: f"file/{name}", "running")  # fmt: skip
    assert "<script" not in html and "<img src=x" not in html
    assert "file/data/images/a.png" in html
    assert "left:50%;width:50.0%" in html and "right:50%;width:50.0%" in html
    assert html.count("cut at the limit") == 1


def test_a_group_without_spread_is_marked() -> None:
    assert "group flat" in browser([group(1.0, 1.0)], str, "done")
    assert "group flat" not in browser([group(1.0, 0.0)], str, "done")
    assert "first step of GRPO" in browser([], str, "running")


def reports() -> tuple[dict, dict]:
    problems = [Problem(f"p{i}", "counting", (), f"Question {i}?", "3") for i in range(4)]
    wrong, right = parse("<answer>2</answer>"), parse("<answer>3</answer>")
    before = [Verdict(p, right if i == 0 else wrong) for i, p in enumerate(problems)]
    after = [Verdict(p, wrong if i == 0 else right) for i, p in enumerate(problems)]
    return report(before), report(after)


def test_before_and_after_are_two_numbers_with_intervals_and_flips() -> None:
    before, after = reports()
    html = card(before, after, compare(before, after))
    assert "25<small>" in html and "75<small>" in html
    assert "Now right <b>3</b>" in html and "Now wrong <b>1</b>" in html
    assert "5 to 70%" in html  # Wilson, 1 of 4
    assert "flatters" in card(before, after, compare(before, after), chosen=True)
    assert "flatters" not in html
    best = Config("tiny-base", "grpo", steps=10, eval_every=10, keep_best=True)
    assert best.chooses and not replace(best, eval_every=11).chooses


def test_bare_answers_count_where_no_tag_is_taught() -> None:
    problems = [Problem(f"p{i}", "counting", (), f"Question {i}?", "3") for i in range(4)]
    before = report([Verdict(p, parse("2")) for p in problems])
    after = report([Verdict(p, parse("3")) for p in problems])
    measure = Config("tiny-base", "ans-sft", sft_steps=5).measure
    html = card(before, after, compare(before, after, measure), measure)
    assert "100<small>" in html and "Now right <b>4</b>" in html and "inside the answer tag" in html


def test_what_can_be_kept_says_how_it_stands() -> None:
    standing = {
        "prove": Errand("prove", "done", ""), "zip": Errand("zip", "busy"),
        "merge": Errand("merge", "failed", HOSTILE), "push": Errand("push", "new"),
    }  # fmt: skip
    proof = {"applied": True, "sentence": "The training is applied."}
    html = keeping(standing, proof, "", "", allowed=True)
    assert "The training is applied." in html and "Under way" in html and "<script" not in html
    assert keeping(standing, None, "", "", allowed=False).count(" disabled") == 4


def test_rehearsals_tell_what_they_found() -> None:
    dry = {"done": True, "phase": "done", "sentence": "All groups vary.", "zero_spread": 1,
           "groups": [group(0.0, 1.0)], "rewards": {"accuracy": {"mean": 0.5}}, "cut": 0.25,
           "mean_length": 12.0}  # fmt: skip
    html = panel(
        dry, {"done": False, "phase": "working", "sentence": "One step."}, str, allowed=True
    )
    assert (
        "1 of 1 groups whose answers all earned the same" in html
        and "25% cut" in html
        and "Cancel" in html
    )
    assert "Probe step</button>" in panel(None, None, str, allowed=True)


def test_spans_and_logs() -> None:
    assert [span(s) for s in (9, 60, 185, 7800)] == ["9 s", "1 min", "3 min 5 s", "2 h 10 min"]
    assert "<script" not in log(HOSTILE, "r1") and "Nothing written" in log("", "r1")
