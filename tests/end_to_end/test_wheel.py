"""The built wheel, unpacked outside the checkout, carries its configurations and templates and runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    build = (*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base / "dist"), str(CHECKOUT))
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (base / "dist").glob("medwsss-*.whl")
    subprocess.run((*pip, "install", "--no-deps", "--target", str(base / "site"), str(wheel)), check=True)
    return base / "site"


def run(installed: Path, cwd: Path, *arguments: object) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    answer = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_configurations_travel_inside_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from medwsss.config.loading import preset_path; print(preset_path('acdc', 'unia-cpu'))"
    assert Path(run(installed, tmp_path, "-c", code).strip()).is_relative_to(installed)


@pytest.mark.slow
def test_the_installed_wheel_trains_and_reports(installed: Path, tmp_path: Path) -> None:
    write_acdc(tmp_path / "data", fake_patients(5))
    out = run(
        installed, tmp_path, "-m", "medwsss", "train", "--dataset", "acdc", "--root", "data", "--out", "run",
        "--device", "cpu", "--set", "training.iterations=2", "--set", "training.batch_size=2",
        "--set", "data.grid.crop=32",
    )  # fmt: skip
    assert "report.html" in out
    assert (tmp_path / "run" / "report" / "report.html").is_file()
