"""``medwsss pseudo-label``: labels and weights of everything a run has trained on, for a second stage."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from medwsss.config.data import DataConfig
    from medwsss.config.schema import RunConfig
    from medwsss.data.prepared import PreparedData
    from medwsss.data.pseudo_folder import PseudoFolder, PseudoRecord
    from medwsss.engine.pseudo_labels import Recipe
    from medwsss.engine.run_folder import RunFolder
    from medwsss.methods.method import Method


def pseudo_label(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Folder for labels and weights.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set, if it is no longer that of the run.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="pseudo: what the run would learn from next, 255 where undecided; "
            "decoder: its prediction for the known tags. By default pseudo; of a retrained network, or where cine "
            "seeds took part, which pseudo leaves out, decoder."
        ),
    ] = None,
    scales: Annotated[
        str | None, typer.Option(help="Exponents of response scaling, such as 0.4,0.5,2,3; those of the run.")
    ] = None,
    refine: Annotated[
        str | None, typer.Option(help="Refinement of scaled responses: none, par, or crf; that of the run.")
    ] = None,
    save: Annotated[list[str] | None, typer.Option(metavar="MAP", help="Also write cams.")] = None,
    checkpoint: Annotated[str, typer.Option(help="last or best.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interruption stopped.")] = False,
) -> None:
    """Write pseudo-labels, and weights that say how far to trust them, of the training part of a run."""
    from medwsss.cli.options import check_folder, chosen
    from medwsss.cli.progress import progress
    from medwsss.data.pseudo_folder import RECORD, claim_pseudo_folder, write_pseudo_record
    from medwsss.engine.device import resolve_device
    from medwsss.engine.pseudo_label_files import CAMS
    from medwsss.engine.run_folder import load_method, open_run
    from medwsss.writing import sole_writer

    chosen("checkpoint", checkpoint, ("last", "best"))
    maps = sorted({chosen("map", name, (CAMS,)) for name in save or []})
    folder, config = open_run(run)
    recipe = chosen_recipe(config, source, scales, refine)
    found = resolve_device(device)
    check_folder(out)
    data = data_of_run(folder, config.data, root)
    method = load_method(folder, config, data.labels, checkpoint=checkpoint).to(found)
    jobs = writers(method, data, recipe, device=found, cams=CAMS in maps)
    record = record_of(folder, config, data, recipe, tuple(jobs), checkpoint=checkpoint, maps=maps)
    with sole_writer(out):
        made = claim_pseudo_folder(out, record, maps=maps, resume=resume)
        left = [name for name in jobs if not (made.labels_file(name).exists() and made.weights_file(name).exists())]
        if len(left) < len(jobs):
            typer.echo(f"{len(jobs) - len(left)} of {len(jobs)} are there already")
        with progress() as bar:
            for name in bar.track(left, description="labelling"):
                jobs[name](made)
        write_pseudo_record(out, record)
    typer.echo(f"{len(jobs)} pseudo-labels with weights, in {out} ({RECORD} says of what)")


def chosen_recipe(config: "RunConfig", source: str | None, scales: str | None, refine: str | None) -> "Recipe":
    """What was asked for; the rest is as in the run.

    Raises:
        ConfigError: an unknown source or refinement, fewer than two scales or one that is not positive, or what this
            run cannot give.
    """
    from medwsss.cli.options import chosen
    from medwsss.config.addons import ResponseScalingConfig
    from medwsss.config.data import VolumeDataConfig
    from medwsss.config.maps import PixelAdaptiveConfig
    from medwsss.config.segmenters import SegmenterConfig
    from medwsss.engine.pseudo_labels import Recipe
    from medwsss.errors import ConfigError

    method, scaling = config.method, config.addons.urn
    retrained = isinstance(method, SegmenterConfig)
    seeded = config.addons.cine.enabled
    named = chosen("source", source or ("decoder" if retrained or seeded else "pseudo"), ("pseudo", "decoder"))
    if retrained and named == "pseudo":
        raise ConfigError("a retrained network makes no pseudo-labels of its own: use --source decoder")
    refined = chosen("refinement", refine or scaling.refine, ("none", "par", "crf"))
    if refined == "crf" and isinstance(config.data, VolumeDataConfig):
        raise ConfigError("--refine crf needs colours, and volumes have none: use none or par")
    return Recipe(
        source="pseudo" if named == "pseudo" else "decoder",
        step=config.training.iterations - 1,
        inference=config.inference,
        scaling=ResponseScalingConfig.model_validate(
            {**scaling.model_dump(), "scales": chosen_scales(scales, scaling.scales), "refine": refined}
        ),
        pixel_adaptive=PixelAdaptiveConfig() if isinstance(method, SegmenterConfig) else method.pixel_adaptive,
    )


def chosen_scales(listed: str | None, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """Exponents given like ``0.5,2,4``.

    Raises:
        ConfigError: one is no positive number, or there are fewer than two.
    """
    from medwsss.errors import ConfigError

    try:
        scales = otherwise if listed is None else tuple(float(scale) for scale in listed.split(","))
    except ValueError:
        raise ConfigError(f"--scales must be numbers joined by commas, such as 0.4,0.5,2,3, not '{listed}'") from None
    if len(scales) < 2 or not all(0 < scale < math.inf for scale in scales):
        shown = ", ".join(f"{scale:g}" for scale in scales)
        raise ConfigError(f"response scaling needs two or more scales, each above 0, not {shown}: see --scales")
    return scales


def data_of_run(run: "RunFolder", config: "DataConfig", root: Path | None) -> "PreparedData":
    """The data set of a run with the split and the tags that the run has stored; no mask is opened.

    Raises:
        DatasetError: ``root`` is another data set, or has another split.
        SplitError, ImageLabelsError, VolumeError: the data set of the run has changed or is damaged.
    """
    from medwsss.cli.train import data_root, loaded_data
    from medwsss.config.data import SplitConfig, VolumeDataConfig
    from medwsss.data.splits import read_split
    from medwsss.errors import DatasetError, ImageLabelsError, SplitError

    stored = read_split(run.split)
    if isinstance(config, VolumeDataConfig) and config.split.file is not None:  # which may have moved since
        config = config.model_copy(update={"split": SplitConfig(file=run.split)})
    try:
        data = loaded_data(config, data_root(config) if root is None else root, tags=run.tags)
    except (ImageLabelsError, SplitError) as error:
        if root is None:
            raise
        raise DatasetError(f"{root} is not the data set that {run.path} was trained on: {error}") from None
    if data.split.hash != stored.hash:
        raise DatasetError(
            f"{data.source} gives another split than that of {run.path} ({data.split.hash}, the run has "
            f"{stored.hash}): pass the data set that the run was trained on as --root"
        )
    return data


def record_of(
    run: "RunFolder",
    config: "RunConfig",
    data: "PreparedData",
    recipe: "Recipe",
    names: tuple[str, ...],
    *,
    checkpoint: str,
    maps: list[str],
) -> "PseudoRecord":
    """What ``pseudo.json`` will say.

    Raises:
        CheckpointError: the checkpoint is damaged, or was trained with another split.
    """
    from medwsss.config.data import VolumeDataConfig
    from medwsss.data.pseudo_folder import PseudoRecord
    from medwsss.engine.checkpoint import read_state
    from medwsss.errors import CheckpointError

    path = run.checkpoint(checkpoint)
    state = read_state(path)
    if state.split_hash != data.split.hash:
        raise CheckpointError(
            f"{path} was trained with another split ({state.split_hash}) than {run.split} says ({data.split.hash})"
        )
    provenance = {
        "run": str(run.path),
        "data": data.source,
        "method": config.method.name,
        "checkpoint": checkpoint,
        "step": state.step,
        "config_hash": state.config_hash,
        "source": recipe.source,
        "scales": list(recipe.scaling.scales),
        "refine": recipe.scaling.refine,
        "maps": maps,
    }
    return PseudoRecord(
        dataset=config.data.name,
        task=data.labels.name,
        classes=data.labels.names,
        split_hash=data.split.hash,
        suffix=".nii.gz" if isinstance(config.data, VolumeDataConfig) else ".png",
        names=names,
        provenance=provenance,
    )


def writers(
    method: "Method", data: "PreparedData", recipe: "Recipe", *, device: "torch.device", cams: bool
) -> "dict[str, Callable[[PseudoFolder], None]]":
    """What writes the files of each member of the training part: both phases of a patient, or an image."""
    from functools import partial

    from medwsss.data.loading import VolumeData
    from medwsss.data.photographs import PhotographData
    from medwsss.data.sample import photograph_key
    from medwsss.engine.predict import study_items
    from medwsss.engine.predict_images import ImageItem
    from medwsss.engine.pseudo_label_files import write_image, write_volume

    options: dict[str, Any] = {"recipe": recipe, "labels": data.labels, "device": device, "cams": cams}
    match data:
        case VolumeData():
            write_case = partial(write_volume, method, grid=data.config.grid, image_labels=data.image_labels, **options)
            return {item.name: partial(write_case, item) for item in study_items(data.training, frames="ed-es")}
        case PhotographData():
            write = partial(write_image, method, **options)
            return {
                name: partial(
                    write, ImageItem(name, data.image_set.image_path(name), data.image_labels.of(photograph_key(name)))
                )
                for name in data.split.train
            }
        case _:
            raise TypeError(f"no pseudo-labels for {type(data).__name__}")
