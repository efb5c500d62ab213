"""The tiny Qwen2-VL: its tokenizer, template and processor, untrained."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rft import tiny
from rft.curriculum import CURRICULA
from rft.lessons import Lesson, picks
from rft.processor import QwenVLProcessor, load_processor
from rft.scenes import make
from rft.tasks import prompt_for


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def processor(untrained: Path) -> QwenVLProcessor:
    return load_processor(untrained)


@settings(max_examples=60)
@given(text=st.text())
def test_any_text_survives_the_tokenizer(processor: QwenVLProcessor, text: str) -> None:
    import unicodedata

    wanted = unicodedata.normalize("NFC", text)
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert processor.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == wanted


def test_tags_are_ordinary_text(processor: QwenVLProcessor) -> None:
    """TRL decodes completions without special tokens: the tags must survive that."""
    said = "<think>\n1 + 1 = 2.\n</think>\n<answer>\n2\n</answer>"
    ids = processor.tokenizer(said)["input_ids"]
    assert processor.tokenizer.decode(ids, skip_special_tokens=True) == said
    assert len(ids) < 20


def test_the_fixed_sentence_of_a_prompt_is_one_token(processor: QwenVLProcessor) -> None:
    question = "How many red cubes are there?"
    alone = len(processor.tokenizer(question)["input_ids"])
    prompt = prompt_for("counting", question)
    assert len(processor.tokenizer(prompt)["input_ids"]) == alone + 1


def test_a_scene_is_an_image_token_a_patch(processor: QwenVLProcessor) -> None:
    image = make("counting", "id", 0).images[0]
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[image], return_tensors="pt")
    assert inputs["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert (inputs["input_ids"] == processor.image_token_id).sum() == 64


def test_the_template_puts_images_first_and_opens_the_reply(processor: QwenVLProcessor) -> None:
    turn = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    messages = [
        {"role": "user", "content": turn},
        {"role": "assistant", "content": "A cube."},
        {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
    ]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n"
        "<|im_start|>assistantA cube.<|im_end|>\n"
        "<|im_start|>userSure?<|im_end|>\n"
        "<|im_start|>assistant"
    )


def test_building_is_reproducible(untrained: Path, tmp_path: Path) -> None:
    again = tiny.build(tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (again / name).read_bytes() == (untrained / name).read_bytes()


@pytest.mark.parametrize("name", CURRICULA)
def test_lessons_are_seeded_and_draw_what_they_say(name: str) -> None:
    teach = CURRICULA[name]
    lessons: list[Lesson] = [teach(i) for i in range(200)]
    again = [teach(i) for i in range(200)]
    assert [(x.prompt, x.completion) for x in lessons] == [(x.prompt, x.completion) for x in again]
    assert lessons[3].draw()[0].tobytes() == again[3].draw()[0].tobytes()
    assert all(image.mode == "RGB" for x in lessons[:20] for image in x.draw())
    assert len({x.completion for x in lessons}) > 50


def test_picks_are_found_among_the_choices_they_are_asked_of() -> None:
    lesson = picks(random.Random(0))
    asked = re.findall(r"Choices: (.*?) Which is ([\d.]+)\?", lesson.prompt)
    told = lesson.completion.removesuffix(".").split(". ")
    assert len(asked) == len(told) == 3
    for (choices, sought), judged in zip(asked, told, strict=True):
        options = re.findall(r"([A-D])\. ([\d.]*\d)", choices)
        place = [value for _, value in options].index(sought)
        wrong = [f"{letter}: {value} = {sought}? no" for letter, value in options[:place]]
        assert judged == "; ".join([*wrong, f"{'ABCD'[place]}: {sought} = {sought}? yes"])
