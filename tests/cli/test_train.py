from pathlib import Path

import pytest
from fakes.acdc import fake_patients, write_acdc

from medwsss.cli.train import loaded_data, resolved_config
from medwsss.config.data import AcdcDataConfig
from medwsss.data.acdc import reference_masks
from medwsss.data.image_labels import write_image_labels
from medwsss.errors import ConfigError


def test_going_on_with_a_run_reads_its_own_tags_and_opens_no_mask(tmp_path: Path) -> None:
    root, config = write_acdc(tmp_path / "data", fake_patients(5)), AcdcDataConfig(cache_dir=tmp_path / "cache")
    first = loaded_data(config, root, tags=None)
    write_image_labels(first.image_labels, tmp_path / "tags.csv")
    for path in reference_masks(root).values():
        path.unlink()
    assert loaded_data(config, root, tags=tmp_path / "tags.csv").image_labels == first.image_labels


def test_each_machine_size_has_a_shipped_configuration_of_every_method() -> None:
    for method in ("unia", "cam"):
        small, large = (resolved_config("acdc", method, None, [], {}, cpu=cpu) for cpu in (True, False))
        assert small.method.name == large.method.name == method
        assert not small.encoder.pretrained
        assert large.encoder.name == "vit_base_patch16_224"


def test_options_win_over_the_file_and_set_wins_over_options(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("data: {task: lv}\ntraining: {iterations: 5, seed: 1}\n")
    flags = {"data": {"task": "multi"}}
    config = resolved_config("acdc", None, file, ["training.seed=2"], flags, cpu=True)
    assert (config.data.task, config.training.iterations, config.training.seed) == ("multi", 5, 2)


def test_an_unknown_method_is_offered_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'unia'"):
        resolved_config("acdc", "unja", None, [], {}, cpu=True)
