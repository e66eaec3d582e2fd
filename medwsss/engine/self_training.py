"""Rounds of self-training: every training patient is labelled anew by a network that has not learned from them.

A round cuts the training patients into folds, trains the run's own method on the labels of all folds but one, segments
the patients of that one with their tags, and mixes what it says with the seeds. In the first round a network knows
nothing of the patients it labels; in later ones the labels of the others come from networks that do, and method
``retrain`` brings pseudo-labels along whose author may have seen everyone. Masks decide nothing: rounds end by how
much labels still change, and by whether the heart's muscle keeps its volume.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from medwsss.config.schema import RunConfig
from medwsss.data.folds import WithoutPatients, draw_folds
from medwsss.data.image_labels import write_image_labels
from medwsss.data.loading import VolumeData
from medwsss.data.pseudo_folder import (
    RECORD,
    PseudoFolder,
    PseudoRecord,
    claim_pseudo_folder,
    read_pseudo_record,
    write_pseudo_record,
)
from medwsss.data.records import differences, save_record
from medwsss.data.sample import TrainingSet
from medwsss.data.slices import tagged_keys
from medwsss.data.splits import Split, write_split
from medwsss.data.study import Study, case_ids
from medwsss.engine.checkpoint import read_state
from medwsss.engine.infer import segment_volume
from medwsss.engine.predict import study_items
from medwsss.engine.round_verdict import round_verdict
from medwsss.engine.run_folder import RunFolder, config_hash, new_run, without_foreign_weights
from medwsss.engine.seeding import derived_seed
from medwsss.engine.slice_tags import allowed_classes
from medwsss.engine.train import Observer, train
from medwsss.engine.training_sets import training_samples, without_rounds
from medwsss.errors import OutputError
from medwsss.methods import build_method
from medwsss.methods.method import Explanation, Method
from medwsss.refinement.components import keep_largest_components
from medwsss.refinement.label_mixing import mixed_probs
from medwsss.volumes.io import load_label_volume, save_volume
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of
from medwsss.volumes.volume import Volume

Observed = Callable[[RunFolder, int], AbstractContextManager[Observer[Explanation]]]
"""Watches the training of one fold, from the step on at which it starts."""
VERDICT = "verdict.json"
"""What a round was found to be worth, in its folder."""


def self_trained_labels(
    config: RunConfig,
    data: VolumeData,
    run: RunFolder,
    seeds: Path,
    *,
    device: torch.device,
    observed: Observed,
    tell: Callable[[str], None],
) -> Path:
    """The folder of labels that the rounds end with; ``seeds`` itself where there are none or the first one drifts.

    What is complete in the run folder stays, so that an interrupted run goes on where it stopped.

    Args:
        config: of the whole run; networks of folds are its method, settings and length.
        data: images, split and tags.
        run: where ``round-N`` go.
        seeds: folder of cine seeds of the training patients.
        device: where networks train and predict.
        observed: see ``Observed``.
        tell: takes a line on each round.

    Raises:
        SplitError: there are fewer training patients than folds.
        TrainingError, DatasetError, VolumeError, OutputError: as training and prediction raise them.
    """
    folds, labels = folds_of(config, data), seeds
    for number in range(1, config.self_training.rounds + 1):
        made = _round(
            config, data, run.round(number), folds, seeds=seeds, labels=labels, device=device, observed=observed
        )
        verdict = round_verdict(data, before=labels, after=made)
        end = verdict.ends(config.self_training)
        save_record(run.round(number) / VERDICT, {**asdict(verdict), "end": end})
        tell(f"round {number}: {verdict.words(end)}")
        if end == "drift":
            return labels
        labels = made
        if end == "settled":
            break
    return labels


def folds_of(config: RunConfig, data: VolumeData) -> tuple[tuple[str, ...], ...]:
    """The folds of every round; none where there is no round.

    Raises:
        SplitError: there are fewer training patients than folds.
    """
    if config.self_training.rounds == 0:
        return ()
    groups = {study.patient: study.group for study in data.training}
    return draw_folds(groups, folds=config.self_training.folds, seed=config.training.seed)


def _round(
    config: RunConfig,
    data: VolumeData,
    root: Path,
    folds: Sequence[Sequence[str]],
    *,
    seeds: Path,
    labels: Path,
    device: torch.device,
    observed: Observed,
) -> Path:
    """One round into ``root``; gives the folder of its labels."""
    settings, out, own = config.self_training, root / "labels", without_rounds(config)
    sources = PseudoFolder(seeds, read_pseudo_record(seeds / RECORD))
    record = PseudoRecord(
        dataset=data.config.name,
        task=data.labels.name,
        classes=data.labels.names,
        split_hash=data.split.hash,
        suffix=".nii.gz",
        names=case_ids(data.training),
        provenance={
            "source": "self-training",
            "method": config.method.name,
            "configuration": config_hash(own),
            "round": root.name,
            "settings": settings.model_dump(mode="json"),
            "without seeds": {name: list(reasons) for name, reasons in sources.record.left_out.items()},
        },
    )
    if (out / RECORD).is_file():
        _check_same(out, record)
        return out
    samples = training_samples(config, data, labels)
    folder = claim_pseudo_folder(out, record, maps=(), resume=True)
    for index, fold in enumerate(folds, start=1):
        studies = [study for study in data.training if study.patient in fold]
        if all(folder.labels_file(name).is_file() for name in case_ids(studies)):
            continue
        method = _fold_network(
            own, data, samples, RunFolder(root / f"fold-{index}"), fold, device=device, observed=observed
        )
        for study in studies:
            _label_study(method, study, data, config, sources, folder, device=device)
    write_pseudo_record(out, record)
    return out


def _check_same(out: Path, record: PseudoRecord) -> None:
    """Refuse labels that a round has made under other settings.

    Raises:
        OutputError: they are.
    """
    changed = differences(asdict(read_pseudo_record(out / RECORD)), asdict(record), but=())
    if changed:
        raise OutputError(f"{out} was made with other settings ({'; '.join(changed)}): resume the run unchanged")


def _fold_network(
    config: RunConfig,
    data: VolumeData,
    samples: TrainingSet,
    run: RunFolder,
    left_out: Sequence[str],
    *,
    device: torch.device,
    observed: Observed,
) -> Method:
    """The run's method, trained on ``samples`` without some patients; it goes on from a checkpoint if there is one."""
    others = tuple(patient for patient in data.split.train if patient not in left_out)
    split = Split(others, tuple(sorted(left_out)), config.training.seed)
    keys = tagged_keys(data.training, data.image_labels, data.cache, data.config.grid)
    resume = run.checkpoint("last").is_file()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.training.seed, "initialisation"))
        method = build_method(without_foreign_weights(config) if resume else config, data.labels)
    with nullcontext() if run.config.is_file() else new_run(run.path, config):
        write_split(split, run.split)
        write_image_labels(data.image_labels, run.tags)
        first_step = read_state(run.checkpoint("last")).step if resume else 0
        with observed(run, first_step) as observer:
            train(
                method,
                WithoutPatients(samples, keys, left_out),
                config,
                run,
                split=split,
                device=device,
                observer=observer,
                validate=None,
                resume=resume,
            )
    return method.eval()


def _label_study(
    method: Method,
    study: Study,
    data: VolumeData,
    config: RunConfig,
    seeds: PseudoFolder,
    out: PseudoFolder,
    *,
    device: torch.device,
) -> None:
    """Write weights and, last, labels of both phases."""
    for item in study_items([study], frames="ed-es"):
        volume = item.load()
        tags = allowed_classes(item, volume, data.image_labels)
        found = segment_volume(
            method,
            volume,
            grid=data.config.grid,
            inference=config.inference,
            device=device,
            image_labels=tags,
            name=item.name,
        )
        labels, weights = _mixed(found.probs, load_label_volume(seeds.labels_file(item.name)), config, tags)
        save_volume(weights, out.weights_file(item.name))
        known = "" if item.name not in seeds.record.left_out else ", no cine seeds"
        save_volume(labels, out.labels_file(item.name), description=f"medwsss: labels of self-training{known}")


def _mixed(probs: Volume, seeds: Volume, config: RunConfig, tags: np.ndarray) -> tuple[Volume, Volume]:
    """Labels of tagged classes only, and the probability of each."""
    settings, native = config.self_training, slices_of(seeds)
    blur = tuple(settings.blur_mm / spacing for spacing in native.spacing_mm)
    channels = np.stack([slices_of(probs.frame(index)).array for index in range(probs.frames)], axis=1)
    mixed = mixed_probs(channels, native.array, share=settings.network_share, blur=(blur[0], blur[1]))
    mixed[:, 1:] *= tags[:, :, None, None]
    mixed /= np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12)
    labels = mixed.argmax(axis=1).astype(np.uint8)
    if config.inference.largest_components:
        labels = keep_largest_components(labels)
    weights = np.take_along_axis(mixed, labels[:, None].astype(np.int64), axis=1)[:, 0]
    return reassemble(labels, like=seeds), reassemble(weights.astype(np.float32), like=seeds)
