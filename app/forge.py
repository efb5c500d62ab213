"""What the form of a new run sets off: choosing, judging, bringing data, starting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app import intake, recipes, samples, steps
from app.faults import told
from app.panes import draw
from app.parts import ACTING, PRIVATE, Page
from rft import presets, rehearsal
from rft.errors import InputError, StudioError
from rft.example import example_fault
from rft.presets import apply
from rft.run import Run
from rft.runs import create


def judged(page: Page, kept: Any, draft: Sequence[Any]) -> tuple[str, str]:
    """The preview of the data and what would be run, or what is wrong with either."""
    try:
        chosen = page.sources.choose(kept, *draft[: len(page.data.inputs)])
    except StudioError as error:
        return steps.fault(error), ""
    preview = samples.preview(chosen.train, chosen.heldout, chosen.notes)
    return preview, _costed(page, kept, draft)


def _costed(page: Page, kept: Any, draft: Sequence[Any]) -> str:
    amount = len(page.data.inputs)
    try:
        chosen = page.sources.choose(kept, *draft[:amount])
        config = recipes.config_of(draft[amount:], chosen.task, len(chosen.train))
    except StudioError as error:
        return steps.fault(error)
    return steps.summary(config, chosen, page.engine.memory())


def wire_draft(page: Page) -> None:
    """The form: what is chosen is shown and judged; Start makes a run of it."""
    data, recipe, wires = page.data, page.recipe, page.wires
    amount = len(data.inputs)

    def judge(kept: Any, *draft: Any) -> tuple[str, str]:
        return judged(page, kept, draft)

    def cost(kept: Any, *draft: Any) -> str:
        return _costed(page, kept, draft)

    def preset(name: str, task: Any, method: Any) -> list[Any]:
        config = apply(presets.preset(name), task=task, method=method)
        return [gr.update(value=config.samples, maximum=max(128, config.samples)),
                *recipes.shown(config)]  # fmt: skip

    def of_task(task: Any, name: str) -> list[Any]:
        splits = gr.Dropdown(intake.splits_of(task), value="train")
        return [splits, *recipes.of_task(presets.preset(name), task)]

    def make(kept: Any, title: str, *draft: Any, here: bool) -> Run:
        page.owned()
        chosen = page.sources.choose(kept, *draft[:amount])
        config = recipes.config_of(draft[amount:], chosen.task, len(chosen.train))
        if here and (found := steps.findings(config, chosen, page.engine.memory())):
            raise InputError(" ".join(found))
        source = dict(chosen.source)
        return create(page.root, config, chosen.train, chosen.heldout, title=title, source=source)

    @told
    def begin(kept: Any, seen: Any, title: str, *draft: Any) -> Any:
        run = make(kept, title, *draft, here=True)
        page.start_run(run)
        view = {**kept, "run": run.id, "step": None}
        return [view, "", *draw(page, view, seen)]

    @told
    def prepare(kept: Any, seen: Any, title: str, *draft: Any) -> Any:
        run = make(kept, title, *draft, here=False)
        rehearsal.start(run, probe=False)
        page.spare(run)
        view = {**kept, "run": run.id, "step": None}
        return [view, "", *draw(page, view, seen)]

    asked = [wires.view, wires.seen, page.title, *page.draft]
    answered = [wires.view, page.title, *page.drawn, wires.seen]
    page.start.click(begin, asked, answered, **ACTING)
    page.prepare.click(prepare, asked, answered, **ACTING)
    data.task.input(
        of_task, [data.task, recipe.preset],
        [data.split, *(recipe.control(field.name) for field in recipes.tasks_own())], **PRIVATE,
    )  # fmt: skip
    recipe.preset.input(
        told(preset), [recipe.preset, data.task, recipe.method], [data.k, *recipe.inputs],
        **ACTING,
    )  # fmt: skip
    inputs = [wires.view, *page.draft]
    last: dict[str, Any] = {**PRIVATE, "trigger_mode": "always_last"}
    gr.on(
        [part.change for part in data.inputs], judge, inputs, [data.preview, page.summary], **last
    )
    # The preview stays as it is when only the recipe changes: pictures cost more than words.
    gr.on([part.change for part in recipe.inputs], cost, inputs,
          [page.summary], **last)  # fmt: skip
    fields = list(zip(recipes.FIELDS, recipe.controls, strict=True))
    recipe.method.change(
        lambda method: [
            recipes.note(method), *(gr.update(visible=recipes.used(f.name, method)) for f, _ in fields)
        ],
        [recipe.method], [recipe.note, *recipe.controls], **PRIVATE,
    )  # fmt: skip


def wire_own(page: Page) -> None:
    """Data that a visitor brings: an upload, or examples made in the page."""
    data, view, drafts = page.data, page.wires.view, page.sources.drafts
    answer = [data.preview, page.summary]

    def mine(kept: Any) -> tuple[dict[str, Any], str]:
        page.owned()
        draft = drafts.known((kept or {}).get("draft")) or drafts.new()
        return {**(kept or {}), "draft": draft}, draft

    def shown(kept: dict[str, Any], task: Any) -> str:
        examples = drafts.examples(kept.get("draft"))
        return samples.made(examples, [example_fault(task, item) for item in examples])

    @told
    def receive(kept: Any, files: list[str] | None, *draft: Any) -> Any:
        kept, own = mine(kept)
        if files:
            drafts.receive(own, [Path(file) for file in files])
        return kept, *judged(page, kept, draft)

    @told
    def add(kept: Any, message: dict[str, Any], answer: str, *draft: Any) -> Any:
        kept, own = mine(kept)
        drafts.add(own, [Path(file) for file in message["files"]], message["text"], answer)
        return kept, None, "", shown(kept, draft[1]), *judged(page, kept, draft)

    @told
    def amend(kept: Any, event: gr.EventData, *draft: Any) -> Any:
        kept, own = mine(kept)
        if event.field not in ("question", "answer", "cot"):
            raise InputError("An example has a question, an answer and a chain of thought.")
        drafts.amend(own, int(event.index), **{event.field: str(event.text)})
        return kept, shown(kept, draft[1]), *judged(page, kept, draft)

    @told
    def drop(kept: Any, event: gr.EventData, *draft: Any) -> Any:
        kept, own = mine(kept)
        drafts.drop(own, int(event.index))
        return kept, shown(kept, draft[1]), *judged(page, kept, draft)

    def turned(kept: Any, origin: str, task: Any) -> list[Any]:
        fewer = (
            [gr.update(value=2), shown(kept or {}, task)]
            if origin == "handmade"
            else [gr.skip()] * 2
        )
        return [*intake.visible(origin), *fewer]

    data.upload.change(
        receive, [view, data.upload, *page.draft], [view, *answer],
        api_visibility="private", show_progress="minimal",
    )  # fmt: skip
    filled = [view, data.composer, data.answer, *page.draft]
    emptied = [view, data.composer, data.answer, data.made, *answer]
    data.add.click(add, filled, emptied, **ACTING)
    data.answer.submit(add, filled, emptied, **ACTING)
    data.made.amend(amend, [view, *page.draft], [view, data.made, *answer], **ACTING)
    data.made.drop(drop, [view, *page.draft], [view, data.made, *answer], **ACTING)
    data.origin.change(
        turned, [view, data.origin, data.task],
        [data.task, data.split, data.upload, data.maker, data.k, data.seed, data.heldout, data.made],
        **PRIVATE,
    )  # fmt: skip
