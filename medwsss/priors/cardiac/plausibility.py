"""Whether a study is what the cine prior believes in; where it is not, no seed is better than a false one."""

import numpy as np
from jaxtyping import Float32

from medwsss.config.cine import CineConfig
from medwsss.priors.cardiac.labels import LV, HeartSeeds
from medwsss.priors.motion import smoothed_change

Stack = Float32[np.ndarray, "n h w"]


def doubts(
    diastole: Stack, systole: Stack, seeds: HeartSeeds, *, spacing_mm: float, config: CineConfig
) -> tuple[str, ...]:
    """Reasons to switch the prior off for a study, in words; none for most.

    Args:
        diastole: slices at end-diastole, grey levels in [0, 1].
        systole: the same slices at end-systole.
        seeds: of ``labels.heart_seeds``.
        spacing_mm: of square pixels.
        config: limits in ``config.doubt``.
    """
    limits = config.doubt
    change = smoothed_change((diastole, systole), spacing_mm=(spacing_mm, spacing_mm), config=config.motion)
    seen = (seeds.diastole == LV).any(axis=(1, 2))
    steps_mm = np.hypot(*np.diff(seeds.axis.centres, axis=0).T) * spacing_mm
    early, late = (float(radii.mean()) for radii in seeds.axis.radii_mm)
    reasons = {
        "nothing moves between ED and ES (is it one frame twice?)": float(change.max()) < limits.least_change,
        f"a left ventricle is seen in {int(seen.sum())} of {len(seen)} slices (long-axis images?)": float(seen.mean())
        < limits.least_slices,
        f"its cavity grows from ED ({early:.0f} mm) to ES ({late:.0f} mm; are they swapped?)": late
        > limits.largest_growth * early,
        "its centre jumps between neighbouring slices (are they in order?)": len(steps_mm) > 0
        and float(np.median(steps_mm)) > limits.largest_step_mm,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
