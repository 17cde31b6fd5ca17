"""Which device models run on."""

from __future__ import annotations

import pytest
import torch

from answerbox.adapters.torch_device import device_of
from answerbox.errors import SetupError


def test_a_device_is_found_by_its_name() -> None:
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:99", "cpu please"])
def test_a_device_that_is_none_is_told(name: str) -> None:
    with pytest.raises(SetupError, match="ANSWERBOX_DEVICE"):
        device_of(name)
