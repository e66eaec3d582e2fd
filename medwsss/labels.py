"""What the numbers in a label map mean: class names, background 0, ignore 255, and the tasks ACDC offers."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8

BACKGROUND = 0
IGNORE = 255


@dataclass(frozen=True)
class LabelSet:
    """The foreground classes of a task; class ``names[i]`` has label ``i + 1``, background is 0 and ignore is 255."""

    name: str
    names: tuple[str, ...]

    @property
    def num_foreground(self) -> int:
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Foreground classes and background."""
        return len(self.names) + 1


@dataclass(frozen=True)
class Task:
    """A label set and how the codes stored in a data set's masks map onto it; codes that are not listed are refused."""

    labels: LabelSet
    codes: Mapping[int, int]

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
