"""Every kind of page that a command writes, opened and printed in a browser without a network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.browser import WIDTH, Findings, browser, look_at, printed_pages
from fakes.cine import write_beating_acdc
from fakes.command_line import medwsss
from fakes.voc import write_voc

from medwsss.data.acdc import reference_masks
from medwsss.engine.predict import map_file
from medwsss.reports.ablation import write_ablation
from medwsss.reports.ablation_scores import Ablation, Headline, Row, Score
from medwsss.volumes.io import load_label_volume, save_volume

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="no Chromium on the path"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn patients of five groups, and two sets of predictions of them, the second with maps and estimates."""
    folder = tmp_path_factory.mktemp("pages")
    acdc = write_beating_acdc(folder / "acdc", still=())
    for name, shift in (("a", 4), ("b", 1)):
        write_predictions(acdc, folder / name, shift=shift, maps=name == "b")
    return folder


def write_predictions(acdc: Path, out: Path, *, shift: int, maps: bool) -> None:
    """The references moved by some voxels, more in every next volume, the last of them empty."""
    out.mkdir()
    masks = sorted(reference_masks(acdc).items())
    for number, (name, path) in enumerate(masks):
        reference = load_label_volume(path)
        moved = np.roll(reference.array, shift * (1 + number // 2), axis=0) * (number < len(masks) - 1)
        save_volume(reference.with_array(moved.astype(np.uint8)), out / f"{name}.nii.gz")
        if maps:
            for file in (map_file("uncertainty", name, "uncertainty"), map_file("cams", name, "LV")):
                (out / file).parent.mkdir(exist_ok=True)
                save_volume(reference.with_array((moved > 0).astype(np.float32)), out / file)
    if maps:
        rows = "".join(f"{name},,{0.95 - 0.05 * place},\n" for place, (name, _) in enumerate(masks))
        (out / "quality.csv").write_text(f"case,frame,estimate,findings\n{rows}", encoding="utf-8")


def run(*arguments: object) -> None:
    answer = medwsss(*arguments)
    assert answer.code == 0, answer.err


def evaluation_page(work: Path) -> Path:
    run("evaluate", work / "b", work / "acdc", "--out", work / "report b")
    return work / "report b" / "report.html"


def unscored_page(work: Path) -> Path:
    run("report", work / "b", "--images", work / "acdc", "--out", work / "unscored")
    return work / "unscored" / "report.html"


def comparison_page(work: Path) -> Path:
    run("evaluate", work / "a", work / "acdc", "--out", work / "report a")
    evaluation_page(work)
    run("compare", work / "report a", work / "report b", "--out", work / "comparison")
    return work / "comparison" / "comparison.html"


def photographs_page(work: Path) -> Path:
    root = write_voc(work / "voc")
    options = ["--dataset", "voc", "--list", "val"]
    run("masks", root, *options, "--out", work / "masks")
    beside = ["--classes", "aeroplane,dog,person", "--beside", f"other={work / 'masks'}"]
    run("evaluate", work / "masks", root, *options, *beside, "--out", work / "photographs")
    return work / "photographs" / "report.html"


def ablation_page(work: Path) -> Path:
    """As ``medwsss ablate`` writes it, with invented numbers and the report of a run."""
    evaluation_page(work)
    score = Headline(
        "volumes",
        {"dice": Score(0.8), "confusion_ratio": Score(0.4, 1, 2), "precision": Score(0.8), "recall": Score(0.7)},
        conclusion="The predictions beat every training-free baseline (heart).",
        report="report b",
    )
    rows = (
        Row("none of the parts", ("–", "a rather long value of a setting"), (), {0: score, 1: score}),
        Row("all", ("✓", "x"), ("method.uncertainty.enabled=true", "a.b=1"), {0: replace(score, report="")}),
    )
    about = {"data": "drawn hearts", "configuration": "/".join(["a/long/path"] * 12)}
    write_ablation(Ablation("Table", "A note.", ("UIN", "CAL"), (0, 1), ("training.seed",), rows, about), work)
    return work / "table.html"


PAGES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "evaluation": (evaluation_page, 9),  # dice, baselines, volumes, clinical, trust, groups and three cases
    "without masks": (unscored_page, 3),
    "comparison": (comparison_page, 1),
    "photographs": (photographs_page, 1),
    "ablation": (ablation_page, 1),
}


@pytest.mark.parametrize(("write", "pictures"), PAGES.values(), ids=PAGES)
def test_a_page_shows_its_pictures_fits_asks_for_nothing_and_prints(
    write: Callable[[Path], Path], pictures: int, work: Path, tmp_path: Path
) -> None:
    page = write(work)
    found = look_at(page, tmp_path)
    assert found == Findings(pictures, broken=(), width=WIDTH, requests=(), console=())
    assert printed_pages(page, tmp_path) >= 1


def test_a_faulty_page_is_found_out(tmp_path: Path) -> None:
    """So that the silence of the others means something."""
    page = tmp_path / "faulty.html"
    page.write_text(
        "<!doctype html><html><head></head><body><img alt='gone' src='data:image/png;base64,AAAA'>"
        "<img alt='elsewhere' src='https://example.org/x.png'><div style='width: 2000px'>wide</div>"
        "<script>console.warn('careful'); undefined.name</script></body></html>"
    )
    found = look_at(page, tmp_path)
    assert (found.pictures, set(found.broken)) == (2, {"gone", "elsewhere"})
    assert found.width > WIDTH
    assert found.requests == ("https://example.org/x.png",)
    assert any("careful" in line for line in found.console)
    assert any("TypeError" in line for line in found.console)
