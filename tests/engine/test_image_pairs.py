"""Predictions find their references by name, and nothing is left out silently."""

from pathlib import Path

import numpy as np
import pytest
from fakes.voc import write_voc

from medwsss.data.image_files import write_label_image
from medwsss.data.voc import Voc
from medwsss.engine.image_pairs import check_labels, load_maps, pair_images
from medwsss.errors import EvaluationError
from medwsss.labels import VOC_LABELS

EMPTY = np.zeros((2, 3), dtype=np.uint8)


def write(folder: Path, *names: str, labels: np.ndarray = EMPTY) -> Path:
    for name in names:
        write_label_image(labels, folder / f"{name}.png")
    return folder


def test_names_decide_without_a_list_and_the_others_are_named(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "p", "a", "b", "extra"), write(tmp_path / "r", "a", "b", "c")
    (ours / "prediction.json").write_text("{}")
    (ours / ".a.png.12.tmp").touch()
    pairing = pair_images(ours, theirs, None)
    assert [pair.name for pair in pairing.pairs] == ["a", "b"]
    assert pairing.sources.unmatched_predictions == ("extra",)
    assert pairing.sources.unmatched_references == ("c",)


def test_the_order_of_a_list_is_kept_and_predictions_of_other_images_are_named(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "p", "a", "b", "c"), write(tmp_path / "r", "a", "b", "c", "d")
    pairing = pair_images(ours, theirs, ["c", "a"], part="val")
    assert [pair.name for pair in pairing.pairs] == ["c", "a"]
    assert pairing.sources.part == "val"
    assert pairing.sources.unmatched_predictions == ("b",)
    assert pairing.sources.unmatched_references == ()  # those outside the list are not missing


def test_a_list_with_a_missing_prediction_or_mask_is_refused_with_count_and_first(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "p", "a", "b", "c"), write(tmp_path / "r", "a", "x", "y")
    with pytest.raises(EvaluationError, match=r"^2 of the 3 images to compare have no prediction in .*p, first: x"):
        pair_images(ours, theirs, ["a", "x", "y"])
    with pytest.raises(EvaluationError, match=r"^1 of the 2 images to compare have no mask in .*r, first: b"):
        pair_images(ours, theirs, ["a", "b"])


def test_masks_of_a_data_set_are_found_by_its_own_rules(tmp_path: Path) -> None:
    voc = Voc(write_voc(tmp_path))
    names = voc.names("val")
    for name in names:
        write_label_image(voc.mask(name), tmp_path / f"p/{name}.png")
    write(tmp_path / "p", "2008_000001")  # of the test list, without mask
    listed, found = (pair_images(tmp_path / "p", voc, chosen) for chosen in (names, None))
    assert [pair.name for pair in listed.pairs] == [pair.name for pair in found.pairs] == list(names)
    assert found.sources.unmatched_predictions == ("2008_000001",)
    for pair in listed.pairs:
        prediction, reference = load_maps(pair)
        np.testing.assert_array_equal(prediction, reference)


def test_folders_without_label_images_or_common_names_are_refused(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "p", "a"), write(tmp_path / "r", "b")
    with pytest.raises(EvaluationError, match=r"no prediction in .*p has the name of a mask in .*r .*: a"):
        pair_images(ours, theirs, None)
    with pytest.raises(EvaluationError, match="nothing is not a folder"):
        pair_images(tmp_path / "nothing", theirs, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="empty holds no label PNGs"):
        pair_images(ours, tmp_path / "empty", None)


def test_another_size_names_both_files(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "p", "a"), write(tmp_path / "r", "a", labels=EMPTY.T)
    with pytest.raises(EvaluationError, match=r"p/a.png has 3 x 2 pixels, .*r/a.png has 2 x 3 pixels"):
        load_maps(pair_images(ours, theirs, None).pairs[0])


def test_a_label_without_class_names_its_file(tmp_path: Path) -> None:
    labels = np.array([[0, 20, 255], [21, 99, 0]], dtype=np.uint8)
    pair = pair_images(write(tmp_path / "p", "a"), write(tmp_path / "r", "a", labels=labels), None).pairs[0]
    with pytest.raises(EvaluationError, match=r"r/a.png holds labels \[21, 99\]: voc has 0 to 20"):
        check_labels(pair, load_maps(pair), VOC_LABELS)
