from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from fakes.networks import tiny_run_config

from medwsss.config.ablation_grid import DATA_SEED_KEYS, SEED_KEYS, Cell, parsed_seeds, read_grid, shown_settings
from medwsss.config.loading import load_config, override_layer, to_yaml
from medwsss.config.schema import RunConfig
from medwsss.engine.ablation import (
    AblationRecord,
    PlannedRun,
    Standing,
    clear_stopped,
    earlier_seeds,
    planned_runs,
    read_record,
    run_folder,
    standing,
    write_record,
)
from medwsss.engine.run_folder import check_unused
from medwsss.errors import CheckpointError, ConfigError, OutputError

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "ablations").glob("*.yaml"))


def resolve(method: str | None, assignments: Sequence[str]) -> RunConfig:
    """The schema's defaults with these assignments."""
    named = {"method": {"name": method}} if method else {}
    return load_config([named, override_layer(assignments)])


def grid_file(folder: Path, text: str) -> Path:
    path = folder / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def planned(out: Path, **sections: object) -> PlannedRun:
    cell = Cell(name="UIN + L_dis")
    return PlannedRun(cell, 1, tiny_run_config(**sections), run_folder(out, cell, 1))


def begun(out: Path) -> PlannedRun:
    """A planned run whose folder has its configuration."""
    plan = planned(out)
    plan.run.path.mkdir(parents=True)
    plan.run.config.write_text(to_yaml(plan.config), encoding="utf-8")
    return plan


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_grid_fits_the_schema_of_its_method(path: Path) -> None:
    grid = read_grid(path)
    assert len(grid.rows) >= 2
    any_method = ["unia"] if path.stem.startswith("urn") else ["unia", "cam"]  # URN weighs what a decoder learns from
    for method in [grid.method] if grid.method else any_method:
        runs = planned_runs(grid, [0], Path("out"), lambda own, a, m=method: resolve(own or m, a), vary=SEED_KEYS)
        configs = [run.config for run in runs]
        assert len({to_yaml(config) for config in configs}) == len(configs)  # no row repeats another
        assert len(shown_settings(grid.columns, configs)) == len(grid.rows)


def test_there_are_grids_of_all_four_papers() -> None:
    assert {path.stem.split("-")[0] for path in SHIPPED} >= {"unia", "urn", "usage", "hfpl"}


def test_the_rows_of_table_4_switch_on_one_part_after_the_other() -> None:
    path = next(path for path in SHIPPED if path.stem == "unia-table-4")
    grid = read_grid(path)
    configs = [run.config for run in planned_runs(grid, [0], Path("out"), resolve, vary=SEED_KEYS)]
    assert tuple(grid.columns) == ("UIN", "L_dis", "MCR", "L_aff")
    assert shown_settings(grid.columns, configs) == tuple(("✓",) * on + ("",) * (4 - on) for on in range(5))


def test_a_product_has_all_combinations_with_the_last_key_fastest(tmp_path: Path) -> None:
    text = "title: t\ngrid: {training.iterations: [5, 6], method.schedule.affinity_from: [0.00001, 3]}"
    grid = read_grid(grid_file(tmp_path, text))
    assert [cell.name for cell in grid.rows] == [
        "iterations = 5, affinity_from = 1.0e-05",
        "iterations = 5, affinity_from = 3",
        "iterations = 6, affinity_from = 1.0e-05",
        "iterations = 6, affinity_from = 3",
    ]
    configs = [run.config for run in planned_runs(grid, [0], tmp_path, resolve, vary=SEED_KEYS)]
    assert [config.training.iterations for config in configs] == [5, 5, 6, 6]
    assert [config.method.schedule.affinity_from for config in configs] == [1e-5, 3, 1e-5, 3]


def test_the_values_of_a_product_may_be_words_and_lists(tmp_path: Path) -> None:
    text = "title: t\nmethod: usage\ngrid: {method.schedule: [fixed], method.student_drop_path: [[0.1, 0.2]]}"
    grid = read_grid(grid_file(tmp_path, text))
    (run,) = planned_runs(grid, [0], tmp_path, lambda own, a: resolve("usage", a), vary=SEED_KEYS)
    assert (run.config.method.schedule, run.config.method.student_drop_path) == ("fixed", (0.1, 0.2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel: t\nrows: [{name: a}]", "unknown key 'titel'; did you mean 'title'"),
        ("title: t\nrow: [{name: a}]\nrows: [{name: b}]", "unknown key 'row'; did you mean 'rows'"),
        ("title: t\nrows: [{name: a, sett: []}]", "unknown key 'rows.0.sett'; did you mean 'set'"),
        ("title: t", "either rows"),
        ("title: t\nrows: [{name: a}]\ngrid: {training.seed: [1]}", "either rows"),
        ("title: t\ngrid: {training.iterations: 5}", "lists of values"),
        ("title: t\ngrid: [1]", "lists of values"),
        ("title: t\nrows: [{name: a b}, {name: A-b}]", "'a b' and 'A-b' would share a folder"),
        ("title: t\nrows: [{name: ..}]", "no letter or digit"),
        ("title: t\nrows: 5", "rows: Input should be"),
        ("rows: [", "not valid YAML"),
    ],
)
def test_a_malformed_grid_is_one_line_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")) as caught:
        read_grid(grid_file(tmp_path, text))
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{name: a, set: [method.uncertainti.enabled=false]}", "row 'a': unknown setting .*did you mean 'uncertainty'"),
        ("{name: a, set: [training.iterations=0]}", "row 'a': training.iterations: .*greater"),
        ("{name: a, set: [training.seed=3]}", "row 'a': 'training.seed=3' would fix what varies"),
        ("{name: a, set: [enabled]}", "row 'a': 'enabled' is not of the form"),
        ("{name: a}, {name: b, set: [data.name=voc]}", "row 'b': .*one data set"),
        (
            "{name: a, method: cam, set: [addons.urn.enabled=true]}",
            "row 'a': add-on urn needs .* which method cam does",
        ),
        ("{name: a, method: retrain, set: [addons.isl.enabled=true]}", "row 'a': add-on isl needs scores, .* retrain"),
        ("{name: a, set: [addons.ils.enabled=true]}", "row 'a': unknown setting 'addons.ils'; did you mean 'isl'"),
        ("{name: a, set: [encoder.name=resnet18]}", "row 'a': method unia needs attention"),
        ("{name: a, method: retrain}", "row 'a': .* needs pseudo-labels to learn from"),
    ],
)
def test_a_row_that_cannot_be_trained_is_named(tmp_path: Path, row: str, message: str) -> None:
    grid = read_grid(grid_file(tmp_path, f"title: t\nrows: [{row}]"))
    with pytest.raises(ConfigError, match=message):
        planned_runs(grid, [0], tmp_path, resolve, vary=SEED_KEYS)


def test_seeds_go_where_they_are_asked_to_and_rows_come_before_seeds(tmp_path: Path) -> None:
    grid = read_grid(grid_file(tmp_path, "title: t\nrows: [{name: a}, {name: K = 10}]"))
    runs = planned_runs(grid, [4, 7], tmp_path, resolve, vary=DATA_SEED_KEYS)
    assert [run.run.path.relative_to(tmp_path).as_posix() for run in runs] == [
        "a/seed-4", "k-10/seed-4", "a/seed-7", "k-10/seed-7",
    ]  # fmt: skip
    data = runs[-1].config.data
    assert (runs[-1].config.training.seed, data.split.seed, data.phantom.seed) == (7, 7, 7)
    only = planned_runs(grid, [7], tmp_path, resolve, vary=SEED_KEYS)[0].config
    assert (only.training.seed, only.data.split.seed, only.data.phantom.seed) == (7, 0, 0)


def test_columns_show_switches_values_and_what_a_method_lacks() -> None:
    columns = {"UIN": "method.uncertainty.enabled", "K": "method.distribution.samples"}
    configs = [resolve("unia", []), resolve("unia", ["method.uncertainty.enabled=false"]), resolve("cam", [])]
    assert shown_settings(columns, configs) == (("✓", "50"), ("", "50"), ("–", "–"))
    with pytest.raises(ConfigError, match=r"did you mean 'method\.distribution\.samples'"):
        shown_settings({"K": "method.distribution.sample"}, configs)


@pytest.mark.parametrize("text", ["", "1,1", "a", "-1", "1.5", "0,,1"])
def test_seeds_are_different_whole_numbers(text: str) -> None:
    assert parsed_seeds(" 0, 12") == (0, 12)
    with pytest.raises(ConfigError, match="--seeds"):
        parsed_seeds(text)


def test_a_run_is_new_stopped_begun_or_done_by_what_its_folder_holds(tmp_path: Path) -> None:
    assert standing(planned(tmp_path)) is Standing.NEW
    plan = begun(tmp_path)
    assert standing(plan) is Standing.STOPPED
    plan.run.checkpoint("last").parent.mkdir()
    plan.run.checkpoint("last").touch()
    assert standing(plan) is Standing.BEGUN
    plan.run.report.mkdir()
    (plan.run.report / "summary.json").touch()
    assert standing(plan) is Standing.DONE


def test_a_run_of_other_settings_is_refused_with_row_and_difference(tmp_path: Path) -> None:
    begun(tmp_path)
    changed = planned(tmp_path, training={"iterations": 9, "batch_size": 2, "warmup_steps": 0, "learning_rate": 1e-3})
    with pytest.raises(OutputError, match=r"row 'UIN \+ L_dis', seed 1: .*now training.iterations=9"):
        standing(changed)
    with pytest.raises(OutputError, match="now cam on acdc"):
        standing(planned(tmp_path, method={"name": "cam"}))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    plan.run.path.mkdir(parents=True)
    (plan.run.path / "thesis.txt").touch()
    with pytest.raises(OutputError, match=r"seed 1: .* holds something that is no run"):
        standing(plan)


def test_clearing_a_stopped_run_leaves_foreign_files(tmp_path: Path) -> None:
    run = begun(tmp_path).run
    run.metrics.touch()
    run.tensorboard.mkdir()
    (run.tensorboard / "events").touch()
    clear_stopped(run)
    check_unused(run.path)
    (run.path / "notes.txt").touch()
    clear_stopped(run)
    assert (run.path / "notes.txt").is_file()


def test_the_description_of_an_ablation_survives_its_file(tmp_path: Path) -> None:
    record = AblationRecord(
        title="Größe: λ", note="", seeds=(0, 2), vary=SEED_KEYS, columns=("λ",), rows=(Cell(name="a", set=("x=1",)),),
        shown=(("✓",),), about={"data": "acdc"},
    )  # fmt: skip
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    assert earlier_seeds(tmp_path, "Größe: λ") == (0, 2)
    with pytest.raises(OutputError, match="holds the ablation 'Größe: λ'"):
        earlier_seeds(tmp_path, "another")


def test_a_folder_without_or_with_a_damaged_description_is_refused(tmp_path: Path) -> None:
    assert earlier_seeds(tmp_path, "t") == ()
    (tmp_path / "other.txt").touch()
    with pytest.raises(OutputError, match="no ablation"):
        earlier_seeds(tmp_path, "t")
    with pytest.raises(CheckpointError, match="is not the folder of an ablation"):
        read_record(tmp_path)
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump({"title": "t"}))
    with pytest.raises(ConfigError, match="damaged"):
        read_record(tmp_path)
