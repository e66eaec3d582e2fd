from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medwsss.data.acdc import find_studies
from medwsss.data.cine_phases import extreme_frames
from medwsss.data.phantom import write_phantom
from medwsss.data.study import load_frame
from medwsss.volumes.io import load_volume

FRAMES = 10


def beating(*, ed: int, blood: float = 0.9, noise: float = 0.02) -> np.ndarray:
    """A disc of blood, largest at frame ``ed``, smallest half a cycle later; a still bright disc; a restless edge."""
    x, y = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    frames = np.full((64, 64, 3, FRAMES), 0.4)
    frames[(x - 10) ** 2 + (y - 50) ** 2 < 36] = 0.9
    for time in range(FRAMES):
        radius = 10.0 + 4.0 * np.cos(2 * np.pi * (time - ed) / FRAMES)
        frames[(x - 36) ** 2 + (y - 30) ** 2 < radius**2, :, time] = blood
    rng = np.random.default_rng(0)
    frames[0, :, :, :] = rng.random((64, 3, FRAMES))
    return (frames + rng.normal(0.0, noise, frames.shape)).astype(np.float32)


@pytest.mark.parametrize("ed", [0, 3, 9])
def test_most_blood_is_end_diastole_and_least_end_systole(ed: int) -> None:
    assert extreme_frames(beating(ed=ed)) == (ed, (ed + 5) % FRAMES)


@pytest.mark.parametrize("axes", [(2, 0, 1, 3), (0, 2, 1, 3)])
def test_slices_may_lie_along_any_axis_and_grey_levels_have_any_scale(axes: tuple[int, ...]) -> None:
    frames = (1000 * beating(ed=2) - 300).astype(np.int16).transpose(axes)
    assert extreme_frames(frames) == (2, 7)


def test_two_frames_are_told_apart() -> None:
    assert extreme_frames(beating(ed=0)[..., [5, 0]]) == (1, 0)


def test_where_blood_is_dark_they_come_out_the_wrong_way_round() -> None:
    assert extreme_frames(beating(ed=0, blood=0.05)) == (5, 0)


def test_one_frame_is_no_cine() -> None:
    with pytest.raises(ValueError, match="two frames or more"):
        extreme_frames(beating(ed=0)[..., :1])


@pytest.mark.slow
def test_on_drawn_patients_that_no_setting_was_chosen_on_both_are_within_a_frame(tmp_path: Path) -> None:
    """The cycle of 12 frames is closed."""
    write_phantom(tmp_path / "drawn", patients=30, seed=17, cine_frames=12)
    apart = []
    for study in find_studies(tmp_path / "drawn"):
        assert study.cine is not None
        for phase, index in zip(("ED", "ES"), extreme_frames(load_volume(study.cine).array), strict=True):
            number = study.frames[phase].number
            assert number is not None
            steps = (index + 1 - number) % 12
            apart.append(min(steps, 12 - steps))
    assert len(apart) == 60
    assert max(apart) <= 1


@pytest.mark.slow
@pytest.mark.data
def test_of_the_two_phases_of_real_patients_it_tells_which_is_which_in_all_but_one(
    shared_data: Callable[..., Path],
) -> None:
    wrong = []
    for study in find_studies(shared_data("acdc")):
        frames = [load_frame(study.frames[phase]).array for phase in ("ED", "ES")]
        if extreme_frames(np.stack(frames, axis=-1)) != (0, 1):
            wrong.append(study.patient)
    assert wrong == ["patient067"]
