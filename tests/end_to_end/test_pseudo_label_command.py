"""From a trained run to pseudo-labels and weights of its training part, through the real command line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes.acdc import fake_patients, write_acdc
from fakes.command_line import Answer, medwsss, tiny_config_file
from fakes.voc import write_list, write_voc
from PIL import Image

from medwsss.cli import pseudo_label as command
from medwsss.config.addons import AddOnsConfig, ResponseScalingConfig
from medwsss.config.schema import RunConfig
from medwsss.config.segmenters import RetrainConfig
from medwsss.config.training import TrainingConfig
from medwsss.data.image_files import photograph_size, read_label_image
from medwsss.data.pseudo_folder import STARTED, open_pseudo_folder
from medwsss.data.splits import Split, read_split, write_split
from medwsss.data.voc import Voc
from medwsss.errors import ConfigError, DatasetError
from medwsss.labels import ACDC_TASKS, VOC_LABELS
from medwsss.volumes.io import load_label_volume, load_volume
from medwsss.volumes.slicing import slices_of

CLASSES = ACDC_TASKS["multi"].labels


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudo labels")
    write_acdc(folder / "acdc", fake_patients(5))
    write_voc(folder / "kit").rename(folder / "voc")
    return folder


@pytest.fixture(scope="module")
def acdc_run(base: Path) -> Path:
    config = tiny_config_file(base, data={"grid": {"crop": 32}, "task": "multi"})
    return train(base, "acdc", config)


@pytest.fixture(scope="module")
def voc_run(base: Path) -> Path:
    config = tiny_config_file(base, data={"name": "voc", "crop": 32})
    return train(base, "voc", config)


def train(base: Path, dataset: str, config: Path) -> Path:
    run = base / f"run-{dataset}"
    answer = medwsss(
        "train", "--dataset", dataset, "--root", base / dataset, "--config", config, "--out", run, "--device", "cpu"
    )
    assert answer.code == 0, answer.err
    return run


def pseudo_label(run: Path, out: Path, *options: object) -> Answer:
    return medwsss("pseudo-label", run, "--out", out, "--device", "cpu", *options)


def split_of(run: Path) -> Split:
    return read_split(run / "split.json")


def shown_classes(run: Path) -> dict[tuple[str, str, int], set[int]]:
    """Labels that a slice or image may have."""
    _, *rows = (line.split(",") for line in (run / "tags.csv").read_text().splitlines())
    return {
        (row[0], row[1], int(row[2])): {label for label, tag in enumerate(row[3:], start=1) if tag == "1"}
        for row in rows
    }


def shorter_list(voc: Path, copy: Path) -> Path:
    """The same data set, where only the first image is held out."""
    shutil.copytree(voc, copy)
    write_list(copy, "val", [Voc(voc).names("val")[0]])
    return copy


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_phases_of_every_training_patient_are_labelled_on_their_own_grid(
    acdc_run: Path, base: Path, tmp_path: Path
) -> None:
    answer = pseudo_label(acdc_run, tmp_path / "out", "--save", "cams")
    assert answer.code == 0, answer.err
    split, shown = split_of(acdc_run), shown_classes(acdc_run)
    names = {
        f"{patient}_frame{number:02d}": (patient, phase)
        for patient in split.train
        for phase, number in (("ED", 1), ("ES", 3))
    }
    made = open_pseudo_folder(
        tmp_path / "out", dataset="acdc", label_set=CLASSES, split_hash=split.hash, names=list(names)
    )
    assert made.record.names == tuple(names)
    for part in ("labels", "weights"):
        assert {path.name for path in (tmp_path / "out" / part).iterdir()} == {f"{name}.nii.gz" for name in names}
    for name, (patient, phase) in names.items():
        frame = load_volume(base / "acdc" / "training" / patient / f"{name}.nii.gz")
        labels, weights = load_label_volume(made.labels_file(name)), load_volume(made.weights_file(name))
        assert labels.grid == weights.grid == frame.grid
        np.testing.assert_allclose(labels.affine, frame.affine, atol=1e-5)
        assert 0 <= weights.array.min() <= weights.array.max() <= 1
        for index, found in enumerate(slices_of(labels).array):
            assert set(np.unique(found).tolist()) <= {0, 255} | shown[patient, phase, index]
        for shown_class in CLASSES.names:
            cams = load_volume(tmp_path / "out" / "cams" / f"{name}_{shown_class}.nii.gz")
            assert cams.grid == frame.grid
    assert made.record.provenance["scales"] == [0.15, 0.2, 0.25, 4.0, 5.0, 6.0]
    assert not (tmp_path / "out" / STARTED).exists()


def test_every_training_photograph_is_labelled_at_its_own_size(voc_run: Path, base: Path, tmp_path: Path) -> None:
    answer = pseudo_label(voc_run, tmp_path / "out", "--save", "cams", "--refine", "par", "--scales", "0.5, 2,3")
    assert answer.code == 0, answer.err
    split, shown, images = split_of(voc_run), shown_classes(voc_run), Voc(base / "voc")
    made = open_pseudo_folder(
        tmp_path / "out", dataset="voc", label_set=VOC_LABELS, split_hash=split.hash, names=split.train
    )
    assert {path.stem for path in (tmp_path / "out" / "labels").iterdir()} == set(split.train)
    for name in split.train:
        labels = read_label_image(made.labels_file(name))
        assert labels.shape == photograph_size(images.image_path(name))
        assert set(np.unique(labels).tolist()) <= {0, 255} | shown[name, "", 0]
        with Image.open(made.weights_file(name)) as weights:
            assert (weights.mode, weights.size) == ("L", labels.shape[::-1])
        with np.load(tmp_path / "out" / "cams" / f"{name}.npz", allow_pickle=False) as cams:
            assert cams["cams"].shape == (len(cams["labels"]), *labels.shape)
            assert set(cams["labels"].tolist()) <= shown[name, "", 0]
    provenance = made.record.provenance
    assert (provenance["scales"], provenance["refine"], provenance["source"]) == ([0.5, 2.0, 3.0], "par", "pseudo")


def test_a_cyclic_pseudo_mask_is_the_prediction_for_the_tags_of_the_run(
    voc_run: Path, base: Path, tmp_path: Path
) -> None:
    assert pseudo_label(voc_run, tmp_path / "out", "--source", "decoder").code == 0
    answer = medwsss(
        "predict", voc_run, base / "voc", "--list", "train", "--tags", voc_run / "tags.csv", "--out", tmp_path / "same"
    )
    assert answer.code == 0, answer.err
    for name in split_of(voc_run).train:
        labels = read_label_image(tmp_path / "out" / "labels" / f"{name}.png")
        np.testing.assert_array_equal(labels, read_label_image(tmp_path / "same" / f"{name}.png"))


def test_a_folder_that_stopped_early_is_incomplete_and_goes_on_as_if_it_had_not(
    voc_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medwsss.engine import pseudo_label_files

    whole, out, split = tmp_path / "whole", tmp_path / "out", split_of(voc_run)
    assert pseudo_label(voc_run, whole).code == 0
    write, count = pseudo_label_files.write_label_image, iter(range(10))

    def stopped(labels: np.ndarray, path: Path) -> None:
        if next(count) == 2:
            raise KeyboardInterrupt
        write(labels, path)

    with monkeypatch.context() as patch:
        patch.setattr(pseudo_label_files, "write_label_image", stopped)
        assert pseudo_label(voc_run, out).code == 130
    with pytest.raises(DatasetError, match="no complete pseudo-labels"):
        open_pseudo_folder(out, dataset="voc", label_set=VOC_LABELS, split_hash=split.hash, names=split.train)
    refused = pseudo_label(voc_run, out)
    assert (refused.code, "--resume" in refused.err) == (2, True)
    answer = pseudo_label(voc_run, out, "--resume")
    assert answer.code == 0, answer.err
    assert "2 of 4 are there already" in answer.out
    assert content(out) == content(whole)


def test_another_recipe_does_not_join_what_is_there(voc_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pseudo_label(voc_run, out).code == 0
    before = content(out)
    answer = pseudo_label(voc_run, out, "--resume", "--source", "decoder")
    assert answer.code == 2
    assert 'provenance.source was "pseudo", now "decoder"' in answer.err
    assert pseudo_label(voc_run, out, "--resume").code == 0
    assert content(out) == before


def test_a_run_that_was_moved_with_its_data_gives_the_same_labels(acdc_run: Path, base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "acdc", tmp_path / "data")
    assert pseudo_label(acdc_run, tmp_path / "first").code == 0
    answer = pseudo_label(acdc_run, tmp_path / "second", "--root", tmp_path / "data")
    assert answer.code == 0, answer.err
    first, second = (content(tmp_path / name) for name in ("first", "second"))
    assert {name for name in first if first[name] != second[name]} == {"pseudo.json"}


def test_another_data_set_is_refused(acdc_run: Path, voc_run: Path, base: Path, tmp_path: Path) -> None:
    others = write_acdc(tmp_path / "others", fake_patients(7)[2:])
    answer = pseudo_label(acdc_run, tmp_path / "out", "--root", others)
    assert answer.code == 2
    assert f"{others} is not the data set that" in answer.err
    answer = pseudo_label(voc_run, tmp_path / "out", "--root", shorter_list(base / "voc", tmp_path / "voc"))
    assert answer.code == 2
    assert "gives another split" in answer.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--source", "pseudu"], "did you mean 'pseudo'"),
        (["--refine", "crff"], "did you mean 'crf'"),
        (["--refine", "crf"], "volumes have none"),
        (["--save", "cam"], "did you mean 'cams'"),
        (["--checkpoint", "first"], "unknown checkpoint"),
        (["--scales", "0.5"], "two or more scales"),
        (["--scales", "0.5,0"], "each above 0, not 0.5, 0"),
        (["--scales", "0.5,nan"], "each above 0"),
        (["--scales", "0.5;2"], "joined by commas"),
        (["--root", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_written(
    acdc_run: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    answer = pseudo_label(acdc_run, tmp_path / "out", *options)
    assert answer.code == 2
    assert expected in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_files_of_others_and_damaged_records_are_left_alone(voc_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for options in ([], ["--resume"]):
        answer = pseudo_label(voc_run, tmp_path, *options)
        assert (answer.code, "other files" in answer.err) == (2, True)
    (tmp_path / "pseudo.json").write_text("{")
    answer = pseudo_label(voc_run, tmp_path, "--resume")
    assert (answer.code, "damaged" in answer.err) == (2, True)
    assert set(content(tmp_path)) == {"notes.txt", "pseudo.json"}


def test_a_checkpoint_of_another_split_is_refused(voc_run: Path, base: Path, tmp_path: Path) -> None:
    run, root = Path(shutil.copytree(voc_run, tmp_path / "run")), shorter_list(base / "voc", tmp_path / "voc")
    split = split_of(run)
    write_split(Split(split.train, split.held_out[:1], split.seed), run / "split.json")
    answer = pseudo_label(run, tmp_path / "out", "--root", root)
    assert answer.code == 2
    assert "was trained with another split" in answer.err
    assert not (tmp_path / "out").exists()


def test_the_stored_split_stands_in_for_a_split_file_that_is_gone(acdc_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(acdc_run, tmp_path / "run"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["split"]["file"] = str(tmp_path / "gone.json")
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    assert pseudo_label(run, tmp_path / "out", "--source", "decoder").code == 0


def test_a_retrained_network_gives_its_prediction_and_has_no_pseudo_labels() -> None:
    retrained = RunConfig(method=RetrainConfig())
    assert command.chosen_recipe(retrained, None, None, None).source == "decoder"
    with pytest.raises(ConfigError, match="--source decoder"):
        command.chosen_recipe(retrained, "pseudo", None, None)


def test_scales_and_refinement_are_those_of_the_run_unless_named() -> None:
    addons = AddOnsConfig(urn=ResponseScalingConfig(scales=(0.4, 3.0), refine="par"))
    run = RunConfig(addons=addons, training=TrainingConfig(iterations=50))
    recipe = command.chosen_recipe(run, None, None, None)
    assert (recipe.scaling, recipe.source, recipe.step) == (addons.urn, "pseudo", 49)
    recipe = command.chosen_recipe(run, "decoder", "2,0.5", "none")
    assert (recipe.scaling.scales, recipe.scaling.refine, recipe.source) == ((2.0, 0.5), "none", "decoder")
