"""Names for the arrays that travel between the layers that run without torch."""

from jaxtyping import Bool, Float, Float32, Integer, UInt8
from numpy import ndarray

Affine = Float[ndarray, "4 4"]
Image2D = Float32[ndarray, "h w"]
Image3D = Float32[ndarray, "x y z"]
Mask3D = Bool[ndarray, "x y z"]
LabelMap2D = UInt8[ndarray, "h w"]
LabelMap3D = UInt8[ndarray, "x y z"]
MultiHot = Integer[ndarray, "cls"]
SpacingMm = tuple[float, float, float]
