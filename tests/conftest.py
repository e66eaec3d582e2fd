"""Shared by all tests: shapes checked at run time, and the way to recorded cases and real data beside the checkout."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


_LOCAL = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test runs reaches no other machine: an attempt fails at once, and the test with it."""
    attempts: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def local_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in _LOCAL:
            attempts.append(address)
            raise OSError(f"tests have no network ({address})")
        connect(self, address)

    def local_look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        if host is not None and host not in _LOCAL:
            attempts.append(host)
            raise socket.gaierror(f"tests have no network ({host})")
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket.socket, "connect", local_connect)
    monkeypatch.setattr(socket, "getaddrinfo", local_look_up)
    yield
    assert attempts == []


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
