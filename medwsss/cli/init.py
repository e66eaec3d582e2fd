"""``medwsss init``: from a folder of images to a table to fill in, numbered pictures, and a configuration."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medwsss.data.study import Study

CONFIG_NAME = "medwsss.yaml"
PICTURES = "slices"
_HEADING = """# Settings for your studies, to be edited: method {method}, for two CPU cores.
# With a GPU, more iterations pay.
# medwsss train --help and the README say what there is. classes: labels 1, 2, ... in this order.
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of your studies.")],
    tags: Annotated[
        Path | None, typer.Option(help="Your own table of what the studies show; without it an example is written.")
    ] = None,
    classes: Annotated[str, typer.Option(help="For the example: the classes that you tag.")] = "RV,MYO,LV",
) -> None:
    """Look at a folder of studies; write a configuration, an example table, and pictures with slice numbers."""
    from medwsss.data.discovery import find_images, write_example_table
    from medwsss.data.folder_studies import folder_studies
    from medwsss.data.layouts import is_acdc
    from medwsss.data.study_table import TABLE_NAME, read_study_table
    from medwsss.errors import ConfigError, OutputError

    if is_acdc(folder):
        raise ConfigError(f"{folder} is laid out like ACDC: medwsss train --root {folder} reads it as it is")
    config = folder / CONFIG_NAME
    if config.exists():
        raise OutputError(f"{config} is there already: edit it, or remove it to begin anew")
    table = tags or folder / TABLE_NAME
    wanted = wanted_classes(classes)
    if tags is None and not table.is_file():
        images = find_images(folder)
        cines = write_example_table(images, wanted, table)
        typer.echo(f"{len(images)} images of {len({image.patient for image in images})} patients, {cines} are cines")
        typer.echo(f"{table} has a line for each: fill in {', '.join(wanted)} with 0 and 1")
        if cines:
            typer.echo("ED and ES of the cines are the time points of most and least bright blood: look at them")
    else:
        wanted = classes_in(table)
        typer.echo(f"{table} tags {', '.join(wanted)}")
    known = folder_studies(folder, read_study_table(table))
    write_pictures(known.studies, folder / PICTURES)
    method = "seeds" if fits_cine(known.studies, wanted) else "unia"
    write_config(config, root=folder, table=table, classes=wanted, method=method)
    typer.echo(f"pictures with slice numbers, for a column slice with values such as 3 or 3-7: {folder / PICTURES}")
    typer.echo(f"{config}: method {method}; the next commands:")
    for line in next_steps(folder, config):
        typer.echo(f"  {line}")


def wanted_classes(listed: str) -> list[str]:
    """Classes given like ``RV,MYO,LV``.

    Raises:
        ConfigError: there is none, or two are the same but for upper and lower case.
        ImageLabelsError: one cannot be the name of a class.
    """
    from medwsss.data.study_table import check_class_name
    from medwsss.errors import ConfigError

    names = [name.strip() for name in listed.split(",") if name.strip()]
    if not names or len({name.lower() for name in names}) < len(names):
        raise ConfigError(f"--classes {listed!r} must name different classes, joined by commas, such as RV,MYO,LV")
    for name in names:
        check_class_name(name, "--classes")
    return names


def classes_in(path: Path) -> list[str]:
    """The classes of a table, which may be still to be filled in.

    Raises:
        ImageLabelsError: the table cannot be read, or has none.
    """
    from medwsss.data.study_table import blank_columns, read_study_table, study_tags
    from medwsss.errors import ImageLabelsError

    table = read_study_table(path)
    try:
        return list(study_tags(table).classes)
    except ImageLabelsError:
        if not blank_columns(table):
            raise
        return list(blank_columns(table))


def write_pictures(studies: "Sequence[Study]", folder: Path) -> None:
    """A picture of every volume, its slices numbered."""
    from medwsss.config.data import GridConfig
    from medwsss.data.slice_cache import SliceCache
    from medwsss.data.study import case_id
    from medwsss.reports.slice_sheet import write_slice_sheet

    cache = SliceCache()
    for study in studies:
        for phase, frame in study.frames.items():
            name = case_id(study, phase)
            title = f"{study.patient} {phase}: {frame.path.name}".replace(" :", ":")
            write_slice_sheet(cache.stack(frame, GridConfig()), folder / f"{name}.png", title=title)


def fits_cine(studies: "Sequence[Study]", classes: Sequence[str]) -> bool:
    """Whether motion and anatomy can teach: structures of the heart, and both phases of every patient."""
    from medwsss.data.study import PHASES
    from medwsss.labels import cardiac_task, own_task

    return cardiac_task(own_task(classes).labels) is not None and all(set(s.frames) == set(PHASES) for s in studies)


def write_config(path: Path, *, root: Path, table: Path, classes: Sequence[str], method: str) -> None:
    """The shipped settings for two CPU cores, with the user's folder, table and classes in them.

    Raises:
        OutputError: the file cannot be written.
    """
    import yaml

    from medwsss.config.loading import preset_layer
    from medwsss.errors import OutputError
    from medwsss.writing import written_whole

    layer = preset_layer("folder", f"{method}-cpu")
    own = {"name": "folder", "root": str(root.absolute()), "tags": str(table.absolute()), "classes": list(classes)}
    settings = {**layer, "data": {**own, **layer["data"]}}
    text = _HEADING.format(method=method) + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    try:
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose a writable folder") from error


def next_steps(folder: Path, config: Path) -> list[str]:
    """What to type, to the report."""
    return [
        f"medwsss train --config {shlex.quote(str(config))} --out RUN",
        f"medwsss predict RUN {shlex.quote(str(folder))} --out PREDICTIONS",
        f"medwsss report PREDICTIONS --images {shlex.quote(str(folder))} --out REPORT",
    ]
