"""The report in Markdown; its pictures are files beside it."""

from collections.abc import Iterable, Iterator

from medwsss.metrics.results import AGGREGATIONS
from medwsss.reports.clinical import CLINICAL_CAPTION, CLINICAL_DEFINITIONS
from medwsss.reports.content import Content
from medwsss.reports.group_figure import GROUPS_CAPTION
from medwsss.reports.model_card import LIMITS
from medwsss.reports.summary import NOT_A_DEVICE
from medwsss.reports.tables import DEFINITIONS, markdown_page, spoken
from medwsss.reports.trust import TRUST_CAPTION, TRUST_TITLE


def report_markdown(content: Content, pictures: Iterable[str]) -> str:
    """``pictures`` are file names relative to the report."""
    return markdown_page(_parts(content, tuple(pictures)))


def _parts(content: Content, pictures: tuple[str, ...]) -> Iterator[str]:
    yield from (f"# {content.title}", content.kicker, " ".join(content.sentences))
    yield _bullets(f"**{verdict.sentence}**" for verdict in content.verdicts)
    yield _bullets(content.remarks)
    yield from (f"> {NOT_A_DEVICE}", "## Agreement with the reference")
    for name, table in content.aggregations.items():
        yield from (f"### {spoken(name).capitalize()}", f"{AGGREGATIONS[name].capitalize()}.", table.markdown())
    for target, table in content.baselines.items():
        yield from (f"## Beside masks that need no training: {target}", table.markdown())
    if content.clinical.rows:
        yield from ("## Clinical numbers", CLINICAL_CAPTION, content.clinical.markdown())
        yield _bullets(f"**{name}**: {meaning}" for name, meaning in CLINICAL_DEFINITIONS.items())
    if content.trust:
        yield from (f"## {TRUST_TITLE}", f"{TRUST_CAPTION} {content.trust}")
    for name, table in content.strata.items():
        yield from (f"## By {name.lower()}", table.markdown())
    yield from ("## Pictures", "Contours: the reference in white, predictions in the colour of their class.")
    yield content.maps
    yield GROUPS_CAPTION if "groups.png" in pictures else ""
    yield from (f"![{name.removesuffix('.png')}]({name})" for name in pictures)
    yield from ("## Undefined and infinite values", content.left_out)
    yield content.undefined.markdown() if content.undefined.rows else ""
    yield from ("## Where the numbers come from", content.about.markdown())
    yield from (f"{what} ({len(names)}): {', '.join(names)}" for what, names in content.unmatched.items() if names)
    yield from ("## Intended use and limits", _bullets(LIMITS), "## How to cite", _bullets(content.citations))
    yield "## What the numbers mean"
    yield _bullets(f"**{name}**: {meaning}" for name, meaning in DEFINITIONS.items())


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
