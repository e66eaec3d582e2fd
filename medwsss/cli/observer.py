"""Everything a person sees of a training run: bar, metric files, pictures."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
import typer
from jaxtyping import Float, Float32
from torch import Tensor

from medwsss.cli.progress import TrainingProgress
from medwsss.data.sample import Batch, SliceKey
from medwsss.engine.metric_files import MetricFiles
from medwsss.engine.run_folder import RunFolder
from medwsss.engine.train import StepRecord
from medwsss.methods.masked_images import Reconstruction
from medwsss.methods.method import Explanation
from medwsss.reports.panels import Panel, write_panels
from medwsss.reports.reconstructions import ReconstructionPanel, write_reconstructions

_Own = TypeVar("_Own", bound="_StepObserver")


class _StepObserver(AbstractContextManager[Any]):
    """Writes metrics.csv, validation.csv and TensorBoard, and shows progress, whatever is learned."""

    def __init__(self, run: RunFolder, *, iterations: int, first_step: int) -> None:
        self._run = run
        self._files = MetricFiles(run, first_step=first_step)
        self._progress = TrainingProgress(iterations, first_step)

    def __enter__(self: _Own) -> _Own:
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__()
        self._files.close()

    def on_step(self, record: StepRecord) -> None:
        self._files.add_losses(record.step, record.losses, record.learning_rate)
        self._progress.update(record.step, record.losses, record.seconds_left)

    def on_validation(self, step: int, scores: Mapping[str, float]) -> None:
        self._files.add_scores(step, scores)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if name != "score")
        typer.echo(f"validation at step {step}: {shown}", err=True)


class RunObserver(_StepObserver):
    """Of a method: pictures of its maps and labels."""

    def __init__(self, run: RunFolder, *, class_names: Sequence[str], iterations: int, first_step: int) -> None:
        super().__init__(run, iterations=iterations, first_step=first_step)
        self._class_names = class_names

    def on_pictures(self, step: int, batch: Batch, explanation: Explanation) -> None:
        panels = [
            Panel(
                title=f"{key}: {self._shown(tags)}",
                image=_rgb(batch.images[index], key),
                cam=explanation.cams[index].amax(dim=0).cpu().numpy(),
                uncertainty=explanation.uncertainty[index].cpu().numpy(),
                pseudo_labels=explanation.pseudo_labels[index].cpu().numpy(),
                prediction=explanation.prediction[index].cpu().numpy(),
            )
            for index, (key, tags) in enumerate(zip(batch.keys, batch.image_labels, strict=True))
        ]
        write_panels(panels, self._run.pictures / f"step-{step:06d}.png")

    def _shown(self, tags: Float[Tensor, " cls"]) -> str:
        return ", ".join(name for name, tag in zip(self._class_names, tags, strict=True) if tag) or "no class"


class PretrainingObserver(_StepObserver):
    """Of a pretraining: pictures of what is hidden and what is made of it."""

    def on_pictures(self, step: int, batch: Batch, explanation: Reconstruction) -> None:
        panels = [
            ReconstructionPanel(
                title=str(key),
                image=_rgb(batch.images[index], key),
                masked=_rgb(explanation.masked[index].cpu(), key),
                filled=_rgb(explanation.filled[index].cpu(), key),
            )
            for index, key in enumerate(batch.keys)
        ]
        write_reconstructions(panels, self._run.pictures / f"step-{step:06d}.png")


def _rgb(image: Float[Tensor, "3 h w"], key: SliceKey) -> Float32[np.ndarray, "h w 3"]:
    """Colours of a photograph; of a slice the middle channel, because the others may be its neighbours."""
    channels = image[[1, 1, 1]] if key.phase else image
    return channels.permute(1, 2, 0).numpy()
