from pathlib import Path

import pytest

from medwsss.data.name_lists import file_of, listed_names
from medwsss.errors import DatasetError


def test_a_line_is_a_name_or_the_paths_of_an_image_and_its_mask(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("2007_000032\n\n/JPEGImages/2007_000039.jpg /SegmentationClassAug/2007_000039.png\n")
    assert listed_names(path) == ("2007_000032", "2007_000039")


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".hidden", "a\\b"])
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="is no name of an image"):
        file_of(tmp_path, name, ".png")
