"""Volumes: their metrics beside MONAI's, prediction beside the bare encoder, reassembly, and the start of a command."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_confusion_matrix_metric,
    compute_dice,
    compute_hausdorff_distance,
    get_confusion_matrix,
)
from torch import Tensor

from benchmarks.timing import Ratio, compared
from medwsss.config.data import VolumeDataConfig
from medwsss.config.loading import load_config, read_layer
from medwsss.engine.cases import Case
from medwsss.engine.evaluate import LabelPair, case_table, slice_matrices
from medwsss.engine.infer import segment_volume, slice_batches
from medwsss.labels import ACDC_TASKS
from medwsss.methods import build_method
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ACDC_TASKS["multi"].labels.names
PAIR_METRICS = ("dice", "confusion_ratio", "hd95_mm", "assd_mm")
SPACING_MM = (1.5, 1.5, 8.0)
SHAPE = (256, 256, 10)


def volume_of(array: np.ndarray) -> Volume:
    return Volume(array, SPACING_MM, np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0]))


def heart(seed: int, *, moved: float = 0.0) -> np.ndarray:
    """Codes 0 to 3: a cavity in a wall beside another cavity, with jagged borders."""
    rng = np.random.default_rng(seed)
    x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    row, column = rng.uniform(115, 140, 2) + moved
    shrink = 1 - np.abs(z - 4.5) / 12
    apart = np.hypot(x - row, y - column) + rng.normal(0, 0.7, SHAPE)
    beside = np.hypot((x - row) / 1.4, y - column + 42) + rng.normal(0, 0.7, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[beside < 22 * shrink] = 1
    labels[apart < 27 * shrink] = 2
    labels[apart < 18 * shrink] = 3
    labels[:, :, [0, -1]] = 0
    return labels


def heart_pairs(count: int) -> list[LabelPair]:
    """Hearts that lie almost on each other."""
    case = Case("", "", Path(), Path(), ACDC_TASKS["multi"], ACDC_TASKS["multi"])
    return [LabelPair(case, volume_of(heart(seed, moved=2.5)), volume_of(heart(seed))) for seed in range(count)]


def bench_metrics(device: torch.device, repeats: int, *, volumes: int = 50) -> list[Ratio]:
    """Dice, confusion ratio, HD95 and ASSD of every volume and class, from arrays in memory."""
    pairs = heart_pairs(volumes)
    return [
        compared(
            "metrics_speedup",
            f"metrics of {volumes} volumes of 256×256×10, 3 classes",
            ours=partial(our_metrics, pairs, device),
            yardstick=("MONAI's functions, one volume at a time", partial(monai_metrics, pairs)),
            repeats=repeats,
            device=device,
        )
    ]


def our_metrics(pairs: list[LabelPair], device: torch.device) -> np.ndarray:
    """Volumes × classes × ``PAIR_METRICS``."""
    counts = [slice_matrices(pair, len(CLASSES) + 1, device) for pair in pairs]
    table = case_table(pairs, counts, CLASSES)
    return table[list(PAIR_METRICS)].to_numpy().reshape(len(pairs), len(CLASSES), len(PAIR_METRICS))


def monai_metrics(pairs: list[LabelPair]) -> np.ndarray:
    """The same numbers."""
    return np.stack([_monai_volume(pair) for pair in pairs])


def _monai_volume(pair: LabelPair) -> np.ndarray:
    predicted, true = (_one_hot(volume.array) for volume in (pair.prediction, pair.reference))
    surface = {"include_background": False, "spacing": SPACING_MM}
    counts = get_confusion_matrix(predicted, true, include_background=False)  # TP, FP, TN, FN
    found = [
        compute_dice(predicted, true, include_background=False),
        1 / compute_confusion_matrix_metric("precision", counts) - 1,
        compute_hausdorff_distance(predicted, true, percentile=95, **surface),
        compute_average_surface_distance(predicted, true, symmetric=True, **surface),
    ]
    return torch.stack([values.double()[0] for values in found], dim=-1).numpy()


def _one_hot(labels: np.ndarray) -> Tensor:
    codes = torch.from_numpy(labels.astype(np.int64))
    return torch.nn.functional.one_hot(codes, len(CLASSES) + 1).permute(3, 0, 1, 2)[None]


def bench_prediction(device: torch.device, repeats: int) -> list[Ratio]:
    """A volume of ten slices, from voxels to labels on its own grid: ViT-tiny in the setting for ACDC on a GPU."""
    encoder = {"name": "vit_tiny_patch16_224", "pretrained": False, "precision": "float32"}
    config = load_config([read_layer(ROOT / "configs" / "acdc" / "unia.yaml"), {"encoder": encoder}])
    assert isinstance(config.data, VolumeDataConfig)
    grid, inference = config.data.grid, config.inference
    method = build_method(config, ACDC_TASKS["multi"].labels).to(device).eval()
    rng = np.random.default_rng(0)
    volume = volume_of((80.0 * heart(0) + rng.normal(100, 10, SHAPE)).astype(np.float32))
    views = len(inference.scales) * len(inference.rotations) * (2 if inference.flip else 1)

    batches = [images.to(device) for images in slice_batches(volume, grid, inference.batch_size)]

    @torch.no_grad()
    def encoder_alone() -> None:
        for images in batches:
            method.encoder(images)

    def predicted() -> None:
        segment_volume(method, volume, grid=grid, inference=inference, device=device)

    return [
        compared(
            "predict_over_encoder", f"prediction of a volume of 10 slices, ViT-tiny, {views} views",
            ours=predicted, yardstick=("the bare encoder on these slices, once", encoder_alone),
            repeats=repeats, device=device, memory=True,
        )
    ]  # fmt: skip


def bench_reassembly(device: torch.device, repeats: int) -> list[Ratio]:
    """From a volume to slices and back."""
    volume = volume_of(heart(0))
    return [
        compared(
            "reassembly_over_copy",
            "slices of 256×256×10 and back",
            ours=lambda: reassemble(slices_of(volume).array, like=volume),
            yardstick=("a copy of the array", lambda: np.ascontiguousarray(volume.array.transpose(2, 1, 0))),
            repeats=20 * repeats,
            device=device,
        )
    ]


def bench_start(device: torch.device, repeats: int) -> list[Ratio]:
    """What a command needs before it does anything: ``predict`` of a run that is not there."""
    command = [sys.executable, "-m", "medwsss", "predict", "no-run", "no-data", "--out", "nowhere"]
    imports = [sys.executable, "-c", "import torch, monai.transforms, timm, pandas, nibabel, typer, pydantic"]
    return [
        compared(
            "start_over_imports",
            "start of medwsss predict, until it looks for the run",
            ours=lambda: subprocess.run(command, capture_output=True, check=False),
            yardstick=(
                "import of the libraries alone",
                lambda: subprocess.run(imports, capture_output=True, check=True),
            ),
            repeats=repeats,
            device=device,
        )
    ]
