from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medwsss.data.phantom import CineTiming, PhantomPatient, draw_patient, write_phantom
from medwsss.data.phantom_heart import GROUP_SHAPES, Moment, draw_heart
from medwsss.errors import OutputError
from medwsss.volumes.io import load_label_volume, load_volume

RV, MYO, LV = 1, 2, 3


@dataclass(frozen=True)
class Study:
    patient: PhantomPatient
    images: tuple[np.ndarray, np.ndarray]
    codes: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    """ED and ES of twelve patients."""
    found = []
    for number in range(1, 13):
        patient = draw_patient(number)
        (ed, ed_codes), (es, es_codes) = patient.frame(patient.timing.ed), patient.frame(patient.timing.es)
        found.append(Study(patient, (ed, es), (ed_codes, es_codes)))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "acdc"
    write_phantom(root, patients=2)
    return root


def info_of(folder: Path) -> dict[str, str]:
    lines = (folder / "Info.cfg").read_text().splitlines()
    return dict(line.split(": ") for line in lines)


def tags(codes: np.ndarray, label: int) -> np.ndarray:
    return (codes == label).any(axis=(0, 1))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_the_layout_is_that_of_acdc(written: Path) -> None:
    folder = written / "training" / "patient002"
    info = info_of(folder)
    assert list(info) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
    assert info["Group"] == "HCM"
    ed, es = int(info["ED"]), int(info["ES"])
    stems = [f"patient002_frame{number:02d}" for number in (ed, es)]
    names = {"Info.cfg", *(f"{stem}{end}" for stem in stems for end in (".nii.gz", "_gt.nii.gz"))}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.name for path in (written / "training").iterdir()} == {"patient001", "patient002"}


def test_image_and_mask_share_an_anisotropic_grid_and_the_affine_of_acdc(written: Path) -> None:
    folder = written / "training" / "patient001"
    name = f"patient001_frame{int(info_of(folder)['ED']):02d}"
    image, codes = load_volume(folder / f"{name}.nii.gz"), load_label_volume(folder / f"{name}_gt.nii.gz")
    assert image.grid == codes.grid
    np.testing.assert_array_equal(image.affine, codes.affine)
    x, y, z = image.spacing_mm
    assert 1.4 <= x <= 1.9
    assert x == pytest.approx(y)
    assert 8.0 <= z <= 10.0
    np.testing.assert_allclose(image.affine[:3, :3], np.diag([-x, -y, z]), atol=1e-5)
    assert np.abs(image.affine[:3, 3]).min() > 0.0
    assert set(np.unique(codes.array)) == {0, RV, MYO, LV}


def test_equal_arguments_give_equal_bytes_and_more_patients_change_none(written: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", patients=1)
    folder = Path("training") / "patient001"
    again = sorted((tmp_path / "again" / folder).iterdir())
    assert len(again) == 5
    for path in again:
        assert path.read_bytes() == (written / folder / path.name).read_bytes()


def test_another_seed_gives_another_patient() -> None:
    assert draw_patient(1, seed=1).anatomy.heart.centre != draw_patient(1, seed=0).anatomy.heart.centre


def test_a_cine_holds_the_ed_and_es_frames(tmp_path: Path) -> None:
    write_phantom(tmp_path / "cine", patients=1, cine_frames=6)
    folder = tmp_path / "cine" / "training" / "patient001"
    info = info_of(folder)
    cine = load_volume(folder / "patient001_4d.nii.gz")
    assert info["NbFrame"] == "6"
    assert cine.frames == 6
    for phase in ("ED", "ES"):
        frame = load_volume(folder / f"patient001_frame{int(info[phase]):02d}.nii.gz")
        np.testing.assert_array_equal(cine.array[..., int(info[phase]) - 1], frame.array)


def test_a_folder_in_use_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_phantom(tmp_path, patients=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "acdc"
    root.mkdir()
    write_phantom(root, patients=1)
    assert [path.name for path in tmp_path.iterdir()] == ["acdc"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medwsss.data.phantom.save_volume", full)
    with pytest.raises(OutputError, match="No space left"):
        write_phantom(tmp_path / "acdc", patients=1)
    assert list(tmp_path.iterdir()) == []


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patients"):
        write_phantom(tmp_path / "acdc", patients=0)
    with pytest.raises(ValueError, match="cine_frames"):
        write_phantom(tmp_path / "acdc", cine_frames=3)
    with pytest.raises(ValueError, match="number"):
        draw_patient(0)
    with pytest.raises(ValueError, match="group"):
        draw_heart(np.random.default_rng(0), "ARV")


def test_groups_take_turns_and_es_frames_vary(studies: list[Study]) -> None:
    groups = [study.patient.anatomy.heart.group for study in studies[:10]]
    assert groups == [*GROUP_SHAPES, *GROUP_SHAPES]
    assert len({study.patient.timing.es for study in studies}) > 4


def test_contraction_is_none_at_ed_and_full_at_es_wherever_the_cycle_starts() -> None:
    timing = CineTiming(frames=20, ed=15, es=2)  # 7 frames of systole, across the end of the recording
    assert timing.moment(15) == Moment(0.0, 0.0)
    assert timing.moment(2).contraction == pytest.approx(1.0)
    assert 0.0 < timing.moment(18).contraction < timing.moment(20).contraction < 1.0
    assert 0.0 < timing.moment(12).contraction < timing.moment(5).contraction < 1.0


def test_every_patient_has_6_to_10_slices_and_a_fifth_or_more_without_heart(studies: list[Study]) -> None:
    for study in studies:
        for codes in study.codes:
            assert 6 <= codes.shape[2] <= 10
            assert 0.2 <= np.mean(~(codes > 0).any(axis=(0, 1))) < 1.0


def test_empty_slices_lie_above_the_base_and_below_the_apex(studies: list[Study]) -> None:
    hearts = [(study.codes[0] > 0).any(axis=(0, 1)) for study in studies]
    above, below = ([int(heart[::step].argmax()) for heart in hearts] for step in (1, -1))
    assert len(set(above)) >= 3
    assert len(set(below)) >= 3


def test_lv_tags_differ_from_rv_tags_and_on_a_few_slices_from_myo_tags(studies: list[Study]) -> None:
    volumes = [codes for study in studies for codes in study.codes]
    lv, rv, myo = (np.concatenate([tags(codes, label) for codes in volumes]) for label in (LV, RV, MYO))
    assert np.mean(lv != rv) > 0.08
    assert 0.0 < np.mean(lv != myo) < 0.1
    assert not (lv & ~myo).any()
    assert not (rv & ~lv).any()


def test_hearts_lie_anywhere_within_30_mm_of_the_image_centre() -> None:
    offsets = []
    for number in range(1, 25):
        heart = draw_patient(number).anatomy.heart
        reach = 0.35 * heart.rv_reach_mm
        offsets.append(np.array(heart.centre) + reach * np.array([np.cos(heart.septum), np.sin(heart.septum)]))
    assert (np.min(offsets, axis=0) < -22.0).all()
    assert (np.max(offsets, axis=0) > 22.0).all()
    assert np.abs(offsets).max() <= 30.0


def test_the_centroid_of_the_drawn_heart_follows_its_offset(studies: list[Study]) -> None:
    centroids = []
    for study in studies:
        where = np.argwhere(study.codes[0] > 0)[:, :2].mean(axis=0)
        middle = (np.array(study.codes[0].shape[:2]) - 1) / 2.0
        centroids.append((where - middle) * study.patient.geometry.spacing_mm[0])
    assert (np.ptp(centroids, axis=0) > 35.0).all()
    assert np.abs(centroids).max() < 42.0


def test_muscle_is_conserved_while_the_cavities_shrink(studies: list[Study]) -> None:
    for study in studies:
        ed, es = study.codes
        both = tags(ed, MYO) & tags(es, MYO)
        area = {label: [(codes[..., both] == label).sum() for codes in (ed, es)] for label in (RV, MYO, LV)}
        assert area[MYO][1] / area[MYO][0] == pytest.approx(1.0, abs=0.15)
        assert area[LV][1] < 0.9 * area[LV][0]
        assert area[RV][1] < area[RV][0]


def test_ventricles_have_the_size_of_ventricles(studies: list[Study]) -> None:
    for study in studies:
        pixel_mm2 = study.patient.geometry.spacing_mm[0] ** 2
        cavity, outer = (max((np.isin(study.codes[0], of)).sum(axis=(0, 1))) for of in ([LV], [LV, MYO]))
        cavity_mm, outer_mm = (2.0 * np.sqrt(count * pixel_mm2 / np.pi) for count in (cavity, outer))
        assert 30.0 < cavity_mm < 62.0
        assert 6.0 < 0.5 * (outer_mm - cavity_mm) < 14.0


def test_diagnoses_differ_as_they_should(studies: list[Study]) -> None:
    heart = {study.patient.anatomy.heart.group: study.patient.anatomy.heart for study in studies}
    assert heart["DCM"].cavity_mm > heart["NOR"].cavity_mm > heart["HCM"].cavity_mm
    assert heart["HCM"].wall_mm > heart["NOR"].wall_mm
    assert heart["RV"].rv_reach_mm > heart["NOR"].rv_reach_mm
    assert heart["DCM"].shortening < heart["NOR"].shortening < heart["HCM"].shortening


def test_not_even_the_best_grey_level_of_each_volume_finds_the_heart(studies: list[Study]) -> None:
    best = []
    for study in studies:
        image, heart = study.images[0], study.codes[0] > 0
        levels = np.percentile(image, np.arange(2, 100, 3))
        best.append(max(max(dice(image > level, heart), dice(image < level, heart)) for level in levels))
    assert np.mean(best) < 0.35


def test_more_than_the_heart_changes_between_ed_and_es(studies: list[Study]) -> None:
    for study in studies:
        ed, es = (image.astype(np.float64) for image in study.images)
        changed = np.abs(ed - es) > 0.25 * np.percentile(ed, 99)
        near = (study.codes[0] > 0) | (study.codes[1] > 0)
        assert (changed & ~near).sum() > 0.3 * (changed & near).sum()


def test_between_the_phases_of_a_breath_hold_the_body_stands_still() -> None:
    """Real studies show no displacement of the whole image; the cine prior refuses those that do."""
    body = draw_patient(3).anatomy.body
    assert abs(body.breathing_mm) < 0.5
    assert abs(body.chest_shift_mm) < 0.5
