"""Settings of self-training: rounds in which networks repair the seeds they learned from."""

from typing import Annotated

from pydantic import Field

from medwsss.config.section import Fraction, Section, Weight


class SelfTrainingConfig(Section):
    """Rounds of cross-fitted labels, for method ``seeds`` and for every method with add-on ``cine``.

    No mask takes part in any decision.
    """

    rounds: Annotated[int, Field(ge=0)] = 0
    """Rounds at most, before the network that is kept is trained; 0 trains it on the seeds."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Parts of the training patients: the labels of each come from a network that was trained on the others."""
    network_share: Fraction = 0.5
    """What the network's probability counts in a label; the blurred seeds count the rest."""
    blur_mm: Weight = 2.25
    """Blur of the seeds, in mm: as far as a contour may be off."""
    settled: Fraction = 0.98
    """Rounds end once the new labels agree with the last ones by this mean Dice."""
    muscle_tolerance: Weight = 0.02
    """Rounds end, and the last labels are kept, once the median relative difference of the muscle's volume between
    ED and ES grows by more than this: muscle is conserved, and labels that drift lose it."""
