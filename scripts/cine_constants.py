"""Choose the constants of the cine prior on your own studies without any mask; see medwsss.engine.cine_constants.

python scripts/cine_constants.py DATA --out FOLDER [--every 3] [--laws] [--masks]

DATA is laid out like ACDC. FOLDER gets criteria.csv (every trial), steps.csv, chosen.yaml (a part of a
configuration file) and compared.csv (start, choice and defaults on all patients). With --masks, which must not choose
anything, also dice.csv and compared_dice.csv.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from medwsss.config.cine import CineConfig
from medwsss.config.data import GridConfig
from medwsss.data.acdc import find_studies, reference_masks
from medwsss.data.slice_cache import SliceCache
from medwsss.engine.cine_constants import A_PRIORI, LAWS, Measured, described, measure_all, search
from medwsss.engine.cine_trials import reference_of, trials_of
from medwsss.engine.cine_trust import trust
from medwsss.errors import DatasetError
from medwsss.priors.cardiac.criteria import CRITERIA


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_measured(rows: Sequence[Measured], criteria: Path, dice: Path) -> None:
    write_rows(criteria, [{"patient": row.patient, "settings": row.name, **row.criteria} for row in rows])
    if rows[0].dice:
        write_rows(dice, [{"patient": row.patient, "settings": row.name, **row.dice} for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="search on every so many patients (3)")
    parser.add_argument("--laws", action="store_true", help="only conservation of muscle and blood votes")
    parser.add_argument("--masks", action="store_true", help="also compute overlap with the masks; it chooses nothing")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    cache, trials, references = SliceCache(), {}, {}
    masks = reference_masks(arguments.data) if arguments.masks else {}
    for study in find_studies(arguments.data):
        try:
            made = trials_of(study, GridConfig(), cache)
        except DatasetError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        trials[study.patient] = made
        if arguments.masks:
            references[study.patient] = reference_of(study, masks, made.size)
    some = {patient: trials[patient] for patient in list(trials)[:: arguments.every]}
    known = references if arguments.masks else None
    voting = LAWS if arguments.laws else tuple(CRITERIA)
    found = search(some, voting=voting, references=known, report=lambda line: print(line, flush=True))
    write_measured(found.measured, out / "criteria.csv", out / "dice.csv")
    steps = [
        {"stage": step.stage, "settings": described(step.settings), "score": step.score,
         "standard_error": step.standard_error, "adopted": step.adopted}
        for step in found.steps
    ]  # fmt: skip
    write_rows(out / "steps.csv", steps)
    (out / "chosen.yaml").write_text(yaml.safe_dump({"cine": found.chosen.model_dump(mode="json")}), encoding="utf-8")
    configs = {"a priori": A_PRIORI, "chosen": found.chosen, "defaults": CineConfig()}
    write_measured(measure_all(trials, configs, references=known), out / "compared.csv", out / "compared_dice.csv")
    if arguments.masks:
        true = [Measured(name, "masks", trials[name].criteria(references[name].labels), {}) for name in trials]
        write_measured(true, out / "masks.csv", out / "unused")
        write_rows(out / "trust.csv", [{"criterion": name, **row} for name, row in trust(found.measured).items()])


if __name__ == "__main__":
    main()
