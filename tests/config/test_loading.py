import re
from pathlib import Path

import pytest

from medwsss.config.data import PhotographDataConfig, VolumeDataConfig
from medwsss.config.loading import (
    defaults_of,
    differences,
    load_config,
    load_pretraining,
    override_layer,
    preset_layer,
    preset_path,
    read_layer,
    to_yaml,
)
from medwsss.config.schema import RunConfig
from medwsss.config.section import iteration_of
from medwsss.config.segmenters import SeedsConfig
from medwsss.config.unia import UniAConfig
from medwsss.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.parent.name != "ablations")


def test_later_layers_win_key_by_key() -> None:
    config = load_config([{"training": {"iterations": 7, "seed": 3}}, {"training": {"iterations": 9}}])
    assert (config.training.iterations, config.training.seed) == (9, 3)


def test_overrides_reach_any_depth_and_are_read_as_yaml() -> None:
    layer = override_layer(["method.uncertainty.enabled=false", "method.cam.scales=[1, 0.5]", "data.root=null"])
    config = load_config([layer])
    assert isinstance(config.method, UniAConfig)
    assert config.method.uncertainty.enabled is False
    assert config.method.cam.scales == (1.0, 0.5)
    assert config.data.root is None


@pytest.mark.parametrize("assignment", ["nonsense", "=1", "a..b=1", "a=[1"])
def test_a_malformed_override_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError):
        override_layer([assignment])


@pytest.mark.parametrize(
    ("assignment", "nearest"),
    [
        ("training.iteratons=3", "iterations"),
        ("method.uncertanty.enabled=false", "uncertainty"),
        ("dta.root=x", "data"),
        ("method.affinity_los.weight=1", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(assignment: str, nearest: str | None) -> None:
    with pytest.raises(ConfigError, match="unknown setting") as caught:
        load_config([override_layer([assignment])])
    if nearest:
        assert f"did you mean '{nearest}'" in str(caught.value)


@pytest.mark.parametrize(
    "assignment",
    [
        "training.iterations=0",
        "training.iterations=many",
        "method.cam.low=0.9",
        "data.grid.spacing_mm=-1",
        "data.task=kidney",
        "method.name=nonsense",
        "data.split.held_out_fraction=1.0",
        "method.uncertainty={channel_attention: false, spatial_attention: false}",
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line_that_names_the_key(assignment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config([override_layer([assignment])])
    assert "\n" not in str(caught.value)
    assert assignment.split("=")[0].split(".")[0] in str(caught.value)


def test_naming_another_method_drops_the_settings_of_the_first() -> None:
    config = load_config([{"method": {"name": "unia", "complementing": False}}, {"method": {"name": "cam"}}])
    assert config.method.name == "cam"


def test_the_written_configuration_reads_back_as_itself(tmp_path: Path) -> None:
    config = load_config([override_layer(["method.affinity.power=3", "data.grid.percentiles=[2, 98]"])])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config([read_layer(tmp_path / "config.yaml")]) == config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_configuration_is_valid_and_is_found_by_name(path: Path) -> None:
    load = load_pretraining if path.stem.startswith("pretrain") else load_config
    load([read_layer(path)])
    assert preset_path(path.parent.name, path.stem).samefile(path)


def test_a_missing_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unia-cpu"):
        preset_path("acdc", "nonsense")


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not valid YAML"), ("- 1", "mapping"), (None, "cannot read")]
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "broken.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_layer(path)
    assert "broken.yaml" in str(caught.value)


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().training.iterations = 3  # type: ignore[misc]


def test_the_default_schedule_is_that_of_voc_scaled_to_the_run() -> None:
    schedule = UniAConfig().schedule
    assert {part: schedule.iteration(part, 20000) for part in type(schedule).model_fields} == {
        "distribution_from": 0,
        "token_contrast_from": 0,
        "affinity_from": 0,
        "segmentation_from": 2000,
        "auxiliary_cam_until": 8000,
    }
    assert schedule.iteration("segmentation_from", 50) == 5


def test_whole_numbers_in_the_schedule_are_iterations_whatever_the_run() -> None:
    config = load_config([override_layer(["method.schedule.segmentation_from=1", "method.schedule.affinity_from=1.0"])])
    assert isinstance(config.method, UniAConfig)
    assert config.method.schedule.iteration("segmentation_from", 50) == 1
    assert config.method.schedule.iteration("affinity_from", 50) == 50


def test_differences_from_the_defaults_are_listed_by_key() -> None:
    config = load_config(
        [override_layer(["method.cam.low=0.3", "training.iterations=5", "encoder.arguments={depth: 2}"])]
    )
    assert differences(config, defaults_of(config)) == {
        "encoder.arguments": {"depth": 2},
        "method.cam.low": 0.3,
        "training.iterations": 5,
    }
    assert differences(load_config([]), RunConfig()) == {}


def test_naming_another_data_set_starts_its_section_afresh() -> None:
    config = load_config([{"data": {"name": "acdc", "task": "lv"}}, {"data": {"name": "voc", "train": "train_aug"}}])
    assert isinstance(config.data, PhotographDataConfig)
    assert config.data.train == "train_aug"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.name=voc", "data.task=heart"], "unknown setting 'data.task' of voc"),
        (["method.dekoder=1"], "unknown setting 'method.dekoder' of unia; did you mean 'decoder'?"),
        (["data.name=vok"], "unknown data.name 'vok'; did you mean 'voc'? (there are acdc, folder, voc, coco)"),
        (
            ["method.name=unai"],
            "unknown method.name 'unai'; did you mean 'unia'? (there are unia, cam, usage, retrain, seeds)",
        ),
        (["addons.ils.enabled=true"], "unknown setting 'addons.ils'; did you mean 'isl'?"),
    ],
)
def test_messages_name_settings_as_the_user_writes_them(assignments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config([override_layer(assignments)])


PAPER = {  # the table of the methods' specification, section 1
    "voc": {
        "training": (20000, 4, 6e-5, 0.01, 10.0),
        "moments": (1500, 0, 0, 0, 2000, 8000),
        "cam": ((1.0, 0.5, 0.75, 1.5), 0.5, 0.7, 0.25),
        "weights": (0.1, 0.1, 0.15, 0.3, 0.05),
        "lists": ("train_aug", "val"),
    },
    "coco": {
        "training": (80000, 8, 6e-5, 0.01, 10.0),
        "moments": (1500, 0, 8000, 12000, 16000, 30000),
        "cam": ((1.0, 0.5, 0.75, 1.5, 1.25), 0.45, 0.65, 0.25),
        "weights": (0.1, 0.05, 0.12, 0.2, 0.05),
        "lists": ("train", "val"),
    },
}


@pytest.mark.parametrize("name", PAPER)
def test_the_shipped_settings_are_the_papers(name: str) -> None:
    config = load_config([read_layer(preset_path(name, "unia"))])
    assert isinstance(config.method, UniAConfig)
    assert isinstance(config.data, PhotographDataConfig)
    training, method, schedule = config.training, config.method, config.method.schedule
    parts = ("distribution_from", "token_contrast_from", "affinity_from", "segmentation_from", "auxiliary_cam_until")
    found = {
        "training": (
            training.iterations, training.batch_size, training.learning_rate, training.weight_decay,
            training.head_factor,
        ),
        "moments": (
            iteration_of(training.warmup_steps, training.iterations),
            *(schedule.iteration(part, training.iterations) for part in parts),
        ),
        "cam": (method.cam.scales, method.cam.background, method.cam.high, method.cam.low),
        "weights": (
            method.distribution.weight, method.contrastive_affinity.weight, method.segmentation_weight,
            method.token_contrast_weight, method.energy.weight,
        ),
        "lists": (config.data.train, config.data.held_out),
    }  # fmt: skip
    assert found == PAPER[name]
    assert (config.data.crop, config.data.augmentation.scale, training.poly_power) == (448, (0.5, 2.0), 0.9)
    assert (config.encoder.name, config.encoder.normalisation) == ("vit_base_patch16_224", "imagenet")


def test_a_shorter_run_keeps_the_order_of_the_papers_schedule() -> None:
    config = load_config([read_layer(preset_path("coco", "unia")), {"training": {"iterations": 1000}}])
    assert isinstance(config.method, UniAConfig)
    assert config.method.schedule.iteration("segmentation_from", 1000) == 200
    assert iteration_of(config.training.warmup_steps, 1000) == 19


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["method.schedule.segmentation_from=20000"], "leaves none of the 20000 iterations to train the decoder"),
        (["inference.crf.enabled=true"], "inference.crf needs colours"),
        (["addons.urn.refine=crf"], "addons.urn.refine=crf needs colours"),
        (["addons.urn.scales=[0.5]"], "addons.urn.scales must hold two or more exponents"),
        (["addons.urn.enabled=true", "method.segmentation_weight=0"], "addons.urn weighs the segmentation loss"),
        (["addons.urn.enabled=true", "method.segmentation_loss=mean"], "addons.urn acts inside the balanced loss"),
        (
            ["data.name=voc", "data.root=x", "addons.cine.enabled=true"],
            "needs a beating heart, and voc has photographs",
        ),
        (["data.name=coco", "data.root=x", "addons.cine.enabled=true"], "coco has photographs: leave cine out"),
        (
            ["method.name=cam", "addons.cine.enabled=true", "addons.cine.cam_weight=0"],
            "leaves seeds nothing to teach method cam",
        ),
    ],
)
def test_settings_that_cannot_work_together_are_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config([override_layer(assignments)])
    assert "{" not in str(caught.value)  # the settings themselves


@pytest.mark.parametrize("machine", ["", "-cpu"])
def test_a_shipped_pretraining_has_the_encoder_and_grid_of_unia_so_that_its_weights_fit(machine: str) -> None:
    unia = load_config([read_layer(preset_path("acdc", f"unia{machine}"))])
    pretraining = load_pretraining([read_layer(preset_path("acdc", f"pretrain{machine}"))])
    assert not pretraining.encoder.pretrained
    assert pretraining.encoder == unia.encoder.model_copy(update={"pretrained": False})
    assert isinstance(unia.data, VolumeDataConfig)
    assert isinstance(pretraining.data, VolumeDataConfig)
    assert pretraining.data.grid == unia.data.grid
    assert pretraining.data.split == unia.data.split


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("pretraining.mask_ratio=1.0", "pretraining.mask_ratio"),
        ("pretraining.mask_ratio=0", "pretraining.mask_ratio"),
        ("pretraining.mask_block=0", "pretraining.mask_block"),
        ("pretraining.objective=rotation", "pretraining.objective"),
        ("pretraining.mask_rato=0.5", "unknown setting 'pretraining.mask_rato'; did you mean 'mask_ratio'?"),
        ("method.name=unia", "unknown setting 'method'"),
        ("data.name=vok", "unknown data.name 'vok'; did you mean 'voc'?"),
    ],
)
def test_a_wrong_setting_of_pretraining_is_refused_by_name(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load_pretraining([override_layer([assignment])])
    assert "\n" not in str(caught.value)


def test_a_written_pretraining_reads_back_as_itself(tmp_path: Path) -> None:
    config = load_pretraining([override_layer(["pretraining.mask_ratio=0.75", "data.name=coco"])])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_pretraining([read_layer(tmp_path / "config.yaml")]) == config


def test_a_relative_path_becomes_absolute_so_that_a_run_can_go_on_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    method = load_config([{"method": {"name": "seeds", "seeds": "made/seeds"}, "data": {"name": "acdc"}}]).method
    assert isinstance(method, SeedsConfig)
    assert method.seeds == tmp_path / "made/seeds"


def test_a_folder_of_studies_takes_the_shipped_settings_of_volumes_without_their_task() -> None:
    acdc, folder = (preset_layer(name, "seeds-cpu") for name in ("acdc", "folder"))
    assert acdc["data"].pop("task") == "multi"
    assert folder == acdc
    config = load_config([{"data": {"name": "folder"}}, folder])
    assert config.data.name == "folder"
    assert config.data.grid.crop == 160


def test_unlike_classes_and_codes_of_a_folder_are_refused() -> None:
    with pytest.raises(ConfigError, match="data: classes a, A must differ"):
        load_config([{"data": {"name": "folder", "classes": ["a", "A"]}}])
    with pytest.raises(ConfigError, match="data: mask_codes names b, classes are a"):
        load_config([{"data": {"name": "folder", "classes": ["a"], "mask_codes": "1=A,2=b,3=background"}}])
    with pytest.raises(ConfigError, match=r"unknown setting 'data\.task' of folder"):
        load_config([{"data": {"name": "folder", "task": "lv"}}])
