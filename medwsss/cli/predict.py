"""``medwsss predict``: segment volumes or photographs with a trained run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Volumes: NIfTI files, folders of them, or ACDC folders. "
            "Photographs: files, folders of them, or with --list the folder of the data set.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the label files.")],
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Volumes: average with another run of the same task; may be repeated. Views are those of RUN.",
        ),
    ] = None,
    tags: Annotated[
        Path | None, typer.Option(help="Table of image-level labels, of slices or of studies; not needed.")
    ] = None,
    save: Annotated[
        list[str] | None,
        typer.Option(metavar="MAP", help="Also write probabilities, cams or uncertainty; may be repeated."),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="last or best.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of these inputs.")] = False,
    frames: Annotated[str | None, typer.Option(help="Volumes: ed-es, or all frames of 4D files.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Photographs: layout of the folder, acdc, voc or coco; that of the run.")
    ] = None,
    part: Annotated[str | None, typer.Option("--list", help="Photographs: list of images, such as val.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Photographs: labels from the decoder, or from the cams; decoder by default.")
    ] = None,
    crf: Annotated[bool, typer.Option("--crf", help="Photographs: dense CRF afterwards, as in the papers.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Photographs: go on where an interrupted prediction into --out stopped.")
    ] = False,
) -> None:
    """Segment volumes (label files on the grid of the inputs) or photographs (label PNGs of their size)."""
    from medwsss.cli.lines import one_line
    from medwsss.cli.options import check_folder, chosen, refuse_options
    from medwsss.cli.predict_photographs import predict_photographs
    from medwsss.cli.predict_volumes import predict_volumes
    from medwsss.config.data import VolumeDataConfig
    from medwsss.engine.device import resolve_device
    from medwsss.engine.predict import MAPS
    from medwsss.engine.processes import joined
    from medwsss.engine.run_folder import open_run
    from medwsss.ranks import rank
    from medwsss.writing import sole_writer

    chosen("checkpoint", checkpoint, ("last", "best"))
    maps = [chosen("map", name, MAPS) for name in save or []]
    folder, config = open_run(run)
    chosen_device = resolve_device(device)
    check_folder(out)
    if isinstance(config.data, VolumeDataConfig):
        other = None if dataset == config.data.name else dataset
        photographs_only = {"--dataset": other, "--list": part, "--source": source, "--crf": crf, "--resume": resume}
        refuse_options("a run on volumes", photographs_only)
        with joined(chosen_device) as found, sole_writer(out) if rank() == 0 else nullcontext():
            failed = predict_volumes(
                folder, config, inputs, out, frames=chosen("frames", frames or "ed-es", ("ed-es", "all")), tags=tags,
                maps=maps, checkpoint=checkpoint, device=found, overwrite=overwrite, also=also or [],
            )  # fmt: skip
    else:
        refuse_options("a run on photographs", {"--frames": frames, "--also": also})
        source = chosen("source", source or "decoder", ("decoder", "cams"))
        with joined(chosen_device) as found, sole_writer(out) if rank() == 0 else nullcontext():
            failed = predict_photographs(
                folder, config, inputs, out, dataset=dataset, part=part, tags=tags, source=source,
                crf=crf or config.inference.crf.enabled, maps=maps, checkpoint=checkpoint, device=found,
                overwrite=overwrite, resume=resume,
            )  # fmt: skip
    for name, reason in failed.items():
        typer.echo(one_line(f"error: {name}: {reason}"), err=True)
    if failed:
        raise typer.Exit(2)
