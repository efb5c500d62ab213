"""``python -m rft bench NAME``: measurements behind the speed claims, each a ratio from one run.

A benchmark stands beside what it measures; this module only knows their names. The page's own
is named here and not imported: ``rft`` knows no page.
"""

from __future__ import annotations

import importlib
import sys

BENCHES = {
    "chat": "app.bench",
    "compare": "rft.trio",
    "fewshot": "rft.fewshot",
    "grpo": "rft.race",
}


def command(argv: list[str]) -> int:
    """Run one benchmark; print the list where none is named."""
    if not argv or argv[0] not in BENCHES:
        print(f"usage: python -m rft bench {{{','.join(BENCHES)}}} …", file=sys.stderr)
        return 2
    module = importlib.import_module(BENCHES[argv[0]])
    return int(module.command(argv[1:]))
