"""YAML as plain data, in which no tag makes an object and no alias makes a small file large."""

from typing import Any

import yaml

_MOST_VALUES = 100_000
"""Of a file with every alias written out; configurations have a few hundred."""


def plain_yaml(text: str) -> Any:
    """What YAML text holds: words, numbers, dates, lists and tables.

    Raises:
        yaml.YAMLError: it is no YAML, asks for anything else, or its aliases multiply beyond 100000 values.
        RecursionError: it is nested too deeply.
        Exception: PyYAML refuses impossible dates, numbers and switches as Python does.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if _written_out(root, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f"its aliases multiply to more than {_MOST_VALUES} values")
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node would be without aliases; infinite where it is within itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        known[id(node)] = 1 + sum(_written_out(inner, known) for inner in _within(node))
    return known[id(node)]


def _within(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
