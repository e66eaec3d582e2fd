"""A folder of cine seeds, made of studies and what is known of hearts; it goes on where an interruption stopped."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from medwsss.config.cine import CineConfig
from medwsss.data.acdc import PHASES, Study, case_id
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import PseudoRecord, claim_pseudo_folder, write_pseudo_record
from medwsss.engine.seeds import study_seeds, write_study_seeds


def write_seed_folder(
    data: VolumeData,
    studies: Sequence[Study],
    config: CineConfig,
    root: Path,
    *,
    image_labels: ImageLabels | None,
    resume: bool = False,
    watched: Callable[[Sequence[Study]], Iterable[Study]] = iter,
) -> tuple[str, ...]:
    """Seeds of all studies and the record of the folder; gives the patients found now that the prior does not fit.

    Args:
        data: data set and task of the studies.
        studies: patients of ``data``.
        config: what is known of hearts.
        root: folder of pseudo-labels to write.
        image_labels: tags that clear absent classes; None clears nothing.
        resume: the folder may hold such seeds already; studies that are complete are left as they are.
        watched: goes through the studies, such as a progress bar does.

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
        names=tuple(case_id(study, phase) for study in studies for phase in PHASES),
        provenance={
            "source": "cine",
            "data": data.source,
            "tags": "none" if image_labels is None else data.tags_source,
            "settings": config.model_dump(mode="json"),
        },
    )
    folder = claim_pseudo_folder(root, record, maps=(), resume=resume)
    without = []
    for study in watched(studies):
        if all(folder.labels_file(case_id(study, phase)).is_file() for phase in PHASES):
            continue
        made = study_seeds(study, data, config, image_labels=image_labels)
        write_study_seeds(made, study, folder)
        if made.doubts:
            without.append(study.patient)
    write_pseudo_record(root, record)
    return tuple(without)
