"""What this machine has free, and how to give memory back.

Imports no torch; uses it only where it is already loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

#: On a CPU, float32 weights may take this share of free memory; beyond it, bf16 halves them.
COMFORT = 0.5
#: Up to so many parameters, float32 weights are within what a card promises for bf16 and a margin.
SMALL = 100_000_000
#: From so many bytes on, a block is the system's again once it is freed (see mallopt(3)).
_BLOCK, _M_MMAP_THRESHOLD = 2**20, -3


@dataclass(frozen=True)
class Memory:
    """Free bytes of main memory, and of the roomiest GPU (0 where there is none)."""

    main: int
    gpu: int = 0

    def place(self, need: int) -> tuple[bool, int]:
        """Where ``need`` bytes would go: (whether to the GPU, what is free there)."""
        to_gpu = need <= self.gpu or (need > self.main and self.gpu > self.main)
        return to_gpu, self.gpu if to_gpu else self.main


def memory() -> Memory:
    """What is free now."""
    return Memory(min(psutil.virtual_memory().available, container_free()), gpu_free())


def container_free(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What the container's own limit leaves; practically infinite where there is none.

    The system reports the whole machine's memory inside a container, but ends the process
    at the container's limit. Files are ``root``'s in control groups 2, else in 1.
    """
    for limit, used, stat, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        try:
            taken = int((root / used).read_text())
            lines = (line.split() for line in (root / stat).read_text().splitlines())
            spare = sum(int(line[1]) for line in lines if line[0] == cache)
            return max(0, int((root / limit).read_text()) - taken + spare)
        except (OSError, ValueError, IndexError):
            continue  # no such control group, or its limit reads "max"
    return sys.maxsize


def gpu_free() -> int:
    """Free bytes of the roomiest NVIDIA GPU, 0 where there is none."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return max(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    return max((free for free, _ in _gpus()), default=0)


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU, be it full."""
    return bool(_gpus())


def _gpus() -> list[tuple[int, str]]:
    """Free bytes and name of each NVIDIA GPU, as its driver tells them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=memory.free,uuid", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # a driver that does not answer is a GPU that cannot be used
    cells = [line.split(",") for line in listed.stdout.splitlines()]
    return [
        (int(free) * 2**20, name.strip())
        for free, name in (pair for pair in cells if len(pair) == 2)
        if free.strip().isdigit()
    ]


def cpu_weight_bytes(parameters: int, free: int) -> int:
    """What a model's weights take on a CPU: float32 where that is comfortable, else bf16.

    A CPU that calculates in bf16 is faster in it; one that does not is several times slower.
    """
    comfortable = 4 * parameters <= COMFORT * free
    halved = parameters > SMALL and bf16_cpu()
    return 4 * parameters if comfortable and not halved else 2 * parameters


@lru_cache(maxsize=1)
def bf16_cpu(told: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU calculates in bf16; no where it does not say so."""
    try:
        words = set(told.read_text().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def one_gpu() -> None:
    """Let this process see a single GPU, unless a launcher has given it its own.

    Of several, the Trainer would make torch's DataParallel, which knows nothing of groups and
    pictures; several GPUs are a matter of ``accelerate launch``. To be called before torch is used.
    """
    if "LOCAL_RANK" in os.environ:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
    elif there := _gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = max(there)[1]  # the roomiest, as was promised


def give_back() -> None:
    """Return memory that nothing refers to any more to the system and to the GPU."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def keep_no_holes() -> None:
    """From now on, let large blocks of main memory go back to the system when they are freed.

    glibc would come to keep those below 32 MB for itself, but in the hole of an aligned one, as
    torch asks for, the next of its size finds no place: where a pass keeps a little of every
    layer, the rest stays lost between (2.7 GB of a GRPO step at the size of 2B). Where there is
    another libc, it changes nothing.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BLOCK)


def gb(count: int) -> str:
    """17.8e9 -> "17.8 GB", 12e6 -> "12 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(count / 1e6, 0):.0f} MB"
