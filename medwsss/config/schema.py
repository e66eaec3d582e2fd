"""Every setting of a run: frozen, validated once, an unknown key is an error. Defaults follow UniA's VOC settings."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Scales = Annotated[tuple[Positive, ...], Field(min_length=1)]


Moment = Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
"""An iteration (whole number) or a share of the run (number with a decimal point)."""


def iteration_of(moment: int | float, iterations: int) -> int:
    """The iteration that a ``Moment`` means in a run of that length."""
    return moment if isinstance(moment, int) else round(moment * iterations)


class Section(BaseModel):
    """A frozen part of the configuration whose field docstrings are its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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
    file: Path | None = None
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
    root: Path | None = None
    """Folder of the data set; null generates the phantom."""
    task: Literal["heart", "lv", "multi"] = "heart"
    """Class set: the whole heart, the left ventricular cavity, or RV, MYO and LV."""
    tags: Path | None = None
    """CSV of image-level labels; null derives them from the masks of the data set (research)."""
    split: SplitConfig = SplitConfig()
    phantom: PhantomConfig = PhantomConfig()
    grid: GridConfig = GridConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    cache_dir: Path | None = None
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
    root: Path | None = None
    """Folder of the data set, such as VOCdevkit/VOC2012."""
    train: str = "train"
    """List of the images that train."""
    held_out: str = "val"
    """List of the images that are validated and reported."""
    tags: Path | None = None
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


class EncoderConfig(Section):
    """The vision transformer and what is read from it."""

    name: str = "vit_base_patch16_224"
    """Any timm vision transformer."""
    pretrained: bool = True
    """Fetch timm's weights from the hub by name."""
    weights: Path | None = None
    """A local .safetensors or .pth file to load instead of the hub's."""
    arguments: dict[str, Any] = {}
    """Further arguments of timm.create_model, such as patch_size, depth, embed_dim, num_heads, drop_path_rate."""
    stem: Literal["linear", "convolutional"] = "linear"
    """Patch embedding: one linear layer, or strided 3×3 convolutions, which learn faster without pretrained weights."""
    normalisation: Literal["weights", "imagenet"] = "weights"
    """Mean and standard deviation of the input channels: those the named weights were trained with, or ImageNet's,
    which the papers on VOC and COCO use with any weights."""
    auxiliary_block: int | Literal["stem"] = -3
    """Index of the block whose tokens feed the auxiliary classifier; ``stem`` takes the patch embeddings, which no
    attention has mixed: the choice for a convolutional stem trained from scratch."""
    affinity_blocks: Annotated[tuple[int, ...], Field(min_length=1)] = (-3, -2, -1)
    """Indices of the blocks whose attention is averaged to the affinity (UniA, Eq. 11)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the encoder in autocast; its output, the heads and all losses stay in float32."""


class UncertaintyConfig(Section):
    """Uncertainty inference network (UniA, Eq. 3-7 and 10; Tables IV and V)."""

    enabled: bool = True
    """Off: the encoder's tokens go to the heads as they are."""
    channel_attention: bool = True
    """Depth-wise 1×1 branch (Eq. 3)."""
    spatial_attention: bool = True
    """Cross-attention to window prototypes (Eq. 4-6)."""
    window: Count = 4
    """Side of the pooling windows, in tokens."""
    residual: bool = False
    """Add the encoder's tokens to the masked ones; the paper has no residual."""

    @model_validator(mode="after")
    def _has_a_branch(self) -> "UncertaintyConfig":
        if self.enabled and not (self.channel_attention or self.spatial_attention):
            raise ValueError("needs channel_attention or spatial_attention; or set enabled to false")
        return self


class DistributionConfig(Section):
    """Distribution loss (UniA, Eq. 8-9; Tables IV, V and VIII)."""

    enabled: bool = True
    weight: Weight = 0.1
    """α of Eq. 17."""
    regulariser_weight: Weight = 0.01
    """Weight of KL(N(μ, σ²) ‖ N(0, 1)) inside the loss."""
    threshold: Fraction = 0.7
    """λ of Eq. 8: CAM scores at or below it are set to 0."""
    sampling: bool = True
    """Off: the mean stands for the distribution and σ gets no supervision (Table V)."""
    samples: Count = 50
    """K, samples drawn from the distribution (Table VIII a)."""


class CamConfig(Section):
    """Class activation maps: how tags teach them, and how they become labels."""

    pooled_fraction: Fraction = 0.0
    """Share of positions whose highest scores are averaged to the logit of a class; 0 takes the single highest, the
    paper's global max pooling. Without pretrained weights a few percent learn faster than the maximum alone."""

    scales: Scales = (1.0, 0.5, 0.75, 1.5)
    """Image scales; each runs with its horizontal flip."""
    background: Fraction = 0.5
    """Score that a class must beat in predictions made from activation maps alone (method ``cam``)."""
    high: Fraction = 0.7
    """Score above which a pixel is foreground."""
    low: Fraction = 0.25
    """Score at or below which a pixel is background; between low and high it is ignored."""

    @model_validator(mode="after")
    def _ordered(self) -> "CamConfig":
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class PixelAdaptiveConfig(Section):
    """Pixel-adaptive refinement by colour and position."""

    dilations: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 12, 24)
    """Distances of the eight neighbours, in pixels of the reduced image."""
    iterations: Count = 10
    downscale: Count = 2
    """Reduction of image and maps before refinement."""


class AffinityConfig(Section):
    """From attention to affinity, and the random walk on it (UniA, Eq. 11)."""

    sinkhorn_rounds: Count = 3
    """Column and row normalisations that make the attention doubly stochastic."""
    steps: Count = 2
    """Steps of the random walk."""
    power: Positive = 2.0
    """Sharpening of the affinity before the walk."""


class ContrastiveAffinityConfig(Section):
    """Contrastive affinity loss (UniA, Eq. 16)."""

    enabled: bool = True
    weight: Weight = 0.1
    """β of Eq. 17."""
    temperature: Positive = 0.5
    negatives: Literal["mean", "sum"] = "mean"
    """How negative pairs enter the denominator; the paper prints a sum."""
    form: Literal["infonce", "literal"] = "infonce"
    """InfoNCE, or Eq. 16 as printed (no logarithm)."""
    radius: Count | None = 7
    """Chebyshev distance in tokens beyond which pairs are left out; null keeps all."""


class DecoderConfig(Section):
    """LargeFOV decoder."""

    channels: Count = 512
    dilation: Count = 5


class EnergyConfig(Section):
    """Dense energy regularisation of the decoder's probabilities."""

    weight: Weight = 0.05
    """Weight in the total loss."""
    energy_weight: Positive = 1e-7
    """The published scale of the energy itself."""
    sigma_rgb: Positive = 15.0
    """Intensity bandwidth, on 0-255."""
    sigma_xy: Positive = 100.0
    """Spatial bandwidth, in pixels of the full image."""
    scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Reduction of image and probabilities."""


class ScheduleConfig(Section):
    """When parts of the loss start: an iteration such as 2000, or a share of the run such as 0.1 (the VOC values)."""

    distribution_from: Moment = 0.0
    token_contrast_from: Moment = 0.0
    affinity_from: Moment = 0.0
    segmentation_from: Moment = 0.1
    auxiliary_cam_until: Moment = 0.4
    """Until then pixels are labelled from the auxiliary CAM, afterwards from the final one."""

    def iteration(self, part: str, iterations: int) -> int:
        """The iteration of one setting in a run of that length."""
        return iteration_of(getattr(self, part), iterations)


class UniAConfig(Section):
    """UniA, whole; each ablation of Tables IV, V and VIII is a key below."""

    name: Literal["unia"] = "unia"
    uncertainty: UncertaintyConfig = UncertaintyConfig()
    distribution: DistributionConfig = DistributionConfig()
    cam: CamConfig = CamConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()
    affinity: AffinityConfig = AffinityConfig()
    complementing: bool = True
    """Mutual complementing refinement (Eq. 12-15); off: CAM labels refined by colour and position alone."""
    contrastive_affinity: ContrastiveAffinityConfig = ContrastiveAffinityConfig()
    decoder: DecoderConfig = DecoderConfig()
    auxiliary_weight: Weight = 1.0
    """Weight of the auxiliary classification loss."""
    segmentation_weight: Weight = 0.15
    """γ of Eq. 17."""
    token_contrast_weight: Weight = 0.3
    energy: EnergyConfig = EnergyConfig()
    schedule: ScheduleConfig = ScheduleConfig()


class CamBaselineConfig(Section):
    """Plain class activation maps: encoder, global max pooling, pixel-adaptive refinement (Table IV, first row)."""

    name: Literal["cam"] = "cam"
    cam: CamConfig = CamConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()


class UsageConfig(Section):
    """USAGE: seed areas with controlled activation shape and a self-adaptive teacher (USAGE, Eq. 5-9).

    Tables 1 and 5 to 8 are ``temperature``, the rates, ``schedule``, ``mapping`` and ``regularisation_weight``.
    """

    name: Literal["usage"] = "usage"
    cam: CamConfig = CamConfig()
    pixel_adaptive: PixelAdaptiveConfig = PixelAdaptiveConfig()
    mapping: Literal["controlled", "gap"] = "controlled"
    """How activations become a class score: Eq. 8, or global average pooling, the CAM of Table 8."""
    temperature: Positive = 1.0
    """τ1 of Eq. 8: 1 sharpens for transformers, 50 smooths for CNNs."""
    background: float = 1.0
    """Constant activation of the background channel in Eq. 7; the paper gives no value."""
    regularisation_weight: Weight = 0.25
    """λ of Eq. 5; 0 switches the teacher off, and all rates below with it."""
    regularisation_temperature: Positive = 0.1
    """τ2 of Eq. 9."""
    teacher_decay: Fraction = 0.99
    """Decay of the teacher's moving average, and of that of the classification score."""
    schedule: Literal["self_adaptive", "linear", "fixed"] = "self_adaptive"
    """How the student's adjustment grows (Table 7): with the classification score, with time, or not at all."""
    teacher_drop_path: Fraction = 0.05
    """γ_t."""
    student_drop_path: tuple[Fraction, Fraction] = (0.05, 0.15)
    """γ_s at the start and at most."""
    student_dropout: tuple[Fraction, Fraction] = (0.0, 0.01)
    """δ_s at the start and at most."""

    @model_validator(mode="after")
    def _rates_fit(self) -> "UsageConfig":
        for name in ("student_drop_path", "student_dropout"):
            start, largest = getattr(self, name)
            if not start <= largest < 1:
                raise ValueError(f"{name} ({start}, {largest}) must grow and stay below 1")
        if self.teacher_drop_path >= 1:
            raise ValueError("teacher_drop_path must be below 1")
        if self.cam.pooled_fraction > 0:
            raise ValueError(
                "cam.pooled_fraction has no effect here: temperature and mapping say how scores are pooled"
            )
        return self


class UNetConfig(Section):
    """MONAI's UNet."""

    channels: Annotated[tuple[Count, ...], Field(min_length=2)] = (32, 64, 128, 256, 512)
    """Width of each level; every level halves the grid."""
    residual_units: Annotated[int, Field(ge=0)] = 2
    """Residual units a level."""


class RetrainConfig(Section):
    """A segmentation network trained on stored pseudo-labels: the second stage of multi-stage methods (URN, Fig. 3)."""

    name: Literal["retrain"] = "retrain"
    pseudo: Path | None = None
    """Folder that ``medwsss pseudo-label`` wrote."""
    network: Literal["unet", "vit"] = "unet"
    """MONAI's UNet on all three channels, or the encoder of this configuration with the LargeFOV decoder."""
    unet: UNetConfig = UNetConfig()
    decoder: DecoderConfig = DecoderConfig()
    loss: Literal["mean", "balanced"] = "mean"
    """Cross-entropy as the mean over pixels (URN, Eq. 13), or half background and half foreground (UniA)."""
    weights: Literal["response_scaling", "none"] = "response_scaling"
    """Weigh pixels by the stored weight maps, or all alike."""
    threshold: Fraction = 0.05
    """t of URN's Eq. 12: what a pixel counts whose weight is at or below it."""


MethodConfig = Annotated[UniAConfig | CamBaselineConfig | UsageConfig | RetrainConfig, Field(discriminator="name")]
METHOD_NAMES = ("unia", "cam", "usage", "retrain")


class ImportanceSamplingConfig(Section):
    """Importance sampling loss beside the pooled classification loss (HFPL, Eq. 14-18): add-on ``isl``."""

    enabled: bool = False
    weight: Fraction = 0.02
    """λ of Eq. 16: its share of the classification loss. The paper's 0.2, times 0.1 as it does with AdamW."""
    samples: Count = 10
    """N of Eq. 18, positions drawn per class."""


class FeatureSimilarityConfig(Section):
    """Feature similarity loss on the activation maps (HFPL, Eq. 9-13): add-on ``fsl``."""

    enabled: bool = False
    weight: Weight = 0.1
    """Weight of the loss. The paper's 1, times 0.1 as it does with AdamW."""
    mu: float = 2.5
    """μ of Eq. 12."""
    sigma: Positive = 5.0
    """Spatial bandwidth of Eq. 10, in pixels of the upsampled maps."""
    upsampling: Count = 4
    """Magnification of the token grid before the loss (14×14 to 56×56)."""
    normalisation: Literal["code", "paper"] = "code"
    """Maps of the authors' code (minimum and maximum), or of Eq. 4 (maximum alone)."""
    background: bool = True
    """Add a background map, 1 minus the maximum over classes, as the authors' code does; the paper does not."""


class ResponseScalingConfig(Section):
    """Noise mitigation by response scaling in the segmentation loss (URN, Eq. 6-13): add-on ``urn``."""

    enabled: bool = False
    scales: Scales = (0.15, 0.2, 0.25, 4.0, 5.0, 6.0)
    """S, exponents of the responses; the values for VOC, COCO takes 0.4, 0.5, 0.6, 2, 3, 4."""
    threshold: Fraction = 0.05
    """t of Eq. 12: what an uncertain pixel counts. 1 is the unweighted loss, 0 drops the pixel."""
    refine: Literal["none", "par", "crf"] = "none"
    """Refinement of every scaled response (Eq. 7)."""


class AddOnsConfig(Section):
    """Losses that join any method which produces what they need."""

    isl: ImportanceSamplingConfig = ImportanceSamplingConfig()
    fsl: FeatureSimilarityConfig = FeatureSimilarityConfig()
    urn: ResponseScalingConfig = ResponseScalingConfig()


ADD_ON_NAMES = ("isl", "fsl", "urn")


class TrainingConfig(Section):
    """Length, optimiser and bookkeeping of a run."""

    iterations: Count = 20000
    batch_size: Count = 4
    seed: Seed = 0
    learning_rate: Positive = 6e-5
    head_factor: Positive = 10.0
    """Learning rate of everything but the encoder, relative to the encoder's."""
    weight_decay: Weight = 0.01
    warmup_steps: Moment = 0.075
    """Linear warm-up: an iteration, or a share of the run (VOC: 1500 of 20000)."""
    warmup_ratio: Positive = 1e-6
    poly_power: Positive = 0.9
    validate_every: Count = 2000
    """Iterations between validations on held-out patients."""
    picture_every: Count = 2000
    """Iterations between pictures in the run folder."""
    checkpoint_every: Count = 500
    """Iterations between checkpoints."""


class CrfConfig(Section):
    """Dense CRF after prediction, with the parameters of the papers on VOC and COCO."""

    enabled: bool = False
    iterations: Count = 10
    gaussian_xy: Positive = 1.0
    """Width of the position kernel, in pixels."""
    gaussian_weight: Weight = 1.0
    bilateral_xy: Positive = 121.0
    """Width of the bilateral kernel in position, in pixels."""
    bilateral_rgb: Positive = 5.0
    """Its width in colour, on 0-255."""
    bilateral_weight: Weight = 4.0


class InferenceConfig(Section):
    """How volumes and photographs are segmented."""

    scales: Scales = (1.0,)
    """Image scales whose probabilities are averaged."""
    flip: bool = True
    """Average with the horizontal flip."""
    batch_size: Count = 16
    """Slices a forward pass; photographs differ in size and go one by one."""
    crf: CrfConfig = CrfConfig()
    """Photographs only."""


class RunConfig(Section):
    """A whole run."""

    data: DataConfig = VolumeDataConfig()
    encoder: EncoderConfig = EncoderConfig()
    method: MethodConfig = UniAConfig()
    addons: AddOnsConfig = AddOnsConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        iterations = self.training.iterations
        if isinstance(self.method, UniAConfig) and self.method.segmentation_weight > 0:
            start = self.method.schedule.iteration("segmentation_from", iterations)
            if start >= iterations:
                raise ValueError(
                    f"method.schedule.segmentation_from ({start}) leaves none of the {iterations} iterations to train"
                    " the decoder, which predicts: start earlier"
                )
        if self.inference.crf.enabled and isinstance(self.data, VolumeDataConfig):
            raise ValueError("inference.crf needs colours, and volumes have none: set inference.crf.enabled to false")
        return self
