"""Bad photographs, masks, lists, tags and options through the real command line: one clear line, nothing lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.acdc import fake_patients, write_acdc
from fakes.coco import write_coco
from fakes.command_line import Answer, medwsss, tiny_config_file
from fakes.voc import write_list, write_voc
from PIL import Image

from medwsss.data.image_files import read_label_image

Damage = Callable[[Path], object]
TRAINING, HELD_OUT = "2007_000001", "2007_000007"
"""The first images of the lists train and val of VOC."""
QUICK = ("--set", "training.iterations=1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, settings and a finished run of each: voc, coco, acdc; ``run-voc`` and so on."""
    folder = tmp_path_factory.mktemp("bad photographs")
    write_voc(folder / "kit")
    (folder / "kit/VOCdevkit/VOC2012").rename(folder / "voc")
    write_coco(folder / "coco")
    write_coco(folder / "converted", converted=True)
    write_acdc(folder / "acdc", fake_patients(2))
    for name in ("voc", "coco"):
        (folder / name / "settings").mkdir()
        tiny_config_file(folder / name / "settings", data={"name": name, "crop": 32, "train": "train"})
    (folder / "acdc-settings").mkdir()
    tiny_config_file(folder / "acdc-settings")
    for name in ("voc", "coco"):
        answer = train(folder, folder / name, folder / f"run-{name}", *QUICK, dataset=name)
        assert answer.code == 0, answer.err
    return folder


@pytest.fixture(scope="module")
def acdc_run(base: Path) -> Path:
    settings = base / "acdc-settings/tiny.yaml"
    answer = medwsss("train", "--root", base / "acdc", "--config", settings, "--out", base / "run-acdc", *QUICK)
    assert answer.code == 0, answer.err
    return base / "run-acdc"


@pytest.fixture
def voc(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base / "voc", tmp_path / "voc"))


@pytest.fixture
def coco(base: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(base / "coco", tmp_path / "coco"))


@pytest.fixture
def predictions(base: Path, tmp_path: Path) -> Path:
    """Predictions for the list val of VOC, to damage."""
    return Path(shutil.copytree(base / "run-voc/predictions", tmp_path / "predictions"))


def train(base: Path, root: Path, out: Path, *arguments: object, dataset: str = "voc") -> Answer:
    settings = base / dataset / "settings/tiny.yaml"
    return medwsss("train", "--dataset", dataset, "--root", root, "--config", settings, "--out", out, *arguments)


def predict(base: Path, root: Path, out: Path, *arguments: object, part: str = "val") -> Answer:
    return medwsss("predict", base / "run-voc", root, "--list", part, "--out", out, *arguments)


def evaluate(predictions: Path, truth: Path, out: Path, *arguments: object, dataset: str = "voc") -> Answer:
    return medwsss("evaluate", predictions, truth, "--dataset", dataset, "--out", out, *arguments)


def is_refused(answer: Answer, *parts: object) -> None:
    """Exit code 2, and after warnings and progress a single line that says what, where and what to do."""
    *before, error = answer.err.splitlines() or [""]
    assert answer.code == 2, answer
    assert error.startswith("error: ")
    assert all(line.startswith(("warning: ", "step ", "validation ")) for line in before)
    assert "Traceback" not in answer.err
    for part in parts:
        assert str(part) in error


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def photograph(root: Path, name: str) -> Path:
    return root / f"JPEGImages/{name}.jpg"


# --- Folders and lists -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["none", "file", "empty", "acdc", "voc/JPEGImages", "coco"])
def test_a_folder_that_is_not_voc_is_named(base: Path, tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    wrong = tmp_path / root if root in ("none", "file", "empty") else base / root
    before = contents(tmp_path)
    for answer in (
        train(base, wrong, tmp_path / "out"),
        predict(base, wrong, tmp_path / "out"),
        medwsss("tags", wrong, "--dataset", "voc", "--list", "train", "--out", tmp_path / "out"),
        medwsss("masks", wrong, "--dataset", "voc", "--list", "val", "--out", tmp_path / "out"),
        evaluate(base / "run-voc/predictions", wrong, tmp_path / "out"),
    ):
        is_refused(answer, wrong, "pass the folder VOCdevkit/VOC2012")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("root", ["none", "acdc", "coco/train2014", "voc/JPEGImages"])
def test_a_folder_that_is_not_coco_is_named(base: Path, tmp_path: Path, root: str) -> None:
    answer = train(base, base / root, tmp_path / "out", dataset="coco")
    is_refused(answer, base / root, "pass the folder of COCO")
    assert not (tmp_path / "out").exists()


def test_photographs_need_a_folder(tmp_path: Path) -> None:
    is_refused(medwsss("train", "--dataset", "voc", "--out", tmp_path / "out"), "voc needs the folder", "--root")


@pytest.mark.parametrize("name", ["voc", "coco", "converted"])
def test_of_an_unknown_list_the_nearest_is_offered(base: Path, tmp_path: Path, name: str) -> None:
    dataset, out = ("voc" if name == "voc" else "coco"), tmp_path / "out"
    for answer in (
        train(base, base / name, out, "--set", "data.held_out=vall", dataset=dataset),
        medwsss("predict", base / f"run-{dataset}", base / name, "--list", "vall", "--out", out),
        evaluate(base / f"run-{dataset}/predictions", base / name, out, "--list", "vall", dataset=dataset),
        medwsss("tags", base / name, "--dataset", dataset, "--list", "vall", "--out", out),
        medwsss("masks", base / name, "--dataset", dataset, "--list", "vall", "--out", out),
    ):
        is_refused(answer, "did you mean val?", base / name)
    assert not out.exists()


BAD_LISTS = {
    "empty": (b"", "names no image"),
    "blank": (b" \n\n", "names no image"),
    "twice": (f"{TRAINING}\n{TRAINING}\n".encode(), f"repeats 1 names, first {TRAINING}"),
    "folder above": (b"..\n", "line 1: '..' is neither a name"),
    "two names": (b"2007_000001 1\n", "line 1: '2007_000001 1' is neither a name"),
    "endless name": (b"a" * 5000, "line 1: 'aaa"),
    "no text": (b"\xff\xfe\x00", "is not UTF-8"),
    "missing image": (f"../{TRAINING}\n../../secret\n".encode(), "JPEGImages/secret.jpg"),  # folders are passed over
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bad_list_is_named(base: Path, voc: Path, tmp_path: Path, case: str) -> None:
    content, part = BAD_LISTS[case]
    (voc / "ImageSets/Segmentation/train.txt").write_bytes(content)
    for answer in (train(base, voc, tmp_path / "out"), predict(base, voc, tmp_path / "out", part="train")):
        is_refused(answer, part, voc)
        assert len(answer.err) < 1000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dataset", ["voc", "coco"])
def test_an_image_cannot_train_and_be_held_out(base: Path, tmp_path: Path, dataset: str) -> None:
    answer = train(base, base / dataset, tmp_path / "out", "--set", "data.held_out=train", dataset=dataset)
    is_refused(answer, "images are in both lists train and train", "choose other lists")


@pytest.mark.parametrize("name", [TRAINING, HELD_OUT])
@pytest.mark.parametrize("validated", ["null", "1"])
def test_a_missing_photograph_stops_the_run_before_it_starts(
    base: Path, voc: Path, tmp_path: Path, name: str, validated: str
) -> None:
    """Also one that validation will not open: the report needs it, hours later."""
    write_list(voc, "val", ["2007_000008", HELD_OUT])
    photograph(voc, name).unlink()
    answer = train(base, voc, tmp_path / "out", "--set", f"data.validation_images={validated}")
    is_refused(answer, "are missing, first", photograph(voc, name))
    assert not (tmp_path / "out").exists()


# --- Masks and label images ------------------------------------------------------------------------------------------


def changed(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    return lambda path: Image.fromarray(change(np.array(Image.open(path)))).save(path)


def converted(mode: str, kind: str = "PNG") -> Damage:
    return lambda path: Image.open(path).convert(mode).save(path, format=kind)


def outside(labels: np.ndarray) -> np.ndarray:
    labels[0, 0] = 77
    return labels


BAD_LABELS: dict[str, tuple[Damage, str]] = {
    "colours": (converted("RGB"), "holds colours where label numbers are expected"),
    "colours and opacity": (converted("RGBA"), "holds colours where label numbers are expected"),
    "16 bit": (changed(lambda labels: labels.astype(np.uint16)), "holds 16-bit numbers"),
    "1 bit": (changed(lambda labels: labels > 0), "holds black and white"),
    "another size": (changed(lambda labels: labels[:-1]), " pixels, "),
    "label 77": (changed(outside), "holds labels [77]"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "is damaged or truncated"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "JPEG": (converted("L", "JPEG"), "is no PNG image"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ""),
    "missing": (Path.unlink, ""),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_bad_mask_is_named(base: Path, voc: Path, predictions: Path, tmp_path: Path, case: str) -> None:
    damage, part = BAD_LABELS[case]
    held_out, training = (voc / f"SegmentationClass/{name}.png" for name in (HELD_OUT, TRAINING))
    damage(held_out)
    damage(training)
    (voc / f"SegmentationClassAug/{TRAINING}.png").unlink()
    place = held_out if part else HELD_OUT
    is_refused(evaluate(predictions, voc, tmp_path / "out", "--list", "val"), place, part)
    source = ("--source", "masks")
    answer = medwsss("tags", voc, "--dataset", "voc", "--list", "train", "--out", tmp_path / "out", *source)
    is_refused(answer, training if part else TRAINING, part)
    if part:
        is_refused(train(base, voc, tmp_path / "out"), held_out, part)  # a bad mask stops it, a missing one does not
    is_refused(train(base, voc, tmp_path / "out", "--set", "data.tags_from=masks"), TRAINING, part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_bad_prediction_is_named(base: Path, predictions: Path, tmp_path: Path, case: str) -> None:
    damage, part = BAD_LABELS[case]
    damage(predictions / f"{HELD_OUT}.png")
    is_refused(evaluate(predictions, base / "voc", tmp_path / "out", "--list", "val"), HELD_OUT, predictions, part)
    assert not (tmp_path / "out").exists()


def test_masks_that_are_missing_are_counted_or_refused(voc: Path, tmp_path: Path) -> None:
    (voc / f"SegmentationClass/{HELD_OUT}.png").unlink()
    answer = medwsss("masks", voc, "--dataset", "voc", "--list", "val", "--out", tmp_path / "out")
    assert answer.code == 0
    assert f"warning: 1 of 2 images of list val have no mask in {voc}, first {HELD_OUT}" in answer.err
    answer = medwsss("masks", voc, "--dataset", "voc", "--list", "test", "--out", tmp_path / "none")
    is_refused(answer, "no image of list test has a mask", voc)


# --- Photographs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_training_photograph_is_named_when_its_turn_comes_and_the_run_can_go_on(
    base: Path, voc: Path, tmp_path: Path, workers: int
) -> None:
    """The fourth image is in no picture, and with this seed not in the first batch either."""
    path, out = photograph(voc, "2007_000004"), tmp_path / "out"
    whole = path.read_bytes()
    cut(path)
    settings = ("training.batch_size=1", "training.checkpoint_every=1", f"data.workers={workers}")
    answer = train(base, voc, out, *(word for setting in settings for word in ("--set", setting)))
    is_refused(answer, path, "is damaged or truncated", "copy it again")
    assert (out / "checkpoints/last.safetensors").is_file()
    path.write_bytes(whole)
    if workers == 0:
        assert medwsss("train", "--resume", out).code == 0


def test_a_damaged_held_out_photograph_stops_the_run_before_it_starts(base: Path, voc: Path, tmp_path: Path) -> None:
    """Validation will open it, hours later."""
    cut(photograph(voc, HELD_OUT))
    is_refused(train(base, voc, tmp_path / "out"), photograph(voc, HELD_OUT), "is damaged or truncated")
    assert not (tmp_path / "out").exists()


def test_a_damaged_photograph_that_only_the_report_needs_costs_nothing_else(
    base: Path, voc: Path, tmp_path: Path
) -> None:
    path, out = photograph(voc, "2007_000008"), tmp_path / "out"
    whole = path.read_bytes()
    cut(path)
    answer = train(base, voc, out, *QUICK, "--set", "data.validation_images=1")
    is_refused(answer, "2007_000008: ", path, "is damaged or truncated")
    assert (out / "checkpoints/last.safetensors").is_file()
    assert "1 could not be predicted" in (out / "report/report.html").read_text(encoding="utf-8")
    path.write_bytes(whole)
    assert medwsss("train", "--resume", out).code == 0
    assert "could not be predicted" not in (out / "report/report.html").read_text(encoding="utf-8")


BAD_PHOTOGRAPHS: dict[str, tuple[Damage, str]] = {
    "truncated": (cut, "is damaged or truncated"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("a photograph"), "is no JPEG or PNG"),
    "16 bit": (
        lambda path: Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(path, format="PNG"),
        "does not hold 8-bit colours",
    ),
}


@pytest.mark.parametrize("case", BAD_PHOTOGRAPHS)
def test_a_bad_photograph_does_not_stop_the_prediction_of_others(
    base: Path, voc: Path, tmp_path: Path, case: str
) -> None:
    damage, part = BAD_PHOTOGRAPHS[case]
    path, out = photograph(voc, HELD_OUT), tmp_path / "out"
    damage(path)
    is_refused(predict(base, voc, out), f"{HELD_OUT}: {path}", part)
    record = json.loads((out / "prediction.json").read_text(encoding="utf-8"))
    assert (record["images"], record["segmented"], [*record["failed"]]) == (2, 1, [HELD_OUT])
    assert [file.name for file in out.glob("*.png")] == ["2007_000008.png"]
    shutil.copy(photograph(base / "voc", HELD_OUT), path)
    assert predict(base, voc, out, "--resume").code == 0
    assert json.loads((out / "prediction.json").read_text(encoding="utf-8"))["failed"] == {}


NOISE = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
ODD_PHOTOGRAPHS: dict[str, Image.Image] = {
    "grey.jpg": Image.fromarray(NOISE[:40, :50]).convert("L"),
    "cmyk.jpg": Image.fromarray(NOISE[:40, :50]).convert("CMYK"),
    "colours.png": Image.fromarray(NOISE[:40, :50]),
    "opacity.png": Image.fromarray(NOISE[:40, :50]).convert("RGBA"),
    "palette.png": Image.fromarray(NOISE[:40, :50]).convert("P"),
    "one pixel.jpg": Image.fromarray(NOISE[:1, :1]),
    "one row.jpg": Image.fromarray(NOISE[:1, :300]),
    "less than a patch.jpg": Image.fromarray(NOISE[:5, :3]),
    "very wide.jpg": Image.fromarray(NOISE[:5, :700]),
    "größe 日本.jpeg": Image.fromarray(NOISE[:20, :20]),
}


@pytest.mark.parametrize(
    "options", [(), ("--crf",), ("--source", "cams", "--crf", "--save", "cams", "--save", "uncertainty")]
)
def test_odd_photographs_are_predicted_at_their_size(base: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    photographs, out = tmp_path / "Bilder für alle", tmp_path / "out"
    photographs.mkdir()
    for name, image in ODD_PHOTOGRAPHS.items():
        image.save(photographs / name)
    answer = medwsss("predict", base / "run-voc", photographs, "--out", out, *options)
    assert (answer.code, answer.err) == (0, "")
    for name, image in ODD_PHOTOGRAPHS.items():
        assert read_label_image(out / f"{Path(name).stem}.png").shape == image.size[::-1]


def test_odd_photographs_train_and_validate(base: Path, voc: Path, tmp_path: Path) -> None:
    names = [Path(name).stem.replace(" ", "-") for name in ODD_PHOTOGRAPHS]
    for name, (file, image) in zip(names, ODD_PHOTOGRAPHS.items(), strict=True):
        image.save(photograph(voc, name), format="PNG" if file.endswith(".png") else "JPEG")
        shutil.copy(voc / f"Annotations/{TRAINING}.xml", voc / f"Annotations/{name}.xml")
    write_list(voc, "train", names)
    write_list(voc, "val", [HELD_OUT, "2007_000008"])
    for part, other in (("train", "val"), ("val", "train")):
        lists = ("--set", f"data.train={part}", "--set", f"data.held_out={other}", "--set", "training.batch_size=5")
        answer = train(base, voc, tmp_path / part, *lists, *QUICK)
        assert answer.code == 0, answer.err


# --- Annotations and tables of tags ----------------------------------------------------------------------------------

BAD_XML: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", "is empty: copy it again"),
    "broken": (b"<annotation><object>", "is broken XML"),
    "unknown class": (b"<annotation><object><name>dgo</name></object></annotation>", "'dgo': did you mean dog?"),
    "no name": (b"<annotation><object/></annotation>", "is no annotation of VOC"),
    "a page": (b"<html/>", "is no annotation of VOC"),
    "entities": (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "is refused"),
    "missing": (None, "has no annotation"),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_a_bad_xml_of_a_training_image_is_named_and_of_a_held_out_one_counted(
    base: Path, voc: Path, tmp_path: Path, case: str
) -> None:
    content, part = BAD_XML[case]
    held_out, training = (voc / f"Annotations/{name}.xml" for name in (HELD_OUT, TRAINING))
    written(held_out, content)
    answer = train(base, voc, tmp_path / "out", "--weights", tmp_path / "none.pth")
    is_refused(answer, "none.pth")  # nothing before that is an error
    assert f"1 of 2 images of list val have no annotation that can be read, first {HELD_OUT}" in answer.err
    written(training, content)
    is_refused(train(base, voc, tmp_path / "out"), training, part)
    is_refused(medwsss("tags", voc, "--dataset", "voc", "--list", "train", "--out", tmp_path / "out"), training, part)
    assert not (tmp_path / "out").exists()


def written(path: Path, content: bytes | None) -> None:
    """None: no file."""
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def test_images_without_objects_are_counted(base: Path, voc: Path, tmp_path: Path) -> None:
    (voc / f"Annotations/{TRAINING}.xml").write_text("<annotation/>")
    answer = train(base, voc, tmp_path / "out", "--weights", tmp_path / "none.pth")
    is_refused(answer, "none.pth")
    assert f"1 of 4 annotations in {voc / 'Annotations'} name no object, first {TRAINING}.xml" in answer.err
    assert f"1 of 4 training images show no class, first {TRAINING}" in answer.err


def edited(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["annotations"][0].update(changes)


BAD_JSON: dict[str, tuple[bytes | Callable[[dict[str, Any]], object], str]] = {
    "empty": (b"", "is no JSON (it is empty)"),
    "broken": (b'{"images": [', "is no JSON"),
    "a list": (b"[]", "has no lists images and annotations"),
    "no annotations": (lambda content: content.pop("annotations"), "has no lists images and annotations"),
    "no images": (lambda content: content.update(images=[], annotations=[]), "names no image"),
    "unknown category": (edited(category_id=12), "annotation 200 cannot be used: its category 12 is unknown"),
    "unknown image": (edited(image_id=5), "annotation 200 cannot be used: its image 5 is not among the images"),
    "categories of VOC": (
        lambda content: content.update(categories=[{"id": 1, "name": "aeroplane"}]),
        "category 1 is 'aeroplane', expected 'person'",
    ),
}


@pytest.mark.parametrize("part", ["train2014", "val2014"])
@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_annotations_of_coco_are_named(base: Path, coco: Path, tmp_path: Path, case: str, part: str) -> None:
    change, words = BAD_JSON[case]
    path = coco / f"annotations/instances_{part}.json"
    if isinstance(change, bytes):
        path.write_bytes(change)
    else:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    options = ("--dataset", "coco", "--list", part, "--out", tmp_path / "out")
    is_refused(train(base, coco, tmp_path / "out", dataset="coco"), path, words)
    is_refused(medwsss("tags", coco, *options), path, words)
    is_refused(medwsss("masks", coco, *options), path, words)
    is_refused(medwsss("evaluate", base / "run-coco/predictions", coco, *options), path, words)
    assert not (tmp_path / "out").exists()


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def pickled(path: Path, content: object) -> None:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


def onehot(count: int, *, value: float = 1.0, first: int = 1) -> dict[str, np.ndarray]:
    return {f"2007_{number:06d}": np.eye(count)[0] * value for number in range(first, 9)}


BAD_TABLES: dict[str, tuple[Damage, str]] = {
    "code.npy": (lambda path: pickled(path, Hostile(path.with_name("ran"))), "perhaps code"),
    "code within.npy": (lambda path: pickled(path, {"a": Hostile(path.with_name("ran"))}), "perhaps code"),
    "classes.npy": (lambda path: pickled(path, onehot(80)), "voc has 20 classes"),
    "half.npy": (lambda path: pickled(path, onehot(20, value=0.5)), "other than 0 and 1"),
    "missing.npy": (
        lambda path: pickled(path, onehot(20, first=2)),
        f"has no row for 1 of 4 images, first: {TRAINING}",
    ),
    "array.npy": (lambda path: np.save(path, np.eye(20)), "not a dictionary of names"),
    "empty.npy": (lambda path: path.write_bytes(b""), "is not a .npy file"),
    "text.NPY": (lambda path: path.write_text("tags"), "is not a .npy file"),
    "slices.csv": (lambda path: path.write_text("patient,phase,slice,heart\na,ED,0,1\n"), "has no column aeroplane"),
    "photograph.csv": (lambda path: Image.fromarray(NOISE[:9, :9]).save(path, format="JPEG"), "is not UTF-8"),
    "none.csv": (lambda path: None, "cannot read the image-level labels"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_of_tags_is_named_and_runs_nothing(base: Path, tmp_path: Path, name: str) -> None:
    write, part = BAD_TABLES[name]
    write(tmp_path / name)
    out, options = tmp_path / "out", ("--dataset", "voc", "--list", "train", "--source")
    is_refused(train(base, base / "voc", out, "--tags", tmp_path / name), tmp_path / name, part)
    is_refused(predict(base, base / "voc", out, "--tags", tmp_path / name, part="train"), tmp_path / name, part)
    is_refused(medwsss("tags", base / "voc", *options, tmp_path / name, "--out", out), tmp_path / name, part)
    assert not out.exists()
    assert not (tmp_path / "ran").exists()


def test_a_csv_needs_every_training_image_and_only_zeros_and_ones(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    assert medwsss("tags", base / "voc", "--dataset", "voc", "--list", "train", "--out", path).code == 0
    table = path.read_text()
    path.write_text("".join(table.splitlines(True)[:2]))
    is_refused(train(base, base / "voc", tmp_path / "out", "--tags", path), path, "has no row for 3 of 4 images")
    path.write_text(table.replace(",1", ",2"))
    is_refused(train(base, base / "voc", tmp_path / "out", "--tags", path), f"{path} line 2", "it must be 0 or 1")


def test_vectors_of_voc_are_no_tags_of_coco(base: Path, tmp_path: Path) -> None:
    names = [path.stem for path in (base / "coco/train2014").glob("*.jpg")]
    pickled(tmp_path / "tags.npy", {name: np.eye(20)[0] for name in names})
    answer = train(base, base / "coco", tmp_path / "out", "--tags", tmp_path / "tags.npy", dataset="coco")
    is_refused(answer, "tags.npy has 20 values", "coco has 80 classes")


# --- Options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--task", "heart"], ["--task cannot be used with data set voc"]),
        (["--set", "data.tags_from=nonsense"], ["data.tags_from: ", "'annotations' or 'masks'", "nonsense"]),
        (["--set", "data.crop=4"], ["the crop of 4 pixels", "data.crop"]),
        (["--set", "data.heldout=val"], ["unknown setting 'data.heldout'", "did you mean 'held_out'?"]),
    ],
)
def test_a_bad_option_of_training_is_named(base: Path, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    is_refused(train(base, base / "voc", tmp_path / "out", *arguments), *parts)
    assert not (tmp_path / "out").exists()


def test_a_misspelt_source_of_tags_is_named(base: Path, tmp_path: Path) -> None:
    options = ("--dataset", "voc", "--list", "train", "--out", tmp_path / "out")
    is_refused(medwsss("tags", base / "voc", *options, "--source", "mask"), "'mask'; did you mean 'masks'?")
    is_refused(medwsss("tags", base / "voc", *options, "--task", "heart"), "--task cannot be used with data set voc")
    is_refused(medwsss("tags", base / "voc", "--dataset", "voc", "--out", tmp_path / "out"), "photographs need --list")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--frames", "all"], "--frames cannot be used with a run on photographs"),
        (["--dataset", "acdc"], "unknown data set 'acdc'"),
        (["--dataset", "coco"], "has neither annotations/instances_*.json nor lists"),
        (["--source", "cam"], "unknown source 'cam'; did you mean 'cams'?"),
        (["--save", "cam"], "unknown map 'cam'; did you mean 'cams'?"),
        (["--resume", "--overwrite"], "choose one"),
    ],
)
def test_a_bad_option_of_prediction_is_named(base: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    root = base / "voc/ImageSets" if "coco" in arguments else base / "voc"
    is_refused(predict(base, root, tmp_path / "out", *arguments), part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        (["voc"], "holds no photograph: pass .jpg or .png files or a folder of them, or a data set with --list"),
        (["acdc/training/patient001"], "holds no photograph"),
        (["none"], "does not exist"),
        (["voc/JPEGImages/2007_000001.jpg"] * 2, "1 names occur twice"),
    ],
)
def test_inputs_that_are_no_photographs_are_named(base: Path, tmp_path: Path, inputs: list[str], part: str) -> None:
    paths = [base / name for name in inputs]
    is_refused(medwsss("predict", base / "run-voc", *paths, "--out", tmp_path / "out"), part)
    assert not (tmp_path / "out").exists()


def test_runs_on_volumes_and_on_photographs_refuse_each_others_inputs(
    base: Path, acdc_run: Path, tmp_path: Path
) -> None:
    out, frame = tmp_path / "out", base / "acdc/training/patient001/patient001_frame01.nii.gz"
    for option in (["--list", "val"], ["--crf"], ["--source", "cams"], ["--resume"], ["--dataset", "voc"]):
        answer = medwsss("predict", acdc_run, base / "acdc", *option, "--out", out)
        is_refused(answer, f"{option[0]} cannot be used with a run on volumes")
    is_refused(medwsss("predict", acdc_run, base / "voc/JPEGImages", "--out", out), "holds no NIfTI file")
    assert not out.exists()
    answer = medwsss("predict", acdc_run, photograph(base / "voc", TRAINING), "--out", out)
    is_refused(answer, f"{TRAINING}.jpg: unknown kind of file")
    is_refused(medwsss("predict", base / "run-voc", frame, "--out", tmp_path / "other"), frame, "is no JPEG or PNG")


# --- Predictions that are there already ------------------------------------------------------------------------------


def test_a_prediction_goes_on_only_unchanged(base: Path, predictions: Path) -> None:
    before, root = contents(predictions), base / "voc"
    is_refused(predict(base, root, predictions), "--resume to go on or --overwrite")
    is_refused(predict(base, root, predictions, "--resume", "--overwrite"), "choose one")
    is_refused(predict(base, root, predictions, "--resume", "--crf"), "inference.crf.enabled was false, now true")
    is_refused(predict(base, root, predictions, "--resume", part="train"), 'list was "val", now "train"')
    answer = medwsss("predict", base / "run-coco", base / "coco", "--list", "val", "--out", predictions, "--resume")
    is_refused(answer, 'task was "voc", now "coco"')
    assert contents(predictions) == before
    (predictions / "prediction.json").write_text("{")
    is_refused(predict(base, root, predictions, "--resume"), "prediction.json is damaged")
    (predictions / "prediction.json").unlink()
    is_refused(predict(base, root, predictions, "--overwrite"), f"{HELD_OUT}.png, which is no result of medwsss")


def test_volumes_and_photographs_do_not_share_a_folder(
    base: Path, acdc_run: Path, predictions: Path, tmp_path: Path
) -> None:
    volumes = Path(shutil.copytree(acdc_run / "predictions", tmp_path / "volumes"))
    before = contents(tmp_path)
    for option in ([], ["--overwrite"]):
        answer = medwsss("predict", acdc_run, base / "acdc", "--out", predictions, *option)
        is_refused(answer, "holds a prediction of another kind of data")
        is_refused(predict(base, base / "voc", volumes, *option), "holds a prediction of another kind of data")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("options", [(), ("--overwrite",), ("--resume",)])
def test_photographs_and_masks_of_the_user_survive(
    base: Path, voc: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    photographs, maps = tmp_path / "photographs", tmp_path / "maps"
    photographs.mkdir()
    Image.fromarray(NOISE[:9, :9]).save(photographs / f"{HELD_OUT}.png")
    shutil.copytree(photographs, maps / "uncertainty")
    before = contents(tmp_path)
    answer = medwsss("predict", base / "run-voc", photographs, "--out", photographs, *options)
    is_refused(answer, "holds the photograph")
    masks = voc / "SegmentationClass"
    for part in ("val", "test"):  # none of test has a mask, but a later prediction could not tell masks from results
        is_refused(predict(base, voc, masks, *options, part=part), masks, "is no result of medwsss", "choose another")
    answer = predict(base, voc, maps, "--save", "uncertainty", *options)
    is_refused(answer, f"uncertainty/{HELD_OUT}.png, which is no result of medwsss")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("below", [".", "a/b"])
def test_an_output_folder_cannot_be_a_file_or_lie_in_one(base: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / below
    for answer in (
        train(base, base / "voc", out),
        predict(base, base / "voc", out),
        evaluate(base / "run-voc/predictions", base / "voc", out),
        medwsss("masks", base / "voc", "--dataset", "voc", "--list", "val", "--out", out),
    ):
        is_refused(answer, tmp_path / "file", "choose another --out")
    assert contents(tmp_path) == {"file": b"mine"}


# --- Evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--list", "train"], "4 of the 4 images to compare have no prediction"),
        (["--classes", "brid"], "unknown class 'brid'; did you mean 'bird'?"),
        (["--classes", "bird", "--beside", "ToCo"], "--beside ToCo cannot be read: write it like ToCo="),
        (["--classes", "bird", "--beside", "ToCo=none"], "none is not a folder"),
        (["--beside", "A=x", "--beside", "A=y"], "--beside has A twice"),
        (["--task", "heart"], "--task cannot be used with data set voc"),
    ],
)
def test_a_bad_option_of_evaluation_is_named(base: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    is_refused(evaluate(base / "run-voc/predictions", base / "voc", tmp_path / "out", *arguments), part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ("none", "is not a folder: pass a folder of label PNGs"),
        (f"voc/SegmentationClass/{HELD_OUT}.png", "is not a folder: pass a folder of label PNGs"),
        ("voc/JPEGImages", "holds no label PNGs"),
        ("voc/SegmentationClassAug", "no prediction in"),
    ],
)
def test_a_folder_without_usable_predictions_is_named(base: Path, tmp_path: Path, wrong: str, part: str) -> None:
    truth = base / "run-voc/predictions"
    is_refused(evaluate(base / wrong, truth, tmp_path / "out"), base / wrong, part)
    assert not (tmp_path / "out").exists()


def test_a_list_needs_the_data_set_and_not_a_folder_of_masks(base: Path, tmp_path: Path) -> None:
    masks = base / "voc/SegmentationClass"
    answer = evaluate(base / "run-voc/predictions", masks, tmp_path / "out", "--list", "val")
    is_refused(answer, "--list val needs the folder of the data set", masks)


def test_who_forgets_the_data_set_is_told(base: Path, tmp_path: Path) -> None:
    pngs = base / "run-voc/predictions"
    for truth in (base / "voc", base / "voc/SegmentationClass"):
        is_refused(medwsss("evaluate", pngs, truth, "--out", tmp_path / "out"), pngs, "pass --dataset voc or")
    answer = medwsss("evaluate", pngs, base / "voc", "--list", "val", "--out", tmp_path / "out")
    is_refused(answer, "--list cannot be used with data set acdc", "--dataset voc or coco")
    assert not (tmp_path / "out").exists()


def test_volumes_are_no_photographs_to_evaluate(base: Path, acdc_run: Path, tmp_path: Path) -> None:
    is_refused(evaluate(acdc_run / "predictions", base / "voc", tmp_path / "out"), "holds no label PNGs")
    answer = evaluate(base / "run-coco/predictions", base / "run-coco/predictions", tmp_path / "out")
    is_refused(answer, base / "run-coco/predictions", "holds labels [", "voc has 0 to 20")
