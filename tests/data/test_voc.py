import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.voc import write_annotation, write_list, write_voc
from PIL import Image

from medwsss.data.image_files import write_label_image
from medwsss.data.sample import SliceKey
from medwsss.data.voc import Voc
from medwsss.errors import DatasetError, MedwsssWarning
from medwsss.labels import VOC_LABELS

FIRST, SECOND = "2007_000001", "2007_000002"
"""Images of the train list of the fake; the second shows a dog and a person."""
ADDED = "2007_000005"
"""In train_aug but not in train: its only mask is the augmented one."""
TEST = "2008_000001"
"""Has neither mask nor annotation."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_voc(tmp_path)


def overwrite_mask(root: Path, mask: np.ndarray, *, folder: str = "SegmentationClass", name: str = FIRST) -> Path:
    path = root / folder / f"{name}.png"
    write_label_image(mask.astype(np.uint8), path)
    return path


def overwrite_annotation(root: Path, content: bytes) -> Path:
    path = root / f"Annotations/{FIRST}.xml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_folder_voc2012_is_found_from_any_folder_above_it(tmp_path: Path, below: str) -> None:
    write_voc(tmp_path)
    assert Voc(tmp_path / below).root == tmp_path / "VOCdevkit/VOC2012"


def test_a_folder_without_any_part_of_voc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds none of JPEGImages, .*: pass the folder VOCdevkit/VOC2012"):
        Voc(tmp_path)


def test_lists_keep_their_order(root: Path) -> None:
    write_list(root, "mine", [SECOND, FIRST])
    assert Voc(root).names("mine") == (SECOND, FIRST)
    assert Voc(root).names("val") == ("2007_000007", "2007_000008")
    assert set(Voc(root).names("train")) < set(Voc(root).names("train_aug"))


def test_a_list_may_hold_paths_of_images_and_masks(root: Path) -> None:
    write_list(
        root, "mine", [f"/JPEGImages/{FIRST}.jpg /SegmentationClassAug/{FIRST}.png", f"JPEGImages\\{SECOND}.jpg", ""]
    )
    assert Voc(root).names("mine") == (FIRST, SECOND)


def test_a_list_may_have_a_byte_order_mark_and_windows_line_ends(root: Path) -> None:
    (root / "ImageSets/Segmentation/mine.txt").write_bytes(f"\ufeff{FIRST}\r\n{SECOND}\r\n".encode())
    assert Voc(root).names("mine") == (FIRST, SECOND)


def test_a_dot_belongs_to_the_name_unless_an_image_suffix_follows_it(root: Path) -> None:
    write_list(root, "mine", ["scan.v2", "scan.v3.jpg"])
    assert Voc(root).names("mine") == ("scan.v2", "scan.v3")


def test_an_unknown_list_is_answered_with_the_nearest_and_all_known_ones(root: Path) -> None:
    known = r"test, train, train_aug, val"
    with pytest.raises(DatasetError, match=rf"no list train-aug in .*: did you mean train_aug\? \(there are {known}\)"):
        Voc(root).names("train-aug")
    with pytest.raises(DatasetError, match=rf"no list xyz in .*: there are {known}"):
        Voc(root).names("xyz")


def test_a_missing_folder_of_lists_is_named(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(DatasetError, match=r"there is no folder .*ImageSets/Segmentation: copy"):
        Voc(tmp_path).names("train")


def test_a_list_that_is_empty_or_repeats_a_name_is_refused(root: Path) -> None:
    write_list(root, "mine", ["", " "])
    with pytest.raises(DatasetError, match=r"mine\.txt names no image"):
        Voc(root).names("mine")
    write_list(root, "mine", [FIRST, SECOND, FIRST])
    with pytest.raises(DatasetError, match=rf"mine\.txt repeats 1 names, first {FIRST}"):
        Voc(root).names("mine")


@pytest.mark.parametrize("line", ["..", "../..", "a/", f"{FIRST} {SECOND}", f"{FIRST} 1", "a\0b", ".png", ".hidden"])
def test_a_line_that_is_no_name_is_refused(root: Path, line: str) -> None:
    write_list(root, "mine", [FIRST, line])
    with pytest.raises(DatasetError, match=r"mine\.txt line 2: .* is neither a name nor the paths of an image and its"):
        Voc(root).names("mine")


def test_a_list_that_is_no_text_is_refused(root: Path) -> None:
    (root / "ImageSets/Segmentation/mine.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"the list .*mine\.txt is not UTF-8 text"):
        Voc(root).names("mine")


def test_the_path_of_an_image(root: Path) -> None:
    assert Voc(root).image_path(FIRST) == root / f"JPEGImages/{FIRST}.jpg"


def test_a_missing_image_is_named_with_the_file_that_was_expected(root: Path) -> None:
    with pytest.raises(DatasetError, match=rf"image other has no file {root}/JPEGImages/other\.jpg: copy it there"):
        Voc(root).image_path("other")


def test_a_missing_folder_of_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(DatasetError, match=r"there is no folder .*JPEGImages: copy JPEGImages of VOC2012 there"):
        Voc(tmp_path).image_path(FIRST)


@pytest.mark.parametrize("name", ["../secret", "a/b", "..", "", "a\\b"])
def test_a_name_cannot_lead_out_of_the_data_set(root: Path, name: str) -> None:
    voc = Voc(root)
    for ask in (voc.image_path, voc.mask, voc.has_mask, lambda name: voc.annotated_tags([name])):
        with pytest.raises(DatasetError, match="is no name of an image"):
            ask(name)


def test_the_official_mask_goes_before_the_augmented_one(root: Path) -> None:
    voc = Voc(root)
    assert (root / f"SegmentationClassAug/{FIRST}.png").is_file()
    assert 255 in voc.mask(FIRST)
    (root / f"SegmentationClass/{FIRST}.png").unlink()
    assert voc.has_mask(FIRST)
    assert 255 not in voc.mask(FIRST)


def test_the_augmented_mask_is_used_where_there_is_no_official_one(root: Path) -> None:
    assert not (root / f"SegmentationClass/{ADDED}.png").exists()
    assert set(np.unique(Voc(root).mask(ADDED))) == {0, VOC_LABELS.names.index("dog") + 1}


def test_a_test_image_has_no_mask(root: Path) -> None:
    assert not Voc(root).has_mask(TEST)
    with pytest.raises(
        DatasetError, match=rf"image {TEST} has no mask {TEST}\.png in SegmentationClass or Segmentation"
    ):
        Voc(root).mask(TEST)


def test_masks_need_no_photographs(root: Path) -> None:
    (root / f"JPEGImages/{FIRST}.jpg").unlink()
    assert Voc(root).mask(FIRST).ndim == 2


def test_all_labels_of_voc_are_read_as_they_are(root: Path) -> None:
    mask = np.array([[*range(21), 255]])
    overwrite_mask(root, mask, name="other")
    np.testing.assert_array_equal(Voc(root).mask("other"), mask)


@pytest.mark.parametrize("label", [21, 128, 254])
def test_a_label_that_voc_does_not_define_is_named(root: Path, label: int) -> None:
    path = overwrite_mask(root, np.array([[0, 20, label, 255]]), name="other")
    with pytest.raises(DatasetError, match=rf"{path} holds labels \[{label}\]: voc defines 0 to 20 and 255"):
        Voc(root).mask("other")


def test_a_mask_of_another_size_is_named_with_its_photograph(root: Path) -> None:
    overwrite_mask(root, np.zeros((10, 20)))
    message = rf"{FIRST}\.png is 20 x 10 pixels, .*{FIRST}\.jpg is \d+ x \d+: use the mask of this image"
    with pytest.raises(DatasetError, match=message):
        Voc(root).mask(FIRST)


def test_a_mask_in_colours_is_refused(root: Path) -> None:
    Image.new("RGB", (20, 10)).save(root / f"SegmentationClass/{FIRST}.png")
    with pytest.raises(DatasetError, match=rf"{FIRST}\.png holds colours where label numbers are expected"):
        Voc(root).mask(FIRST)


def test_tags_are_the_classes_of_all_objects_difficult_ones_too_but_not_of_their_parts(root: Path) -> None:
    tags = Voc(root).annotated_tags([SECOND, FIRST])
    assert tags.names == VOC_LABELS.names
    assert list(tags.tags) == [SliceKey(SECOND, "", 0), SliceKey(FIRST, "", 0)]
    shown = {key.patient: [VOC_LABELS.names[i] for i in np.flatnonzero(row)] for key, row in tags.tags.items()}
    assert shown == {FIRST: ["aeroplane"], SECOND: ["dog", "person"]}


def test_tags_of_annotations_are_those_of_the_masks(root: Path) -> None:
    voc = Voc(root)
    names = [*voc.names("train_aug"), *voc.names("val")]
    for name, row in zip(names, voc.annotated_tags(names).tags.values(), strict=True):
        assert {label + 1 for label in np.flatnonzero(row)} == set(np.unique(voc.mask(name)).tolist()) - {0, 255}


def test_tags_open_no_mask_and_no_photograph(root: Path) -> None:
    for folder in ("SegmentationClass", "SegmentationClassAug", "JPEGImages"):
        for path in (root / folder).iterdir():
            path.unlink()
    assert len(Voc(root).annotated_tags([FIRST, SECOND]).tags) == 2


def test_several_objects_of_a_class_are_one_tag(root: Path) -> None:
    write_annotation(root / f"Annotations/{FIRST}.xml", ["cat", "cat", "cat"])
    (row,) = Voc(root).annotated_tags([FIRST]).tags.values()
    assert sum(row) == row[VOC_LABELS.names.index("cat")] == 1


def test_annotations_without_objects_are_counted_in_one_warning(root: Path) -> None:
    for name in (FIRST, SECOND):
        write_annotation(root / f"Annotations/{name}.xml", [])
    with pytest.warns(MedwsssWarning, match=rf"2 of 3 annotations in .* name no object, first {FIRST}\.xml") as caught:
        tags = Voc(root).annotated_tags([FIRST, SECOND, ADDED])
    assert len(caught) == 1
    assert [sum(row) for row in tags.tags.values()] == [0, 0, 1]


def test_a_missing_annotation_is_named_with_the_other_sources_of_tags(root: Path) -> None:
    with pytest.raises(
        DatasetError, match=rf"image {TEST} has no annotation .*{TEST}\.xml: copy it there, or .*data\.tags"
    ):
        Voc(root).annotated_tags([TEST])


def test_a_missing_folder_of_annotations_is_named(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(DatasetError, match=r"there is no folder .*Annotations: copy Annotations of VOC2012 there"):
        Voc(tmp_path).annotated_tags([FIRST])


def test_an_unknown_class_is_answered_with_the_nearest(root: Path) -> None:
    write_annotation(root / f"Annotations/{FIRST}.xml", ["aeroplan"])
    with pytest.raises(
        DatasetError, match=rf"{FIRST}\.xml has an object of class 'aeroplan': did you mean aeroplane\?"
    ):
        Voc(root).annotated_tags([FIRST])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: copy it again"),
        (b" \n", "is empty: copy it again"),
        (b"<annotation><object>", r"is broken XML \(no element found: .*\): copy it again"),
        (b"not xml", "is broken XML"),
        (b"\xff\xfe<\x00a\x00>\x00", "is broken XML"),
        (b"<html><object><name>cat</name></object></html>", "is no annotation of VOC: it needs <annotation>"),
        (b"<annotation><object/></annotation>", "is no annotation of VOC: it needs <annotation> with a <name>"),
        (b"<annotation>" + b" " * 4_000_000, "is refused: it is larger than 4 MB or declares XML entities"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(root: Path, content: bytes, message: str) -> None:
    path = overwrite_annotation(root, content)
    with pytest.raises(DatasetError, match=rf"{path} {message}") as caught:
        Voc(root).annotated_tags([FIRST])
    assert "\n" not in str(caught.value)


def test_an_annotation_that_declares_entities_is_refused_before_it_is_parsed(root: Path) -> None:
    lol = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    bomb = f'<!DOCTYPE annotation [<!ENTITY l0 "ha">{lol}]><annotation><object><name>&l9;</name></object></annotation>'
    overwrite_annotation(root, bomb.encode())
    with pytest.raises(DatasetError, match="is refused: it is larger than 4 MB or declares XML entities"):
        Voc(root).annotated_tags([FIRST])
    overwrite_annotation(root, bomb.encode("utf-16"))  # no encoding hides the declaration from the check
    with pytest.raises(DatasetError, match="is broken XML"):
        Voc(root).annotated_tags([FIRST])


def test_letters_that_are_not_utf_8_do_not_matter_beside_class_names(root: Path) -> None:
    overwrite_annotation(root, b"<annotation><owner>\xe9</owner><object><name> cat\n</name></object></annotation>")
    assert sum(Voc(root).annotated_tags([FIRST]).of(SliceKey(FIRST, "", 0))) == 1


def test_a_missing_train_aug_list_is_the_augmented_masks_outside_val(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    listed = Voc(root).names("train_aug")
    (root / "ImageSets" / "Segmentation" / "train_aug.txt").unlink()
    val = Voc(root).names("val")[0]
    shutil.copy(root / "SegmentationClass" / f"{val}.png", root / "SegmentationClassAug")
    assert Voc(root).names("train_aug") == tuple(sorted(listed))
    shutil.rmtree(root / "SegmentationClassAug")
    with pytest.raises(DatasetError, match="train_aug needs the masks of SegmentationClassAug"):
        Voc(root).names("train_aug")
