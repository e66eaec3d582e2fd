"""Volumes on disk, and the 2D slices that networks see. Runs without torch; nibabel and SimpleITK load on first use."""

from medwsss.volumes.io import load_label_volume, load_volume, save_volume
from medwsss.volumes.volume import Volume

__all__ = ["Volume", "load_label_volume", "load_volume", "save_volume"]
