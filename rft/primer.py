"""``python -m rft prime``: teach a tiny vision tower what lies under each of its patches.

Words alone teach it to read small digits very slowly: a lesson says little, and late. Here every
patch of a drawn picture is told at once where it lies, whether a character or an object has its
middle there, and which. Only the tower learns; linear heads read it off and are thrown away. It is
the start of a base's recipe. Knows scenes; no tasks, no words.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import Qwen2VLForConditionalGeneration, Trainer, TrainingArguments, set_seed

from rft.calls import FUNCTIONS
from rft.claim import claim
from rft.curriculum import WIDE
from rft.errors import InputError, StudioError
from rft.journal import replace
from rft.learner import describe
from rft.lessons import SIZES, noisy
from rft.machine import one_gpu
from rft.processor import QwenVLProcessor, load_processor
from rft.scenes import counting, spatial, structure, writing
from rft.scenes.board import View
from rft.scenes.grid import GRID
from rft.scenes.lettering import characters
from rft.scenes.pens import OTHER_HANDS, TEXTBOOK
from rft.scenes.pens import draw as draw_figure
from rft.stages import newest_checkpoint
from rft.tiny import build

#: What there may be at a patch, a head for each: characters, or what an object is like.
CHARACTERS = "".join(dict.fromkeys("0123456789°" + writing.LETTERS))
LOOKS = {look: FUNCTIONS[f"change_{look}"] for look in ("color", "shape", "size", "material")}
#: Pages, figures, boards and counting scenes, and how often.
_SORTS, _WEIGHTS = ("page", "figure", "board", "scene"), (40, 35, 17, 8)
_NOTHING = 0.15  # the weight of an empty patch: most are
_NO_LABEL = -100

Mark = tuple[float, float, str]
Placed = tuple[float, float, Any]


def picture(index: int) -> tuple[Any, torch.Tensor]:
    """Picture number ``index`` and its labels: int64 [heads, patches], -100 where none is due.

    The first head's are 0 for nothing, else one more than the character's place in CHARACTERS.
    """
    rng = random.Random(f"primer/{index}")
    size, shifted = rng.choice(SIZES), rng.random() < WIDE
    sort = rng.choices(_SORTS, _WEIGHTS)[0]
    marks: list[Mark] = []
    things: list[Placed] = []
    if sort == "page":
        zoom = rng.choice((*writing.ZOOMS, rng.uniform(0.7, 1.6)))
        texts = writing.page(rng, rng.choice((3, 6, 9)), zoom)
        marks = [m for t in texts for m in characters(t.text, t.x, t.y, writing.EM * zoom)]
        image = writing.draw(texts, rng, size, zoom, shifted=shifted)
    elif sort == "figure":
        style = rng.choice(OTHER_HANDS if shifted else TEXTBOOK)
        kind = rng.choice(tuple(structure.KINDS))
        _, layout = structure.sketch(rng, kind, "train", style, shifted=shifted)
        for label in layout.labels:
            marks += characters(label.text, label.at.real, label.at.imag, label.em)
        image = draw_figure(layout, style, rng, size)
    elif sort == "board":
        view: View = rng.choice(("left", "right")) if shifted else "front"
        seen = spatial.glimpse(rng, 5, view)
        things = [(*spatial.centre(thing, view)[0], thing) for thing in seen]
        image = spatial.draw_one(seen, rng, size, view)
    else:
        there, _ = counting.pose(rng, "train", 9 if shifted else 6)
        things = [(thing.x, thing.y, thing) for thing in there]
        image = counting.draw(there, rng, "ood" if shifted else "train", size)
    return noisy(image, rng), _labels(marks, things)


def _labels(marks: list[Mark], things: list[Placed]) -> torch.Tensor:
    """Of two middles in one patch, the first counts."""
    labels = torch.full((1 + len(LOOKS), GRID * GRID), _NO_LABEL)
    labels[0] = 0
    taken: set[int] = set()
    for x, y, what in (*marks, *things):
        patch = _patch(x, y)
        values = [_NO_LABEL] * len(labels)
        if not isinstance(what, str):
            values = [0, *(names.index(getattr(what, look)) for look, names in LOOKS.items())]
        elif what in CHARACTERS:
            values[0] = 1 + CHARACTERS.index(what)
        if patch not in taken:
            labels[:, patch] = torch.tensor(values)
        taken.add(patch)
    return labels


def _patch(x: float, y: float) -> int:
    """The number of the patch at shares x and y of the side: row by row, as they are not merged."""
    column, row = (min(GRID - 1, max(0, int(share * GRID))) for share in (x, y))
    return row * GRID + column


class _Pictures(Dataset[tuple[Any, torch.Tensor]]):
    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        return picture(index)


class Primer(nn.Module):
    """A tower with its heads, which read it as the language model's first layer will: normalised.

    One more head tells where on the picture a patch lies. Nothing gives a tower of rotary
    positions this but the picture's borders, and the language model must find a place by its name.
    """

    VERSION = 2  #: of what the heads are told; a tower primed by another is none of this recipe's

    def __init__(self, tower: Any):
        super().__init__()
        self.tower = tower
        self.sizes = (1 + len(CHARACTERS), *(len(names) for names in LOOKS.values()))
        width = tower.config.hidden_size
        self.norm = nn.RMSNorm(width, elementwise_affine=False)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)
        self.place = nn.Linear(width, GRID**2)

    def forward(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The loss, summed over the heads. ``labels``: [pictures, heads, patches]."""
        seen = self.norm(self.tower(pixel_values, grid_thw=image_grid_thw).pooler_output)
        places = torch.arange(self.place.out_features, device=seen.device).repeat(len(labels))
        loss = cross_entropy(self.place(seen), places)
        for row, (head, size) in enumerate(zip(self.heads, self.sizes, strict=True)):
            wanted, weight = labels[:, row].flatten(), seen.new_ones(size)
            if row == 0:
                weight[0] = _NOTHING
            if (wanted != _NO_LABEL).any():
                loss = loss + cross_entropy(head(seen), wanted, weight, ignore_index=_NO_LABEL)
        return {"loss": loss}


def prime(folder: Path, steps: int, batch: int, seed: int = 0) -> Path:
    """A tiny checkpoint in ``folder`` whose tower has been primed; goes on where it was killed.

    It holds the folder and the device meanwhile, as a run does. InputError where the folder was
    begun with other numbers, or is under way in another process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder):
        return _prime(folder, steps, batch, seed)


def _prime(folder: Path, steps: int, batch: int, seed: int) -> Path:
    final, record = folder / "final", folder / "primer.json"
    asked = {"steps": steps, "batch": batch, "seed": seed, "heads": Primer.VERSION}
    if not record.exists():
        replace(record, json.dumps(asked) + "\n")
    if (begun := json.loads(record.read_text())) != asked:
        raise InputError(f"{folder} was begun with {begun}: name another folder for {asked}.")
    if final.is_dir():
        return final
    one_gpu()
    start = build(folder / "start", seed=seed)
    model = Qwen2VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    set_seed(seed)
    primer, processor = Primer(model.model.visual), load_processor(start)
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=round(0.03 * steps),
        weight_decay=0.02,
        adam_beta2=0.98,
        seed=seed,
        train_sampling_strategy="sequential",
        save_steps=100,
        save_total_limit=1,
        logging_steps=50,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=1,
    )
    trainer = Trainer(
        primer, args, train_dataset=_Pictures(steps * batch), data_collator=_Collator(processor)
    )
    last = newest_checkpoint(folder, remove=True)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    draft = folder / "final.part"
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    describe(start, draft)
    draft.rename(final)
    return final


class _Collator:
    def __init__(self, processor: QwenVLProcessor):
        self.processor = processor

    def __call__(self, rows: list[tuple[Any, torch.Tensor]]) -> dict[str, Any]:
        seen = self.processor.image_processor([row[0] for row in rows], return_tensors="pt")
        return {**seen, "labels": torch.stack([row[1] for row in rows])}


def command(argv: list[str]) -> int:
    """``python -m rft prime FOLDER``"""
    parser = argparse.ArgumentParser(prog="python -m rft prime", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the checkpoint and its progress go")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64, help="pictures a step")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    args = parser.parse_args(argv)
    try:
        print(f"Primed: {prime(args.folder, args.steps, args.batch, args.seed)}")
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
