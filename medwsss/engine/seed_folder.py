"""A folder of cine seeds, made of studies and what is known of hearts; it goes on where an interruption stopped."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from medwsss.config.cine import CineConfig
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import (
    PseudoFolder,
    PseudoRecord,
    claim_pseudo_folder,
    note_left_out,
    write_pseudo_record,
)
from medwsss.data.study import Study, case_ids
from medwsss.engine.seeds import StudySeeds, seed_maker, write_study_seeds
from medwsss.engine.workers import available_cores, spread
from medwsss.errors import MedwsssWarning


def write_seed_folder(
    data: VolumeData,
    studies: Sequence[Study],
    config: CineConfig,
    root: Path,
    *,
    image_labels: ImageLabels | None,
    resume: bool = False,
    watched: Callable[[Iterable[StudySeeds], int], Iterable[StudySeeds]] = lambda made, count: made,
) -> PseudoFolder:
    """Seeds of all studies, made on all cores, and the record, which names those that the prior does not fit.

    A ``MedwsssWarning`` gives each reason, and the record has it before the labels of the study are there.

    Args:
        data: data set and task of the studies.
        studies: patients of ``data``.
        config: what is known of hearts.
        root: folder of pseudo-labels to write.
        image_labels: tags that clear absent classes; None clears nothing.
        resume: the folder may hold such seeds already; studies that are complete are left as they are.
        watched: goes through so many results, such as a progress bar does.

    Raises:
        DatasetError, VolumeError: a frame cannot be read.
        OutputError: the folder holds something else, or cannot be written.
    """
    record = PseudoRecord(
        dataset=data.config.name,
        task=data.labels.name,
        classes=data.labels.names,
        split_hash=None,
        suffix=".nii.gz",
        names=case_ids(studies),
        provenance={
            "source": "cine",
            "data": data.source,
            "tags": "none" if image_labels is None else data.tags_source,
            "settings": config.model_dump(mode="json"),
        },
    )
    folder = claim_pseudo_folder(root, record, maps=(), resume=resume)
    left = [study for study in studies if not _complete(study, folder)]
    make = seed_maker(left, data, config, image_labels=image_labels)
    made_of_all = watched(spread(make, len(left), available_cores(), forked=True), len(left))
    for study, made in zip(left, made_of_all, strict=True):
        for reason in made.doubts:
            warnings.warn(f"{study.patient} gets no cine seeds: {reason}", MedwsssWarning, stacklevel=2)
        if made.doubts:
            folder = note_left_out(folder, case_ids([study]), made.doubts)
        write_study_seeds(made, study, folder)
    write_pseudo_record(root, folder.record)
    return folder


def _complete(study: Study, folder: PseudoFolder) -> bool:
    return all(folder.labels_file(name).is_file() for name in case_ids([study]))
