from pathlib import Path

import numpy as np
import pytest
from fakes.acdc import FakePatient, write_acdc
from fakes.beating_heart import beating_heart

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.slice_cache import SliceCache
from medwsss.data.study import PHASES
from medwsss.engine.survey import Surveyor
from medwsss.metrics.survey import PatientSurvey
from medwsss.volumes.io import save_volume
from medwsss.volumes.volume import Volume


def surveyor(root: Path, cache: Path) -> Surveyor:
    return Surveyor(SliceCache(cache), GridConfig(), CineConfig(), reference_masks(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One patient with a drawn beating heart."""
    root = write_acdc(tmp_path / "acdc", [FakePatient()], part="")
    draw(root, "ED", "ES")
    return root


def draw(root: Path, *phases: str, spacing_mm: tuple[float, float, float] = (1.5, 1.5, 10.0)) -> None:
    """Draw the heart in these phases as ED and ES."""
    frames = find_studies(root)[0].frames
    for frame, phase in zip((frames["ED"], frames["ES"]), phases, strict=True):
        scene = beating_heart(phase)
        affine = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])
        for array, path in (
            ((255 * scene.image).astype(np.int16), frame.path),
            (scene.codes, frame.path.with_name(frame.path.name.replace(".nii", "_gt.nii"))),
        ):
            save_volume(Volume(array.transpose(2, 1, 0).copy(), spacing_mm, affine), path)


def look(root: Path) -> PatientSurvey:
    return surveyor(root, root.parent / "cache").patient(root / "patient001")


def texts(found: PatientSurvey) -> list[str]:
    return [finding.text for finding in found.findings]


def test_a_beating_heart_moves_and_nothing_is_odd(root: Path) -> None:
    found = look(root)
    assert found.moves
    assert texts(found) == []
    frame = found.frames["ED"]
    assert (frame.size, frame.slices, frame.pixel_mm, frame.slice_mm) == ((120, 120), 4, (1.5, 1.5), 10.0)
    assert found.present["ED"].all()


def test_one_frame_twice_is_no_motion(root: Path) -> None:
    draw(root, "ED", "ED")
    found = look(root)
    assert not found.moves
    assert found.change == 0.0
    assert texts(found) == ["ED and ES are identical: no motion to learn from"]


def test_a_study_that_stands_still_is_named(root: Path) -> None:
    path = find_studies(root)[0].frames["ES"].path
    image = (255 * beating_heart("ED").image).astype(np.int16)
    image[0, 0, 0] += 1
    save_volume(Volume(image.transpose(2, 1, 0).copy(), (1.5, 1.5, 10.0), np.diag([-1.5, -1.5, 10.0, 1.0])), path)
    found = look(root)
    assert not found.moves
    assert texts(found)[0].startswith("nothing moves between ED and ES")


def test_swapped_phases_are_suspected(root: Path) -> None:
    draw(root, "ES", "ED")
    found = look(root)
    assert found.moves
    assert "as wide at ES as at ED: are they swapped?" in texts(found)[0]


def test_nearly_isotropic_voxels_are_suspected_once(root: Path) -> None:
    draw(root, "ED", "ES", spacing_mm=(1.5, 1.5, 1.6))
    assert [text for text in texts(look(root)) if "nearly isotropic" in text] == [
        "nearly isotropic (1.5 x 1.5 x 1.6 mm): is it short-axis cine?"
    ]


def test_a_constant_slice_and_a_constant_frame_are_named(root: Path) -> None:
    ed, es = (find_studies(root)[0].frames[phase].path for phase in PHASES)
    image = (255 * beating_heart("ED").image).astype(np.int16).transpose(2, 1, 0).copy()
    image[:, :, 3] = 7
    affine = np.diag([-1.5, -1.5, 10.0, 1.0])
    save_volume(Volume(image, (1.5, 1.5, 10.0), affine), ed)
    save_volume(Volume(np.full_like(image, 7), (1.5, 1.5, 10.0), affine), es)
    said = texts(look(root))
    assert "slice 3 of ED is constant" in said
    assert any("is constant: its slices become zeros" in text for text in said)


def test_a_damaged_frame_leaves_the_other_one(root: Path) -> None:
    path = find_studies(root)[0].frames["ED"].path
    path.write_bytes(path.read_bytes()[:200])
    found = look(root)
    assert list(found.frames) == ["ES"]
    (finding,) = found.findings
    assert finding.refused
    assert "damaged NIfTI file" in finding.text


def test_a_patient_with_one_phase_is_left_out_and_not_refused(tmp_path: Path) -> None:
    root = write_acdc(tmp_path / "acdc", [FakePatient(frame_files=("ED",))], part="")
    found = look(root)
    assert not found.frames
    (finding,) = found.findings
    assert not finding.refused
    assert finding.text.startswith("left out: ES (frame 03) not in")


def test_an_unusable_info_file_is_refused(root: Path) -> None:
    (root / "patient001" / "Info.cfg").write_text("Group: NOR\n")
    (finding,) = look(root).findings
    assert finding.refused
    assert "Info.cfg" in finding.text


def test_phases_of_different_size_are_not_compared(root: Path) -> None:
    path = find_studies(root)[0].frames["ES"].path
    image = (255 * beating_heart("ES", slices=3).image).astype(np.int16).transpose(2, 1, 0).copy()
    save_volume(Volume(image, (1.5, 1.5, 10.0), np.diag([-1.5, -1.5, 10.0, 1.0])), path)
    path.with_name(path.name.replace(".nii", "_gt.nii")).unlink()
    found = look(root)
    assert np.isnan(found.change)
    assert "ED and ES differ in size (4 x 120 x 120 and 3 x 120 x 120): no motion to learn from" in texts(found)


def test_a_preview_is_the_middle_slice(root: Path) -> None:
    found = surveyor(root, root.parent / "cache").preview(root / "patient001")
    assert found.patient == "patient001"
    assert found.diastole.shape == found.systole.shape == found.change.shape == (120, 120)
    assert 0.02 < found.change.max() <= 1


def test_phases_of_different_pixel_size_are_not_compared(root: Path) -> None:
    path = find_studies(root)[0].frames["ES"].path
    image = (255 * beating_heart("ES").image).astype(np.int16).transpose(2, 1, 0).copy()
    save_volume(Volume(image, (1.2, 1.2, 10.0), np.diag([-1.2, -1.2, 10.0, 1.0])), path)
    path.with_name(path.name.replace(".nii", "_gt.nii")).unlink()
    found = look(root)
    assert np.isnan(found.change)
    assert any("differ in pixel size" in text for text in texts(found))
