"""Weakly supervised semantic segmentation for medical imaging: from image-level labels to volume reports."""

__version__ = "0.1.0"
