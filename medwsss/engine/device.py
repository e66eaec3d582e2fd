"""Which device a run uses."""

from typing import Literal

import torch

from medwsss.errors import ConfigError

DeviceChoice = Literal["auto", "cpu", "cuda"]


def resolve_device(choice: str) -> torch.device:
    """``auto`` takes the GPU where there is one.

    Raises:
        ConfigError: the name is unknown, or CUDA is asked for and not there.
    """
    if choice not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device '{choice}': choose auto, cpu or cuda")
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda was asked for, but torch sees no GPU: use --device cpu or auto")
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(choice)
