"""Settings of the cine prior: what is known of a beating heart, in mm, so that any pixel spacing works."""

from typing import Annotated

from pydantic import Field, model_validator

from medwsss.config.section import Fraction, Positive, Section, Weight


class MotionConfig(Section):
    """Where something moves between two frames of a cine study."""

    shift_mm: Weight = 1.5
    """Displacements up to this are taken for misregistration, in mm."""
    sigma_mm: Positive = 18.0
    """In-plane smoothing, in mm: about the radius of a small heart, so that it outweighs single vessels."""
    sigma_slices: Weight = 1.0
    """Smoothing across slices, in slices."""


class AxisConfig(Section):
    """The left ventricle along its axis: a bright disc in a dark ring, in a place that moves, in slice after slice."""

    radii_mm: tuple[Positive, Positive] = (7.5, 37.5)
    """Smallest and largest radius of the cavity, in mm."""
    radius_step_mm: Positive = 3.0
    ring_mm: Positive = 9.0
    """Width of the ring around the disc, in mm; a ventricular wall measures about as much."""
    systole_share: Weight = 0.5
    """Weight of end-systole beside end-diastole, where the cavity is larger and easier to see."""
    candidates: Annotated[int, Field(ge=1)] = 12
    """Centres that are considered in each slice."""
    bend: Weight = 4.5e-4
    """Cost of a step of the axis between neighbouring slices, per mm², where the best centre of the volume is 1."""

    @model_validator(mode="after")
    def _radii_grow(self) -> "AxisConfig":
        if not self.radii_mm[0] <= self.radii_mm[1]:
            raise ValueError(f"radii_mm {self.radii_mm} must grow")
        return self


class CavityConfig(Section):
    """The blood of the left ventricle: bright; papillary muscles count as cavity."""

    reach_mm: Weight = 9.0
    """How far beyond the radius of the axis blood is looked for, in mm."""
    lower_by: Fraction = 0.08
    """Taken from Otsu's threshold between wall and blood, on the scale of grey levels in [0, 1]."""
    systole_grow_mm: Weight = 1.5
    """Added around the cavity at end-systole, where its edge is blurred by trabeculae, in mm."""


class WallConfig(Section):
    """The myocardium: a closed wall of about 9 mm at end-diastole that keeps its volume when it contracts."""

    thickness_mm: Positive = 9.0
    """What is expected at end-diastole, in mm."""
    range_mm: tuple[Positive, Positive] = (3.0, 18.0)
    """Thinnest and thickest wall at end-diastole, in mm."""
    systole_range_mm: tuple[Positive, Positive] = (3.0, 24.0)
    """The same at end-systole."""
    expected_weight: Weight = 0.15
    """Cost of a wall of no or of double thickness."""
    bright_edge_weight: Weight = 1.0
    """Reward of an edge from muscle to something brighter, such as the blood of the right ventricle."""
    dark_edge_weight: Weight = 1.0
    """Reward of an edge from muscle to lung."""
    lung: Fraction = 0.25
    """Grey level below which tissue is lung."""
    blood_weight: Weight = 0.2
    """Cost of a millimetre of full brightness inside the wall."""
    smoothness: Weight = 0.02
    """Cost of a step of half a pixel between neighbouring angles, squared for larger ones."""
    shrink_mm: Weight = 1.5
    """Taken off the outer contour, which runs along the far side of its edge, in mm. Networks draw the walls of their
    labels thicker, not thinner; what this takes off too much they put back."""

    @model_validator(mode="after")
    def _ranges_grow(self) -> "WallConfig":
        for name in ("range_mm", "systole_range_mm"):
            thin, thick = getattr(self, name)
            if not thin < thick:
                raise ValueError(f"{name} ({thin}, {thick}) must grow")
        return self


class RightVentricleConfig(Section):
    """The right ventricle: blood beside the septum, on the patient's right, that is not larger at end-systole."""

    half_angle: Annotated[float, Field(gt=0.0, le=180.0)] = 90.0
    """Half of the sector around the direction of the patient's right, in degrees."""
    reach_mm: Positive = 48.0
    """Farthest from the outer wall, in mm."""
    blood_level: Fraction = 0.3
    """What counts as blood, between the wall (0) and the cavity (1) of the left ventricle."""
    muscle_percentile: Annotated[float, Field(ge=0.0, le=100.0)] = 40.0
    """Which of the grey levels in the wall is that of muscle, in percent."""
    edge_mm: Weight = 1.5
    """How close to the cavity the wall is too blurred to tell the level of muscle, in mm."""
    decay_mm: Positive = 12.0
    """Over this distance from the wall contraction counts e times less, in mm."""
    step_mm: Positive = 13.5
    """How far it may reach beyond itself in the neighbouring slice, in mm."""
    open_mm: Weight = 1.5
    """Bridges up to twice as wide are cut, in mm."""


class ConfidenceConfig(Section):
    """How far a seed label is to be trusted."""

    edge_mm: Positive = 3.0
    """Distance from the nearest other label at which confidence has grown to 1 − 1/e, in mm."""


class DoubtConfig(Section):
    """Limits beyond which a study is not what the prior believes in, so that it gets no seeds."""

    heart_mm: Positive = 45.0
    """Within this of its axis lies a heart, in mm."""
    surroundings_mm: Positive = 75.0
    """Beyond this from its axis lies none, in mm."""
    detail_mm: Positive = 12.0
    """Structures smaller than this tell how far a body moved, in mm; coil shading is larger."""
    coarse_mm: Positive = 3.0
    """Blur under which neighbouring slices are compared, and width of bridges that are cut in blood, in mm."""
    rim_mm: Positive = 3.0
    """Labels this close to the border of the image are cut by it, in mm."""
    blood_mm: Weight = 30.0
    """How far beyond the cavity's radius its blood is followed, in mm: past the valves, if a slice shows them."""
    fewest_slices: Annotated[int, Field(ge=1)] = 3
    """Slices that a short-axis stack has at least; long-axis images come in ones and twos."""
    largest_shift_mm: Weight = 3.0
    """How far the whole image may lie apart in ED and ES, in mm; within a breath-hold it does not move at all."""
    least_order: Fraction = 0.84
    """Length of the shortest tree through the slices, by how alike they look, over that of the stack as it lies."""
    least_change: Fraction = 0.03
    """Smoothed change of grey levels in [0, 1] between ED and ES that something must reach for the study to move."""
    largest_spread: Weight = 0.4
    """Mean change of grey levels beyond ``surroundings_mm`` of the axis over that within ``heart_mm``, where
    it is largest."""
    largest_cut: Fraction = 0.1
    """Share of slices in which the heart may touch the border of the image."""
    least_emptying: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.05
    """Loss of brightness within ``heart_mm`` of the axis from ED to ES over all change there: 1 where blood only
    leaves."""
    least_slices: Fraction = 0.5
    """Share of slices in which a left ventricle must be seen."""
    largest_step_mm: Positive = 20.0
    """Median step of the axis between neighbouring slices, in mm."""
    least_roundness: Fraction = 0.62
    """Shorter over longer axis of the blood around the ventricle's centre, median over slices."""
    largest_growth: Positive = 1.1
    """Width of the left cavity at ES over that at ED beyond which ``check`` says that phases look swapped."""


class CineConfig(Section):
    """Seeds from motion and cardiac anatomy. Every constant is a claim about hearts.

    The defaults were chosen with masks of ACDC in view; docs/cine.md says what constants chosen without masks give.
    """

    motion: MotionConfig = MotionConfig()
    axis: AxisConfig = AxisConfig()
    cavity: CavityConfig = CavityConfig()
    wall: WallConfig = WallConfig()
    right_ventricle: RightVentricleConfig = RightVentricleConfig()
    confidence: ConfidenceConfig = ConfidenceConfig()
    doubt: DoubtConfig = DoubtConfig()
