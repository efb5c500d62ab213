"""A finished run as something to take away: a zip, a merged checkpoint, with its model card.

Reads run folders and writes copies; a run itself is left as it is. Putting it on the Hub is the
business of rft.publish. torch is imported where weights are merged, and only there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rft import checkpoint, hub, machine, place, zoo
from rft.cards import REPO
from rft.errors import CheckpointError, InputError, StudioError, disk_full
from rft.finished import card as finished_card
from rft.finished import run_of
from rft.modelcard import STUDIO, Facts, model_card, public
from rft.run import Run
from rft.series import number

#: What leaves with a checkpoint: weights and texts, never pickles, and no card but ours.
PATTERNS = (*hub.WEIGHTS, *hub.TEXTS)
#: Texts that describe the weights as they are stored: a merge writes its own.
_OF_WEIGHTS = (checkpoint.ADAPTER_CONFIG, checkpoint.INDEX, "config.json")
#: Bytes beyond the weights that a merge may need on disk: tokenizer, configuration.
_MARGIN = 50_000_000


def finished_run(folder: Path | str) -> Run:
    """The finished run of a folder (its own, or its ``final``); InputError where it is none."""
    path = Path(folder).expanduser().absolute()
    run = run_of(path)
    if run is None:
        raise InputError(f"{folder} is no run: give the folder of a finished run.")
    finished_card(run)
    checkpoint.inspect(run.final)
    return run


def adapter_zip(run_folder: Path | str) -> Path:
    """Pack the run's checkpoint (its adapter, or all weights) and its card; return the file.

    CheckpointError where the adapter's base exists in this run alone: then only the merged
    checkpoint means anything elsewhere.
    """
    run = finished_run(run_folder)
    base = checkpoint.inspect(run.final).base
    if base is not None and base.startswith("."):
        raise CheckpointError(
            f"The adapter's base was made for the run “{run.title}” and exists nowhere else: "
            "export the merged checkpoint instead."
        )
    out = run.folder / "export" / f"{run.id}.zip"
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(part, "w") as pack:
            for file in files_of(run.final):
                weights = file.suffix == ".safetensors"  # noise to a compressor
                kind = zipfile.ZIP_STORED if weights else zipfile.ZIP_DEFLATED
                pack.write(file, f"{run.id}/{file.name}", kind)
            card = model_card(facts_of(run, merged=False))
            pack.writestr(f"{run.id}/README.md", card, zipfile.ZIP_DEFLATED)
        os.replace(part, out)
    except OSError as error:
        raise _unwritten(out, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return out


def merge(run_folder: Path | str, out: Path | str) -> Path:
    """Write the run's checkpoint as whole weights, which plain transformers loads; its folder.

    bfloat16 safetensors, processor files, chat template and card. ``out`` must be new or empty.
    """
    run, target = finished_run(run_folder), Path(out).expanduser().absolute()
    draft = target.with_name(f"{target.name}.part")
    for taken in (target, draft):
        if taken.exists() and (not taken.is_dir() or any(taken.iterdir())):
            raise InputError(f"{taken} exists already: choose a new folder.")
    needed = 2 * zoo.card_for(str(run.folder)).parameters + _MARGIN
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise _unwritten(target, error) from error
    if needed > free:
        raise StudioError(
            f"The merged checkpoint needs {machine.gb(needed)} and {target.parent} has "
            f"{machine.gb(free)} free: make room, or choose another disk."
        )
    import torch
    from safetensors import SafetensorError

    from rft.loading import load_model

    loaded = load_model(run.final, device="cpu")
    try:
        loaded.model.to(torch.bfloat16).save_pretrained(draft)  # type: ignore[arg-type]
        loaded.processor.tokenizer.save_pretrained(draft)
        loaded.processor.image_processor.save_pretrained(draft)
        for file in files_of(run.final):  # the chat template, and whatever else describes it
            if file.suffix != ".safetensors" and file.name not in _OF_WEIGHTS:
                shutil.copyfile(file, draft / file.name)
        card = model_card(facts_of(run, merged=True))
        (draft / "README.md").write_text(card, encoding="utf-8")
        if target.exists():
            target.rmdir()
        draft.rename(target)
    except (OSError, SafetensorError) as error:
        raise _unwritten(target, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def files_of(folder: Path) -> list[Path]:
    """What leaves with a checkpoint folder, by name."""
    kept = [f for f in sorted(folder.iterdir()) if f.is_file()]
    return [f for f in kept if any(fnmatch(f.name, pattern) for pattern in PATTERNS)]


def facts_of(run: Run, *, merged: bool) -> Facts:
    """What the card tells of a run. ``merged``: of its merged checkpoint, not its adapter."""
    config, inside = run.config, checkpoint.inspect(run.final)
    adapter = inside.base is not None and not merged
    named = inside.base if adapter and inside.base else config.checkpoint
    folder = place.folder(named, run.final)
    start = next(
        (c for c in zoo.cards() if named in (c.id, c.where) or (folder and c.folder == folder)),
        None,
    )
    if start is not None and REPO.fullmatch(start.where):
        named = start.where
    after = run.after()
    share = (after or {}).get("strict")
    done = _read_done(run)
    return Facts(
        title=run.title,
        config=config,
        family=zoo.card_for(str(run.folder)).family,
        base=named,
        adapter=adapter,
        metrics=run.metrics(),
        heldout=run.heldout(),
        before=run.before(),
        after=after,
        trained=config.samples,
        held=int(number(share.get("n")) or 0) if isinstance(share, Mapping) else 0,
        seconds=number(done.get("seconds")),
        license="apache-2.0" if start is not None and start.bundled else "",
        source=_source(run),
    )


def _read_done(run: Run) -> dict[str, Any]:
    try:
        return checkpoint.read_json(run.folder / "done")
    except CheckpointError:
        return {}  # an empty or older mark says no less that it is done


def _source(run: Run) -> str:
    """Where the problems are from, without the folders of this machine."""
    source = run.about["source"]
    if run.config.data != "run":
        return f"the curriculum {run.config.data}"
    if source.get("from") == "bundled":
        return f"drawn by {STUDIO}: split {source.get('split')}, seed {source.get('seed')}"
    if source.get("from") == "folder":
        return f"from the data set {public(str(source.get('path')))}"
    return "made by hand" if source.get("from") == "handmade" else ""


def _unwritten(out: Path, error: Exception) -> StudioError:
    told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    why = "the disk is full: make room" if disk_full(error) else f"{told}: choose a folder of yours"
    return StudioError(f"{out} could not be written ({why}).")


def command(argv: list[str]) -> int:
    """``python -m rft export RUN --zip | --merged OUT | --push OWNER/NAME``"""
    parser = argparse.ArgumentParser(
        prog="python -m rft export", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--zip", action="store_true", help="pack its adapter (or weights) and card")
    parser.add_argument("--merged", type=Path, metavar="OUT", help="write whole weights into OUT")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload to the Hub with the token in HF_TOKEN"
    )
    parser.add_argument("--public", action="store_true", help="with --push: for everybody to see")
    parser.add_argument("--whole", action="store_true", help="with --push: merged, not the adapter")
    args = parser.parse_args(argv)
    if not (args.zip or args.merged or args.push):
        parser.error("say what to make: --zip, --merged OUT or --push OWNER/NAME")
    try:
        if args.zip:
            print(f"Written to {adapter_zip(args.run)}.")
        if args.merged:
            print(f"Written to {merge(args.run, args.merged)}.")
        if args.push:
            from rft.publish import push

            address = push(args.run, args.push, private=not args.public, merged=args.whole)
            print(f"Pushed to {address}.")
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
