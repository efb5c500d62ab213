"""Loading: dtype by what fits, adapters applied, broken weights refused. Real folders."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLForConditionalGeneration,
)

from rft import machine, policy, zoo
from rft.errors import CheckpointError, MemoryShort
from rft.loading import fitting_dtype
from rft.types import Decoding, Turn

ASK = [Turn("user", "How many?")]
GREEDY = Decoding(temperature=0, max_new_tokens=8)


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.fixture
def adapter(tiny: Path, tmp_path: Path) -> Path:
    """A LoRA folder whose weights change every answer."""
    torch.manual_seed(0)
    base = Qwen2VLForConditionalGeneration.from_pretrained(tiny)
    lora = LoraConfig(
        r=4, lora_alpha=400, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    get_peft_model(base, lora).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def rewrite(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    file = folder / "model.safetensors"
    weights = {**load_file(file), **change}
    save_file({k: v for k, v in weights.items() if v is not None}, file, metadata={"format": "pt"})


def test_missing_weights_are_not_filled_with_noise(copy: Path) -> None:
    name = next(name for name in load_file(copy / "model.safetensors") if "mlp" in name)
    rewrite(copy, {name: None})
    with pytest.raises(CheckpointError, match="lacks 1 of its weights"):
        policy.load(copy)


def test_weights_of_another_shape(copy: Path) -> None:
    name = next(name for name in load_file(copy / "model.safetensors") if "norm" in name)
    rewrite(copy, {name: torch.zeros(3)})
    with pytest.raises(CheckpointError, match="fetch or save it again"):
        policy.load(copy)


def test_a_broken_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer"):
        policy.load(copy)


def test_processor_files_missing_and_no_base_to_lend_them(copy: Path) -> None:
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="Qwen/Qwen2-VL-2B-Instruct"):
        policy.load(copy)


def test_a_chat_template_in_the_older_place(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="chat template"):
        policy.load(copy)
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert policy.load(copy).complete([ASK], GREEDY)


def test_nothing_there() -> None:
    for where in ("nobody/nothing", "/no/such/folder", "word", "~nobody-here/x"):
        with pytest.raises(CheckpointError, match="check the path"):
            policy.load(where)


def test_the_other_family(tiny: Path, tmp_path: Path) -> None:
    """A Qwen2.5-VL of random weights, with the tiny tokenizer: the same code runs it."""
    theirs = json.loads((tiny / "config.json").read_text())
    vision = {
        "depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 96,
        "out_hidden_size": theirs["text_config"]["hidden_size"], "fullatt_block_indexes": [1],
        "spatial_merge_size": theirs["vision_config"]["spatial_merge_size"],
    }  # fmt: skip
    tokens = {name: theirs[name] for name in theirs if name.endswith("_token_id")}
    config = Qwen2_5_VLConfig(
        text_config={**theirs["text_config"], "model_type": "qwen2_5_vl_text"},
        vision_config=vision, tie_word_embeddings=True, **tokens,
    )  # fmt: skip
    folder = Path(shutil.copytree(tiny, tmp_path / "other"))
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    assert zoo.card_for(str(folder)).family == "qwen2_5_vl"
    model = policy.load(folder)
    asked = [Turn("user", "How many?", (Image.new("RGB", (120, 90), "red"),))]
    alone = [model.complete([turns], GREEDY)[0] for turns in (asked, ASK)]
    assert model.complete([asked, ASK], GREEDY) == alone
    streamed = model.stream(asked, GREEDY, threading.Event())
    assert "".join(chunk.text for chunk in streamed) == alone[0]


def test_an_adapter_is_applied(tiny: Path, adapter: Path) -> None:
    plain, adapted = policy.load(tiny), policy.load(adapter)
    assert adapted.bytes == plain.bytes
    inputs = plain.encode([ASK], 480_000)
    with torch.no_grad():
        difference = plain.model(**inputs).logits - adapted.model(**inputs).logits
    assert difference.abs().max() > 0.1
    card = zoo.card_for(str(adapter))
    assert card.family == "qwen2_vl"
    assert card.parameters > zoo.card_for(str(tiny)).parameters


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_an_adapter_that_fits_nothing_is_refused(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    renamed = {name.replace("v_proj", "w_proj"): t for name, t in load_file(file).items()}
    save_file(renamed, file)
    with pytest.raises(CheckpointError, match="does not fit its base"):
        policy.load(adapter)


def test_an_adapter_of_an_adapter(adapter: Path) -> None:
    file = adapter / "adapter_config.json"
    config = {**json.loads(file.read_text()), "base_model_name_or_path": str(adapter)}
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="adapter"):
        policy.load(adapter)


def test_dtype_on_a_cpu_by_what_fits() -> None:
    cpu, free = torch.device("cpu"), machine.memory().main
    assert fitting_dtype(cpu, 3_000_000, "tiny") is torch.float32
    assert fitting_dtype(cpu, int(0.3 * free), "large") is torch.bfloat16
    with pytest.raises(MemoryShort, match=r"needs .* GB, this machine has .* free"):
        fitting_dtype(cpu, free, "huge")


def test_a_cpu_that_calculates_in_bf16_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, flags in (("old", "avx2 avx512f"), ("new", "avx512_bf16 amx")):
        (tmp_path / name).write_text(f"flags\t\t: fpu {flags}\n")
    assert machine.bf16_cpu(tmp_path / "new")
    assert not machine.bf16_cpu(tmp_path / "old") and not machine.bf16_cpu(tmp_path / "none")
    for able in (False, True):
        monkeypatch.setattr(machine, "bf16_cpu", lambda able=able: able)
        assert machine.cpu_weight_bytes(10**9, 10**11) == (2 if able else 4) * 10**9
        assert machine.cpu_weight_bytes(10**6, 10**11) == 4 * 10**6, "small ones stay exact"


def test_what_is_in_memory_needs_its_file_no_more(copy: Path) -> None:
    """Written over in place: mapped weights would change, or end the process."""
    model = policy.load(copy, device="cpu")
    assert model.dtype is torch.float32  # as in the file
    said = model.complete([ASK], GREEDY)
    (copy / "model.safetensors").write_bytes(b"")
    assert model.complete([ASK], GREEDY) == said


HOLES = """
import psutil, torch
from rft import machine

machine.keep_no_holes()
held = psutil.Process().memory_info
before, kept = held().rss, []
for _ in range(30):  # as layers whose inputs are kept, and no more of them
    x = torch.ones(1_000_000)
    for _ in range(6):
        a = x + 1
        b = a * 2
        c = a + b
        x = c - b
    kept.append(x)
print((held().rss - before) / sum(x.nbytes for x in kept))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc's memory")
def test_between_what_is_kept_nothing_is_lost() -> None:
    """glibc left to itself takes twice as much."""
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    assert 1.0 <= float(done.stdout) < 1.3


def test_bf16_answers_on_a_cpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMFORT", 0.0)
    model = policy.load(tiny, device="cpu")
    assert model.dtype is torch.bfloat16
    assert model.complete([ASK], GREEDY)
