import inspect
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from medwsss.priors.training_free import (
    TRAINING_FREE,
    centre_disc,
    gated,
    mean_shape,
    motion_mask,
    shape_mask,
)
from medwsss.volumes.io import load_label_volume, load_volume
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume


def volume_of(array: np.ndarray, spacing_mm: tuple[float, float, float] = (2.0, 1.0, 8.0)) -> Volume:
    return Volume(array, spacing_mm, np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0]))


def stored_otherwise(volume: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same voxels in the same places with axes permuted, then flipped."""
    flipped = tuple(axis for axis, flip in enumerate(flips) if flip)
    array = np.flip(volume.array.transpose(order), flipped)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3][:, order]
    for axis in flipped:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1.0
    spacing = tuple(volume.spacing_mm[axis] for axis in order)
    return Volume(np.ascontiguousarray(array), (spacing[0], spacing[1], spacing[2]), affine)


def beating(shift: int = 0) -> tuple[Volume, Volume]:
    """A bright disc of 20 mm radius at ED and 10 mm at ES in every slice, and a bright stripe that stands still."""
    x, y = np.meshgrid(np.arange(60) * 2.0, np.arange(120) * 1.0, indexing="ij")
    distance = np.hypot(x - 70.0, y - 50.0)
    frames = []
    for radius, offset in ((20.0, 0), (10.0, shift)):
        plane = (distance <= radius).astype(np.float32)
        plane[5 + offset : 15 + offset, :] = 1.0
        frames.append(volume_of(np.repeat(plane[:, :, None], 4, axis=2)))
    return frames[0], frames[1]


def test_a_disc_of_2_mm_on_pixels_of_2_by_1_mm_is_a_cross_of_three_by_five() -> None:
    disc = centre_disc(volume_of(np.zeros((5, 7, 2), np.float32)), radius_mm=2.0)
    expected = np.zeros((5, 7), bool)
    expected[2, 1:6] = True  # x = 0: |y| up to 2 mm
    expected[[1, 3], 3] = True  # |x| = 2 mm: y = 0 only
    np.testing.assert_array_equal(disc, np.stack([expected, expected], axis=2))


def test_the_area_of_a_disc_does_not_depend_on_the_pixels() -> None:
    for spacing in ((1.0, 1.0, 10.0), (1.7, 0.9, 10.0)):
        disc = centre_disc(volume_of(np.zeros((200, 210, 1), np.float32), spacing), radius_mm=30.0)
        assert disc.sum() * spacing[0] * spacing[1] == pytest.approx(np.pi * 30.0**2, rel=0.02)


@pytest.mark.parametrize("name", list(TRAINING_FREE))
def test_baselines_do_not_depend_on_axis_order_and_flips(name: str) -> None:
    ed, es = beating()
    mask = ed.with_array(TRAINING_FREE[name](ed, es))
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        stored = TRAINING_FREE[name](stored_otherwise(ed, order, flips), stored_otherwise(es, order, flips))
        np.testing.assert_array_equal(stored, stored_otherwise(mask, order, flips).array)


def test_motion_is_found_where_the_disc_shrinks_and_not_where_nothing_moves() -> None:
    ed, es = beating()
    mask = motion_mask(ed, es, sigma_mm=4.0)
    assert mask[35 + 8, 50].all()  # 16 mm from the centre: inside at ED, outside at ES
    assert not mask[:16].any()


def test_a_shift_by_one_pixel_is_no_motion() -> None:
    ed, es = beating(shift=1)
    assert not motion_mask(ed, es, sigma_mm=4.0)[:18].any()
    assert not motion_mask(ed, ed.with_array(np.roll(ed.array, 1, axis=1))).any()


def test_equal_frames_hold_no_motion() -> None:
    ed, _ = beating()
    assert not motion_mask(ed, ed).any()


def test_gain_and_offset_of_a_frame_do_not_matter_to_motion() -> None:
    ed, es = beating()
    np.testing.assert_array_equal(motion_mask(ed, es.with_array(300.0 * es.array + 40.0)), motion_mask(ed, es))


def test_only_the_largest_moving_part_is_kept() -> None:
    ed, es = beating()
    ed.array[50:56, 100:106, :] = 1.0  # 12 by 6 mm, present at ED only
    mask = motion_mask(ed, es, sigma_mm=2.0)
    assert mask[43, 50].all()
    assert not mask[50:56, 100:106].any()


def test_gating_clears_the_slices_whose_tag_is_absent_in_the_order_of_slices_of() -> None:
    like = volume_of(np.zeros((4, 5, 3), np.float32))
    for stored in (like, stored_otherwise(like, (2, 0, 1), (True, False, True))):
        mask = np.ones(stored.grid, bool)
        kept = slices_of(stored.with_array(gated(mask, np.array([True, False, True]), stored))).array
        np.testing.assert_array_equal(kept.all(axis=(1, 2)), [True, False, True])
        assert not kept[1].any()


def test_the_mean_of_one_centred_disc_is_that_disc_on_any_grid() -> None:
    source, target = (
        volume_of(np.zeros((100, 180, 3), np.float32)),
        volume_of(np.zeros((150, 130, 2), np.float32), (1.5, 1.5, 9.0)),
    )
    prior = mean_shape([(centre_disc(source, radius_mm=30.0), source)])
    expected = centre_disc(target, radius_mm=30.0)
    found = shape_mask(prior, target)
    assert 2.0 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.97


def test_the_prior_is_the_share_of_slices_that_hold_the_structure() -> None:
    like = volume_of(np.zeros((100, 180, 3), np.float32))
    small, large = (centre_disc(like, radius_mm=radius) for radius in (10.0, 40.0))
    small[..., 0] = False  # empty slices do not count: 2 small and 3 large ones remain
    prior = mean_shape([(small, like), (large, like)])
    middle = len(prior.probability) // 2
    assert prior.probability[middle, middle] == pytest.approx(1.0)
    assert prior.probability[middle, middle + 10] == pytest.approx(3 / 5)  # 20 mm off the centre
    assert prior.probability[middle, middle + 25] == 0.0
    core = shape_mask(prior, like, fraction=0.8)  # halfway between 1 and 3/5: the small disc, softened by 2 mm pixels
    assert centre_disc(like, radius_mm=9.0).sum() <= core.sum() <= centre_disc(like, radius_mm=11.0).sum()


def test_arguments_out_of_range_are_refused_by_name() -> None:
    ed, es = beating()
    empty = np.zeros(ed.grid, bool)
    with pytest.raises(ValueError, match="radius_mm"):
        centre_disc(ed, radius_mm=0.0)
    with pytest.raises(ValueError, match="grid of ed"):
        motion_mask(ed, volume_of(es.array[:-1]))
    with pytest.raises(ValueError, match="fraction"):
        motion_mask(ed, es, fraction=1.0)
    with pytest.raises(ValueError, match="one mask"):
        mean_shape([])
    with pytest.raises(ValueError, match="one voxel"):
        mean_shape([(empty, ed)])
    with pytest.raises(ValueError, match="fraction"):
        shape_mask(mean_shape([(~empty, ed)]), ed, fraction=0.0)
    with pytest.raises(ValueError, match="present"):
        inspect.unwrap(gated)(empty, np.array([True]), ed)


@pytest.mark.data
def test_on_real_patients_the_baselines_reach_what_was_published_for_them(shared_data: Callable[..., Path]) -> None:
    """Discs 49 and 54, motion 60-65 on all 200 volumes; every eighth patient here, so the margins are wide."""
    scores: dict[str, list[float]] = {name: [] for name in TRAINING_FREE}
    for folder in sorted(shared_data("acdc", "training").iterdir())[::8]:
        info = dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines())
        stems = [f"{folder.name}_frame{int(info[phase]):02d}" for phase in ("ED", "ES")]
        ed, es = (load_volume(folder / f"{stem}.nii.gz") for stem in stems)
        for stem in stems:
            codes = load_label_volume(folder / f"{stem}_gt.nii.gz")
            heart = codes.array > 0
            present = slices_of(codes.with_array(heart)).array.any(axis=(1, 2))
            for name, baseline in TRAINING_FREE.items():
                mask = gated(baseline(ed, es), present, codes)
                scores[name].append(2.0 * (mask & heart).sum() / (mask.sum() + heart.sum()))
    assert np.mean(scores["disc 30 mm"]) == pytest.approx(0.49, abs=0.06)
    assert np.mean(scores["disc 38 mm"]) == pytest.approx(0.54, abs=0.06)
    assert np.mean(scores["motion"]) == pytest.approx(0.62, abs=0.06)
