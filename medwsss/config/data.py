"""Settings of the data: volumes that are cut into slices, and photographs."""

import reprlib
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.section import Count, Fraction, Place, Positive, Section, Seed, Weight
from medwsss.labels import ACDC_TASKS, BACKGROUND_NAME, Task, own_task, parsed_codes
from medwsss.writing import is_plain_name


class GridConfig(Section):
    """The in-plane grid on which networks see slices."""

    spacing_mm: Positive = 1.5
    """In-plane pixel size after resampling, in mm."""
    crop: Count = 192
    """Side of the square training crop, in pixels; prediction always uses the full field."""
    percentiles: tuple[float, float] = (1.0, 99.0)
    """Percentiles of each volume that become 0 and 1; values beyond are clipped."""
    channels: Literal["repeat", "neighbours"] = "repeat"
    """The three input channels: the slice three times, or the slice below, the slice, the slice above."""

    @model_validator(mode="after")
    def _percentiles_ordered(self) -> "GridConfig":
        low, high = self.percentiles
        if not 0.0 <= low < high <= 100.0:
            raise ValueError(f"percentiles ({low}, {high}) must grow within 0 to 100")
        return self


class AugmentationConfig(Section):
    """Random changes of a training slice; every range is symmetric unless it says otherwise."""

    flip_probability: Fraction = 0.5
    """Probability of a flip, for each of the two in-plane axes."""
    rotation_degrees: Weight = 15.0
    """Largest rotation, in degrees."""
    zoom: tuple[Positive, Positive] = (0.8, 1.25)
    """Smallest and largest magnification."""
    intensity_scale: Fraction = 0.2
    """Largest relative change of contrast."""
    gamma: tuple[Positive, Positive] = (0.7, 1.5)
    """Smallest and largest exponent of the grey levels."""


class SplitConfig(Section):
    """How patients are held out; always by patient, stratified by group."""

    held_out_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    """Share of patients that training never sees."""
    seed: Seed = 0
    """Seed of the draw."""
    file: Place | None = None
    """A split.json to use instead of a draw."""


class PhantomConfig(Section):
    """The generated data set that stands in when no root is given."""

    patients: Annotated[int, Field(ge=5)] = 24
    """Number of patients, spread evenly over the five groups."""
    seed: Seed = 0
    """Seed of all random choices."""


class VolumeDataConfig(Section):
    """Volumes that are cut into slices: where they lie, who is held out, and how slices are made."""

    name: str
    """Data set."""
    root: Place | None = None
    """Folder of the data set."""
    tags: Place | None = None
    """CSV of image-level labels."""
    split: SplitConfig = SplitConfig()
    grid: GridConfig = GridConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    cache_dir: Place | None = None
    """Folder for resampled slices; null uses the user's cache folder."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Loader processes."""

    @property
    def crop(self) -> int:
        """Side of the training crop, in pixels of the working grid."""
        return self.grid.crop

    @property
    @abstractmethod
    def segmented(self) -> Task:
        """The classes to segment, and the numbers that masks hold for them."""


class AcdcDataConfig(VolumeDataConfig):
    """ACDC: without a root the phantom stands in, without tags they are derived from masks (research)."""

    name: Literal["acdc"] = "acdc"
    task: Literal["heart", "lv", "multi"] = "heart"
    """Class set: the whole heart, the left ventricular cavity, or RV, MYO and LV."""
    phantom: PhantomConfig = PhantomConfig()

    @property
    def segmented(self) -> Task:
        """The ACDC task."""
        return ACDC_TASKS[self.task]


class FolderDataConfig(VolumeDataConfig):
    """A folder of studies of your own and a table that says what each shows; ``tags`` is that table."""

    name: Literal["folder"] = "folder"
    classes: tuple[str, ...] = ()
    """The classes, in the order of their labels 1, 2, …; none takes them from the table."""
    mask_codes: str | None = None
    """What the numbers in masks mean, such as "1=RV,2=MYO,3=LV"; null means 1, 2, … in the order of classes."""

    @model_validator(mode="after")
    def _classes_differ(self) -> "FolderDataConfig":
        if len({name.lower() for name in self.classes}) < len(self.classes):
            raise ValueError(f"classes {', '.join(self.classes)} must differ, in more than upper and lower case")
        odd = next((name for name in self.classes if not is_plain_name(name)), None)
        if odd is not None:
            raise ValueError(f"class {reprlib.repr(odd)} cannot be part of a file name: rename it")
        if self.mask_codes is not None:
            known = {name.lower() for name in (*self.classes, BACKGROUND_NAME)}
            named = parsed_codes(self.mask_codes).values()
            unknown = [name for name in named if name.lower() not in known] if self.classes else []
            if unknown:
                raise ValueError(f"mask_codes names {', '.join(unknown)}, classes are {', '.join(self.classes)}")
        return self

    @property
    def segmented(self) -> Task:
        """The user's own classes."""
        return own_task(self.classes, None if self.mask_codes is None else parsed_codes(self.mask_codes))


class PhotographAugmentationConfig(Section):
    """Random changes of a photograph before it is cropped, as the papers on VOC and COCO make them."""

    scale: tuple[Positive, Positive] = (0.5, 2.0)
    """Smallest and largest magnification, drawn uniformly."""
    flip_probability: Fraction = 0.5
    """Probability of a horizontal flip."""
    photometric_probability: Fraction = 0.5
    """Probability of each of the four changes below."""
    brightness: Fraction = 0.125
    """Largest shift of all channels, as a share of the range of intensities (32 of 255)."""
    contrast: tuple[Positive, Positive] = (0.5, 1.5)
    """Smallest and largest factor."""
    saturation: tuple[Positive, Positive] = (0.5, 1.5)
    """Smallest and largest factor."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """Largest turn of the hue, as a share of the circle."""


class PhotographDataConfig(Section):
    """Photographs: which data set, which lists of it, and how crops are made."""

    name: Literal["voc", "coco"]
    """Data set."""
    root: Place | None = None
    """Folder of the data set, such as VOCdevkit/VOC2012."""
    train: str = "train"
    """List of the images that train."""
    held_out: str = "val"
    """List of the images that are validated and reported."""
    tags: Place | None = None
    """CSV, or cls_labels_onehot.npy, of image-level labels; null takes them from ``tags_from``."""
    tags_from: Literal["annotations", "masks"] = "annotations"
    """Where image-level labels come from without a table: the data set's annotations of objects, or its masks."""
    crop: Count = 448
    """Side of the square training crop, in pixels; prediction always uses the full image."""
    augmentation: PhotographAugmentationConfig = PhotographAugmentationConfig()
    validation_images: Count | None = None
    """Validate on that many images, spread over the list; null takes all of them."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Loader processes."""


DataConfig = Annotated[AcdcDataConfig | FolderDataConfig | PhotographDataConfig, Field(discriminator="name")]
DATASET_NAMES = ("acdc", "folder", "voc", "coco")
