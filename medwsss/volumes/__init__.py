"""Volumes on disk, and the 2D slices that networks see. Runs without torch; readers load on first use."""

from medwsss.volumes.dicom import is_dicom_folder
from medwsss.volumes.io import load_label_volume, load_volume, save_volume
from medwsss.volumes.volume import Volume

__all__ = ["Volume", "is_dicom_folder", "load_label_volume", "load_volume", "save_volume"]
