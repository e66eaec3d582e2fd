"""The tags that code bases on VOC pass around, ``cls_labels_onehot.npy``: image names and their multi-hot vectors."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medwsss.data.pickled_arrays import read_pickled_arrays
from medwsss.errors import ImageLabelsError


def read_onehot(path: Path) -> Mapping[str, UInt8[np.ndarray, " cls"]]:
    """Multi-hot image-level labels by image name; all vectors have one length. No code in the file is run.

    Names stored as ten-digit numbers (2007000032) become VOC's (2007_000032).

    Raises:
        ImageLabelsError: the file cannot be read, is no .npy file, is truncated or larger than 512 MB, or holds
            anything but a dictionary of names and equally long vectors of 0 and 1.
    """
    stored = read_pickled_arrays(path)
    if not stored:
        raise ImageLabelsError(f"{path} holds no image: pass a file that maps names to vectors of 0 and 1")
    names = [_image_name(key, path) for key in stored]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ImageLabelsError(f"{path} holds {repeated[0]} twice, as text and as a number: keep one")
    return dict(zip(names, _multi_hot(names, list(stored.values()), path), strict=True))


def _image_name(key: object, path: Path) -> str:
    if isinstance(key, str) and key and key.isprintable():
        return key
    if isinstance(key, int) and 10**9 <= key < 10**10:
        return f"{key // 10**6}_{key % 10**6:06d}"
    raise ImageLabelsError(f"{path} has the key {str(key)[:40]!r}: keys must be names of images such as 2007_000032")


def _multi_hot(names: list[str], vectors: list[object], path: Path) -> UInt8[np.ndarray, "n cls"]:
    checked: list[np.ndarray] = []
    for name, vector in zip(names, vectors, strict=True):
        if not isinstance(vector, np.ndarray) or vector.dtype.kind not in "biuf" or not vector.size:
            raise ImageLabelsError(f"{path}: the value of {name} is no vector of numbers")
        checked.append(vector)
        if vector.size != checked[0].size:
            raise ImageLabelsError(f"{path}: {name} has {vector.size} values, {names[0]} has {checked[0].size}")
    matrix = np.stack(checked)
    wrong = ~((matrix == 0) | (matrix == 1)).all(axis=1)
    if wrong.any():
        raise ImageLabelsError(f"{path}: {names[int(wrong.argmax())]} has values other than 0 and 1")
    return matrix.astype(np.uint8)
