from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.acdc import fake_patients, write_acdc

from medwsss.config.data import AcdcDataConfig, AugmentationConfig, GridConfig
from medwsss.data.acdc import reference_masks
from medwsss.data.image_labels import ImageLabels
from medwsss.data.loading import VolumeData, load_acdc
from medwsss.data.pseudo_folder import LABELS, WEIGHTS, PseudoFolder, PseudoRecord, write_pseudo_record
from medwsss.data.pseudo_sets import pseudo_training_set
from medwsss.data.sample import Draw, collate
from medwsss.data.seeded_sets import seeded_training_set
from medwsss.data.study import PHASES, case_id
from medwsss.errors import DatasetError
from medwsss.volumes.io import load_label_volume, save_volume


def volumes(tmp_path: Path) -> VolumeData:
    config = AcdcDataConfig(task="multi", grid=GridConfig(crop=48), cache_dir=tmp_path / "cache")
    moving = config.model_copy(update={"augmentation": AugmentationConfig()})
    return load_acdc(moving, write_acdc(tmp_path / "acdc", fake_patients(5)), tmp_path / "tags.csv")


def seeds_of(root: Path, data: VolumeData, *, task: str = "multi", split_hash: str | None = None) -> PseudoFolder:
    """The masks, with their number as a share of 10 as confidence; the first training patient has none."""
    names = tuple(case_id(study, phase) for study in data.training for phase in PHASES)
    record = PseudoRecord("acdc", task, data.labels.names, split_hash, ".nii.gz", names, {"source": "cine"})
    for part in (LABELS, WEIGHTS):
        (root / part).mkdir(parents=True)
    write_pseudo_record(root, record)
    folder = PseudoFolder(root, record)
    for name in names:
        mask = load_label_volume(reference_masks(data.root)[name])
        weights = (mask.array / 10).astype(np.float32)
        if name.startswith(data.training[0].patient):
            mask, weights = mask.with_array(np.full_like(mask.array, 255)), np.zeros_like(weights)
        save_volume(mask, folder.labels_file(name))
        save_volume(mask.with_array(weights), folder.weights_file(name))
    return folder


def test_seeds_and_confidence_move_along_with_the_slice(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    bare = data.training_set()
    seeded = seeded_training_set(bare, data, seeds_of(tmp_path / "seeds", data).root)
    assert len(seeded) == len(bare)
    for index in range(8, len(bare)):  # behind the first patient
        plain, sample = bare[Draw(index, index)], seeded[Draw(index, index)]
        assert torch.equal(plain.image, sample.image)
        assert (plain.key, sample.labels) == (sample.key, None)
        assert sample.seeds is not None
        assert sample.seed_confidence is not None
        known = sample.seeds != 255
        torch.testing.assert_close(sample.seed_confidence[known], sample.seeds[known] / 10)
        assert not sample.seed_confidence[~known].any()
        cavity, body = (sample.image[0][sample.seeds == label] for label in (3, 0))
        assert len(cavity) == 0 or cavity.mean() - body.mean() > 0.2


def test_a_patient_without_seeds_has_255_and_no_confidence(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    sample = seeded_training_set(data.training_set(), data, seeds_of(tmp_path / "seeds", data).root)[Draw(0, 1)]
    assert (sample.seeds == 255).all()
    assert not sample.seed_confidence.any()


def test_seeds_join_stored_labels_in_one_batch(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    stored = pseudo_training_set(data, seeds_of(tmp_path / "pseudo", data, split_hash=data.split.hash).root)
    seeded = seeded_training_set(stored, data, seeds_of(tmp_path / "seeds", data).root)
    batch = collate([seeded[Draw(index, 3)] for index in (9, 10)]).to(torch.device("cpu"))
    assert torch.equal(batch.labels, batch.seeds)
    assert torch.equal(batch.label_weights, batch.seed_confidence)
    assert batch.seeds.shape == (2, 48, 48)
    assert batch.seeds.dtype == torch.int64


def test_samples_without_seeds_make_a_batch_without(tmp_path: Path) -> None:
    samples = volumes(tmp_path).training_set()
    batch = collate([samples[Draw(0, 0)]]).to(torch.device("cpu"))
    assert batch.seeds is None
    assert batch.seed_confidence is None


def test_seeds_of_another_task_or_without_a_patient_are_refused(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    other = seeds_of(tmp_path / "other", data, task="heart").root
    with pytest.raises(DatasetError, match=r"another task \(heart, this run has multi\)"):
        seeded_training_set(data.training_set(), data, other)
    folder = seeds_of(tmp_path / "seeds", data)
    folder.labels_file(case_id(data.training[1], "ES")).unlink()
    with pytest.raises(DatasetError, match="1 files are missing"):
        seeded_training_set(data.training_set(), data, folder.root)


def test_confidence_above_one_is_refused(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    folder = seeds_of(tmp_path / "seeds", data)
    file = folder.weights_file(case_id(data.training[1], "ES"))
    volume = load_label_volume(folder.labels_file(case_id(data.training[1], "ES")))
    save_volume(replace(volume, array=np.full(volume.grid, 2.0, np.float32)), file)
    with pytest.raises(DatasetError, match="holds weights from 2 to 2"):
        seeded_training_set(data.training_set(), data, folder.root)


def test_slices_that_were_tagged_together_stay_so_beside_their_seeds(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    keys = [key for key in data.image_labels.tags if key.patient == data.training[1].patient and key.phase == "ED"]
    tags = {**data.image_labels.tags, **dict.fromkeys(keys, (1, 1, 1))}
    together = replace(data, image_labels=ImageLabels(data.labels.names, tags, (tuple(keys),)))
    seeded = seeded_training_set(together.training_set(), together, seeds_of(tmp_path / "seeds", data).root)
    assert seeded.bags[0] == (8, 9, 10, 11)  # behind the two phases of the first patient, of four slices each
    assert {seeded[Draw(index, 0)].bag for index in (8, 11)} == {0}
    assert seeded[Draw(0, 0)].bag not in (0, None)
