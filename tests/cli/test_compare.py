from pathlib import Path

from fakes.command_line import medwsss
from reports.example import SOURCES, evaluation

from medwsss.reports.html import write_report


def test_two_reports_become_a_page_and_a_few_lines(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(evaluation(), tmp_path / name, sources=SOURCES, title="x")
    answer = medwsss("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "A is a, B is b: 2 volumes of 1 patients." in answer.out
    assert (tmp_path / "out/comparison.html").is_file()


def test_a_folder_without_report_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    answer = medwsss("compare", tmp_path, tmp_path, "--out", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
