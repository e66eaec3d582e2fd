"""What a reader needs beside the numbers: whom to cite, what the results are for, and where they end."""

import re
from collections.abc import Mapping

_UNIA = (
    "UniA: Z. Yang, Y. Meng, K. Fu, S. Wang, Z. Song. Tackling Ambiguity from Perspective of Uncertainty Inference and "
    "Affinity Diversification for Weakly Supervised Semantic Segmentation."
)
_URN = (
    "URN: Y. Li, Y. Duan, Z. Kuang, Y. Chen, W. Zhang, X. Li. Uncertainty Estimation via Response Scaling for "
    "Pseudo-mask Noise Mitigation in Weakly-supervised Semantic Segmentation. AAAI 2022."
)
_USAGE = (
    "USAGE: Z. Peng, G. Wang, L. Xie, D. Jiang, W. Shen, Q. Tian. USAGE: A Unified Seed Area Generation Paradigm for "
    "Weakly Supervised Semantic Segmentation. ICCV 2023."
)
_HFPL = (
    "ISL and FSL: A. Jonnarth, Y. Zhang, M. Felsberg. High-fidelity Pseudo-labels for Boosting Weakly-Supervised "
    "Segmentation. WACV 2024."
)
CITATIONS: Mapping[str, str] = {
    "unia": _UNIA, "usage": _USAGE, "urn": _URN, "isl": _HFPL, "fsl": _HFPL, "retrain": _URN
}  # fmt: skip
"""By method and add-on."""
_ALWAYS = (
    "ACDC, if these are its patients: O. Bernard et al. Deep Learning Techniques for Automatic MRI Cardiac "
    "Multi-structures Segmentation and Diagnosis: Is the Problem Solved? IEEE TMI 2018.",
    "MONAI: M. J. Cardoso et al. MONAI: An open-source framework for deep learning in healthcare. arXiv:2211.02701.",
)
LIMITS = (
    "Intended use: research on segmentation of volumes like those it was trained on; label maps for people to check.",
    "Not intended: diagnosis, treatment, any clinical decision, or images of other scanners, sequences or views "
    "without an evaluation of its own.",
    "A network from image-level labels and prior knowledge shares the errors of both: what no tag and no prior "
    "tells apart, it cannot learn.",
    "Every number is of the volumes named above. Few patients per group make the intervals of groups wide.",
)


def citations(method: str) -> tuple[str, ...]:
    """References of a method and its add-ons as the notes of a run name them, such as ``unia with isl, urn``."""
    named = re.findall(r"[a-z]+", method)
    return (*dict.fromkeys(CITATIONS[name] for name in named if name in CITATIONS), *_ALWAYS)
