"""ACDC-like patients whose hearts beat, so that the cine prior has something to see."""

from pathlib import Path

import numpy as np

from fakes.acdc import fake_patients, write_acdc
from fakes.beating_heart import beating_heart
from medwsss.data.acdc import find_studies
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume


def write_beating_acdc(root: Path, *, patients: int = 5, still: tuple[str, ...] = ("patient005",)) -> Path:
    """Drawn beating hearts with their masks; the hearts of ``still`` do not move."""
    write_acdc(root, fake_patients(patients))
    for study in find_studies(root):
        for phase, frame in study.frames.items():
            scene = beating_heart("ED" if study.patient in still else phase, seed=int(study.patient[-3:]))
            affine = np.diag([-1.5, -1.5, 10.0, 1.0])
            for array, path in (
                ((255 * scene.image).astype(np.int16), frame.path),
                (scene.codes, frame.path.with_name(frame.path.name.replace(".nii", "_gt.nii"))),
            ):
                save_volume(Volume(array.transpose(2, 1, 0).copy(), (1.5, 1.5, 10.0), affine), path)
    return root
