"""Which device models run on."""

from __future__ import annotations

import torch

from answerbox.errors import SetupError


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is the first CUDA device, else the CPU.

    Raises:
        SetupError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise SetupError(f"ANSWERBOX_DEVICE={name!r} is no device.", hint="Use auto, cpu or cuda.") from exc
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SetupError(f"ANSWERBOX_DEVICE={name!r}: this machine has no such device.")
    return device
