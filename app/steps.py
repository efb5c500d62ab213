"""What the three steps say, as HTML: the form's opening, its judgement, a made run's summary."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict

from app.host import Host
from app.icons import icon
from app.markup import plain
from app.recipes import METHODS
from app.samples import preview
from rft import zoo
from rft.anatomy import Anatomy, anatomy_of
from rft.config import VERSION, Config
from rft.dataset import Chosen
from rft.errors import StudioError
from rft.estimate import estimate
from rft.machine import Memory, has_gpu
from rft.preflight import check, command_line
from rft.run import Run
from rft.tasks import TASKS

WELCOME = (
    "<h1>Teach a checkpoint from a handful of examples</h1>"
    "<p>Choose examples and a recipe, press Start, and watch the rewards. A run goes on when this "
    "page is closed.</p>"
)

FIGURE = (
    '<div class="figure" hidden><header><p class="axis"></p><label class="smooth">Smoothing '
    '<input type="range" min="0" max="0.95" step="0.05"></label></header>'
    '<div class="plotbox"><div class="wide"></div><p class="waiting hint" hidden>The curves begin '
    'with the first step.</p></div><div class="small"></div></div>'
)
SLIDER = (
    '<div class="controls" hidden><h2>Rollouts</h2><input class="steps" type="range" min="0" '
    'step="1" aria-label="Step"><output></output><button class="plain follow" '
    'title="Show each new step as it comes">Latest</button><label>Sort <select>'
    '<option value="advantage">best first</option><option value="worst">worst first</option>'
    '<option value="length">longest first</option><option value="order">as sampled</option>'
    '</select></label><input type="search" placeholder="Search this step" '
    'aria-label="Search this step"></div>'
)


def checkpoints() -> list[tuple[str, str]]:
    """Cards to start from, those of this machine first."""
    cards = sorted(zoo.cards(), key=lambda card: not card.bundled)
    return [(card.title, card.id) for card in cards]


def fault(error: StudioError) -> str:
    """A sentence in the place of what could not be made."""
    return f'<p class="trouble" role="alert">{plain(str(error))}</p>'


def off(host: Host) -> str:
    """Why nothing can be started here."""
    return f'<p class="trouble" role="note">{plain(host.why)}</p>'


def summary(config: Config, chosen: Chosen, free: Memory) -> str:
    """What Start would do, and what it will cost where so much memory can be had."""
    rows = [("Learns from", f"{len(chosen.train)} {TASKS[config.task].title.lower()} problems"),
            ("Measured on", f"{len(chosen.heldout)} held-out problems")]  # fmt: skip
    if config.reinforced:
        many = config.steps * config.batch * config.generations
        rows.append(("Samples", f"{many:,} completions"))
    facts = "".join(f"<div><dt>{plain(k)}</dt><dd>{plain(v)}</dd></div>" for k, v in rows)
    return f'<dl class="cost">{facts}</dl>{_cost(config, chosen, free)}{exact(config)}'


def findings(config: Config, chosen: Chosen, free: Memory) -> list[str]:
    """What to change before this can be started; StudioError where the checkpoint is not here."""
    return check(config, chosen, _sizes(config.checkpoint), free)


def _cost(config: Config, chosen: Chosen, free: Memory) -> str:
    try:
        if told := findings(config, chosen, free):
            return "".join(f'<p class="trouble" role="alert">{plain(line)}</p>' for line in told)
        found = estimate(config, _sizes(config.checkpoint), free, problems=chosen.train,
                         heldout=len(chosen.heldout))  # fmt: skip
    except StudioError as error:  # the checkpoint is not here, or is none
        return fault(error)
    if not found.fits:
        return f'<p class="trouble" role="alert">{plain(found.sentence)}</p>'
    return f'<p class="estimate"><b>Estimate</b> {plain(found.sentence)}</p>'


@functools.lru_cache(maxsize=1)
def _gpu() -> bool:
    return has_gpu()


@functools.lru_cache(maxsize=16)
def _sizes(checkpoint: str) -> Anatomy:
    return anatomy_of(checkpoint)


def exact(config: Config, command: str = "") -> str:
    """The whole config, to copy and to save; and the command that does the same."""
    text = json.dumps({"version": VERSION, **asdict(config)}, indent=2)
    line = (
        f'<h4>Without the page</h4><pre class="command">{plain(command)}</pre>' if command else ""
    )
    return (
        '<details class="exact" data-fold="exact"><summary>The exact config</summary>'
        f'<p class="row"><button class="plain" data-do="copy" data-text="{plain(text)}" '
        f'data-words="Copy">{icon("copy")}Copy</button><button class="plain" data-do="keep" '
        f'data-name="config.json" data-text="{plain(text)}">{icon("save")}Download</button></p>'
        f"<pre>{plain(text)}</pre>{line}</details>"
    )


def strip(run: Run, config: Config) -> str:
    """Data and recipe of a run that was made: one line each, all of it on demand."""
    thumbs, amounts = _problems(run)
    told = f"{METHODS[config.method]}, {config.total_steps} steps"
    if config.reinforced:
        told += f" of {config.batch} × {config.generations} completions"
    commands = "\n".join(
        command_line(config, run.folder, n, gpu=_gpu()) for n in (1, 2) if config.batch % n == 0
    )
    name = plain(run.id)
    return (
        f'<details class="step" data-fold="data-{name}"><summary><b>1</b>Data <span>{amounts}'
        f'</span></summary><div class="inside thumbs">{thumbs}</div></details>'
        f'<details class="step" data-fold="recipe-{name}"><summary><b>2</b>Recipe <span>'
        f'{plain(told)}</span></summary><div class="inside">'
        f"{exact(config, commands)}</div></details>"
    )


def _problems(run: Run) -> tuple[str, str]:
    data = run.folder / "data"
    try:
        return _read(run, data.stat().st_mtime_ns)
    except (StudioError, OSError):
        return "", "no data folder"


@functools.lru_cache(maxsize=16)
def _read(run: Run, _: int) -> tuple[str, str]:
    train, heldout = run.problems("train"), run.problems("id")
    title = TASKS[run.config.task].title.lower()
    return preview(train, heldout), plain(f"{len(train)} of {title}, {len(heldout)} held out")
