import pytest

from medwsss.cli.pseudo_label import chosen_recipe
from medwsss.config.schema import RunConfig


def run_of(**sections: object) -> RunConfig:
    return RunConfig.model_validate({"data": {"name": "acdc"}, "method": {"name": "unia"}, **sections})


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, "pseudo"),
        ({"method": {"name": "seeds"}}, "decoder"),
        (
            {"addons": {"cine": {"enabled": True}}},
            "decoder",
        ),  # what a step learns from holds seeds, which are not there
    ],
)
def test_labels_come_from_the_next_step_unless_seeds_would_be_left_out(
    sections: dict[str, object], expected: str
) -> None:
    assert chosen_recipe(run_of(**sections), None, None, None).source == expected
    if sections.get("method") is None:
        assert chosen_recipe(run_of(**sections), "pseudo", None, None).source == "pseudo"
