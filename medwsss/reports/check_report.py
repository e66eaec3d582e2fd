"""The check as text for a terminal, and as files: check.json, check.md and the picture sheet check.png."""

import json
from collections.abc import Iterator
from pathlib import Path

from medwsss.reports.check_content import Check, Section, check_json, check_sections, verdict_lines
from medwsss.reports.check_figure import check_figure
from medwsss.reports.html import replaced_report
from medwsss.reports.tables import Table, markdown_page

CHECK_FILES = ("check.json", "check.md", "check.png")
MOST_FINDINGS = 20
"""So many findings are printed on a terminal; the files hold all."""


def check_text(check: Check) -> str:
    """For a terminal: data, tags, findings, and last the verdict."""
    return "\n".join(_text_lines(check)) + "\n"


def check_markdown(check: Check, *, picture: bool) -> str:
    """The same in Markdown, the verdict first."""
    return markdown_page(_markdown_parts(check, picture))


def check_json_text(check: Check) -> str:
    """All numbers as one JSON object."""
    return json.dumps(check_json(check), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_check(check: Check, out_dir: Path) -> None:
    """Write check.json, check.md and check.png, in place of earlier ones; all appear, or none.

    Raises:
        OutputError: ``out_dir`` cannot be written or is a file.
    """
    png = check_figure(check)
    with replaced_report(out_dir, CHECK_FILES) as folder:
        if png is not None:
            (folder / "check.png").write_bytes(png)
        (folder / "check.json").write_text(check_json_text(check), encoding="utf-8")
        (folder / "check.md").write_text(check_markdown(check, picture=png is not None), encoding="utf-8")


def _text_lines(check: Check) -> Iterator[str]:
    for section in check_sections(check):
        yield section.title
        yield from (f"  {sentence}" for sentence in section.sentences)
        yield from (f"  {line}" for line in _aligned(section.table))
        yield ""
    if check.findings:
        yield "Findings"
        yield from (f"  {finding}" for finding in check.findings[:MOST_FINDINGS])
        if len(check.findings) > MOST_FINDINGS:
            yield f"  and {len(check.findings) - MOST_FINDINGS} more: --out DIR lists them"
        yield ""
    yield "Verdict"
    yield from (f"  {line}" for line in verdict_lines(check))


def _aligned(table: Table | None) -> Iterator[str]:
    """Columns of equal width: words to the left, numbers to the right."""
    if table is None:
        return
    lines = [table.header, *(tuple(map(str, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = [index == 0 or text[:1].isalpha() for index, text in enumerate(lines[-1])]
    for line in lines:
        cells = zip(line, widths, words, strict=True)
        yield "  ".join(text.ljust(width) if left else text.rjust(width) for text, width, left in cells).rstrip()


def _markdown_parts(check: Check, picture: bool) -> Iterator[str]:
    yield from (f"# Check of {check.source}", _bullets(f"**{line}**" for line in verdict_lines(check)))
    for section in check_sections(check):
        yield from _markdown_section(section)
    if check.findings:
        yield from ("## Findings", _bullets(map(str, check.findings)))
    if picture:
        yield from ("## Pictures", "![Middle slices, motion and tags](check.png)")


def _markdown_section(section: Section) -> Iterator[str]:
    yield from (f"## {section.title}", " ".join(section.sentences))
    yield "" if section.table is None else section.table.markdown()


def _bullets(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
