"""The folder of a run: resolved configuration, versions, commit, split, tags, metrics and checkpoints."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from medwsss.config.loading import load_config, load_pretraining, read_layer, to_yaml
from medwsss.config.pretraining import LearningConfig, PretrainConfig
from medwsss.config.schema import RunConfig
from medwsss.engine.checkpoint import load_checkpoint
from medwsss.errors import CheckpointError, ConfigError, OutputError
from medwsss.labels import LabelSet
from medwsss.methods import build_method
from medwsss.methods.method import Method
from medwsss.writing import holds_something, sole_writer, written_whole

_PACKAGES = ("medwsss", "torch", "monai", "timm", "nibabel", "numpy", "scipy", "scikit-image", "pandas")


@dataclass(frozen=True)
class RunFolder:
    """Names of everything a run leaves behind."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def versions(self) -> Path:
        return self.path / "versions.json"

    @property
    def split(self) -> Path:
        return self.path / "split.json"

    @property
    def tags(self) -> Path:
        return self.path / "tags.csv"

    @property
    def pseudo(self) -> Path:
        """Of a second stage: the record of the pseudo-labels that it learns from."""
        return self.path / "pseudo_labels.json"

    @property
    def seeds(self) -> Path:
        """The folder of cine seeds of the training patients, where the run has made them itself."""
        return self.path / "seeds"

    @property
    def cine(self) -> Path:
        """Of a run that cine seeds teach: which folder of labels it learned from in the end, and what it lacks."""
        return self.path / "cine.json"

    def round(self, number: int) -> Path:
        """Of self-training, counted from 1: networks of the folds, and the labels they have made."""
        return self.path / f"round-{number}"

    @property
    def weights(self) -> Path:
        """Of a pretraining: the encoder, for ``train --weights``."""
        return self.path / "weights.safetensors"

    @property
    def pretraining(self) -> Path:
        """Of a pretraining: what it has learned from, and how."""
        return self.path / "pretraining.json"

    @property
    def changes(self) -> Path:
        """Of a run that went on with other settings or patients: what changed after which step."""
        return self.path / "changes.json"

    @property
    def diverged(self) -> Path:
        """Of a run whose loss was not finite: what the step saw."""
        return self.path / "diverged"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def validation(self) -> Path:
        return self.path / "validation.csv"

    @property
    def training_time(self) -> Path:
        return self.path / "training_time.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def has_trained(self) -> bool:
        """Whether there is anything that a network has learned, or failed with: of the run, or of a fold."""
        folds = self.path.glob("round-*/fold-*/checkpoints/last.safetensors")
        own = (self.metrics, self.checkpoint("last"), self.diverged)
        return any(path.exists() for path in own) or any(folds)

    def checkpoint(self, name: str) -> Path:
        """``last`` or ``best``."""
        return self.path / "checkpoints" / f"{name}.safetensors"


@contextmanager
def new_run(path: Path, config: LearningConfig) -> Iterator[RunFolder]:
    """Make the folder with configuration and versions, and take both back if the block fails before it learns anything.

    So a run that never trained does not stand in the way of the next try. Only files of a run are removed, and the
    folder itself only if it was made here. Cine seeds stay if the user stops the block, for ``--resume``.

    Raises:
        OutputError: the folder exists and is not empty, or cannot be made.
    """
    check_unused(path)
    run = RunFolder(path)
    with sole_writer(path):
        check_unused(path)  # another process may have come first
        try:
            _write_settings(run, config)
            yield run
        except BaseException as error:
            if not run.has_trained and not (isinstance(error, KeyboardInterrupt) and run.seeds.exists()):
                _take_back(run)
            raise


def _write_settings(run: RunFolder, config: LearningConfig) -> None:
    try:
        for file, text in ((run.config, to_yaml(config)), (run.versions, json.dumps(versions(), indent=2) + "\n")):
            with written_whole(file) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the run folder {run.path}: {error.strerror}; choose another --out") from None


def _take_back(run: RunFolder) -> None:
    with suppress(OSError):
        for file in (run.config, run.versions, run.split, run.tags, run.pseudo, run.cine):
            file.unlink(missing_ok=True)
        for folder in (run.tensorboard, run.seeds, *run.path.glob("round-*")):
            shutil.rmtree(folder, ignore_errors=True)


def check_unused(path: Path) -> None:
    """Refuse a run folder that holds anything.

    Raises:
        OutputError: it does, or it is a file.
    """
    if path.exists() and (not path.is_dir() or holds_something(path)):
        raise OutputError(f"{path} already holds something: choose another --out, or --resume it")


def open_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """An existing run and its configuration.

    Raises:
        CheckpointError: the folder is not a run.
        ConfigError: its config.yaml was damaged.
    """
    run = RunFolder(path)
    layer = _stored_settings(run)
    if "pretraining" in layer:
        raise CheckpointError(
            f"{path} is a pretraining, which segments nothing: start with train --weights {run.weights},"
            " or continue it with pretrain --resume"
        )
    try:
        return run, load_config([layer])
    except ConfigError as error:
        raise ConfigError(f"{run.config}: {error}") from None


def open_pretraining(path: Path) -> tuple[RunFolder, PretrainConfig]:
    """An existing pretraining and its configuration.

    Raises:
        CheckpointError: the folder is not a pretraining.
        ConfigError: its config.yaml was damaged.
    """
    run = RunFolder(path)
    layer = _stored_settings(run)
    if "pretraining" not in layer:
        raise CheckpointError(f"{path} is no pretraining: continue it with train --resume")
    try:
        return run, load_pretraining([layer])
    except ConfigError as error:
        raise ConfigError(f"{run.config}: {error}") from None


def _stored_settings(run: RunFolder) -> dict[str, Any]:
    if not run.config.is_file():
        raise CheckpointError(f"{run.path} is not a run folder: it has no config.yaml")
    return read_layer(run.config)


def load_method(run: RunFolder, config: RunConfig, labels: LabelSet, *, checkpoint: str) -> Method:
    """The trained method of a run; nothing is fetched, all weights are in the checkpoint.

    Raises:
        CheckpointError: there is no such checkpoint or it is damaged.
    """
    path = run.checkpoint(checkpoint)
    if not path.is_file():
        raise CheckpointError(f"{run.path} has no checkpoint '{checkpoint}': train it, or choose last or best")
    method = build_method(without_foreign_weights(config), labels)
    load_checkpoint(path, method)
    return method.eval()


def without_foreign_weights(config: RunConfig) -> RunConfig:
    """The configuration for a method whose weights come from a checkpoint: nothing to fetch, no file to look for."""
    bare = config.encoder.model_copy(update={"pretrained": False, "weights": None})
    return config.model_copy(update={"encoder": bare})


def config_hash(config: LearningConfig) -> str:
    """First 16 hex digits of the SHA-256 of the resolved configuration."""
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()[:16]


def settings_of(config: LearningConfig) -> dict[str, Any]:
    """The resolved configuration, as JSON has it."""
    return config.model_dump(mode="json")


def versions() -> dict[str, str]:
    """Versions of everything that shapes a result, the commit where the code runs from a checkout, and the machine."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    found["python"] = sys.version.split()[0]
    found["commit"] = _commit()
    found["platform"] = f"{platform.system()} {platform.machine()}"
    found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return found


def _commit() -> str:
    here = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
