"""The yardsticks compute what ours does, and the benchmark says what it is asked to say."""

import json
import sys
from pathlib import Path

import bench
import numpy as np
import pytest
import torch
from benchmarks.plain import pairwise_similarity
from benchmarks.timing import Ratio, compared, peak_mib
from benchmarks.volumes import PAIR_METRICS, heart_pairs, monai_metrics, our_metrics

from medwsss.losses.feature_similarity import feature_similarity_loss

CPU = torch.device("cpu")


def test_a_speedup_is_how_many_times_as_fast_and_any_other_ratio_how_many_times_as_long() -> None:
    assert Ratio("par_speedup_224", "", "", yardstick_seconds=6.0, our_seconds=2.0).value == 3.0
    assert Ratio("predict_over_encoder", "", "", yardstick_seconds=2.0, our_seconds=6.0).value == 3.0


def test_peak_memory_counts_what_is_allocated_in_between() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("read from /proc")
    found = peak_mib(lambda: np.ones(2**24), CPU)
    assert found is not None
    assert 120 < found < 200


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_metrics_of_monai_are_ours() -> None:
    pairs = heart_pairs(2)
    ours, theirs = our_metrics(pairs, CPU), monai_metrics(pairs)
    assert ours.shape == (2, 3, len(PAIR_METRICS))
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_similarity_loss_is_the_sum_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    images, maps = torch.rand(2, 3, 9, 11, generator=generator), torch.rand(2, 4, 9, 11, generator=generator)
    torch.testing.assert_close(feature_similarity_loss(images, maps), pairwise_similarity(images, maps))


def test_the_ratios_become_a_table_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(device: torch.device, repeats: int) -> list[Ratio]:
        run = lambda: sum(range(1000))  # noqa: E731
        found = compared("toy_speedup", "toy", ours=run, yardstick=("itself", run), repeats=repeats, device=device)
        return [found]

    monkeypatch.setattr(bench, "PARTS", {"toy": part})
    monkeypatch.setattr(sys, "argv", ["bench.py", "toy", "--repeats", "3", "--json", str(tmp_path / "found.json")])
    bench.main()
    assert "| toy | itself |" in capsys.readouterr().out
    assert 0.1 < json.loads((tmp_path / "found.json").read_text())["toy_speedup"] < 10
