"""How the studio looks: palette, stage and reward colours, the Gradio theme.

The one place where a colour is written. CSS and figures read it from here, so a stage has the
same colour on a badge, a curve and a bar. Knows no component and no handler.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rft.types import Stage

if TYPE_CHECKING:
    from gradio.themes import Base

ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class Look:
    """The name a stage or reward goes by, its colour, and its class name in CSS."""

    name: str
    colour: str
    slug: str


#: Colour-blind-safe (Okabe and Ito); as fills and rules only, text stays in ink for contrast.
STAGES: dict[Stage, Look] = {
    "base": Look("Base", "#8A8F98", "base"),
    "ans-sft": Look("ANS-SFT", "#56B4E9", "ans-sft"),
    "cot-sft": Look("CoT-SFT", "#0072B2", "cot-sft"),
    "zero": Look("Zero", "#E69F00", "zero"),
    "sft+grpo": Look("SFT+GRPO", "#D55E00", "sft-grpo"),
}
UNKNOWN_STAGE = Look("Checkpoint", "#8A8F98", "base")

REWARDS: dict[str, Look] = {
    "total": Look("total", "var(--ink)", "total"),
    "accuracy": Look("accuracy", "#009E73", "accuracy"),
    "format": Look("format", "#CC79A7", "format"),
    "function": Look("function", "#1B9E9E", "function"),
}

LIGHT = {
    "paper": "#F6F6F3",
    "surface": "#FFFFFF",
    "sunk": "#EFEFEB",
    "ink": "#1C1F26",
    "soft": "#5A616D",
    "line": "#E1E1DC",
    "edge": "#C9CAC5",
    "right": "#00694C",
    "right-wash": "#E2F3EC",
    "wrong": "#A3311F",
    "wrong-wash": "#F9E9E4",
    "focus": "#0072B2",
    "mark": "#D6006F",  # over images, so the same by day and by night
    "mark-halo": "#FFFFFF",
    "shadow": "0 1px 2px rgb(28 31 38 / 5%), 0 6px 20px rgb(28 31 38 / 6%)",
}
DARK = {
    "paper": "#131518",
    "surface": "#1B1E23",
    "sunk": "#23272D",
    "ink": "#E7E8EB",
    "soft": "#A0A6B1",
    "line": "#2C3138",
    "edge": "#434A54",
    "right": "#5FD3AC",
    "right-wash": "#16322A",
    "wrong": "#F29A86",
    "wrong-wash": "#3A211C",
    "focus": "#56B4E9",
    "mark": "#D6006F",
    "mark-halo": "#FFFFFF",
    "shadow": "0 1px 2px rgb(0 0 0 / 30%), 0 6px 20px rgb(0 0 0 / 22%)",
}

# The system's own fonts by name: what bare "system-ui" means on Linux is anybody's guess.
FONT: tuple[str, ...] = (
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Ubuntu",
    "Cantarell",
    "Noto Sans",
    "Liberation Sans",
    "system-ui",
    "sans-serif",
)
MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Liberation Mono", "monospace")


def stage_look(stage: Stage | None) -> Look:
    """The look of a stage; of a checkpoint whose stage is not known, the base's grey."""
    return STAGES[stage] if stage is not None else UNKNOWN_STAGE


def reward_look(name: str) -> Look:
    """The look of a reward; variants of one (``function_full``) share its colour."""
    for key, look in REWARDS.items():
        if name.startswith(key):
            return Look(name, look.colour, look.slug)
    return Look(name, "var(--soft)", "other")


def variables() -> str:
    """The palette as CSS custom properties, light and dark."""
    stages = [f"--stage-{look.slug}: {look.colour}" for look in STAGES.values()]
    rewards = [f"--reward-{look.slug}: {look.colour}" for look in REWARDS.values()]
    light = [f"--{name}: {value}" for name, value in LIGHT.items()]
    dark = [f"--{name}: {value}" for name, value in DARK.items()]
    always = [*light, *stages, *rewards, f"--font-text: {_families(FONT)}"]
    always.append(f"--font-code: {_families(MONO)}")
    return f":root {{ {'; '.join(always)} }}\n.dark {{ {'; '.join(dark)} }}\n"


def css() -> str:
    """The whole style sheet: variables, then the sheets in assets."""
    sheets = [
        (ASSETS / name).read_text(encoding="utf-8")
        for name in (
            "style.css",
            "train.css",
            "compare.css",
            "overlay.css",
            "onset.css",
            "examples.css",
        )
    ]
    return variables() + "".join(sheets)


def gradio_theme() -> Base:
    """A plain theme whose colours are our variables. System fonts: nothing is fetched."""
    from gradio.themes import Base

    return Base(font=list(FONT), font_mono=list(MONO), radius_size="md", text_size="md").set(
        body_background_fill="var(--paper)",
        body_background_fill_dark="var(--paper)",
        body_text_color="var(--ink)",
        body_text_color_dark="var(--ink)",
        body_text_color_subdued="var(--soft)",
        body_text_color_subdued_dark="var(--soft)",
        background_fill_primary="var(--surface)",
        background_fill_primary_dark="var(--surface)",
        background_fill_secondary="var(--sunk)",
        background_fill_secondary_dark="var(--sunk)",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_label_text_color="var(--soft)",
        block_label_text_color_dark="var(--soft)",
        block_title_text_color="var(--soft)",
        block_title_text_color_dark="var(--soft)",
        block_shadow="none",
        block_shadow_dark="none",
        border_color_primary="var(--line)",
        border_color_primary_dark="var(--line)",
        input_background_fill="var(--surface)",
        input_background_fill_dark="var(--surface)",
        input_border_color="var(--line)",
        input_border_color_dark="var(--line)",
        input_border_color_focus="var(--focus)",
        input_border_color_focus_dark="var(--focus)",
        slider_color="var(--ink)",
        slider_color_dark="var(--ink)",
        color_accent="var(--ink)",
        color_accent_soft="var(--sunk)",
        color_accent_soft_dark="var(--sunk)",
        button_primary_background_fill="var(--ink)",
        button_primary_background_fill_dark="var(--ink)",
        button_primary_background_fill_hover="var(--ink)",
        button_primary_background_fill_hover_dark="var(--ink)",
        button_primary_text_color="var(--surface)",
        button_primary_text_color_dark="var(--surface)",
        button_secondary_background_fill="var(--surface)",
        button_secondary_background_fill_dark="var(--surface)",
        button_secondary_border_color="var(--line)",
        button_secondary_border_color_dark="var(--line)",
        button_secondary_text_color="var(--ink)",
        button_secondary_text_color_dark="var(--ink)",
    )


def _families(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' if " " in name else name for name in names)
