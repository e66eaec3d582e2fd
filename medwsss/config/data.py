"""Settings of the data: volumes that are cut into slices, and photographs."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medwsss.config.section import Count, Fraction, Place, Positive, Section, Seed, Weight


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
    """Volumes that are cut into slices: which data, which task, and how slices are made."""

    name: Literal["acdc"] = "acdc"
    """Data set."""
    root: Place | None = None
    """Folder of the data set; null generates the phantom."""
    task: Literal["heart", "lv", "multi"] = "heart"
    """Class set: the whole heart, the left ventricular cavity, or RV, MYO and LV."""
    tags: Place | None = None
    """CSV of image-level labels; null derives them from the masks of the data set (research)."""
    split: SplitConfig = SplitConfig()
    phantom: PhantomConfig = PhantomConfig()
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


DataConfig = Annotated[VolumeDataConfig | PhotographDataConfig, Field(discriminator="name")]
DATASET_NAMES = ("acdc", "voc", "coco")
