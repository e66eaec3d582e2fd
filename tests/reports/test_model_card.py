from pathlib import Path

import pytest
from reports.example import SOURCES, evaluation

from medwsss.reports.html import write_report
from medwsss.reports.model_card import citations


@pytest.mark.parametrize(
    ("method", "authors"),
    [
        ("unia", ["UniA", "ACDC", "MONAI"]),
        ("unia with isl, fsl, urn", ["UniA", "ISL and FSL", "URN", "ACDC", "MONAI"]),
        ("seeds", ["ACDC", "MONAI"]),
        ("", ["ACDC", "MONAI"]),
    ],
)
def test_a_method_and_its_add_ons_are_cited_once_each(method: str, authors: list[str]) -> None:
    found = citations(method)
    assert len(found) == len(authors)
    assert all(citation.startswith(name) for citation, name in zip(found, authors, strict=True))


def test_the_report_says_whom_to_cite_and_where_it_ends(tmp_path: Path) -> None:
    page = write_report(evaluation(), tmp_path, sources=SOURCES, title="x", notes={"method": "usage"})
    for text in (page.read_text(encoding="utf-8"), (tmp_path / "report.md").read_text(encoding="utf-8")):
        assert "Intended use and limits" in text
        assert "USAGE: Z. Peng" in text
