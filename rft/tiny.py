"""The tiny Qwen2-VL: the true model class at a few million parameters, untrained.

``build`` writes an ordinary Hugging Face folder: weights, configuration, a small byte-level
BPE tokenizer of Qwen2's own construction, the chat template and the image processor. This
module knows nothing of training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    set_seed,
)

from rft.calls import FUNCTIONS
from rft.scenes.spatial import EDGES
from rft.tasks import prompt_for

#: Qwen2-VL's conversation format, but for the line break after a role, which would cost a token
#: a turn: the system message, then every turn's images before its text.
CHAT_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' -%}
<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{%- if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in part -%}
{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>\n{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{%- endif -%}
"""

#: Never part of a text: the tokens that structure a conversation.
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip

#: Ordinary text, one token each. They must not be special: TRL decodes without special tokens.
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

#: One token a word; everything else falls back to pieces and bytes.
LEXICON = """
a all also and are as at be by can do does for from give given has have here how if in into is it
its left many more most no none not of on one only other others out right same so some such that
the their them then there these they this to two three four up was what where which with yes add
subtract remove sum total plus minus times equal equals object objects thing things cube cubes
sphere spheres cylinder cylinders small medium large gray red blue green brown purple cyan yellow
metal rubber glass color shape size material image picture describe list shown leftmost rightmost
between first second third last initial final scene position top bottom center front behind
front_left front_right behind_left behind_right change_size change_color change_material
change_shape change_position changes moved stays now before after value find angle angles triangle
degrees line lines parallel transversal circle radius diameter circumference arc inscribed central
corresponding alternate interior exterior vertical opposite straight isosceles base height
hypotenuse leg legs square root rectangle parallelogram trapezoid perimeter area side sides length
width measure figure letter number answer choices because since half twice
""".split()
#: Words that also open a sentence.
OPENERS = """
add all alternate and angle angles area blue both brown by central change circle corresponding
cube cubes cyan cylinder cylinders describe find from given gray green half how in initial it
large left list material medium metal no none now object objects of perimeter purple red right
rubber since small so sphere spheres subtract sum the then there therefore what where yellow
""".split()
SYMBOLS = r"""° ² √ π × ÷ ∠ △ ∥ ⊥ ≈ → . , ; : ? ! ( ) = + - * / ' " """.split()

#: Qwen2's way to cut a text into words, but a space stays with the digit that follows it and an
#: underscore with its letters: lists of numbers and function names cost half as many tokens.
WORDS = r"[^\S\r\n]?[\p{L}_]+| ?\p{N}| ?[^\s\p{L}\p{N}_]+|\s*[\r\n]+|\s+(?!\S)|\s+"

#: The picture a tiny checkpoint sees: at most this many pixels (64 patches).
MAX_PIXELS = 112 * 112


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE as Qwen2 has it, with a vocabulary for this project's scenes.

    Any Unicode text can be encoded: the alphabet is all bytes. The fixed sentences of the task
    prompts are one token each, since every prompt pays for them.
    """
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    words = [f" {word}" for word in LEXICON] + [
        form for word in OPENERS for form in (word.capitalize(), f" {word.capitalize()}")
    ]
    marks = [form for mark in SYMBOLS for form in (mark, f" {mark}")]
    corpus = [
        *words,
        *marks,
        *(f" {digit}" for digit in range(10)),
        *(f" {column}" for column in "abcd"),
        "\n\n",
        "yes",
        "no",
    ]
    learner = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    backend.train_from_iterator(corpus, learner)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    made.add_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    plain = [*TAGS, *_fixed_sentences(), *_notation()]
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    made.padding_side = "left"
    made.chat_template = CHAT_TEMPLATE
    return made


def _fixed_sentences() -> list[str]:
    """What the task prompts put around every question, and the default system message."""
    mark = "\x00"
    texts = [
        prompt_for("counting", mark),
        prompt_for("structure", mark, answer_kind="choice"),
        prompt_for("structure", mark, answer_kind="number"),
        prompt_for("spatial", mark),
    ]
    around = [part for text in texts for part in text.split(mark) if part]
    return [*dict.fromkeys(around), "You are a helpful assistant."]


def _notation() -> list[str]:
    """What the spatial task's questions, derivations and answers are written in.

    A quoted word would else be five tokens: with these a problem is half as long.
    """
    words = [value for values in FUNCTIONS.values() for value in values]
    asked = ["The objects of the first image: [", "]. Which functions lead to the second?"]
    tuples = [f"('{i}'" for i in range(10)]
    return [
        *(f", '{word}'" for word in words),
        *tuples,
        *asked,
        "First:",
        "Second:",
        *EDGES.values(),
    ]


def config(tok: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    """About three million parameters in Qwen2-VL's own shape (vision 4 x 128, language 4 x 192)."""
    ids = {name: tok.get_vocab()[name] for name in SPECIAL}
    text: dict[str, Any] = {
        "vocab_size": len(tok),
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {
            # Of 16 frequencies the first turns with time, three with the row, twelve with the
            # column. Qwen2-VL's own split would give the columns of so small an image only
            # frequencies too low to tell them apart.
            "rope_type": "default", "rope_theta": 500.0, "mrope_section": [1, 3, 12],
        },
        "tie_word_embeddings": True,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }  # fmt: skip
    vision = {
        "depth": 4, "embed_dim": 128, "hidden_size": 192, "num_heads": 4, "mlp_ratio": 3,
        # Patches are not merged, so that a character has one to itself. Taught to read a label and
        # no more, the model knew 65% of its digits after 5,600 lessons; with four patches in one
        # token 32%, and that with a tower that had been primed for longer.
        "patch_size": 14, "spatial_merge_size": 1, "temporal_patch_size": 2, "in_channels": 3,
    }  # fmt: skip
    return Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def build(out: Path, seed: int = 0) -> Path:
    """Write an untrained tiny checkpoint to ``out`` and return it. Deterministic in ``seed``."""
    set_seed(seed)
    tok = tokenizer()
    model = Qwen2VLForConditionalGeneration(config(tok))
    model.generation_config.eos_token_id = tok.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.pad_token_id = tok.pad_token_id
    model.save_pretrained(out)
    tok.save_pretrained(out)
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "size": {"shortest_edge": 28 * 28 * 4, "longest_edge": MAX_PIXELS},
        "patch_size": 14, "merge_size": 1, "temporal_patch_size": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }  # fmt: skip
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    return out


def command(argv: list[str]) -> int:
    """``python -m rft tiny OUT/ [--seed S]``"""
    parser = argparse.ArgumentParser(prog="python -m rft tiny", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights")
    args = parser.parse_args(argv)
    folder = build(args.out, args.seed)
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    print(f"Wrote an untrained tiny Qwen2-VL to {folder} ({size:.1f} MB).")
    return 0
