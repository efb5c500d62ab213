"""The words that each kind of checkpoint is asked with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundled import COUNTING

from rft import zoo
from rft.pointing import Canvas, pointing
from rft.prompts import NUMERALS, PLACES, instruction, prompt, tagged
from rft.tasks import prompt_for


@pytest.fixture(scope="module")
def by_id() -> dict[str, zoo.Card]:
    return {card.id: card for card in zoo.cards()}


def test_released_and_bundled_checkpoints_get_the_trained_prompt(
    by_id: dict[str, zoo.Card],
) -> None:
    trained = prompt_for("counting", "How many?")
    for name in ("counting-2b-zero", "counting-7b-rft", COUNTING[-1].id, "tiny-base"):
        assert prompt(by_id[name], "counting", "How many?") == trained


def test_a_base_counts_in_arabic_numerals_and_does_else_what_the_task_says(
    by_id: dict[str, zoo.Card],
) -> None:
    base = by_id["qwen2-vl-2b"]
    assert prompt(base, "counting", "How many?") == f"How many? {NUMERALS}"
    assert prompt(base, "structure", "Find x.") == prompt_for("structure", "Find x.")
    assert prompt(base, None, "What is it?") == "What is it?"
    assert tagged(base, "structure") and not tagged(base, "counting")
    assert tagged(by_id["tiny-base"], "counting") and tagged(by_id["counting-2b-zero"], "counting")


def test_a_free_question_may_ask_for_a_place(by_id: dict[str, zoo.Card]) -> None:
    card, asked = by_id["robobrain-7b"], "hold the {Q} cup"
    for kind, answer, drawn in (
        ("points", "[(10, 20), (30, 40)]", ["point", "point"]),
        ("box", "[(10, 20), (30, 40)]", ["box"]),
        ("grasp", "[10, 20, 30, 40]", ["box"]),
        ("trajectory", "[(10, 20), (30, 40)]", ["path"]),
    ):
        text = prompt(card, None, asked, kind)  # type: ignore[arg-type]
        assert text.count(asked) == 1 and text.replace(asked, "{Q}") == PLACES[kind]
        found = pointing(answer, [Canvas((64, 64), (64, 64))], question=text)
        assert found is not None and [mark.kind for mark in found.marks] == drawn
    assert prompt(card, None, asked, "choice") == asked


def test_ans_sft_gets_the_bare_question(by_id: dict[str, zoo.Card]) -> None:
    card = replace(by_id["counting-2b-zero"], stage="ans-sft", prompt_file="/nowhere")
    assert prompt(card, "counting", "How many?") == "How many?" and not tagged(card, "counting")


def test_a_prompt_file_speaks_of_its_cards_task_alone(
    by_id: dict[str, zoo.Card], tmp_path: Path
) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Rules. {Q}")
    card = replace(by_id["spatial-2b-rft"], prompt_file=str(file))
    assert prompt(card, "spatial", "What changed?") == "Rules. What changed?"
    assert prompt(card, "counting", "How many?") == prompt_for("counting", "How many?")
    assert prompt(card, None, "Hello?") == "Hello?" and instruction(card, None) is None
    general = replace(by_id["qwen2-vl-2b"], prompt_file=str(file))
    assert prompt(general, "counting", "How many?") == "Rules. How many?"
