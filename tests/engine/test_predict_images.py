"""From photographs to label PNGs: whole or not at all, resumed without repeating or mixing anything."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.networks import Threshold
from PIL import Image
from torch import Tensor

from medwsss.config.training import CrfConfig, InferenceConfig
from medwsss.data.image_files import read_label_image, voc_colours
from medwsss.data.records import read_record
from medwsss.engine import predict_images
from medwsss.engine.predict_images import ImageItem, photograph_items, predict_image
from medwsss.engine.prediction_record import RECORD, finish_record, open_image_outputs
from medwsss.errors import DatasetError, MedwsssWarning, OutputError
from medwsss.labels import LabelSet
from medwsss.methods.method import Prediction

LABELS = LabelSet("red", ("red",))
CPU = torch.device("cpu")
RECORD_OF_RUN: dict[str, Any] = {
    "run": "runs/a",
    "checkpoint": "last",
    "classes": ("red",),
    "source": "decoder",
    "inference": InferenceConfig().model_dump(),
}
ALL_MAPS = ("probabilities", "cams", "uncertainty")


def write_photographs(folder: Path, count: int = 4) -> list[ImageItem]:
    """Photographs of different sizes with a red patch each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = np.full((16 + number, 24, 3), 20, dtype=np.uint8)
        image[3:9, number : number + 8, 0] = 230
        Image.fromarray(image).save(folder / f"photo{number}.png")
    return photograph_items(folder)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def open_outputs(
    out: Path, items: Sequence[ImageItem], *, overwrite: bool = False, resume: bool = False, **changed: Any
) -> list[ImageItem]:
    return open_image_outputs(out, items, RECORD_OF_RUN | changed, overwrite=overwrite, resume=resume)


def predict(item: ImageItem, out: Path, method: Threshold | None = None, **options: Any) -> Path:
    settings = {"inference": InferenceConfig(), "labels": LABELS, "device": CPU, "background": 0.5, **options}
    return predict_image(method or Threshold(), item, out, **settings)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Counting(Threshold):
    """Counts images by their height, and is interrupted at one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.heights: list[int] = []
        self.stop_at = stop_at

    def predict(self, images: Tensor, image_labels: Tensor | None = None) -> Prediction:
        if images.shape[2] == self.stop_at:
            raise KeyboardInterrupt
        self.heights.append(images.shape[2])
        return super().predict(images, image_labels)


def test_photographs_of_a_folder_are_found_by_their_endings_without_subfolders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.jpg", "a.JPEG", "c.png", "notes.txt", ".hidden.png", "sub/d.jpg"):
        (tmp_path / name).touch()
    assert [(item.name, item.path.name) for item in photograph_items(tmp_path)] == [
        ("a", "a.JPEG"), ("b", "b.jpg"), ("c", "c.png")
    ]  # fmt: skip
    assert photograph_items(tmp_path / "b.jpg") == [ImageItem("b", tmp_path / "b.jpg")]


def test_without_photographs_or_with_two_of_one_name_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        photograph_items(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no photograph"):
        photograph_items(tmp_path)
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"a\.jpg and a\.png"):
        photograph_items(tmp_path)


def test_label_images_are_palette_pngs_of_label_numbers_at_the_original_size(tmp_path: Path) -> None:
    item = write_photographs(tmp_path / "in")[2]
    path = predict(item, tmp_path / "out")
    assert path == tmp_path / "out" / "photo2.png"
    with Image.open(path) as image:
        assert (image.mode, image.format, image.size) == ("P", "PNG", (24, 18))
        assert image.getpalette() == voc_colours().flatten().tolist()
    expected = np.zeros((18, 24), dtype=np.uint8)
    expected[3:9, 2:10] = 1
    np.testing.assert_array_equal(read_label_image(path), expected)


def test_tags_rule_out_classes(tmp_path: Path) -> None:
    (item, *_) = write_photographs(tmp_path / "in")
    labels = read_label_image(predict(ImageItem(item.name, item.path, (0,)), tmp_path / "out"))
    assert not labels.any()


def test_maps_hold_what_they_say(tmp_path: Path) -> None:
    (item, *_) = write_photographs(tmp_path / "in")
    predict(item, tmp_path / "out", maps=ALL_MAPS)
    red = np.asarray(Image.open(item.path))[..., 0] / 255
    with np.load(tmp_path / "out/probabilities/photo0.npz") as stored:
        assert stored["probabilities"].dtype == np.float16
        assert stored["names"].tolist() == ["background", "red"]
        np.testing.assert_allclose(stored["probabilities"], [1 - red, red], atol=1e-3)
    with np.load(tmp_path / "out/cams/photo0.npz") as stored:
        assert stored["cams"].dtype == np.float16
        assert (stored["labels"].tolist(), stored["names"].tolist()) == ([1], ["red"])
        np.testing.assert_allclose(stored["cams"], red[None], atol=1e-3)
    with Image.open(tmp_path / "out/uncertainty/photo0.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), np.rint(255 * red))


def test_cams_of_absent_classes_are_not_stored(tmp_path: Path) -> None:
    (item, *_) = write_photographs(tmp_path / "in")
    predict(ImageItem(item.name, item.path, (0,)), tmp_path / "out", maps=["cams"])
    with np.load(tmp_path / "out/cams/photo0.npz") as stored:
        assert stored["cams"].shape == (0, 16, 24)
        assert stored["labels"].size == stored["names"].size == 0


def test_labels_may_come_from_cams_alone(tmp_path: Path) -> None:
    (item, *_) = write_photographs(tmp_path / "in")
    for background, painted in ((0.5, 48), (0.95, 0)):  # the patch scores 230 of 255
        path = predict(item, tmp_path / "out", source="cams", background=background)
        assert read_label_image(path).sum() == painted
    with_crf = InferenceConfig(crf=CrfConfig(enabled=True))
    assert read_label_image(predict(item, tmp_path / "out", source="cams", inference=with_crf)).sum() == 48


@pytest.mark.parametrize("failing", ["write_label_image", "write_grey_image"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutputError("disk full")])
def test_an_image_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    (item, *_) = write_photographs(tmp_path / "in")
    predict(item, tmp_path / "out", maps=ALL_MAPS)  # earlier results, which would no longer fit together
    monkeypatch.setattr(predict_images, failing, fail)
    with pytest.raises(type(error)):
        predict(item, tmp_path / "out", maps=ALL_MAPS)
    assert files(tmp_path / "out") == {}


def test_a_truncated_photograph_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    items = write_photographs(tmp_path / "in")
    truncate(items[1].path)
    out, failed = tmp_path / "out", {}
    for item in open_outputs(out, items):
        try:
            predict(item, out)
        except DatasetError as error:
            failed[item.name] = str(error)
    finish_record(out, failed=failed)
    record = read_record(out / RECORD)
    assert record is not None
    assert (record["images"], record["segmented"], list(record["failed"])) == (4, 3, ["photo1"])
    assert str(items[1].path) in record["failed"]["photo1"]
    assert not (out / "photo1.png").exists()
    assert [item.name for item in open_outputs(out, items, resume=True)] == ["photo1"]  # tried again


def test_a_prediction_that_was_killed_goes_on_and_ends_as_if_it_never_was(tmp_path: Path) -> None:
    items = write_photographs(tmp_path / "in")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = {"inference": InferenceConfig(flip=False), "maps": ALL_MAPS}
    for item in open_outputs(whole, items):
        predict(item, whole, **options)
    finish_record(whole, failed={})

    todo = open_outputs(parts, items)
    with pytest.raises(KeyboardInterrupt):
        [predict(item, parts, Counting(stop_at=18), **options) for item in todo]
    (parts / ".photo2.png.123.tmp").write_bytes(b"half")  # as after kill -9
    (parts / "cams/.photo2.npz.123.tmp").write_bytes(b"half")
    predict(items[2], parts, maps=ALL_MAPS)  # its maps are there, its label image is not
    (parts / "photo2.png").unlink()
    for item in open_outputs(parts, items, resume=True):
        predict(item, parts, **options)
    finish_record(parts, failed={})

    assert {str(path) for path in parts.rglob("*")} == {
        str(parts / path.relative_to(whole)) for path in whole.rglob("*")
    }
    npz = {name for name in files(whole) if name.endswith(".npz")}  # zip files tell the time of writing
    assert {name: data for name, data in files(parts).items() if name not in npz} == {
        name: data for name, data in files(whole).items() if name not in npz
    }
    for name in npz:
        with np.load(whole / name) as one, np.load(parts / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in one)


def test_no_image_is_predicted_twice(tmp_path: Path) -> None:
    items, out, method = write_photographs(tmp_path / "in"), tmp_path / "out", Counting()
    plain = InferenceConfig(flip=False)
    for item in open_outputs(out, items)[:2]:
        predict(item, out, method, inference=plain)
    for item in open_outputs(out, items, resume=True):
        predict(item, out, method, inference=plain)
    assert open_outputs(out, items, resume=True) == []
    assert method.heights == [16, 17, 18, 19]


def test_resuming_refuses_another_prediction_and_says_what_differs(tmp_path: Path) -> None:
    items, out = write_photographs(tmp_path / "in"), tmp_path / "out"
    open_outputs(out, items)
    before, with_crf = files(out), InferenceConfig(crf=CrfConfig(enabled=True)).model_dump()
    with pytest.raises(OutputError, match='checkpoint was "last", now "best"'):
        open_outputs(out, items, resume=True, checkpoint="best")
    with pytest.raises(OutputError, match=r"inference\.crf\.enabled was false, now true"):
        open_outputs(out, items, resume=True, inference=with_crf)
    with pytest.raises(OutputError, match="images was 4, now 3"):
        open_outputs(out, items[1:], resume=True)
    with pytest.raises(OutputError, match="inputs was"):
        open_outputs(out, [ImageItem(item.name, item.path, (1,)) for item in items], resume=True)
    assert files(out) == before


def test_a_folder_with_a_prediction_needs_resume_or_overwrite_and_not_both(tmp_path: Path) -> None:
    items, out = write_photographs(tmp_path / "in"), tmp_path / "out"
    predict(open_outputs(out, items)[0], out)
    with pytest.raises(OutputError, match="--resume to go on or --overwrite"):
        open_outputs(out, items)
    with pytest.raises(OutputError, match="choose one"):
        open_outputs(out, items, overwrite=True, resume=True)


def test_overwriting_removes_results_of_these_images_and_counts_others(tmp_path: Path) -> None:
    items, out = write_photographs(tmp_path / "in"), tmp_path / "out"
    for item in open_outputs(out, items):
        predict(item, out, maps=ALL_MAPS)
    with pytest.warns(MedwsssWarning, match=r"1 results of other images, first photo3\.png"):
        assert open_outputs(out, items[:3], overwrite=True, source="cams") == items[:3]
    assert sorted(files(out)) == [
        "cams/photo3.npz", "photo3.png", RECORD, "probabilities/photo3.npz", "uncertainty/photo3.png"
    ]  # fmt: skip
    assert json.loads((out / RECORD).read_text())["source"] == "cams"


def test_nothing_that_is_no_result_is_replaced(tmp_path: Path) -> None:
    items, masks = write_photographs(tmp_path / "in"), tmp_path / "masks"
    masks.mkdir()
    (masks / "photo1.png").write_bytes(b"a reference mask")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"photo1\.png, which is no result"):
            open_outputs(masks, items, overwrite=overwrite)
        with pytest.raises(OutputError, match="holds the photograph"):
            open_outputs(tmp_path / "in" / ".." / "in", items, overwrite=overwrite)
        with pytest.raises(OutputError, match="holds the photograph"):
            open_outputs(tmp_path, [ImageItem("a", tmp_path / "uncertainty/a.png")], overwrite=overwrite)
    assert files(masks) == {"photo1.png": b"a reference mask"}
    assert not (tmp_path / "in" / RECORD).exists()


def test_a_record_of_something_else_or_none_at_all_is_refused(tmp_path: Path) -> None:
    items = write_photographs(tmp_path / "in")
    (tmp_path / RECORD).write_text('{"cases": ["patient001_ED"]}')
    with pytest.raises(OutputError, match="another kind of data"):
        open_outputs(tmp_path, items, overwrite=True)
    (tmp_path / RECORD).write_text("{half")
    with pytest.raises(OutputError, match="damaged"):
        open_outputs(tmp_path, items, resume=True)
    with pytest.raises(OutputError, match="is gone"):
        finish_record(tmp_path / "empty", failed={})
    with pytest.raises(OutputError, match="choose another --out"):
        open_outputs(items[0].path, items)


def test_names_must_be_unique_and_without_folders(tmp_path: Path) -> None:
    twice = [ImageItem("a", tmp_path / "x/a.jpg"), ImageItem("a", tmp_path / "y/a.jpg")]
    with pytest.raises(OutputError, match="1 names occur twice"):
        open_outputs(tmp_path / "out", twice)
    with pytest.raises(OutputError, match="x/a"):
        open_outputs(tmp_path / "out", [ImageItem("x/a", tmp_path / "x/a.jpg")])


def test_forty_thousand_images_are_opened_in_a_moment(tmp_path: Path) -> None:
    items = [ImageItem(f"COCO_val2014_{number:012d}", tmp_path / f"in/{number}.jpg") for number in range(40137)]
    open_outputs(tmp_path, items)
    for item in items[:200]:
        os.close(os.open(tmp_path / f"{item.name}.png", os.O_CREAT))
    start = time.perf_counter()
    assert len(open_outputs(tmp_path, items, resume=True)) == 39937
    assert time.perf_counter() - start < 5
