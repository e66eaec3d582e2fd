"""A page as a browser sees it: headless Chromium on the command line, its findings read back from the page itself."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1280
TIMEOUT_S = 120
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={WIDTH},2000",
)  # fmt: skip
_EARLY = """<script>
window.seen = [];
for (const kind of ["error", "warn"]) {
  const spoken = console[kind];
  console[kind] = (...words) => { seen.push(`${kind}: ${words.join(" ")}`); spoken(...words); };
}
addEventListener("error", event => seen.push(`error: ${event.message || event.target.outerHTML.slice(0, 200)}`), true);
addEventListener("securitypolicyviolation", event => seen.push(`error: ${event.blockedURI}`));
</script>"""
_LATE = """<script>
addEventListener("load", () => {
  const root = document.documentElement, found = document.createElement("pre");
  found.id = "findings";
  found.textContent = JSON.stringify({
    pictures: document.images.length,
    broken: [...document.images].filter(image => !image.naturalWidth).map(image => image.alt),
    width: root.scrollWidth,
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    console: seen,
  });
  document.body.append(found);
});
</script>"""


@dataclass(frozen=True)
class Findings:
    """What there is to say about one page."""

    pictures: int
    broken: tuple[str, ...]
    """Texts that stand for pictures which did not load."""
    width: int
    """Pixels that the page takes in a window of ``WIDTH``."""
    requests: tuple[str, ...]
    """Everything that the page asked for but itself."""
    console: tuple[str, ...]
    """Errors and warnings."""


def browser() -> str | None:
    """The first browser on the path."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def look_at(page: Path, folder: Path) -> Findings:
    """Open a copy of the page that writes what it finds into itself; ``folder`` is for the copy and the profile."""
    text = page.read_text(encoding="utf-8")
    copy = folder / "copy.html"
    copy.write_text(
        text.replace("<head>", f"<head>{_EARLY}", 1).replace("</body>", f"{_LATE}</body>", 1), encoding="utf-8"
    )
    done = _run(folder, "--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000", "--dump-dom", copy.as_uri())
    written = re.search(r'<pre id="findings">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, f"the page did not load: {done.stderr[-2000:]}"
    found = json.loads(html.unescape(written[1]))
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Findings(
        found["pictures"],
        tuple(found["broken"]),
        found["width"],
        tuple(found["requests"]),
        tuple(dict.fromkeys([*found["console"], *said])),
    )


def printed_pages(page: Path, folder: Path) -> int:
    """Pages of the PDF that printing gives."""
    pdf = folder / "page.pdf"
    _run(folder, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    return len(re.findall(rb"/Type\s*/Page\b", content))


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = browser()
    assert program, "no browser"
    command = [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
