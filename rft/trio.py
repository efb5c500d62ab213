"""``python -m rft bench compare``: what it costs to ask three checkpoints, and many problems.

Three of one base together against the three in turn; problems in batches against one by one; the
memory of a base with three adapters against that of three models. The adapters are drawn at
random, so small that they answer much as their base does. Each measurement is a ratio from one
run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import LoraConfig, get_peft_model

from rft import machine, zoo
from rft.answering import Answerer, batch_for, batched
from rft.config import TARGETS
from rft.engine import Engine
from rft.errors import StudioError
from rft.loading import Loaded, load_model, load_shared
from rft.plan import held
from rft.policy import Policy
from rft.scenes import make
from rft.tasks import prompt_for
from rft.types import Chunk, Decoding, Turn

ADAPTERS = 3
GREEDY = Decoding(temperature=0.0, max_new_tokens=256)
#: Of the adapters' factors: what they add is far below what their base says.
FAINT = 1e-3


def conversation(number: int) -> list[Turn]:
    """One counting question about a scene of its own."""
    problem = make("counting", "id", number)
    return [Turn("user", prompt_for("counting", problem.question), problem.images)]


def adapters(base: Path, home: Path, rank: int) -> list[Path]:
    """Adapters of the base on the layers that runs train."""
    made = []
    for seed in range(ADAPTERS):
        torch.manual_seed(seed)
        lora = LoraConfig(r=rank, target_modules=list(TARGETS), init_lora_weights=False)
        adapted = get_peft_model(load_model(base, device="cpu").model, lora)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data *= FAINT
        adapted.save_pretrained(str(home / f"adapter-{seed}"))
        made.append(home / f"adapter-{seed}")
    return made


def together(cards: list[zoo.Card], rounds: int) -> dict[str, Any]:
    """Wall-clock seconds of a question to all at once, and to one after the other."""
    engine = Engine()
    seconds: dict[str, list[float]] = {"together": [], "in turn": []}
    same = True
    for number in range(-1, rounds):  # the first loads and warms up
        order = list(seconds) if number % 2 else [*seconds][::-1]
        said = {}
        for way in order:
            start = time.perf_counter()
            said[way] = _ask(engine, cards, conversation(number + 1), at_once=way == "together")
            if number >= 0:
                seconds[way].append(time.perf_counter() - start)
        same = same and said["together"] == said["in turn"]
    return {
        "together_s": statistics.median(seconds["together"]),
        "in_turn_s": statistics.median(seconds["in turn"]),
        "ratio": statistics.median(
            a / b for a, b in zip(seconds["together"], seconds["in turn"], strict=True)
        ),
        "same_answers": same,
        "memory_mb": held(engine.loaded()) / 1e6,
    }


def _ask(
    engine: Engine, cards: list[zoo.Card], turns: list[Turn], *, at_once: bool
) -> dict[str, str]:
    said: dict[str, str] = {}

    def ask(card: zoo.Card) -> None:
        events = engine.stream(card, turns, GREEDY, threading.Event())
        said[card.id] = "".join(event.text for event in events if isinstance(event, Chunk))

    threads = [threading.Thread(target=ask, args=(card,)) for card in cards]
    for thread in threads:
        thread.start()
        if not at_once:
            thread.join()
    for thread in threads:
        thread.join()
    return said


def throughput(card: zoo.Card, problems: int, single: int) -> dict[str, Any]:
    """Problems a second in the batches of an evaluation, and one by one."""
    policy = Policy(load_model(zoo.folder_of(card) or card.where))
    batch = batch_for(card.parameters)
    asked = [conversation(number) for number in range(problems)]
    _answers(batched(policy, batch), asked[: min(2, problems)])
    fast, some = _answers(batched(policy, batch), asked)
    slow, one = _answers(batched(policy, 1), asked[:single])
    return {
        "batch": batch,
        "batched_per_s": problems / fast,
        "one_by_one_per_s": len(one) / slow,
        "ratio": problems / fast / (len(one) / slow),
        "same_answers": statistics.mean(some[n] == text for n, text in one.items()),
    }


def _answers(answer: Answerer, asked: list[list[Turn]]) -> tuple[float, dict[int, str]]:
    """Seconds, and what was answered to which."""
    start = time.perf_counter()
    said: dict[int, str] = {}
    for some in answer(asked, GREEDY, [0] * len(asked), threading.Event()):
        said |= some
    return time.perf_counter() - start, said


def memory(base: Path, made: list[Path]) -> dict[str, float]:
    """Megabytes of weights, and of resident memory of a process that holds nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as own:
        ways = {
            "base": own.submit(_held, base, [], True),
            "base_and_adapters": own.submit(_held, base, made, True),
            "models": own.submit(_held, base, made, False),
        }
        found = {name: way.result() for name, way in ways.items()}
    alone, more, models = (found[name][0] for name in ways)
    sizes = {f"{name}_mb": weights / 1e6 for name, (weights, _) in found.items()}
    resident = {f"{name}_resident_mb": grown / 1e6 for name, (_, grown) in found.items()}
    return {
        **sizes,
        **resident,
        "each_adapter": (more - alone) / len(made) / alone,
        "ratio": more / models,
    }


def _held(base: Path, made: list[Path], shared: bool) -> tuple[int, int]:
    """(Bytes of weights, growth of the process) of models that are ready to answer."""
    policies = [Policy(load_model(base))]  # what the libraries take, once
    policies.clear()
    machine.give_back()
    process = psutil.Process()
    before = process.memory_info().rss
    loaded: list[Loaded] = []
    if shared:
        loaded.append(load_shared(base))
        loaded += [load_shared(folder, base=loaded[0].base) for folder in made]
    else:
        loaded += [load_model(folder) for folder in made]
    policies = [Policy(one) for one in loaded]
    grown = process.memory_info().rss - before
    tensors = [t for p in policies for t in (*p.model.parameters(), *p.model.buffers())]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values()), grown


def command(argv: list[str]) -> int:
    """``python -m rft bench compare [--checkpoint tiny-base] [--out FILE] …``"""
    parser = argparse.ArgumentParser(prog="python -m rft bench compare", description=__doc__)
    parser.add_argument("--checkpoint", default="tiny-base", help="a whole one")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    parser.add_argument("--rounds", type=int, default=10, help="questions asked either way")
    parser.add_argument("--problems", type=int, default=256, help="evaluated in batches")
    parser.add_argument("--single", type=int, default=32, help="of them, evaluated one by one")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    try:
        card = zoo.card_for(args.checkpoint)
        folder = zoo.folder_of(card)
        if folder is None:
            parser.error(f"{card.title} is not on this machine: download it in the app first.")
        with tempfile.TemporaryDirectory() as home:
            made = adapters(folder, Path(home), args.rank)
            panes = [card, *(zoo.card_for(str(adapter)) for adapter in made[:2])]
            found: dict[str, Any] = {
                "checkpoint": args.checkpoint,
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
                "threads": torch.get_num_threads(),
                "three panes": together(panes, max(1, args.rounds)),
                "evaluation": throughput(card, args.problems, min(args.single, args.problems)),
                "memory": memory(folder, made),
            }
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(_table(found))
    if args.out:
        args.out.write_text(json.dumps({**found, "rank": args.rank}, indent=2) + "\n")
    return 0


def _table(found: dict[str, Any]) -> str:
    three, batches, sizes = found["three panes"], found["evaluation"], found["memory"]
    same = "the same answers" if three["same_answers"] else "OTHER ANSWERS"
    return "\n".join(
        (
            f"{found['checkpoint']} on {found['device']}, threads: {found['threads']}",
            f"three panes   together {three['together_s']:.2f} s, in turn "
            f"{three['in_turn_s']:.2f} s: {three['ratio']:.2f}, {same}",
            f"evaluation    {batches['batched_per_s']:.2f} problems/s in batches of "
            f"{batches['batch']}, {batches['one_by_one_per_s']:.2f} one by one: "
            f"{batches['ratio']:.1f} times, {batches['same_answers']:.0%} the same answers",
            f"memory        base {sizes['base_mb']:.1f} MB, with {ADAPTERS} adapters "
            f"{sizes['base_and_adapters_mb']:.1f} MB ({sizes['each_adapter']:+.1%} each), "
            f"{ADAPTERS} models {sizes['models_mb']:.1f} MB: {sizes['ratio']:.2f}",
            f"  resident    {sizes['base_resident_mb']:.1f} MB, "
            f"{sizes['base_and_adapters_resident_mb']:.1f} MB, "
            f"{sizes['models_resident_mb']:.1f} MB",
        )
    )
