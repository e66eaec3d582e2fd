from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.acdc import FakePatient, fake_patients, write_acdc
from fakes.voc import write_voc
from torch.utils.data import DataLoader

from medwsss.config.data import (
    AcdcDataConfig,
    AugmentationConfig,
    GridConfig,
    PhotographAugmentationConfig,
    PhotographDataConfig,
)
from medwsss.data.acdc import reference_masks
from medwsss.data.image_files import photograph_size, write_grey_image, write_label_image
from medwsss.data.loading import VolumeData, load_acdc
from medwsss.data.photographs import PhotographData, load_photographs
from medwsss.data.prepared import PreparedData
from medwsss.data.pseudo_folder import LABELS, WEIGHTS, PseudoFolder, PseudoRecord, write_pseudo_record
from medwsss.data.pseudo_sets import PseudoPhotographSet, PseudoSliceSet, pseudo_training_set
from medwsss.data.sample import Draw, collate
from medwsss.data.study import PHASES, case_id, load_frame
from medwsss.data.voc import Voc
from medwsss.errors import DatasetError, VolumeError
from medwsss.volumes.io import load_label_volume, save_volume
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

STILL_SLICES = AugmentationConfig(
    flip_probability=0.0, rotation_degrees=0.0, zoom=(1.0, 1.0), intensity_scale=0.0, gamma=(1.0, 1.0)
)
STILL_PHOTOGRAPHS = PhotographAugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0, photometric_probability=0.0)


def empty_folder(root: Path, data: PreparedData, names: tuple[str, ...], *, dataset: str, suffix: str) -> PseudoFolder:
    """A record, and the two folders with nothing in them yet."""
    record = PseudoRecord(dataset, data.labels.name, data.labels.names, data.split.hash, suffix, names, {})
    for part in (LABELS, WEIGHTS):
        (root / part).mkdir(parents=True)
    write_pseudo_record(root, record)
    return PseudoFolder(root, record)


def volumes(tmp_path: Path, patients: tuple[FakePatient, ...] = fake_patients(5), **changes: object) -> VolumeData:
    settings = {"grid": GridConfig(crop=48), "augmentation": STILL_SLICES, "cache_dir": tmp_path / "cache", **changes}
    config = AcdcDataConfig(task="multi").model_copy(update=settings)
    return load_acdc(config, write_acdc(tmp_path / "acdc", patients), tmp_path / "tags.csv")


def weights_of(labels: Volume) -> Volume:
    """Each voxel's own weight: the number of its slice, as tenths, and a half on the right side."""
    weights = np.broadcast_to(np.arange(labels.grid[2]) / 10, labels.grid).astype(np.float32)
    weights[: labels.grid[0] // 2] += 0.5
    return labels.with_array(weights)


def labelled_volumes(tmp_path: Path, data: VolumeData) -> PseudoFolder:
    """Pseudo-labels as good as masks, except that they leave the first rows of voxels undecided."""
    names = tuple(case_id(study, phase) for study in data.training for phase in PHASES)
    folder = empty_folder(tmp_path / "pseudo", data, names, dataset="acdc", suffix=".nii.gz")
    for name in names:
        mask = load_label_volume(reference_masks(data.root)[name])
        mask.array[:3] = 255
        save_volume(mask, folder.labels_file(name))
        save_volume(weights_of(mask), folder.weights_file(name))
    return folder


def photographs(tmp_path: Path, **changes: object) -> PhotographData:
    settings = {"crop": 96, "augmentation": STILL_PHOTOGRAPHS, **changes}
    config = PhotographDataConfig(name="voc").model_copy(update=settings)
    return load_photographs(config, Voc(write_voc(tmp_path)), tmp_path / "tags.csv")


def labelled_photographs(tmp_path: Path, data: PhotographData) -> PseudoFolder:
    """Pseudo-labels as good as masks; the upper half is sure, the lower half is not."""
    folder = empty_folder(tmp_path / "pseudo", data, data.split.train, dataset="voc", suffix=".png")
    for name in data.split.train:
        labels = data.image_set.mask(name)
        write_label_image(labels, folder.labels_file(name))
        weights = np.full(labels.shape, 255, dtype=np.uint8)
        weights[len(labels) // 2 :] = 51
        write_grey_image(weights, folder.weights_file(name))
    return folder


# --- slices


def test_a_slice_comes_with_the_labels_and_weights_of_its_case(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    folder = labelled_volumes(tmp_path, data)
    samples = pseudo_training_set(data, folder.root)
    assert isinstance(samples, PseudoSliceSet)
    study = data.training[1]
    index = 8 + 4 + 2  # two phases of four slices a patient
    sample = samples[Draw(index, seed=0)]
    assert str(sample.key) == f"{study.patient} ES slice 2"
    mask = load_label_volume(folder.labels_file(case_id(study, "ES")))
    top, bottom, left, right = sample.box.tolist()
    assert sample.labels is not None
    assert sample.label_weights is not None
    np.testing.assert_array_equal(sample.labels[top:bottom, left:right], slices_of(mask).array[2])
    np.testing.assert_array_equal(sample.label_weights[top:bottom, left:right], slices_of(weights_of(mask)).array[2])


def test_padding_has_label_255_and_weight_0(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    samples = pseudo_training_set(data, labelled_volumes(tmp_path, data).root)
    sample = samples[Draw(3, seed=0)]
    padding = torch.ones(48, 48, dtype=torch.bool)
    padding[sample.box[0] : sample.box[1], sample.box[2] : sample.box[3]] = False
    assert padding.sum() == 48 * 48 - 40 * 36
    assert sample.labels[padding].unique().tolist() == [255]
    assert sample.label_weights[padding].unique().tolist() == [0.0]


def test_images_tags_and_boxes_are_those_of_the_set_without_labels(tmp_path: Path) -> None:
    data = volumes(tmp_path, augmentation=AugmentationConfig())
    bare, labelled = data.training_set(), pseudo_training_set(data, labelled_volumes(tmp_path, data).root)
    for index in range(len(bare)):
        one, two = bare[Draw(index, 40 + index)], labelled[Draw(index, 40 + index)]
        assert torch.equal(one.image, two.image)
        assert torch.equal(one.box, two.box)
        assert torch.equal(one.image_labels, two.image_labels)
        assert one.key == two.key


def test_augmented_labels_stay_on_the_bright_pixels_that_they_label(tmp_path: Path) -> None:
    """The fake heart: the myocardium (2) is dark beside the cavity (3), both brighter than the body."""
    data = volumes(tmp_path, augmentation=AugmentationConfig(intensity_scale=0.0, gamma=(1.0, 1.0)))
    samples = pseudo_training_set(data, labelled_volumes(tmp_path, data).root)
    for index in range(3, len(samples), 4):
        sample = samples[Draw(index, seed=index)]
        cavity, body = (sample.image[0][sample.labels == label] for label in (3, 0))
        assert cavity.mean() - body.mean() > 0.4


def test_labels_are_resampled_to_the_size_of_the_working_slices(tmp_path: Path) -> None:
    data = volumes(tmp_path, grid=GridConfig(spacing_mm=2.2, crop=32))
    sample = pseudo_training_set(data, labelled_volumes(tmp_path, data).root)[Draw(2, seed=0)]
    rows, columns = data.cache.stack(data.training[0].frames["ED"], data.config.grid).shape[1:]
    assert (rows, columns) == (25, 27)  # 36 and 40 voxels of 1.5 mm at 2.2 mm
    inside = sample.labels[sample.box[0] : sample.box[1], sample.box[2] : sample.box[3]]
    assert inside.shape == (rows, columns)
    assert set(inside.unique().tolist()) == {0, 1, 2, 3, 255}


def test_frames_of_a_4d_file_get_the_labels_of_their_case(tmp_path: Path) -> None:
    patients = tuple(replace(patient, cine=True, frame_files=()) for patient in fake_patients(5))
    data = volumes(tmp_path, patients)
    sample = pseudo_training_set(data, labelled_volumes(tmp_path, data).root)[Draw(2, seed=0)]
    assert set(sample.labels.unique().tolist()) == {0, 1, 2, 3, 255}


def test_batches_of_loader_processes_hold_labels(tmp_path: Path) -> None:
    data = volumes(tmp_path, augmentation=AugmentationConfig())
    samples = pseudo_training_set(data, labelled_volumes(tmp_path, data).root)
    draws = [Draw(index, seed=index) for index in range(4)]
    for workers in (0, 1):
        (batch,) = DataLoader(samples, batch_size=4, sampler=draws, collate_fn=collate, num_workers=workers)
        assert batch.labels.shape == batch.label_weights.shape == (4, 48, 48)
        assert batch.labels.dtype == torch.int64
        assert torch.equal(batch.labels, torch.stack([samples[draw].labels for draw in draws]))


def of_another_size(volume: Volume) -> Volume:
    return replace(volume, array=volume.array[:-1])


def moved_away(volume: Volume) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += 5.0
    return replace(volume, affine=affine)


def undefined(volume: Volume) -> Volume:
    return volume.with_array(np.full_like(volume.array, 7))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("labels", of_another_size, r"labels/patient\d+_frame01\.nii\.gz has shape \(39, 36, 4\), its frame has \(40,"),
        ("weights", of_another_size, r"weights/patient\d+_frame01\.nii\.gz has shape \(39, 36, 4\), its frame has"),
        ("labels", moved_away, r"labels/patient\d+_frame01\.nii\.gz has another affine than its frame"),
        ("weights", moved_away, r"weights/patient\d+_frame01\.nii\.gz has another affine than its frame"),
        ("labels", undefined, r"labels/patient\d+_frame01\.nii\.gz holds labels \[7\]: multi has 0 to 3 and 255"),
        ("weights", undefined, r"weights/patient\d+_frame01\.nii\.gz holds weights from 7 to 7, not 0 to 1"),
    ],
)
def test_maps_that_do_not_fit_their_frame_are_refused_before_training(
    tmp_path: Path, part: str, change: Callable[[Volume], Volume], message: str
) -> None:
    data = volumes(tmp_path)
    folder = labelled_volumes(tmp_path, data)
    name = case_id(data.training[0], "ED")
    file = folder.labels_file(name) if part == "labels" else folder.weights_file(name)
    like = load_frame(data.training[0].frames["ED"])
    save_volume(change(like.with_array(np.zeros(like.grid, dtype=np.uint8))), file)
    with pytest.raises(DatasetError, match=message):
        pseudo_training_set(data, folder.root)


def test_a_damaged_map_of_a_volume_is_named(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    folder = labelled_volumes(tmp_path, data)
    file = folder.weights_file(case_id(data.training[0], "ED"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(VolumeError, match=str(file)):
        pseudo_training_set(data, folder.root)


# --- photographs


def test_a_photograph_comes_with_its_labels_and_weights(tmp_path: Path) -> None:
    data = photographs(tmp_path)
    samples = pseudo_training_set(data, labelled_photographs(tmp_path, data).root)
    assert isinstance(samples, PseudoPhotographSet)
    sample = samples[Draw(1, seed=3)]
    labels = data.image_set.mask(data.split.train[1])
    top, bottom, left, right = sample.box.tolist()
    np.testing.assert_array_equal(sample.labels[top:bottom, left:right], labels)
    half = top + len(labels) // 2
    assert sample.label_weights[top:half, left:right].unique().tolist() == [1.0]
    assert sample.label_weights[half:bottom, left:right].unique().tolist() == [pytest.approx(51 / 255)]
    outside = torch.ones(96, 96, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert sample.labels[outside].unique().tolist() == [255]
    assert sample.label_weights[outside].unique().tolist() == [0.0]


def test_augmented_photographs_are_those_of_the_set_without_labels(tmp_path: Path) -> None:
    data = photographs(tmp_path, augmentation=PhotographAugmentationConfig())
    bare, labelled = data.training_set(), pseudo_training_set(data, labelled_photographs(tmp_path, data).root)
    for seed in range(8):
        one, two = (images[Draw(seed % len(bare), seed)] for images in (bare, labelled))
        assert torch.equal(one.image, two.image)
        assert torch.equal(one.box, two.box)


def test_augmented_labels_stay_on_the_colour_that_they_label(tmp_path: Path) -> None:
    """Aeroplanes (1) are red, and everything that is no object is grey."""
    moving = PhotographAugmentationConfig(scale=(0.7, 1.4), photometric_probability=0.0)
    data = photographs(tmp_path, augmentation=moving)
    samples = pseudo_training_set(data, labelled_photographs(tmp_path, data).root)
    seen = 0
    for index in range(len(samples)):
        sample = samples[Draw(index, seed=20 + index)]
        for label, channel in ((1, 0), (12, 1), (15, 2)):  # aeroplane red, dog green, person blue
            object_pixels = sample.image[:, sample.labels == label]
            if object_pixels.shape[1] > 20:
                assert object_pixels.mean(dim=1).argmax() == channel
                seen += 1
    assert seen >= 4


@pytest.mark.parametrize("part", ["labels", "weights"])
def test_a_map_of_another_size_than_its_photograph_is_refused_before_training(tmp_path: Path, part: str) -> None:
    data = photographs(tmp_path)
    folder = labelled_photographs(tmp_path, data)
    name = data.split.train[2]
    file = folder.labels_file(name) if part == "labels" else folder.weights_file(name)
    height, width = photograph_size(file)
    write_grey_image(np.zeros((width, height), dtype=np.uint8), file)
    with pytest.raises(
        DatasetError, match=rf"{part}/{name}\.png is {height} x {width} pixels, its image .*{name}\.jpg"
    ):
        pseudo_training_set(data, folder.root)


def test_undefined_labels_of_a_photograph_are_refused_when_it_is_drawn(tmp_path: Path) -> None:
    data = photographs(tmp_path)
    folder = labelled_photographs(tmp_path, data)
    file = folder.labels_file(data.split.train[0])
    write_label_image(np.full(photograph_size(file), 21, dtype=np.uint8), file)
    samples = pseudo_training_set(data, folder.root)
    with pytest.raises(DatasetError, match=rf"{file} holds labels \[21\]: voc has 0 to 20 and 255"):
        samples[Draw(0, seed=0)]


# --- the folder


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    data = photographs(tmp_path)
    folder = labelled_photographs(tmp_path, data)
    folder.weights_file(data.split.train[1]).unlink()
    with pytest.raises(DatasetError, match=rf"1 files are missing, first .*weights/{data.split.train[1]}\.png"):
        pseudo_training_set(data, folder.root)


def test_a_folder_of_another_split_is_refused(tmp_path: Path) -> None:
    data = volumes(tmp_path)
    folder = labelled_volumes(tmp_path, data)
    write_pseudo_record(folder.root, replace(folder.record, split_hash="0" * 16))
    with pytest.raises(DatasetError, match="another split"):
        pseudo_training_set(data, folder.root)
