import numpy as np
import pytest

from medwsss.data.cine_phases import extreme_frames

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
