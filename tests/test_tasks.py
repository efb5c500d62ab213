"""Prompts letter by letter, options found in questions, and rubrics that a gold answer fills."""

from __future__ import annotations

import hashlib

import pytest

from rft import scenes, tasks
from rft.calls import FUNCTIONS, exact_calls
from rft.parse import parse
from rft.tasks import SPATIAL_INSTRUCTION, TASKS, is_choice, prompt_for, trained_instruction
from rft.types import Problem, TaskName

CHOICE = "Find x. A. 30 B. 40 C. 50 D. 60"


def test_trained_prompts_letter_by_letter() -> None:
    assert prompt_for("counting", "How many?") == (
        "How many? Output the thinking process in <think> </think> and final answer (number) "
        "in <answer> </answer> tags."
    )
    assert prompt_for("structure", CHOICE) == (
        f"{CHOICE} Please select the correct answer by writing the letter (A, B, C or D) that "
        "precedes your choice.\nOutput the thinking process in <think> </think> and final answer "
        "(chosen letter) in <answer> </answer> tags."
    )
    assert prompt_for("structure", "Find x.") == (
        "Find x. Output the thinking process in <think> </think> and final answer (float number "
        "or int number) in <answer> </answer> tags."
    )


def test_the_switch_overrules_detection() -> None:
    assert "(chosen letter)" in prompt_for("structure", "Find x.", answer_kind="choice")
    assert "(float number" in prompt_for("structure", CHOICE, answer_kind="number")


def test_a_free_question_is_its_bare_text() -> None:
    assert prompt_for(None, "What is {Q} here? {}") == "What is {Q} here? {}"


def test_the_spatial_instruction_names_every_function_and_value() -> None:
    prompt = prompt_for("spatial", "The objects: [('0', 'cube', 'small', 'red', 'metal')]. {}")
    assert prompt.startswith(SPATIAL_INSTRUCTION.rstrip())
    assert prompt.endswith(
        "'metal')]. {} Output the thinking process in <think> </think> and final answer "
        "(sequence of functions only) in <answer> </answer> tags."
    )
    for name, values in FUNCTIONS.items():
        assert f"{name}: {', '.join(values)}\n" in SPATIAL_INSTRUCTION
    assert not trained_instruction(SPATIAL_INSTRUCTION)


def test_the_instruction_s_own_example_is_in_the_trained_notation() -> None:
    example = parse(SPATIAL_INSTRUCTION.split("like this: ")[1]).final
    for call in exact_calls(example):
        assert call.value in FUNCTIONS[call.function]
    assert len(exact_calls(example)) == 2


def test_a_user_s_own_instruction() -> None:
    whole = prompt_for("spatial", "Q?", instruction="Rules.\n{Question}\nGo {braces}.")
    assert whole == "Rules.\nQ?\nGo {braces}."
    assert prompt_for("counting", "Q?", instruction="Ask: {Q}") == "Ask: Q?"
    before = prompt_for("spatial", "Q?", instruction="Rules.\n")
    assert before.startswith("Rules.\n\nQ? Output the thinking process")
    assert prompt_for("counting", "Q?", instruction=" \n") == prompt_for("counting", "Q?")


def test_the_trained_instruction_is_known_by_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    # The trained text is not ours to keep here, so another one stands in for it.
    digest = hashlib.sha256(b"Rules: {Question}").hexdigest()
    monkeypatch.setattr(tasks, "TRAINED_INSTRUCTION_SHA256", digest)
    assert trained_instruction("Rules: {Question}")
    assert trained_instruction("Rules: {Question}\n")
    assert not trained_instruction("Rules: {Question}!")


@pytest.mark.parametrize(
    "question",
    [
        CHOICE,
        "Find x.\nA. 30\nB. 40\nC. 50\nD. 60",
        "Find the area. Choices: (A) 3 (B) 4 (C) 5 (D) 6",
        "Which one? (A)3 (B)4",
        "Find x. A) 30° B) 40°",
        "Find x.\nA: 3\\sqrt{2}\nB: 5",
        "Find angle A. Choices:\nA. 30\nB. 40",
        "选择: A．30° B．40°",
        "Is the angle at A. A. acute B. obtuse",
    ],
)
def test_options_are_found(question: str) -> None:
    assert is_choice(question)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Find x.",
        "In triangle ABC, angle A is 30 and angle B is 40. Find C.",
        "A line through A. Another line through B. Find the angle.",
        "A circle passes from A to B. Find AB.",
        "If f(A) = 3 and f(B) = 4, what is f(C)?",
        "The angles are A:B:C = 1:2:3.",
        "The ratio of angles is ∠A: ∠B.",
        "Is it A or B?",
        "A. 30",
        "B. 40 A. 30",
        "A. B. Smith drew this. Find x.",
    ],
)
def test_letters_that_are_no_options(question: str) -> None:
    assert not is_choice(question)


@pytest.mark.parametrize("piece", ["A. 3 ", "at A. ", "(A) B. ", "A.B.", " ", "A: "])
def test_a_very_long_question_is_read_at_once(piece: str) -> None:
    prompt_for("structure", piece * (100_000 // len(piece)))


def full_form(problem: Problem) -> str:
    return f"<think>\n{problem.cot}\n</think>\n<answer>\n{problem.answer}\n</answer>"


@pytest.mark.parametrize(
    ("task", "split"), [(task, split) for task, splits in scenes.SPLITS.items() for split in splits]
)
def test_gold_scores_full_marks_and_silence_none(task: TaskName, split: scenes.Split) -> None:
    for seed in range(12):
        problem = scenes.make(task, split, seed, size=64)
        rubric = TASKS[task].rubric
        assert len(problem.images) == TASKS[task].pictures
        reply = parse(full_form(problem))
        assert rubric.total(reply, problem) == rubric.full_marks == 2.0, problem
        assert all(score.value == 1.0 for score in rubric.scores(reply, problem)), problem
        assert all(score.value == 0.0 for score in rubric.scores(parse(""), problem)), problem


def test_the_trained_choice_of_prompt_is_found_in_our_own_questions() -> None:
    for seed in range(30):
        problem = scenes.make("structure", "train", seed, size=64)
        assert is_choice(problem.question) == (problem.answer in ("A", "B", "C", "D"))
