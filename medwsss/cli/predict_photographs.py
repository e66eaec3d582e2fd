"""Prediction of photographs: images in, label PNGs of their size out."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.schema import RunConfig
    from medwsss.engine.predict_images import ImageItem
    from medwsss.engine.run_folder import RunFolder
    from medwsss.labels import LabelSet
    from medwsss.methods.method import Method


def predict_photographs(
    run: "RunFolder",
    config: "RunConfig",
    inputs: Sequence[Path],
    out: Path,
    *,
    dataset: str | None,
    part: str | None,
    tags: Path | None,
    source: str,
    crf: bool,
    maps: Sequence[str],
    checkpoint: str,
    device: "torch.device",
    overwrite: bool,
    resume: bool,
) -> dict[str, str]:
    """Segment every input; answers the images that failed, with the reason."""
    from medwsss.cli.options import refuse_options
    from medwsss.data import IMAGE_SETS
    from medwsss.engine.run_folder import load_method
    from medwsss.ranks import rank

    labels = IMAGE_SETS[config.data.name].labels
    if part is None:
        refuse_options("photographs without --list", {"--dataset": dataset})
    items = find_photographs(inputs, dataset=dataset or config.data.name, part=part)
    if tags is not None:
        items = with_tags(items, tags, labels)
    method = load_method(run, config, labels, checkpoint=checkpoint).to(device)
    failed = predict_list(
        method,
        items,
        out,
        config=with_crf(config) if crf else config,
        labels=labels,
        device=device,
        origin={"run": str(run.path), "checkpoint": checkpoint, "list": part, "tags": str(tags) if tags else "none"},
        weights=run.checkpoint(checkpoint),
        source=source,
        maps=maps,
        overwrite=overwrite,
        resume=resume,
    )
    typer.echo(f"{len(items) - len(failed)} images segmented, in {out}")
    return failed if rank() == 0 else {}  # the first process tells for all


def predict_list(
    method: "Method",
    items: "Sequence[ImageItem]",
    out: Path,
    *,
    config: "RunConfig",
    labels: "LabelSet",
    device: "torch.device",
    origin: dict[str, Any],
    weights: Path,
    source: str = "decoder",
    maps: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, str]:
    """Segment images into a folder with their record; answers those that failed, and goes on with the others.

    ``origin`` is what the record says about run, list and tags, ``weights`` the checkpoint file that predicts.
    """
    from medwsss.cli.progress import progress
    from medwsss.engine.checkpoint import read_state
    from medwsss.engine.predict_images import ImageItem, predict_image
    from medwsss.engine.prediction_record import finish_record, open_image_outputs
    from medwsss.errors import MedwsssError
    from medwsss.ranks import from_first_rank, over_ranks

    state, background = read_state(weights), map_background(config)
    record = {
        "task": labels.name,
        "classes": list(labels.names),
        "method": config.method.name,
        **origin,
        "step": state.step,
        "config_hash": state.config_hash,
        "split_hash": state.split_hash,
        "source": source,
        "background": background,
        "inference": config.inference.model_dump(mode="json"),
        "maps": sorted(maps),
    }
    left = from_first_rank(lambda: open_image_outputs(out, items, record, overwrite=overwrite, resume=resume))
    if len(left) < len(items):
        typer.echo(f"{len(items) - len(left)} of {len(items)} images are there already")

    def failure(item: ImageItem) -> str | None:
        """Segment it; why it could not be done."""
        try:
            predict_image(
                method, item, out, inference=config.inference, labels=labels, device=device, background=background,
                source="cams" if source == "cams" else "decoder", maps=maps,
            )  # fmt: skip
        except MedwsssError as error:
            return str(error)
        return None

    with progress() as bar:
        reasons = over_ranks(failure, left, watched=partial(bar.track, description="predicting"))
    failed = {item.name: reason for item, reason in zip(left, reasons, strict=True) if reason is not None}
    from_first_rank(lambda: finish_record(out, failed=failed))
    return failed


def map_background(config: "RunConfig") -> float:
    """Score that activation maps must exceed in labels made from them; those of ``retrain`` are probabilities."""
    from medwsss.config.segmenters import SegmenterConfig

    return 0.5 if isinstance(config.method, SegmenterConfig) else config.method.cam.background


def find_photographs(inputs: Sequence[Path], *, dataset: str, part: str | None) -> "list[ImageItem]":
    """The images of a list of a data set, or files and folders of images.

    Raises:
        ConfigError: a list with several inputs, or an unknown data set.
        DatasetError: nothing is there, or an image of the list is missing.
    """
    from medwsss.cli.options import chosen
    from medwsss.data import IMAGE_SETS
    from medwsss.engine.predict_images import ImageItem, photograph_items
    from medwsss.errors import ConfigError

    chosen("data set", dataset, IMAGE_SETS)
    if part is None:
        return [item for path in inputs for item in photograph_items(path)]
    if len(inputs) > 1:
        raise ConfigError(f"--list {part} names images of one data set: pass its folder alone")
    image_set = IMAGE_SETS[dataset](inputs[0])
    return [ImageItem(name, image_set.image_path(name)) for name in image_set.names(part)]


def with_tags(items: "Sequence[ImageItem]", path: Path, labels: "LabelSet") -> "list[ImageItem]":
    """The items with their tags; a table may name more images than are predicted, which a ``MedwsssWarning`` counts."""
    from medwsss.data.photograph_labels import read_photograph_tags
    from medwsss.data.sample import photograph_key
    from medwsss.errors import MedwsssWarning

    table = read_photograph_tags(path, labels, [item.name for item in items])
    others = {key.patient for key in table.tags} - {item.name for item in items}
    if others:
        message = f"{path} names {len(others)} images that are not among the inputs, first {min(others)}: not used"
        warnings.warn(message, MedwsssWarning, stacklevel=2)
    return [replace(item, image_labels=table.of(photograph_key(item.name))) for item in items]


def with_crf(config: "RunConfig") -> "RunConfig":
    """The same configuration with the dense CRF switched on."""
    crf = config.inference.crf.model_copy(update={"enabled": True})
    return config.model_copy(update={"inference": config.inference.model_copy(update={"crf": crf})})
