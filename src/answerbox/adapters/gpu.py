"""Whether models run on a GPU, without loading torch where that is plain."""

from __future__ import annotations

from pathlib import Path

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def has_gpu(device: str) -> bool:
    """`device` is the setting: `auto`, `cpu`, `cuda` or `cuda:1`."""
    if device.startswith("cuda"):
        return True
    if device != "auto" or not NVIDIA_DRIVER.exists():
        return False
    import torch

    return torch.cuda.is_available()
