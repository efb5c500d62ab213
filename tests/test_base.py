"""Several models on one base's weights: the tensors exist once, and nobody's logits change."""

from __future__ import annotations

import json
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lora import adapter_of
from safetensors.torch import load_file, save_file

from rft import checkpoint, machine, zoo
from rft.engine import Engine
from rft.errors import CheckpointError
from rft.loading import load_model, load_shared
from rft.policy import Policy
from rft.scenes import make
from rft.tasks import prompt_for
from rft.types import Chunk, Decoding, Progress, Turn

PROBLEM = make("counting", "id", 3)
ASK = [Turn("user", prompt_for("counting", PROBLEM.question), PROBLEM.images)]
SAMPLED = Decoding(temperature=1, seed=3, max_new_tokens=40)


@pytest.fixture(scope="module")
def folders(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A base and three adapters of it that say other things, one with embeddings of its own."""
    root = tmp_path_factory.mktemp("adapters")
    own: list[dict[str, object]] = [{}, {}, {"trainable_token_indices": [959, 961]}]
    made = [adapter_of(tiny, root / f"{seed}", seed, **options) for seed, options in enumerate(own)]
    assert any("tokens_delta" in name for name in load_file(made[2] / "adapter_model.safetensors"))
    return [tiny, *made]


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.release()


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(**policy.encode([ASK], 480_000)).logits


def storages(policy: Policy) -> dict[int, int]:
    tensors = [*policy.model.parameters(), *policy.model.buffers()]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def text(events: list[Progress | Chunk]) -> str:
    return "".join(event.text for event in events if isinstance(event, Chunk))


def test_the_tensors_exist_once_and_the_base_is_the_base(folders: list[Path]) -> None:
    first = load_shared(folders[1])
    assert first.base is not None
    shared = [Policy(load_shared(folder, base=first.base)) for folder in folders]
    alone = [Policy(load_model(folder)) for folder in folders]
    given = [logits(policy) for policy in shared]
    assert torch.equal(given[0], logits(alone[0])), "bit by bit"
    for one, other in zip(given[1:], alone[1:], strict=True):
        torch.testing.assert_close(one, logits(other), atol=1e-4, rtol=1e-4)  # merged or not
    for one in given[1:]:
        assert (one - given[0]).abs().max() > 0.1
    together = {key: n for policy in shared for key, n in storages(policy).items()}
    base, own = first.base.bytes, [policy.bytes - first.base.bytes for policy in shared]
    assert own[0] == 0
    assert sum(together.values()) == base + sum(own)
    assert all(0 < bytes < 0.1 * base for bytes in own[1:])


def test_models_of_one_base_run_at_once(folders: list[Path]) -> None:
    """Each keeps its own positions and its own adapter while the others are in a forward pass."""
    base = load_shared(folders[0]).base
    policies = [Policy(load_shared(folder, base=base)) for folder in folders]
    expected = [(logits(p), p.complete([ASK], SAMPLED)) for p in policies]
    wrong: list[int] = []

    def ask(number: int) -> None:
        policy, (numbers, said) = policies[number], expected[number]
        for _ in range(4):
            streamed = "".join(c.text for c in policy.stream(ASK, SAMPLED, threading.Event()))
            if [streamed] != said or not torch.equal(logits(policy), numbers):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(policies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_half_precision_shares_as_well(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "COMFORT", 0.0)
    base = load_shared(folders[0], device="cpu").base
    adapted = Policy(load_shared(folders[1], base=base))
    assert {p.dtype for p in adapted.model.parameters()} == {torch.bfloat16}
    assert torch.equal(
        logits(Policy(load_shared(folders[0], base=base))),
        logits(Policy(load_model(folders[0], device="cpu"))),
    )


def test_the_weights_go_with_the_last_who_stands_on_them(folders: list[Path]) -> None:
    loaded = load_shared(folders[0])
    beside = load_shared(folders[1], base=loaded.base)
    assert loaded.base is not None
    tensor = weakref.ref(next(loaded.base.model.parameters()).untyped_storage())
    del loaded
    assert tensor() is not None and beside.base is not None
    del beside
    machine.give_back()
    assert tensor() is None


@pytest.mark.parametrize(
    ("change", "shares"),
    [
        ({}, True),
        ({"init_lora_weights": "gaussian"}, True),
        ({"init_lora_weights": "pissa"}, False),
        ({"bias": "all"}, False),
        ({"use_dora": True}, False),
        ({"modules_to_save": ["lm_head"]}, False),
        ({"peft_type": "IA3"}, False),
    ],
)
def test_what_would_change_its_base_does_not_share(
    folders: list[Path], tmp_path: Path, change: dict[str, object], shares: bool
) -> None:
    folder = Path(shutil.copytree(folders[1], tmp_path / "other"))
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert checkpoint.inspect(folder).shares == shares


def test_an_adapter_with_a_trained_bias_is_loaded_by_itself(
    tiny: Path, folders: list[Path], tmp_path: Path
) -> None:
    odd = adapter_of(tiny, tmp_path / "odd", 5, bias="lora_only")
    assert any(name.endswith("bias") for name in load_file(odd / "adapter_model.safetensors"))
    base = load_shared(folders[0])
    before = logits(Policy(base))
    loaded = load_shared(odd, base=base.base)
    assert loaded.base is None
    assert (logits(Policy(loaded)) - before).abs().max() > 0.1
    assert torch.equal(logits(Policy(base)), before)


def test_an_adapter_of_another_base_is_refused_and_the_base_unharmed(
    folders: list[Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders[1], tmp_path / "strange"))
    file = folder / "adapter_model.safetensors"
    save_file({n.replace("v_proj", "w_proj"): t for n, t in load_file(file).items()}, file)
    base = load_shared(folders[0])
    before = logits(Policy(base))
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="does not fit its base"):
        load_shared(folder, base=base.base)
    assert torch.equal(logits(Policy(base)), before)


# --- in the engine ---------------------------------------------------------------------------


def ask(engine: Engine, card: zoo.Card) -> list[Progress | Chunk]:
    return list(engine.stream(card, ASK, SAMPLED, threading.Event()))


def test_three_adapters_fit_where_one_base_does(engine: Engine, folders: list[Path]) -> None:
    cards = [zoo.card_for(str(folder)) for folder in folders]
    expected = []
    for card in cards:
        expected.append(text(ask(engine, card)))
        engine.release()
    ask(engine, cards[2])
    base = engine.loaded()[0].base
    assert base is not None
    engine.budget_bytes = int(1.5 * base.bytes)
    streams = [engine.stream(card, ASK, SAMPLED, threading.Event()) for card in cards]
    events: list[list[Progress | Chunk]] = [[] for _ in cards]
    while any(streams):  # in turn, a token each: all are in memory and under way at once
        for number, stream in enumerate(streams):
            if stream is not None:
                try:
                    events[number].append(next(stream))
                except StopIteration:
                    streams[number] = None  # type: ignore[call-overload]
    assert [text(one) for one in events] == expected
    assert {resident.base for resident in engine.loaded()} == {base}
    assert len(engine.loaded()) == 4
    spent = engine.memory().main - machine.memory().main
    assert spent < 1.5 * base.bytes + 10**8  # other programs allocate as well


def test_the_base_may_leave_before_its_adapters(engine: Engine, folders: list[Path]) -> None:
    whole, adapter = (zoo.card_for(str(folder)) for folder in folders[:2])
    ask(engine, whole)
    said = text(ask(engine, adapter))
    kept = engine.loaded()[0].base
    engine.release(whole.id)
    assert [r.card_id for r in engine.loaded()] == [adapter.id]
    assert text(ask(engine, adapter)) == said
    back = ask(engine, whole)
    assert engine.loaded()[0].base == kept and text(back)


def test_a_base_written_anew_is_loaded_anew_for_all(
    engine: Engine, folders: list[Path], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(folders[0], tmp_path / "base"))
    adapter = Path(shutil.copytree(folders[1], tmp_path / "adapter"))
    file = adapter / "adapter_config.json"
    named = json.loads(file.read_text()) | {"base_model_name_or_path": str(base)}
    file.write_text(json.dumps(named))
    cards = [zoo.card_for(str(folder)) for folder in (base, adapter)]
    before = [text(ask(engine, card)) for card in cards]
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.0.mlp.down_proj.weight"))
    weights[name] = weights[name] + 1
    save_file(weights, tmp_path / "new", metadata={"format": "pt"})
    (tmp_path / "new").rename(base / "model.safetensors")
    assert text(ask(engine, cards[1])) != before[1]
    assert text(ask(engine, cards[0])) != before[0]
    assert len({resident.base for resident in engine.loaded()}) == 1
