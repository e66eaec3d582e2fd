"""``medwsss phantom``: write the generated data set."""

from pathlib import Path
from typing import Annotated

import typer


def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write; must not hold anything yet.")],
    patients: Annotated[int, typer.Option(min=5, max=999, help="Number of patients.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    cine_frames: Annotated[
        int, typer.Option(min=0, help="Frames of a 4D file per patient; 0 writes ED and ES only.")
    ] = 0,
) -> None:
    """Write a generated data set in ACDC's layout: beating hearts, with masks, free to share."""
    from medwsss.data.phantom import SHORTEST_CINE, write_phantom
    from medwsss.errors import ConfigError

    if 0 < cine_frames < SHORTEST_CINE:
        raise ConfigError(f"--cine-frames is {cine_frames}: a cycle needs at least {SHORTEST_CINE}; 0 writes none")
    write_phantom(out, patients=patients, seed=seed, cine_frames=cine_frames)
    typer.echo(f"{patients} generated patients are in {out}")
