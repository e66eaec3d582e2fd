"""From a folder of studies to seeds and a network trained on them, through the real command line."""

import json
import shutil
from pathlib import Path
from unittest import mock

import nibabel as nib
import numpy as np
import pytest
from fakes.beating_heart import beating_heart
from fakes.cine import write_beating_acdc
from fakes.command_line import medwsss, tiny_config_file

from medwsss.data.acdc import find_studies
from medwsss.data.pseudo_folder import read_pseudo_record
from medwsss.errors import MedwsssWarning
from medwsss.volumes.io import load_label_volume, load_volume


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients with a drawn beating heart; the fifth stands still, the sixth has one phase only."""
    root = write_beating_acdc(tmp_path_factory.mktemp("seeds") / "acdc", patients=6)
    (root / "training" / "patient006" / "Info.cfg").write_text("ED: 1\nGroup: RV\n")
    return root


@pytest.fixture(scope="module")
def made(acdc: Path) -> Path:
    out = acdc.parent / "seeds"
    answer = medwsss("seeds", acdc, "--out", out, "--task", "multi")
    assert answer.code == 0, answer.err
    assert "patient005 gets no cine seeds: nothing moves between ED and ES" in answer.err
    assert "patient006 is left out" in answer.err
    assert "has no key ES" in answer.err
    assert "seeds of 5 patients" in answer.out
    assert "without seeds: 1 of 5: patient005" in answer.out
    return out


def test_seeds_lie_on_the_grid_of_their_frame_and_match_the_drawing(acdc: Path, made: Path) -> None:
    with pytest.warns(MedwsssWarning, match="patient006 is left out"):
        study = find_studies(acdc)[0]
    for phase, frame in study.frames.items():
        image, labels = load_volume(frame.path), load_label_volume(made / "labels" / frame.path.name)
        np.testing.assert_allclose(labels.affine, image.affine, atol=1e-5)
        codes = beating_heart(phase).codes.transpose(2, 1, 0)
        assert (labels.array == codes).mean() > 0.97
        confidence = load_volume(made / "weights" / frame.path.name).array
        assert 0 <= confidence.min() < 0.5 < confidence.max() <= 1


def test_a_study_that_stands_still_gets_255_and_no_confidence(made: Path) -> None:
    assert (load_label_volume(made / "labels" / "patient005_frame01.nii.gz").array == 255).all()
    assert not load_volume(made / "weights" / "patient005_frame01.nii.gz").array.any()


@pytest.mark.parametrize("folder", ["labels", "weights"])
def test_every_volume_says_where_it_comes_from(made: Path, folder: str) -> None:
    def source(patient: int) -> bytes:
        return bytes(nib.load(made / folder / f"patient{patient:03d}_frame03.nii.gz").header["descrip"].item())

    assert source(1) == b"medwsss cine seeds"
    assert source(5) == b"medwsss cine seeds: off, nothing moves between ED and ES (is it one frame twice?)"[:79]


def test_a_sheet_shows_all_patients(made: Path) -> None:
    assert (made / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_record_says_what_was_known(made: Path) -> None:
    record = read_pseudo_record(made / "pseudo.json")
    assert record.split_hash is None
    assert record.provenance["source"] == "cine"
    assert record.provenance["settings"]["wall"]["thickness_mm"] == 9.0
    reason = ("nothing moves between ED and ES (is it one frame twice?)",)
    assert record.left_out == {"patient005_frame01": reason, "patient005_frame03": reason}


def test_a_network_trains_on_them(acdc: Path, made: Path, tmp_path: Path) -> None:
    config = tiny_config_file(tmp_path, data={"grid": {"crop": 64}, "task": "multi"})
    answer = medwsss(
        "train", "--root", acdc, "--config", config, "--method", "retrain", "--pseudo", made,
        "--out", tmp_path / "run", "--device", "cpu",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "source cine" in (tmp_path / "run" / "report" / "report.md").read_text()


@pytest.mark.slow
def test_unia_makes_the_seeds_of_its_training_patients_and_a_resumed_run_keeps_them(acdc: Path, tmp_path: Path) -> None:
    config = tiny_config_file(tmp_path, data={"grid": {"crop": 64}, "task": "multi"})
    run = tmp_path / "run"
    arguments = ("train", "--root", acdc, "--config", config, "--with", "cine", "--device", "cpu", "--out", run)
    answer = medwsss(*arguments)
    assert answer.code == 0, answer.err
    train = json.loads((run / "split.json").read_text())["train"]
    assert {path.name[:10] for path in (run / "seeds" / "labels").iterdir()} == set(train)
    assert "image-level labels and cine seeds (motion" in (run / "report" / "report.md").read_text()
    assert ",cine," in (run / "metrics.csv").read_text()
    with mock.patch("medwsss.engine.seed_folder.write_study_seeds", side_effect=AssertionError("made again")):
        resumed = medwsss("train", "--resume", run)
    assert resumed.code == 0, resumed.err


@pytest.mark.slow
def test_seeds_of_a_folder_join_stored_labels_and_a_cam(acdc: Path, made: Path, tmp_path: Path) -> None:
    config = tiny_config_file(tmp_path, data={"grid": {"crop": 64}, "task": "multi"})
    for method in (("retrain", "--pseudo", made), ("cam",)):
        run = tmp_path / method[0]
        answer = medwsss(
            "train", "--root", acdc, "--config", config, "--method", *method, "--with", "cine",
            "--set", f"addons.cine.seeds={made}", "--device", "cpu", "--out", run,
        )  # fmt: skip
        assert answer.code == 0, answer.err
        assert f"no mask) in {made}" in (run / "report" / "report.md").read_text()
        assert not (run / "seeds").exists()


def test_a_folder_that_holds_no_seeds_leaves_no_run_behind(acdc: Path, tmp_path: Path) -> None:
    config = tiny_config_file(tmp_path, data={"grid": {"crop": 64}, "task": "multi"})
    answer = medwsss(
        "train", "--root", acdc, "--config", config, "--with", "cine", "--device", "cpu",
        "--set", f"addons.cine.seeds={tmp_path}", "--out", tmp_path / "run",
    )  # fmt: skip
    assert answer.code == 2
    assert "holds no complete pseudo-labels" in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "pass --out DIR"),
        (("--out", "seeds", "--task", "mulit"), "did you mean 'multi'?"),
        (("--out", "seeds", "--set", "cine.wal.lung=0.1"), "did you mean"),
        (("--out", "seeds", "--set", "cine.axis.radii_mm=[9, 3]"), "must grow"),
    ],
)
def test_bad_requests_are_refused_in_one_line(
    acdc: Path, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    placed = [str(tmp_path / "out") if argument == "seeds" else argument for argument in arguments]
    answer = medwsss("seeds", acdc, *placed)
    assert answer.code == 2
    assert part in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_is_left_alone_and_resumed_on_request(acdc: Path, made: Path) -> None:
    refused = medwsss("seeds", acdc, "--out", made, "--task", "multi")
    assert refused.code == 2
    assert "--resume" in refused.err
    (made / "labels" / "patient002_frame03.nii.gz").unlink()
    resumed = medwsss("seeds", acdc, "--out", made, "--task", "multi", "--resume")
    assert resumed.code == 0
    assert (made / "labels" / "patient002_frame03.nii.gz").is_file()
    assert "without seeds: 1 of 5: patient005" in resumed.out  # known from the first call


def test_without_tags_no_mask_is_opened(acdc: Path, tmp_path: Path) -> None:
    """One mask is damaged; a command that read it would say so."""
    shutil.copytree(acdc, tmp_path / "acdc")
    next((tmp_path / "acdc" / "training" / "patient001").glob("*_gt.nii*")).write_bytes(b"no mask")
    answer = medwsss("seeds", tmp_path / "acdc", "--out", tmp_path / "out", "--no-tags")
    assert answer.code == 0, answer.err
    assert read_pseudo_record(tmp_path / "out" / "pseudo.json").provenance["tags"] == "none"
