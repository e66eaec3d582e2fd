from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.acdc import FakePatient, write_acdc
from torch.utils.data import DataLoader

from medwsss.config.data import AcdcDataConfig, AugmentationConfig, GridConfig
from medwsss.data import study
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.image_labels import ImageLabels, image_labels_from_masks
from medwsss.data.sample import Batch, Draw, SliceKey, collate
from medwsss.data.slice_cache import SliceCache
from medwsss.data.slices import SliceDataset, slice_keys
from medwsss.labels import ACDC_TASKS

STILL = AugmentationConfig(
    flip_probability=0.0, rotation_degrees=0.0, zoom=(1.0, 1.0), intensity_scale=0.0, gamma=(1.0, 1.0)
)
CONFIG = AcdcDataConfig(task="multi", grid=GridConfig(crop=48), augmentation=STILL)


def dataset(tmp_path: Path, config: AcdcDataConfig = CONFIG, patients: tuple[FakePatient, ...] = ()) -> SliceDataset:
    root = tmp_path / "data"
    studies = find_studies(write_acdc(root, patients or (FakePatient(), FakePatient(number=2))))
    tags = image_labels_from_masks(studies, reference_masks(root), ACDC_TASKS[config.task])
    return SliceDataset(studies, tags, config, SliceCache(tmp_path / "cache"))


def epoch(slices: SliceDataset) -> list[Batch]:
    draws = [Draw(index, seed=100 + index) for index in range(len(slices))]
    return list(DataLoader(slices, batch_size=4, sampler=draws, collate_fn=collate))


def test_every_slice_of_both_phases_is_there_in_order(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    expected = [
        SliceKey(patient, phase, index)
        for patient in ("patient001", "patient002")
        for phase in ("ED", "ES")
        for index in range(4)
    ]
    assert list(slices.keys) == expected
    assert len(slices) == 2 * 2 * 4


def test_image_labels_stand_by_index(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    np.testing.assert_array_equal(slices.image_labels_array[:4], [[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]])
    assert slices[Draw(1, seed=0)].image_labels.tolist() == [1.0, 1.0, 0.0]


def test_a_sample_is_its_slice_with_key_and_box(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    sample = slices[Draw(6, seed=0)]
    assert sample.key == SliceKey("patient001", "ES", 2)
    top, bottom, left, right = sample.box.tolist()
    assert (bottom - top, right - left) == (36, 40)  # 40 × 36 voxels of 1.5 mm: rows are y, columns are x
    stack = SliceCache(tmp_path / "cache").stack(find_studies(tmp_path / "data")[0].frames["ES"], CONFIG.grid)
    np.testing.assert_allclose(sample.image[:, top:bottom, left:right].numpy(), np.stack([stack[2]] * 3), atol=1e-5)


def test_a_draw_determines_its_sample(tmp_path: Path) -> None:
    slices = dataset(tmp_path, CONFIG.model_copy(update={"augmentation": AugmentationConfig()}))
    first, again, other = (slices[Draw(2, seed)].image for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_other_phase_of_a_slice_is_the_same_slice_of_the_other_frame(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    study = find_studies(tmp_path / "data")[0]
    systole = SliceCache(tmp_path / "cache").stack(study.frames["ES"], CONFIG.grid)
    np.testing.assert_array_equal(slices.other_phase(2), systole[2])
    assert not np.array_equal(slices.other_phase(6), systole[2])


def test_phases_of_different_size_have_no_other_phase(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    short = write_acdc(tmp_path / "short", [FakePatient(grid=(40, 36, 3))])
    ed, es = (tmp_path / "data/training/patient001" / f"patient001_frame{n}.nii.gz" for n in ("01", "03"))
    es.write_bytes((short / "training/patient001/patient001_frame03.nii.gz").read_bytes())
    assert ed.exists()
    assert slices.other_phase(2) is None


def test_training_sees_no_mask_once_the_tags_are_written(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    for mask in reference_masks(tmp_path / "data").values():
        mask.unlink()
    batches = epoch(slices)
    assert [batch.images.shape for batch in batches] == [(4, 3, 48, 48)] * 4
    assert not list((tmp_path / "data").rglob("*_gt*"))


def test_an_epoch_after_the_first_and_a_second_run_read_no_nifti(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = dataset(tmp_path)
    first = epoch(slices)

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(study, "load_volume", refuse)
    studies = find_studies(tmp_path / "data")
    cache = SliceCache(tmp_path / "cache")
    assert slice_keys(studies, cache, CONFIG.grid) == slices.keys
    for one, two in zip(first, epoch(slices), strict=True):
        assert torch.equal(one.images, two.images)


def test_loader_processes_yield_the_same_samples(tmp_path: Path) -> None:
    slices = dataset(tmp_path, CONFIG.model_copy(update={"augmentation": AugmentationConfig()}))
    draws = [Draw(index, seed=index) for index in range(len(slices))]
    parallel = DataLoader(slices, batch_size=4, sampler=draws, collate_fn=collate, num_workers=1)
    here = DataLoader(slices, batch_size=4, sampler=draws, collate_fn=collate)
    for one, two in zip(parallel, here, strict=True):
        assert torch.equal(one.images, two.images)
        assert one.keys == two.keys


def bagged(tmp_path: Path) -> SliceDataset:
    """The first patient's ED is one bag; two slices of its ES are without tags; the rest was tagged alone."""
    studies = find_studies(write_acdc(tmp_path / "data", [FakePatient(), FakePatient(number=2)]))
    cache = SliceCache(tmp_path / "cache")
    keys = slice_keys(studies, cache, CONFIG.grid)
    tags = {key: (1, 1, 1) for key in keys if key not in keys[4:6]}
    return SliceDataset(studies, ImageLabels(("RV", "MYO", "LV"), tags, (keys[:4],)), CONFIG, cache)


def test_bags_stand_by_index_and_slices_without_tags_are_left_out(tmp_path: Path) -> None:
    slices = bagged(tmp_path)
    assert [(key.phase, key.index) for key in slices.keys[4:6]] == [("ES", 2), ("ES", 3)]
    assert slices.bags == ((0, 1, 2, 3), *((index,) for index in range(4, 14)))


def test_samples_of_a_batch_say_which_were_tagged_together(tmp_path: Path) -> None:
    slices = bagged(tmp_path)
    batch = collate([slices[Draw(index, seed=0)] for index in (2, 5, 0)]).to(torch.device("cpu"))
    assert batch.bags is not None
    first, other, again = batch.bags.tolist()
    assert first == again != other


def test_where_all_were_tagged_alone_no_batch_has_bags(tmp_path: Path) -> None:
    slices = dataset(tmp_path)
    assert slices.bags == ()
    assert collate([slices[Draw(0, seed=0)]]).bags is None
