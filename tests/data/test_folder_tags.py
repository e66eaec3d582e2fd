from pathlib import Path

from fakes.studies import SLICES, write_image, write_table

from medwsss.data.folder_tags import tags_of_table
from medwsss.data.sample import SliceKey
from medwsss.labels import LabelSet

SCAR = LabelSet("scar", ("scar",))


def test_a_table_of_slices_is_read_as_it_is(tmp_path: Path) -> None:
    line = {"patient": "P1", "phase": "ED", "slice": 2, "scar": 1}
    found = tags_of_table(write_table(tmp_path / "tags.csv", [line]), SCAR, tmp_path / "nowhere")
    assert (dict(found.tags), found.bags) == ({SliceKey("P1", "ED", 2): (1,)}, ())


def test_a_table_of_studies_speaks_of_the_slices_its_files_have(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path / "data" / f"{number}.nii.gz", number)
    lines = [
        {"patient": "P1", "file": "1.nii.gz", "scar": 1},
        {"patient": "P2", "file": "2.nii.gz", "slice": "0-2", "scar": 0},
        {"patient": "P2", "file": "2.nii.gz", "slice": 3, "scar": 1},
    ]
    found = tags_of_table(write_table(tmp_path / "studies.csv", lines), SCAR, tmp_path / "data")
    whole = [SliceKey("P1", "", index) for index in range(SLICES)]
    assert found.bags == (tuple(whole),)
    assert found.tags == dict.fromkeys(whole, (1,)) | {
        SliceKey("P2", "", index): (int(index == 3),) for index in range(SLICES)
    }
