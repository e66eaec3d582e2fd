"""Records: JSON files that say what the files beside them were made of."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from medwsss.config.loading import leaves
from medwsss.errors import OutputError
from medwsss.reading import read_json
from medwsss.writing import written_whole

_LONGEST_SHOWN = 60


def read_record(path: Path) -> dict[str, Any] | None:
    """A record; None where there is no file.

    Raises:
        OutputError: it cannot be read, or holds something else.
    """
    try:
        record = read_json(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}; choose another --out") from None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise OutputError(f"{path} is damaged or not a record of medwsss: choose another --out")
    return record


def save_record(path: Path, record: Mapping[str, Any]) -> None:
    """Store a record; it appears whole or not at all, and the folder is made where it is missing.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with written_whole(path) as partial:
            partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --out") from None


def differences(then: Mapping[str, Any], now: Mapping[str, Any], *, but: Collection[str] = ()) -> list[str]:
    """What two records say differently, as ``KEY was THIS, now THAT``; keys of sections are joined by a dot.

    Both are compared as JSON has them, where a tuple is a list.

    Args:
        then: the earlier record.
        now: the later one.
        but: keys, or whole sections, that may differ.
    """
    old, new = (dict(leaves(json.loads(json.dumps(record)))) for record in (then, now))
    return [
        f"{key} was {_shown(old, key)}, now {_shown(new, key)}"
        for key in dict.fromkeys([*new, *old])
        if (key not in old or key not in new or old[key] != new[key])
        and not any(key == kept or key.startswith(f"{kept}.") for kept in but)
    ]


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    if key not in leaves:
        return "absent"
    value = json.dumps(leaves[key], ensure_ascii=False)
    return value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
