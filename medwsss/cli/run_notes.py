"""What a reader must know about a run, in words."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medwsss.config.schema import RunConfig
    from medwsss.data.prepared import PreparedData
    from medwsss.engine.run_folder import RunFolder
    from medwsss.methods.method import Method

_CLASSES_SHOWN = 4
_NO_MATTER = (
    "data.root", "data.workers", "data.validation_images", "encoder.weights", "method.pseudo", "addons.cine.seeds",
    "training.seed", "training.validate_every", "training.picture_every", "training.checkpoint_every",
    "inference.batch_size",
)  # fmt: skip
"""Settings that change no result, or of which a reader is told elsewhere."""


def positives(data: "PreparedData") -> str:
    """How many training samples show each class: tags that never or always say yes teach nothing."""
    members = set(data.split.train)
    tags = data.image_labels.array([key for key in data.image_labels.tags if key.patient in members])
    counts = sorted(zip(data.labels.names, tags.sum(axis=0).tolist(), strict=True), key=lambda pair: -pair[1])
    shown = counts
    if len(counts) > _CLASSES_SHOWN:
        shown = [*counts[: _CLASSES_SHOWN // 2], *counts[-_CLASSES_SHOWN // 2 :]]
    words = [f"{name} in {count} ({100 * count / len(tags):.0f} %)" for name, count in shown]
    if len(counts) > _CLASSES_SHOWN:
        words.insert(_CLASSES_SHOWN // 2, f"{len(counts) - _CLASSES_SHOWN} classes between")
    return f"{len(tags)} training {data.samples}, {', '.join(words)}"


def unlike_paper(config: "RunConfig") -> str:
    """Settings that shape a result and differ from the paper's.

    For photographs those are the shipped ones; for volumes, where the paper gives none, the defaults of method and
    encoder.
    """
    from medwsss.config.data import PhotographDataConfig
    from medwsss.config.loading import defaults_of, differences, load_config, preset_path, read_layer

    paper = defaults_of(config)
    sections: tuple[str, ...] = ("method.", "encoder.", "addons.")
    if isinstance(config.data, PhotographDataConfig):
        paper = load_config([read_layer(preset_path(config.data.name, config.method.name))])
        sections = ("method.", "encoder.", "addons.", "data.", "training.", "inference.")
    unlike = differences(config, paper)
    return ", ".join(
        f"{key}={value}" for key, value in unlike.items() if key.startswith(sections) and key not in _NO_MATTER
    )


def described_method(config: "RunConfig") -> str:
    """The method and its add-ons, such as ``unia with isl, fsl``."""
    from medwsss.config.addons import ADD_ON_NAMES

    enabled = [name for name in ADD_ON_NAMES if getattr(config.addons, name).enabled]
    return " with ".join([config.method.name, ", ".join(enabled)]) if enabled else config.method.name


def training_time(run: "RunFolder", iterations: int) -> str:
    """How long the whole training took, in minutes as in UniA's Table IX."""
    from medwsss.engine.training_time import training_seconds

    seconds = training_seconds(run, iterations)
    return "not recorded" if math.isnan(seconds) else f"{seconds / 60:.2f} min, with validation and pictures"


def supervision(config: "RunConfig", run: "RunFolder") -> str:
    """What the run has learned from: tags, pseudo-labels and what made those, cine seeds and what they went through."""
    from medwsss.config.segmenters import SeedsConfig
    from medwsss.engine.training_sets import uses_seeds

    if not uses_seeds(config):
        return _labels_learned(config, run)
    others = "image-level labels" if isinstance(config.method, SeedsConfig) else _labels_learned(config, run)
    return f"{others} and cine seeds (motion and cardiac anatomy, no mask) in {_labels_used(run)}"


def _labels_used(run: "RunFolder") -> str:
    from medwsss.data.records import read_record

    used = read_record(run.cine) or {}
    kept = used.get("rounds", 0)
    rounds = f", after {kept} {'round' if kept == 1 else 'rounds'} of self-training" if kept else ""
    left_out = used.get("left_out")
    patients = {name.rpartition("_")[0] for name in left_out} if isinstance(left_out, dict) else set()
    missing = f"; the prior does not fit {len(patients)} training patients ({', '.join(sorted(patients))})"
    return f"{used.get('labels')}{rounds}{missing if patients else ''}"


def _labels_learned(config: "RunConfig", run: "RunFolder") -> str:
    from medwsss.config.segmenters import RetrainConfig, pseudo_root
    from medwsss.data.pseudo_folder import read_pseudo_record

    if not isinstance(config.method, RetrainConfig):
        return "image-level labels" if config.addons.cine.enabled else "image-level labels only"
    made = read_pseudo_record(run.pseudo).provenance
    author, folder = made.get("method", "another program"), pseudo_root(config.method)
    words = [f"{key} {made[key]}" for key in ("run", "checkpoint", "step", "source", "refine") if key in made]
    return f"pseudo-labels of {author} in {folder}: {', '.join(words)}"


def report_notes(config: "RunConfig", run: "RunFolder", method: "Method", data: "PreparedData") -> dict[str, str]:
    """Method, training, data, tags, encoder, split and commit of a run."""
    from medwsss.engine.run_folder import versions

    return {
        "method": described_method(config),
        "training": f"{config.training.iterations} iterations, batch {config.training.batch_size}, "
        f"seed {config.training.seed}, from {supervision(config, run)}",
        "training time": training_time(run, config.training.iterations),
        "data": f"{data.source} ({len(data.split.train)} {data.members} train, {len(data.split.held_out)} held out)",
        "image-level labels": f"{data.tags_source}; {positives(data)}",
        "encoder": method.encoder.weights_note,
        "settings unlike the paper's": unlike_paper(config) or "none",
        "split": f"{data.split_source}, hash {data.split.hash}",
        "run folder": str(run.path),
        "commit": versions()["commit"],
    }
