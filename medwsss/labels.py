"""What the numbers in a label map mean: class names, background 0, ignore 255, and the classes of each data set."""

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8

BACKGROUND = 0
IGNORE = 255
BACKGROUND_NAME = "background"
OWN_TASK = "own"
"""Name of the task of classes that a user brings."""


@dataclass(frozen=True)
class LabelSet:
    """The foreground classes of a task; class ``names[i]`` has label ``i + 1``, background is 0 and ignore is 255."""

    name: str
    names: tuple[str, ...]

    @property
    def described(self) -> str:
        """The task for a title: its name, or the classes where a user has brought them."""
        return ", ".join(self.names) if self.name == OWN_TASK else self.name

    @property
    def num_foreground(self) -> int:
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Foreground classes and background."""
        return len(self.names) + 1

    def undefined_in(self, labels: UInt8[np.ndarray, "*grid"]) -> list[int]:
        """The numbers of a label map that are neither background, a class nor 255; mostly none."""
        # adding 1 turns 255 into 0, so that one maximum tells
        if labels.size == 0 or (labels + np.uint8(1)).max() <= self.num_classes:
            return []
        return sorted(set(np.unique(labels).tolist()) - {*range(self.num_classes), IGNORE})


@dataclass(frozen=True)
class Task:
    """A label set and how the codes stored in a data set's masks map onto it; codes that are not listed are refused."""

    labels: LabelSet
    codes: Mapping[int, int]

    @property
    def words(self) -> str:
        """What each code means, for messages."""
        if self.labels.name != OWN_TASK:
            return "ACDC: 0 background, 1 RV, 2 MYO, 3 LV"
        names = (BACKGROUND_NAME, *self.labels.names)
        return ", ".join(f"{code} {names[label]}" for code, label in sorted(self.codes.items()))

    def from_codes(self, mask: Integer[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "*grid"]:
        """Translate stored codes to task labels.

        Raises:
            ValueError: the mask holds codes that the data set does not define.
        """
        unknown = sorted(set(np.unique(mask).tolist()) - set(self.codes))
        if unknown:
            raise ValueError(f"codes {reprlib.repr(unknown)} are not among {sorted(self.codes)}")
        table = np.zeros(max(self.codes) + 1, dtype=np.uint8)
        for code, label in self.codes.items():
            table[code] = label
        labels: UInt8[np.ndarray, "*grid"] = table[mask]
        return labels


ACDC_TASKS: Mapping[str, Task] = {
    "heart": Task(LabelSet("heart", ("heart",)), {0: 0, 1: 1, 2: 1, 3: 1}),
    "lv": Task(LabelSet("lv", ("LV",)), {0: 0, 1: 0, 2: 0, 3: 1}),
    "multi": Task(LabelSet("multi", ("RV", "MYO", "LV")), {0: 0, 1: 1, 2: 2, 3: 3}),
}
"""ACDC stores 1 right ventricle, 2 myocardium, 3 left ventricular cavity. Each task has its own tag table."""

_HEART_CODES: Mapping[int, str] = {1: "rv", 2: "myo", 3: "lv"}


def cardiac_task(labels: LabelSet) -> Task | None:
    """How the structures of the heart, in ACDC's codes, map onto classes called RV, MYO, LV or heart.

    Structures that are no class of their own belong to ``heart`` where there is one, else to the background. None where
    another class is there: what knows hearts alone would call it background.
    """
    known = {name.lower(): label for label, name in enumerate(labels.names, start=1)}
    if not known.keys() <= {*_HEART_CODES.values(), "heart"}:
        return None
    rest = known.get("heart", BACKGROUND)
    return Task(labels, {BACKGROUND: 0} | {code: known.get(name, rest) for code, name in _HEART_CODES.items()})


def own_task(classes: Sequence[str], codes: Mapping[int, str] | None = None) -> Task:
    """The task of a user's own classes, labelled 1, 2, … in their order.

    Args:
        classes: names of the foreground classes.
        codes: what masks hold, by number, with ``background`` for what is no class, names in any case; none means the
            labels themselves.
    """
    labels = {BACKGROUND_NAME: BACKGROUND} | {name.lower(): label for label, name in enumerate(classes, start=1)}
    named = codes or {label: name for name, label in labels.items()}
    known = {code: labels[name.lower()] for code, name in named.items()}
    return Task(LabelSet(OWN_TASK, tuple(classes)), {BACKGROUND: 0} | known)


def parsed_codes(text: str) -> dict[int, str]:
    """What numbers in masks mean, written like ``1=LV,2=MYO,3=RV``.

    Raises:
        ValueError: it is written otherwise, or a number exceeds 255.
    """
    pairs = [[word.strip() for word in part.split("=")] for part in text.split(",") if part.strip()]
    if not pairs or not all(len(p) == 2 and re.fullmatch("[0-9]{1,3}", p[0]) and int(p[0]) <= 255 for p in pairs):
        raise ValueError(f"codes {text!r} cannot be read: write them like 1=LV,2=MYO,3=RV")
    return {int(code): name for code, name in pairs}


VOC_LABELS = LabelSet(
    "voc",
    (
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
        "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ),
)  # fmt: skip
"""PASCAL VOC 2012: labels 1 to 20 in alphabetical order, as its masks store them."""

COCO_CATEGORIES: Mapping[int, str] = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
"""MS COCO: the 80 categories of its instance annotations by their ids, which leave out 11 numbers."""

COCO_LABELS = LabelSet("coco", tuple(COCO_CATEGORIES.values()))
"""Labels 1 to 80: the categories in the order of their ids."""
