"""What leaves a run: zip, merged checkpoint, card, Hub; and proof that training had an effect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from rft import checkpoint, export, learner, modelcard, policy, proof, zoo
from rft.config import Config
from rft.errors import CheckpointError, InputError, StudioError
from rft.evaluate import Share
from rft.loading import load_model
from rft.run import Run
from rft.runs import create
from rft.scenes import make
from rft.types import Turn
from tests.hubserver import TOKEN, Hub

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "assets" / "tiny" / "base"
HUB_BASE = "Qwen/Qwen2-VL-2B-Instruct"
NASTY = "Mine </td> | *x* [y](http://z)\n# --- `a` @me"


def report(right: int) -> dict[str, Any]:
    share = Share(right, 4).record()
    answers = [
        {"id": str(i), "kind": "", "question": f"How <many>? {i}", "gold": "2",
         "completion": f"```\n{i}{i < right}", "strict": i < right, "lenient": i < right}
        for i in range(4)
    ]  # fmt: skip
    return {"strict": share, "lenient": share, "format": share, "kinds": {}, "answers": answers}


def run_at(root: Path, **fields: Any) -> Run:
    config = Config(checkpoint="tiny-base", samples=8, **{"method": "grpo", "steps": 9, **fields})
    problems = [make("counting", "train", i, 112) for i in range(8)]
    held = [make("counting", "id", i, 112) for i in range(2)]
    source = {"from": "folder", "path": "/home/somebody/secret/my-set"}
    run = create(root, config, problems, held, title=NASTY, source=source)
    for name, right in (("before", 1), ("after", 3)):
        (run.folder / f"{name}.json").write_text(json.dumps(report(right)))
    metrics = [{"step": i + 1, "stage": "grpo", "reward": 0.1 * i, "loss": None} for i in range(9)]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in metrics))
    (run.folder / "done").write_text(json.dumps({"seconds": 90.0, "steps": 9}))
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the bundled base whose adapter changes every answer. Read only."""
    run = run_at(tmp_path_factory.mktemp("runs"))
    torch.manual_seed(0)
    loaded = load_model(BASE, device="cpu")
    lora = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"],
                      init_lora_weights=False)  # fmt: skip
    adapted = get_peft_model(loaded.model, lora)
    learner.save(learner.Learner(adapted, loaded.processor, BASE), run.final)
    return run


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(trained.folder, tmp_path / "runs" / trained.id))


def rebase(run: Run, base: str) -> None:
    file = run.final / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": base}))


def command(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rft", *map(str, args)], cwd=ROOT, text=True, capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_TOKEN": "", **env},
    )  # fmt: skip


def logits(model: policy.Policy) -> torch.Tensor:
    inputs = model.encode([[Turn("user", "How many?")]], 480_000)
    with torch.no_grad():
        return model.model(**inputs).logits


def test_the_zip_is_a_checkpoint(run: Run, tmp_path: Path) -> None:
    file = export.adapter_zip(run.final)
    assert file == run.folder / "export" / f"{run.id}.zip"
    with zipfile.ZipFile(file) as pack:
        assert pack.testzip() is None
        pack.extractall(tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    names = {f.name for f in folder.iterdir()}
    assert {"adapter_model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert torch.equal(logits(policy.load(folder)), logits(policy.load(run.final)))
    assert export.adapter_zip(run.folder) == file  # and again, over the old one
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_a_merged_checkpoint_needs_no_studio(run: Run, tmp_path: Path) -> None:
    out = export.merge(run.folder, tmp_path / "merged")
    assert {f.suffix for f in out.iterdir()} <= {".safetensors", ".json", ".jinja", ".md"}
    assert not checkpoint.is_adapter(out)
    code = """
import sys, torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
model, info = Qwen2VLForConditionalGeneration.from_pretrained(sys.argv[1], output_loading_info=True)
assert model.dtype is torch.bfloat16 and not info["missing_keys"] and not info["unexpected_keys"]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
asked = [{"role": "user", "content": [{"type": "text", "text": "How many?"}]}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
ids = ids if isinstance(ids, torch.Tensor) else ids["input_ids"]
torch.save(model.float()(input_ids=ids).logits, sys.argv[2])
assert "rft" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(out), str(tmp_path / "logits.pt")],
        cwd=tmp_path, text=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain = torch.load(tmp_path / "logits.pt")
    adapted, base = (logits(policy.load(folder, device="cpu")) for folder in (run.final, BASE))
    rounding = (plain - adapted).abs().max()
    assert rounding < 0.1 * (plain - base).abs().max()  # bfloat16's, not the adapter's loss
    with pytest.raises(InputError, match="exists already"):
        export.merge(run.folder, out)


def test_a_full_fine_tune_leaves_as_whole_weights(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(run.final)
    shutil.copytree(BASE, run.final)
    config = {**json.loads((run.folder / "config.json").read_text()), "rank": 0}
    (run.folder / "config.json").write_text(json.dumps(config))
    with zipfile.ZipFile(export.adapter_zip(run.folder)) as pack:
        assert f"{run.id}/model.safetensors" in pack.namelist()
        card = pack.read(f"{run.id}/README.md").decode()
    assert "PeftModel" not in card and 'library_name: "transformers"' in card
    merged = export.merge(run.folder, tmp_path / "out")
    one, two = (load_file(f / "model.safetensors") for f in (merged, BASE))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_not_to_be_exported(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run"):
        export.adapter_zip(BASE)
    rebase(run, "../start")
    with pytest.raises(CheckpointError, match="export the merged checkpoint"):
        export.adapter_zip(run.folder)
    (run.folder / "done").unlink()
    with pytest.raises(InputError, match="has no finished checkpoint"):
        export.merge(run.folder, tmp_path / "x")
    done = command("export", run.folder, "--zip")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_full_disk_leaves_nothing_half_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StudioError, match=r"needs .* and .* has .* free: make room"):
        export.merge(run.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (run.folder / "export").write_text("a file where the folder should be")
    with pytest.raises(StudioError, match="could not be written"):
        export.adapter_zip(run.folder)


def test_the_card(run: Run) -> None:
    card = modelcard.model_card(export.facts_of(run, merged=False))
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["library_name"] == "peft" and told["license"] == "apache-2.0"
    assert {"counting", "grpo", "lora"} <= set(told["tags"])
    assert "base_model" not in told  # the bundled base is not on the Hub
    assert "secret" not in card and str(run.folder) not in card and str(ROOT) not in card
    assert "my\\-set" in body
    for words in ("| Before | 25.0%", "| After | 75.0%", "2 turned right, 0 turned wrong",
                  "| 1 to 5 | 0.2 |", "| `learning_rate` | `0.0001` |", "in 1.5 minutes",
                  "base = Qwen2VLForConditionalGeneration.from_pretrained('assets/tiny/base'"):  # fmt: skip
        assert words in body, words
    heading = next(line for line in body.splitlines() if line.startswith("# "))
    assert heading == (r"# Mine &lt;/td&gt; \| \*x\* \[y\]\(http&#58;//z\) \# \-\-\- \`a\` &#64;me")
    assert "````text\n```\n1False\n````" in body  # the fence is longer than what it holds
    facts = replace(export.facts_of(run, merged=False), base=HUB_BASE, datasets=("a/b", "no id"))
    front = yaml.safe_load(modelcard.model_card(facts).split("---\n")[1])
    assert (front["base_model"], front["datasets"]) == (HUB_BASE, ["a/b"])


@pytest.mark.parametrize(
    ("checkpoint", "base", "license"),
    [
        ("qwen2-vl-2b", HUB_BASE, "apache-2.0"),
        (HUB_BASE, HUB_BASE, "apache-2.0"),
        ("somebody/else", "somebody/else", None),
        ("/gone/away/mine", None, None),
        ("assets/tiny/base", None, "apache-2.0"),
    ],
)
def test_what_a_card_says_of_its_base(
    run: Run, checkpoint: str, base: str | None, license: str | None
) -> None:
    config = {**json.loads((run.folder / "config.json").read_text()), "checkpoint": checkpoint}
    (run.folder / "config.json").write_text(json.dumps(config))
    card = modelcard.model_card(export.facts_of(run, merged=True))
    told = yaml.safe_load(card.split("---\n")[1])
    assert (told.get("base_model"), told.get("license")) == (base, license)
    assert "/gone" not in card


def test_a_card_says_what_to_ask_with(run: Run) -> None:
    facts = export.facts_of(run, merged=False)
    assert "QUESTION Output the thinking process" in modelcard.model_card(facts)
    bare = replace(facts, config=replace(facts.config, method="ans-sft", sft_steps=5))
    assert "the bare question" in modelcard.model_card(bare)


def test_a_card_of_a_run_that_measured_nothing(run: Run) -> None:
    for name in ("before.json", "after.json", "metrics.jsonl", "done"):
        (run.folder / name).write_text("")
    card = modelcard.model_card(export.facts_of(run, merged=True))
    assert "Not measured" in card and "No curve was recorded" in card
    for broken in ('{"strict": 5}', '{"strict": {"right": "x", "n": 3}, "answers": []}'):
        (run.folder / "after.json").write_text(broken)
        assert "unknown" in modelcard.model_card(export.facts_of(run, merged=True))


@pytest.mark.parametrize("adapter", [True, False])
def test_the_snippet_is_python(adapter: bool) -> None:
    for family in ("qwen2_vl", "qwen2_5_vl", ""):
        code = modelcard.loading_code(family, "o/'base\"", "a\\b", adapter)
        compile(code, "card", "exec")
        import transformers

        names = [n.strip() for n in code.split("transformers import ")[1].split("\n")[0].split(",")]
        assert all(hasattr(transformers, name) for name in names)


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ("/home/me/models/mine", "mine"), ("C:\\Users\\me\\mine", "mine"), ("../start", "start"),
        ("~/mine", "mine"), (HUB_BASE, HUB_BASE), ("tiny-base", "tiny-base"),
    ],
)  # fmt: skip
def test_names_without_this_machines_folders(named: str, shown: str) -> None:
    assert modelcard.public(named) == shown


PUSHES = """
import sys
from rft import publish
from rft.errors import StudioError

run, other, token = sys.argv[1:]
for folder, repo, given in (
    (run, "me/mine", token), (run, "me/empty", token), (run, "me/taken", token),
    (run, "others/mine", token), (run, "busy/mine", token), (run, "me/breaks", token),
    (run, "me/new", "hf_wrong_secret"), (run, "me/new", token + "\\n" + token), (run, "me/new", ""),
    (run, "no id", token), (run, "a--b/c", token), (other, "me/new", token),
):
    try:
        print(repo, "->", publish.push(folder, repo, given))
    except StudioError as error:
        assert error.__cause__ is None, error.__cause__
        print(repo, "!!", error)
"""


def test_push(run: Run, trained: Run, tmp_path: Path) -> None:
    """A real client against a stand-in of the Hub: what arrives, and every refusal's sentence."""
    rebase(run, HUB_BASE)
    home = tmp_path / "hf"
    with Hub() as hub:
        done = subprocess.run(
            [sys.executable, "-c", PUSHES, str(run.folder), str(trained.folder), TOKEN],
            cwd=ROOT, text=True, capture_output=True,
            env={**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "",
                 "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home), "HF_DEBUG": "1"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    for line, words in zip(told, (
        f"-> {hub.address}/me/mine", f"-> {hub.address}/me/empty", "!! me/taken exists already",
        "may not write to others", "asks for a pause", "the upload broke off",
        "does not accept this token", "characters that no token has", "wants a token",
        "'no id' is no Hub id", "is no Hub id", "push the merged checkpoint instead",
    ), strict=True):  # fmt: skip
        assert words in line, told
    assert hub.private["me/mine"]
    pushed = hub.files["me/mine"]
    assert (
        pushed["adapter_model.safetensors"]
        == (run.final / "adapter_model.safetensors").read_bytes()
    )
    assert {"README.md", "adapter_config.json", "tokenizer.json"} <= set(pushed)
    assert f'base_model: "{HUB_BASE}"' in pushed["README.md"].decode()
    assert "from_pretrained(base, 'me/mine')" in pushed["README.md"].decode()
    assert pushed.keys() == hub.files["me/empty"].keys()
    assert len(hub.files["me/taken"]) == 2 and "me/new" not in hub.files
    for text in (done.stdout, done.stderr):
        assert TOKEN not in text and "hf_wrong_secret" not in text
    left = [f for f in (*home.rglob("*"), *run.folder.rglob("*")) if f.is_file()]
    assert not [f for f in left if TOKEN.encode() in f.read_bytes()]
    assert not list(run.folder.glob(".push-*"))


def test_push_merged_from_the_command_line(run: Run, tmp_path: Path) -> None:
    with Hub() as hub:
        done = command(
            "export", run.folder, "--push", "me/whole", "--whole", "--public",
            HF_ENDPOINT=hub.address, HF_HUB_OFFLINE="0", HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1",
            HF_HOME=str(tmp_path / "hf"),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Pushed to {hub.address}/me/whole." in done.stdout
    assert not hub.private["me/whole"]
    assert {"model.safetensors", "config.json", "chat_template.jinja"} <= set(hub.files["me/whole"])
    assert "adapter_config.json" not in hub.files["me/whole"]
    assert TOKEN not in done.stdout + done.stderr


def test_push_without_a_network(run: Run) -> None:
    rebase(run, HUB_BASE)
    offline = command("export", run.folder, "--push", "me/mine", HF_TOKEN=TOKEN)
    assert offline.returncode == 2 and "HF_HUB_OFFLINE is set" in offline.stderr
    away = command("export", run.folder, "--push", "me/mine", HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0",
                   HF_ENDPOINT="http://127.0.0.1:9")  # fmt: skip
    assert away.returncode == 2 and "The Hub is not reachable" in away.stderr
    assert "Traceback" not in offline.stderr + away.stderr
    assert TOKEN not in offline.stderr + away.stderr


def test_the_proof(run: Run) -> None:
    found = proof.record(run.folder)
    assert found.applied and found.max_abs > 0.1 and found.mean_kl > 0 and found.tokens >= 1
    assert "The training is applied" in found.sentence
    written = json.loads((run.folder / "proof.json").read_text())
    assert written["max_abs"] == found.max_abs and written["sentence"] == found.sentence
    weights = run.final / "adapter_model.safetensors"
    still = {n: t * 0 if "lora_B" in n else t for n, t in load_file(weights).items()}
    save_file(still, weights, metadata={"format": "pt"})
    none = proof.record(run.folder)
    assert (none.applied, none.max_abs, none.mean_kl) == (False, 0.0, 0.0)
    assert "Nothing changed" in none.sentence


def test_the_proof_of_a_full_fine_tune(run: Run) -> None:
    shutil.rmtree(run.final)
    shutil.copytree(BASE, run.final)
    weights = run.final / "model.safetensors"
    shrunk = {name: 0.9 * tensor for name, tensor in load_file(weights).items()}
    save_file(shrunk, weights, metadata={"format": "pt"})
    assert proof.start_of(run.final) == BASE
    assert proof.effect(run.final, run.problems("id")[0]).applied
    with pytest.raises(InputError, match="name its start"):
        proof.start_of(BASE)
    rebased = zoo.card_for(str(run.folder))
    assert rebased.family == "qwen2_vl"


def test_the_comparison_by_hand() -> None:
    tuned = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).log()
    start = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    largest, kl, changed = proof.compare(torch.tensor([[0.0, 0.0]]), start[1:].log())
    # KL((1/2, 1/2) ‖ (1/4, 3/4)) = (ln 2 + ln 2/3) / 2 = ln(4/3) / 2
    assert kl == pytest.approx(0.5 * torch.log(torch.tensor(4 / 3)).item(), abs=1e-6)
    assert largest == pytest.approx(1.3863, abs=1e-4) and changed == 1.0
    assert tuned.shape == start.shape
    assert proof.compare(start, start) == (0.0, 0.0, 0.0)
