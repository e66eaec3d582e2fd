import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from reports.example import SOURCES, evaluation, grouped, pixels

from medwsss.reports import group_figure as module
from medwsss.reports.group_figure import GROUPS_CAPTION, group_figure, groups_of
from medwsss.reports.html import write_report

TWO = {"NOR": [0.9, 0.8, 0.85], "DCM": [0.7, math.nan]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are made, before they become pictures."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(module, "png", keep)
    return figures


def test_every_group_has_its_box_and_the_number_of_its_defined_values(drawn: list[Figure]) -> None:
    group_figure(grouped(TWO))
    panel = drawn[0].axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["DCM\nn = 1", "NOR\nn = 3"]
    points = [offsets for cloud in panel.collections if len(offsets := cloud.get_offsets())]
    assert [sorted(cloud[:, 1].tolist()) for cloud in points] == [[70.0], [80.0, 85.0, 90.0]]


def test_volumes_at_end_systole_are_hollow(drawn: list[Figure]) -> None:
    group_figure(grouped({"A": [0.9, 0.8], "B": [0.7, 0.6]}))
    cloud = next(cloud for cloud in drawn[0].axes[0].collections if len(cloud.get_offsets()))
    filled, hollow = cloud.get_facecolors()
    assert hollow[:3].tolist() == [1.0, 1.0, 1.0]
    assert filled[:3].tolist() != [1.0, 1.0, 1.0]


def test_many_groups_are_drawn_too() -> None:
    picture = pixels(group_figure(grouped({f"group {number}": [0.5, 0.6] for number in range(9)})))
    assert picture.shape[1] > picture.shape[0] > 100


def test_groups_that_nobody_knows_are_none() -> None:
    assert groups_of(evaluation()) == []
    assert groups_of(grouped(TWO)) == ["DCM", "NOR"]


def test_the_report_shows_groups_where_there_are_two(tmp_path: Path) -> None:
    page = write_report(grouped(TWO), tmp_path, sources=SOURCES, title="x")
    assert GROUPS_CAPTION in page.read_text(encoding="utf-8")
    assert "![groups](groups.png)" in (tmp_path / "report.md").read_text(encoding="utf-8")
    page = write_report(grouped({"NOR": [0.5, 0.6]}), tmp_path, sources=SOURCES, title="x")
    assert GROUPS_CAPTION not in page.read_text(encoding="utf-8")
    assert not (tmp_path / "groups.png").exists()
