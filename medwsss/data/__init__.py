"""Data sets by name, and the door to everything about them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from medwsss.config.schema import DataConfig
from medwsss.data.loading import AcdcData, load_acdc

DATASETS: Mapping[str, Callable[[DataConfig, Path, Path], AcdcData]] = {"acdc": load_acdc}
"""Loader of each data set: ``DATASETS[name](config, root, tags_path)``."""
