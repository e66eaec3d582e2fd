from pathlib import Path

import pytest
from fakes.networks import tiny_run_config

from medwsss.config.methods import METHOD_NAMES
from medwsss.errors import ConfigError
from medwsss.methods import METHODS, check_trainable

RESNET = {"name": "resnet18", "arguments": {}}


def enabled(*add_ons: str) -> dict[str, object]:
    return {name: {"enabled": True} for name in add_ons}


def test_every_method_of_the_configuration_has_its_class() -> None:
    assert tuple(METHODS) == METHOD_NAMES


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"method": {"name": "cam"}, "addons": enabled("urn")}, "urn needs .*, which method cam does not produce"),
        ({"method": {"name": "usage"}, "addons": enabled("fsl", "urn")}, "urn needs .*, which method usage does not"),
        ({"method": {"name": "retrain", "pseudo": "there"}, "addons": enabled("isl")}, "isl needs scores"),
        ({"encoder": RESNET}, "method unia needs attention, which encoder resnet18 does not have"),
        ({"method": {"name": "retrain"}}, "pass --pseudo DIR or set method.pseudo"),
    ],
)
def test_what_no_data_can_train_is_refused_from_the_settings_alone(sections: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_trainable(tiny_run_config(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"addons": enabled("isl", "fsl", "urn")},
        {"method": {"name": "cam"}, "encoder": RESNET, "addons": enabled("isl", "fsl")},
        {"method": {"name": "retrain", "pseudo": Path("not there")}},
        {"method": {"name": "retrain", "pseudo": Path("not there")}, "addons": enabled("cine")},
        {"method": {"name": "cam"}, "encoder": RESNET, "addons": enabled("isl", "fsl", "cine")},
    ],
)
def test_what_can_be_trained_passes_without_a_look_at_the_disk(sections: dict[str, object]) -> None:
    check_trainable(tiny_run_config(**sections))
