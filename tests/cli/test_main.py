import subprocess
import sys
import time

import pytest
from fakes.command_line import medwsss

from medwsss import __version__


def test_help_is_instant() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "medwsss", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, medwsss.cli.main; print({'torch', 'monai', 'numpy', 'pandas', 'nibabel'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"


def test_version_is_printed() -> None:
    assert medwsss("--version").out == f"medwsss {__version__}\n"


@pytest.mark.parametrize("command", ["check", "train", "predict", "evaluate", "tags", "phantom"])
def test_every_command_explains_itself(command: str) -> None:
    answer = medwsss(command, "--help")
    assert answer.code == 0
    assert "--" in answer.out


def test_what_predict_starts_with_leaves_monai_for_the_first_volume() -> None:
    code = (
        "import sys, medwsss.engine.predict, medwsss.engine.run_folder, medwsss.methods;"
        " print({'monai', 'matplotlib', 'SimpleITK'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
