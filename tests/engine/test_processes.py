from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.processes import store_all, store_gradients, together

from medwsss.data.sample import Draw
from medwsss.engine.processes import OwnDraws, check_shares, joined
from medwsss.errors import ConfigError
from medwsss.ranks import from_first_rank, mean_over_ranks, over_batch, over_ranks, own_rows, rank, ranks

UNIA = {"name": "unia", "cam": {"scales": [1.0, 0.5]}, "decoder": {"channels": 8, "dilation": 1}}
CASES: dict[str, dict[str, Any]] = {
    "unia with isl, fsl and urn": {
        "method": UNIA,
        "addons": {"isl": {"enabled": True}, "fsl": {"enabled": True}, "urn": {"enabled": True}},
    },
    "unia with soft Dice": {"method": {**UNIA, "segmentation_loss": "dice"}},
    "usage": {"method": {"name": "usage", "student_drop_path": [0.0, 0.0], "student_dropout": [0.0, 0.0]}},
}


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have stored."""
    folder = tmp_path_factory.mktemp("two")
    together(store_all, folder, CASES, 5)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_find_the_losses_and_gradients_of_one(of_two: Path, tmp_path: Path, case: str) -> None:
    store_gradients(tmp_path / "alone", CASES[case])
    alone, both = torch.load(tmp_path / "alone"), torch.load(of_two / case)
    assert both["losses"] == pytest.approx(alone["losses"], rel=1e-4, abs=1e-6)
    assert alone["gradients"].keys() == both["gradients"].keys()
    assert max(gradient.abs().max() for gradient in alone["gradients"].values()) > 1e-2
    for name, gradient in alone["gradients"].items():
        torch.testing.assert_close(both["gradients"][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_parts_one_after_the_other_give_the_gradient_of_the_batch(tmp_path: Path) -> None:
    """Where no term pools over the batch; a part pools over its own images."""
    sections = {"method": {"name": "cam"}}
    store_gradients(tmp_path / "whole", sections)
    store_gradients(tmp_path / "parts", sections, parts=2)
    whole, parts = (torch.load(tmp_path / name) for name in ("whole", "parts"))
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    for name, gradient in whole["gradients"].items():
        torch.testing.assert_close(parts["gradients"][name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_uneven_shares_come_back_whole_and_in_order(of_two: Path) -> None:
    first, second = (torch.load(of_two / f"shares.{number}") for number in (0, 1))
    assert (first["done"], second["done"]) == ([0, 2, 4], [1, 3])
    assert first["answers"] == second["answers"] == [0, 1, 4, 9, 16]


def test_alone_everything_is_as_it_is() -> None:
    with joined(torch.device("cpu")) as device:
        assert device.type == "cpu"
    assert (rank(), ranks()) == (0, 1)
    values = torch.arange(3.0, requires_grad=True)
    assert over_batch(values) is values
    assert torch.equal(mean_over_ranks(values), values.detach())
    assert torch.equal(own_rows(torch.ones, 3), torch.ones(3))
    assert over_ranks(str, (1, 2)) == ["1", "2"]
    assert from_first_rank(lambda: 7) == 7


def test_parts_of_a_batch_follow_each_other() -> None:
    batches = [[Draw(4 * batch + place, 0) for place in range(4)] for batch in range(2)]
    shares = [[draw.index for draw in share] for share in OwnDraws(batches, parts=2)]
    assert shares == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_what_cannot_be_shared_out_is_refused() -> None:
    check_shares(4, parts=2, bags=False)
    check_shares(4, parts=1, bags=True)
    with pytest.raises(ConfigError, match=r"batch_size=4 is not a multiple of 1 processes × training\.accumulate=3"):
        check_shares(4, parts=3, bags=False)
    with pytest.raises(ConfigError, match="tagged together stay together"):
        check_shares(4, parts=2, bags=True)
