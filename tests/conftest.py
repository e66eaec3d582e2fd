"""Shared by all tests: shapes checked at run time, and the way to recorded cases and real data beside the checkout."""

import os
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from jaxtyping import install_import_hook

matplotlib.use("Agg")
os.environ.setdefault("TQDM_DISABLE", "1")
# The numeric tower lets an int stand where a float is expected, as type checkers do.
_shape_checks = install_import_hook("medwsss", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the user's cache folder; tests of one process share one."""
    base = tmp_path_factory.getbasetemp() / "user-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))


SHARED = Path(os.environ.get("MEDWSSS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Loads the recorded cases NAME.npz, or skips."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = SHARED / "goldens" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"recorded cases {path.name} are not beside the checkout")
        with np.load(path, allow_pickle=False) as cases:
            return dict(cases)

    return load


@pytest.fixture
def shared_data() -> Callable[..., Path]:
    """Path below the folder of real data, or skips."""

    def locate(*parts: str) -> Path:
        path = SHARED.joinpath("data", *parts)
        if not path.exists():
            pytest.skip(f"real data {'/'.join(parts)} is not beside the checkout")
        return path

    return locate
