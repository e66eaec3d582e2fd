import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from fakes.acdc import fake_patients, write_acdc
from typer.testing import CliRunner

from medwsss.cli.evaluate import evaluate
from medwsss.data.acdc import reference_masks
from medwsss.errors import MedwsssError
from medwsss.volumes.io import load_label_volume, save_volume

app = typer.Typer()
app.command()(evaluate)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "acdc", fake_patients(3))


def test_predictions_of_any_program_get_a_report(acdc: Path, tmp_path: Path) -> None:
    """Codes of its own, names of its own, one case too many and one too few."""
    ours = tmp_path / "ours"
    ours.mkdir()
    for name, path in list(reference_masks(acdc).items())[1:]:
        reference = load_label_volume(path)
        save_volume(reference.with_array(np.array([0, 3, 2, 1], np.uint8)[reference.array]), ours / f"{name}_pred.nii")
    save_volume(reference, ours / "stranger.nii.gz")
    output = run(ours, acdc, "--out", tmp_path / "out", "--prediction-codes", "1=LV,2=MYO,3=RV", "--device", "cpu")
    assert "predictions without reference: 1 (stranger)" in output
    assert "references without prediction: 1 (patient001_frame01)" in output
    assert "report.html" in output
    assert (pd.read_csv(tmp_path / "out" / "per_case.csv")["dice"] == 1.0).all()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["task"] == "multi"


def test_nothing_is_written_when_the_input_is_bad(acdc: Path, tmp_path: Path) -> None:
    with pytest.raises(MedwsssError):
        run(tmp_path / "nowhere", acdc, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.data
def test_real_references_against_themselves_are_perfect(shared_data, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = shared_data("acdc")
    ours = tmp_path / "ours"
    ours.mkdir()
    for name, path in list(reference_masks(root).items())[:4]:
        (ours / f"{name}.nii.gz").write_bytes(path.read_bytes())
    run(ours, root, "--out", tmp_path / "out", "--device", "cpu")
    frame = pd.read_csv(tmp_path / "out" / "per_case.csv")
    assert len(frame) == 4 * 3
    assert (frame["dice"] == 1.0).all()
    assert frame["volume_ml"].between(1, 1000).all()
