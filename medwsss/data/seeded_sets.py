"""Training slices with what a prior says of them: seeds beside tags, or beside stored pseudo-labels."""

from dataclasses import replace
from pathlib import Path

from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import PseudoFolder, open_pseudo_folder
from medwsss.data.pseudo_sets import training_maps
from medwsss.data.sample import Draw, Sample, SliceKey, TrainingSet
from medwsss.data.study import case_ids
from medwsss.data.transforms import TrainingTransform


def seeded_training_set(samples: TrainingSet, data: VolumeData, root: Path) -> "SeededSet":
    """The training part of volumes with the seeds in the folder ``root``, which ``medwsss seeds`` writes.

    Every file is there and of the right size when this returns.

    Args:
        samples: the training slices of ``data``, with pseudo-labels or without.
        data: where they come from.
        root: of the seeds; they may be of more patients than those that train.

    Raises:
        DatasetError: the folder is incomplete or of another data set or task, or a map has another grid than its
            frame, or holds undefined labels or confidence outside 0 to 1.
        VolumeError: a file cannot be read.
    """
    names = case_ids(data.training)
    folder = open_pseudo_folder(
        root, dataset=data.config.name, label_set=data.labels, split_hash=data.split.hash, names=names
    )
    return SeededSet(samples, data, folder)


class SeededSet(TrainingSet):
    """The samples of another set, each with the seeds of its slice."""

    def __init__(self, samples: TrainingSet, data: VolumeData, folder: PseudoFolder) -> None:
        """All seeds of the training patients are read here; see ``seeded_training_set`` for what is raised."""
        self.samples = samples
        self._maps = training_maps(data, folder)
        self._transform = TrainingTransform(data.config.grid, data.config.augmentation)

    def __len__(self) -> int:
        return len(self.samples)

    def file_of(self, key: SliceKey) -> Path:
        """As in the other set."""
        return self.samples.file_of(key)

    @property
    def bags(self) -> tuple[tuple[int, ...], ...]:
        """Those of the other set."""
        return self.samples.bags

    def __getitem__(self, draw: Draw) -> Sample:
        """One augmented slice, with seeds that went along."""
        sample = self.samples[draw]
        maps = self._maps[sample.key.patient, sample.key.phase].of_slice(sample.key.index)
        seeds, confidence = maps.moved(self._transform, draw.seed)
        return replace(sample, seeds=seeds, seed_confidence=confidence)
