import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from fakes.acdc import FakePatient, image, volume
from fakes.studies import CODES, MASK_CODES, write_image, write_mask, write_studies, write_table

from medwsss.config.data import FolderDataConfig, GridConfig, SplitConfig
from medwsss.data.folder import load_folder, settled
from medwsss.data.folder_studies import folder_studies
from medwsss.data.loading import VolumeData
from medwsss.data.sample import SliceKey
from medwsss.data.study import StudySet, case_ids, load_frame
from medwsss.data.study_table import read_study_table
from medwsss.errors import ConfigError, DatasetError, ImageLabelsError, MedwsssWarning, SplitError, VolumeError
from medwsss.volumes.io import save_volume

Lines = Sequence[Mapping[str, object]]


def studies_of(root: Path, lines: Lines) -> StudySet:
    return folder_studies(root, read_study_table(write_table(root / "studies.csv", lines)))


def loaded(root: Path, **settings: object) -> VolumeData:
    config = settled(FolderDataConfig.model_validate({"root": root, "grid": GridConfig(crop=32), **settings}))
    assert config.root is not None
    return load_folder(config, config.root, config.root)


def told(action: Callable[[], object]) -> list[str]:
    """The warnings of an action that were made for users."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(warning.message) for warning in caught if issubclass(warning.category, MedwsssWarning)]


# --- Which volumes there are -----------------------------------------------------------------------------------------


def test_a_file_is_a_volume_of_its_patient(tmp_path: Path) -> None:
    write_image(tmp_path / "b/two.nii.gz", 2)
    write_image(tmp_path / "one.nii.gz", 1)
    known = studies_of(
        tmp_path,
        [
            {"patient": "P2", "file": "b/two.nii.gz", "group": "DCM", "height_cm": 172, "weight_kg": 70},
            {"patient": "P1", "file": "one.nii.gz"},
        ],
    )
    first, second = known.studies
    assert case_ids(known.studies) == ("P1", "P2")
    assert (first.group, first.height_cm, first.cine) == ("unknown", None, None)
    assert (second.group, second.height_cm, second.weight_kg) == ("DCM", 172.0, 70.0)
    assert (load_frame(second.frames[""]).array == image(FakePatient(number=2), 1)).all()


def test_phases_tell_the_files_of_a_patient_apart(tmp_path: Path) -> None:
    for phase in ("ED", "rest"):
        write_image(tmp_path / f"{phase}.nii.gz")
    known = studies_of(
        tmp_path,
        [
            {"patient": "P1", "file": "ED.nii.gz", "phase": "ed"},
            {"patient": "P1", "file": "rest.nii.gz", "phase": "rest"},
        ],
    )
    assert case_ids(known.studies) == ("P1_ED", "P1_rest")


def test_a_cine_gives_the_time_points_that_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "cine.nii.gz", times=4)
    (study,) = studies_of(tmp_path, [{"patient": "P1", "file": "cine.nii.gz", "ed": 1, "es": 3}]).studies
    assert case_ids([study]) == ("P1_frame01", "P1_frame03")
    assert study.cine == tmp_path / "cine.nii.gz"
    assert (load_frame(study.frames["ES"]).array == image(FakePatient(), 3)).all()


def test_time_points_of_a_cine_may_have_lines_and_masks_of_their_own(tmp_path: Path) -> None:
    write_image(tmp_path / "cine.nii.gz", times=4)
    for time in (1, 3):
        write_mask(tmp_path / f"mask{time}.nii.gz", time=time)
    line = {"patient": "P1", "file": "cine.nii.gz"}
    known = studies_of(
        tmp_path,
        [
            {**line, "frame": 1, "phase": "ED", "mask": "mask1.nii.gz"},
            {**line, "frame": 3, "phase": "ES", "mask": "mask3.nii.gz"},
        ],
    )
    (study,) = known.studies
    assert {phase: frame.time_index for phase, frame in study.frames.items()} == {"ED": 0, "ES": 2}
    assert {name: path.name for name, path in known.references.items()} == {
        "P1_frame01": "mask1.nii.gz",
        "P1_frame03": "mask3.nii.gz",
    }


def test_a_cine_of_which_nothing_is_said_gives_most_and_least_blood_and_says_so(tmp_path: Path) -> None:
    """The fake heart is larger, and the right ventricle brighter than all else, at time 1."""
    write_image(tmp_path / "cine.nii.gz", times=2)
    (line,) = told(lambda: studies_of(tmp_path, [{"patient": "P1", "file": "cine.nii.gz"}]))
    assert "ED and ES of 1 cines were found by their brightness, first cine.nii.gz: 1 and 2;" in line


def test_a_mask_is_listed_by_the_name_of_its_volume_and_not_opened(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    (tmp_path / "mask.nii.gz").write_bytes(b"no mask at all")
    known = studies_of(tmp_path, [{"patient": "P1", "file": "a.nii.gz", "mask": "mask.nii.gz"}])
    assert known.references == {"P1": tmp_path / "mask.nii.gz"}


def test_a_link_is_read_by_its_own_name(tmp_path: Path) -> None:
    write_image(tmp_path / "stored/object.nii.gz").rename(tmp_path / "stored/object")
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "stored/object")
    (study,) = studies_of(tmp_path, [{"patient": "P1", "file": "a.nii.gz"}]).studies
    assert load_frame(study.frames[""]).grid == (40, 36, 4)


ONE = {"patient": "P1", "file": "one.nii.gz"}
TWO = {"patient": "P2", "file": "two.nii.gz"}
CINE = {"patient": "P1", "file": "cine.nii.gz"}
BAD: dict[str, tuple[Lines, str]] = {
    "missing files": ([ONE, {**TWO, "file": "gone"}, {**TWO, "file": "lost"}], "2 of 3 studies are not in .* gone"),
    "a file of two patients": ([ONE, {**ONE, "patient": "P2"}], "line 3: one.nii.gz belongs to P1 above, not to P2"),
    "one file by two names": ([ONE, {**ONE, "file": "./one.nii.gz"}], "more than one line and one is about the whole"),
    "one file twice": ([ONE, ONE], "line 3: .*more than one line and one is about the whole of it"),
    "whole and slices": ([ONE, {**ONE, "slice": 2}], "line 3: .*one is about the whole of it"),
    "other phase": ([{**ONE, "slice": 1}, {**ONE, "slice": 2, "phase": "ED"}], "line 3: .*another phase"),
    "other mask": ([{**ONE, "slice": 1}, {**ONE, "slice": 2, "mask": "m"}], "another phase, time point or mask above"),
    "two volumes": ([ONE, {**TWO, "patient": "P1"}], r"P1 has two volumes \(one.nii.gz and two.nii.gz\): "),
    "two of a phase": (
        [{**ONE, "phase": "ED"}, {**TWO, "patient": "P1", "phase": "ed"}],
        "P1 has two volumes called ED",
    ),
    "names that meet": (
        [{**ONE, "phase": "ED"}, {**TWO, "patient": "P1_ED"}],
        "line 3: results of one.nii.gz and two.nii.gz would both be called P1_ED",
    ),
    "patients but for case": ([ONE, {**TWO, "patient": "p1"}], "would both be called p1: rename a patient"),
    "frames that meet": (
        [{**CINE, "frame": 2, "phase": "a"}, {"patient": "P1", "file": "other.nii.gz", "frame": 2, "phase": "b"}],
        "would both be called P1_frame02",
    ),
    "mask missing": ([{**ONE, "mask": "none.nii.gz"}], "line 2: mask none.nii.gz is not in"),
    "mask a folder": ([{**ONE, "mask": "."}], "line 2: mask . is not in"),
    "mask of a cine": ([{**CINE, "mask": "one.nii.gz"}], "a mask is of one time point: name it in the column frame"),
    "ed beyond": ([{**CINE, "ed": 1, "es": 5}], "cine.nii.gz has 4 time points, there is no es 5"),
    "frame of a still": ([{**ONE, "frame": 2}], "one.nii.gz has 1 time points, there is no frame 2"),
    "ed is es": ([{**CINE, "ed": 2, "es": 2}], "ed and es are both time point 2"),
    "ed alone": ([{**CINE, "ed": 2}], "ed alone is not enough"),
    "phase of a cine": ([{**CINE, "phase": "rest"}], "name that of phase rest in the column frame"),
    "groups": ([{**ONE, "phase": "ED", "group": "A"}, {**TWO, "patient": "P1", "group": "B"}], "P1 has group A and B"),
    "heights": (
        [{**ONE, "phase": "ED", "height_cm": 170}, {**TWO, "patient": "P1", "height_cm": 171}],
        "P1 has height_cm 170.0 and 171.0",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, times in (("one", 1), ("two", 1), ("cine", 4), ("other", 4)):
        write_image(folder / f"{name}.nii.gz", times=times)
    return folder


@pytest.mark.parametrize("case", BAD)
def test_a_table_that_contradicts_itself_or_the_files_is_refused(files: Path, case: str) -> None:
    lines, message = BAD[case]
    with pytest.raises((DatasetError, ImageLabelsError), match=message):
        studies_of(files, lines)


def test_files_of_another_kind_and_folders_are_named(files: Path) -> None:
    (files / "scan.dcm").write_bytes(b"DICM")
    for file, message in (("scan.dcm", "unknown kind of file; medwsss reads"), (".", "no DICOM file")):
        with pytest.raises(VolumeError, match=message):
            studies_of(files, [{"patient": "P1", "file": file}])


# --- Settings --------------------------------------------------------------------------------------------------------


def test_classes_and_the_table_are_found_in_the_folder(tmp_path: Path) -> None:
    config = settled(FolderDataConfig(root=write_studies(tmp_path)))
    assert (config.tags, config.classes) == (tmp_path / "studies.csv", ("scar", "effusion"))


def test_structures_of_the_heart_get_their_usual_names(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    write_table(tmp_path / "studies.csv", [{"patient": "P1", "file": "a.nii.gz", "lv": 1, "Myo": 1, "fat": 0}])
    config = settled(FolderDataConfig(root=tmp_path, mask_codes="3=lv, 1=myo, 2=Fat"))
    assert config.classes == ("LV", "MYO", "fat")
    assert dict(config.segmented.codes) == {0: 0, 1: 2, 2: 3, 3: 1}


def test_a_folder_or_a_table_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs your folder of studies: pass --root"):
        settled(FolderDataConfig())
    with pytest.raises(ConfigError, match=r"holds no studies\.csv: medwsss init .* writes one, or pass --tags TABLE"):
        settled(FolderDataConfig(root=tmp_path))


def test_classes_and_codes_that_the_table_does_not_have_are_refused(tmp_path: Path) -> None:
    write_studies(tmp_path)
    with pytest.raises(ConfigError, match=r"^data: mask_codes names clot, classes are scar, effusion$"):
        settled(FolderDataConfig(root=tmp_path, mask_codes="1=clot"))
    with pytest.raises(ImageLabelsError, match="has no column clot"):
        loaded(tmp_path, classes=["scar", "clot"])


def test_listed_classes_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    lines = [{"patient": f"P{n}", "file": f"{n}.nii", "classes": name} for n, name in ((1, "Scar"), (2, "scar"))]
    write_table(tmp_path / "studies.csv", lines)
    with pytest.raises(ConfigError, match=r"^data: classes Scar, scar must differ, in more than upper and lower case$"):
        settled(FolderDataConfig(root=tmp_path))


# --- Tags ------------------------------------------------------------------------------------------------------------


def test_a_study_that_shows_something_is_a_bag_and_one_that_shows_nothing_is_told_slice_by_slice(
    tmp_path: Path,
) -> None:
    labels = loaded(write_studies(tmp_path)).image_labels
    bag = tuple(SliceKey("A1", "", index) for index in range(4))
    assert [own[0].patient for own in labels.bags] == ["A1", "A2", "A3", "A5", "A6"]  # A4 shows nothing
    assert labels.bags[0] == bag
    assert labels.of(bag[3]) == (1, 1)
    assert labels.of(SliceKey("A4", "", 0)) == (0, 0)
    assert len(labels.tags) == 6 * 4


def test_both_phases_of_a_cine_are_bags_of_their_own(tmp_path: Path) -> None:
    lines = []
    for number in (1, 2):
        write_image(tmp_path / f"{number}.nii.gz", number, times=2)
        lines.append({"patient": f"P{number}", "file": f"{number}.nii.gz", "ed": 1, "es": 2, "scar": number - 1})
    write_table(tmp_path / "studies.csv", lines)
    bags = loaded_quietly(tmp_path).image_labels.bags
    assert [(bag[0].patient, bag[0].phase, len(bag)) for bag in bags] == [("P2", "ED", 4), ("P2", "ES", 4)]


def loaded_quietly(root: Path, **settings: object) -> VolumeData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MedwsssWarning)
        return loaded(root, **settings)


def sliced(root: Path, *slices: str, tags: Sequence[int] = (1, 0, 1)) -> Path:
    """Two patients; the first has a line for each of ``slices``, the second one for all its four."""
    lines: list[dict[str, object]] = []
    for number in (1, 2):
        write_image(root / f"{number}.nii.gz", number)
    for cell, scar in zip(slices, tags, strict=False):
        lines.append({"patient": "P1", "file": "1.nii.gz", "slice": cell, "scar": scar})
    lines.append({"patient": "P2", "file": "2.nii.gz", "slice": "0-3", "scar": 0})
    write_table(root / "studies.csv", lines)
    return root


def test_slices_have_their_own_tags_and_those_without_a_line_are_counted(tmp_path: Path) -> None:
    root = sliced(tmp_path, "0-1", "3")
    assert "1 slices are on no line of the table: they are segmented, but not learned from" in told(
        lambda: loaded(root)
    )
    labels = loaded_quietly(root).image_labels
    found = {key.index: tags for key, tags in labels.tags.items() if key.patient == "P1"}
    assert found == {0: (1,), 1: (1,), 3: (0,)}
    assert labels.bags == ()


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (("0-1", "4"), r"line 3: 1\.nii\.gz has slices 0 to 3, not 4"),
        (("2-9",), r"line 2: 1\.nii\.gz has slices 0 to 3, not 4"),
        (("0-2", "2"), r"line 3: slice 2 of 1\.nii\.gz was on a line above"),
    ],
)
def test_slices_that_are_not_there_or_twice_are_refused(tmp_path: Path, slices: tuple[str, ...], message: str) -> None:
    with pytest.raises(ImageLabelsError, match=message):
        loaded(sliced(tmp_path, *slices))


def test_classes_that_training_shows_never_or_always_are_told(tmp_path: Path) -> None:
    lines = []
    for number in range(4):
        write_image(tmp_path / f"{number}.nii.gz", number)
        lines.append({"patient": f"P{number}", "file": f"{number}.nii.gz", "no": 0, "all": 1, "some": number % 2})
    write_table(tmp_path / "studies.csv", lines)
    never, always = told(lambda: loaded(tmp_path, split=SplitConfig(held_out_fraction=0.25)))
    assert never.startswith("the training tags show no in none")
    assert always.startswith("the training tags show all in every slice or study")


def test_columns_that_are_no_class_are_told(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path / f"{number}.nii.gz", number)
    remarks = [{"patient": f"P{n}", "file": f"{n}.nii.gz", "scar": 1, "remark": "good"} for n in (1, 2)]
    write_table(tmp_path / "studies.csv", remarks)
    first, *_ = told(lambda: loaded(tmp_path))
    assert first.endswith("columns that are no class are passed over: remark")


def test_one_patient_cannot_be_split(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    write_table(tmp_path / "studies.csv", [{"patient": "P1", "file": "a.nii.gz", "scar": 1}])
    with pytest.raises(SplitError, match="at least two patients"):
        loaded(tmp_path)


def test_masks_are_there_for_scoring_and_mean_what_mask_codes_say(tmp_path: Path) -> None:
    data = loaded(write_studies(tmp_path, masks=("A1", "A2")), mask_codes=MASK_CODES)
    assert set(data.references) == {"A1", "A2"}
    assert dict(data.task.codes) == {0: 0, CODES["scar"]: 1, 2: 0, CODES["effusion"]: 2}


# --- Where things lie ------------------------------------------------------------------------------------------------


def test_the_table_may_lie_elsewhere_and_paths_are_below_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_studies(tmp_path / "Bilder für Tests")
    table = tmp_path / "tables" / "Größe.csv"
    table.parent.mkdir()
    shutil.move(tmp_path / "Bilder für Tests" / "studies.csv", table)
    monkeypatch.chdir(tmp_path)
    data = loaded(Path("Bilder für Tests"), tags="tables/Größe.csv")
    assert len(data.studies) == 6
    assert data.tags_source == f"table {table}"


def test_a_table_alone_says_where_the_folder_is(tmp_path: Path) -> None:
    write_studies(tmp_path)
    config = settled(FolderDataConfig(tags=tmp_path / "studies.csv"))
    assert config.root == tmp_path


def test_a_cine_in_one_file_of_one_time_point_is_a_volume(tmp_path: Path) -> None:
    patient = FakePatient()
    save_volume(volume(patient, image(patient, 1)[..., None]), tmp_path / "a.nii.gz")
    (study,) = studies_of(tmp_path, [{"patient": "P1", "file": "a.nii.gz"}]).studies
    assert case_ids([study]) == ("P1",)
    assert load_frame(study.frames[""]).grid == (40, 36, 4)
