"""``python -m rft NAME …``: hand the rest of the command line to the module that does the job.

Modules are imported only when named, so that ``score`` does not pay for torch.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "data": ("rft.data", "write procedural problems as a Reason-RFT data set"),
    "score": ("rft.score", "score completions in a JSONL file with a reward"),
    "tiny": ("rft.tiny", "build an untrained tiny Qwen2-VL checkpoint"),
    "rehearse": ("rft.rehearsal", "try a run before it starts"),
    "train": ("rft.trainer", "train a checkpoint by a recipe"),
    "prime": ("rft.primer", "teach a tiny vision tower what lies under its patches"),
    "retrain": ("rft.retrain", "train bundled checkpoints from their recipes"),
    "eval": ("rft.measurement", "measure checkpoints' accuracy on a task"),
    "efficiency": ("rft.efficiency", "measure stages over training samples"),
    "match": ("rft.contest", "compare checkpoints over a set, as the page does"),
    "export": ("rft.export", "pack, merge or publish a finished run"),
    "prove": ("rft.proof", "show that a run's training is applied"),
    "bench": ("rft.bench", "measure the app's speed"),
}


def main(argv: list[str]) -> int:
    """Run one command; print the list of commands where none is named."""
    if not argv or argv[0] not in COMMANDS:
        print("usage: python -m rft NAME …   (NAME --help tells more)\n")
        for name, (_, line) in COMMANDS.items():
            print(f"  {name:<10} {line}")
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    module = importlib.import_module(COMMANDS[argv[0]][0])
    return module.command(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
