"""Data sets by name, and the door to everything about them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from medwsss.config.data import DataConfig, PhotographDataConfig, VolumeDataConfig
from medwsss.data.coco import Coco
from medwsss.data.folder import load_folder
from medwsss.data.image_set import ImageSet
from medwsss.data.loading import VolumeData, load_acdc
from medwsss.data.photographs import load_photographs
from medwsss.data.prepared import PreparedData
from medwsss.data.voc import Voc

VOLUME_SETS: Mapping[str, Callable[[VolumeDataConfig, Path, Path], VolumeData]] = {
    "acdc": load_acdc,
    "folder": load_folder,
}
"""Volumes that are cut into slices."""
IMAGE_SETS: Mapping[str, type[ImageSet]] = {"voc": Voc, "coco": Coco}
"""Photographs with lists of names: ``IMAGE_SETS[name](root)``."""
DATASETS = (*VOLUME_SETS, *IMAGE_SETS)


def prepared_data(config: DataConfig, root: Path, tags_path: Path) -> PreparedData:
    """The data set of a run; image-level labels that are derived from it go through the table ``tags_path``.

    Raises:
        DatasetError, VolumeError: the data set is missing or damaged.
        SplitError: the split does not fit the data set.
        ImageLabelsError: the image-level labels do not fit it.
        OutputError: ``tags_path`` cannot be written.
    """
    match config:
        case VolumeDataConfig():
            return VOLUME_SETS[config.name](config, root, tags_path)
        case PhotographDataConfig():
            return load_photographs(config, IMAGE_SETS[config.name](root), tags_path)
