import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.networks import TINY_ENCODER, random_batch, tiny_run_config

from medwsss.config.schema import RunConfig
from medwsss.engine.checkpoint import RunState, load_checkpoint, save_checkpoint
from medwsss.engine.optim import build_optimiser
from medwsss.errors import ConfigError
from medwsss.labels import LabelSet
from medwsss.losses.classification import multi_label_loss
from medwsss.losses.seed_consistency import seed_consistency_loss
from medwsss.methods import build_method
from medwsss.methods.usage import Usage

LABELS = LabelSet("two", ("first", "second"))
TINY_CNN: dict[str, Any] = {
    "name": "resnet18",
    "pretrained": False,
    "arguments": {
        "layers": [1, 1, 1, 1],
        "channels": [8, 8, 8, 16],
        "stem_width": 8,
        "output_stride": 8,
        "zero_init_last": False,  # a branch that starts at zero would hide its first layer from the first step
    },
}


def run_config(encoder: dict[str, Any] = TINY_ENCODER, iterations: int = 11, **settings: object) -> RunConfig:
    sections = {"name": "usage", "cam": {"scales": [1.0, 0.5]}, **settings}
    tree = tiny_run_config().model_dump() | {"method": sections}
    training = {"iterations": iterations, "batch_size": 2, "warmup_steps": 0, "learning_rate": 1e-3}
    return RunConfig.model_validate(tree | {"encoder": encoder, "training": training})


def usage(encoder: dict[str, Any] = TINY_ENCODER, iterations: int = 11, **settings: object) -> Usage:
    torch.manual_seed(0)
    method = build_method(run_config(encoder, iterations, **settings), LABELS)
    assert isinstance(method, Usage)
    return method


def train(method: Usage, config: RunConfig, steps: range) -> torch.optim.Optimizer:
    optimiser = build_optimiser(method, config.training)
    for step in steps:
        update(method, optimiser, step)
    return optimiser


def update(method: Usage, optimiser: torch.optim.Optimizer, step: int) -> None:
    torch.manual_seed(step)
    terms = method.training_step(random_batch(seed=step), step=step, generator=torch.Generator())
    optimiser.zero_grad()
    terms.total.backward()
    optimiser.step()


def rates(method: Usage) -> tuple[float, float, float]:
    """γ_t, γ_s and δ_s in force."""
    student, teacher = method.encoder.vit.blocks[-1], method.teacher.encoder.vit.blocks[-1]
    assert teacher.mlp.drop1.p == 0
    return teacher.drop_path1.drop_prob, student.drop_path1.drop_prob, student.mlp.drop1.p


def test_the_loss_is_the_score_loss_of_the_student_plus_a_quarter_of_its_distance_from_the_teacher() -> None:
    method, batch = usage().eval(), random_batch()
    with torch.no_grad():
        method.teacher.classifier.weight.weight.mul_(3)  # at the start they agree
        followed = 0.99 * method.teacher.classifier.weight.weight + 0.01 * method.classifier.weight.weight
    terms = method.training_step(batch, step=0, generator=torch.Generator())
    tokens = method.encoder(batch.images).tokens
    teacher = torch.einsum("bdhw,cd->bchw", tokens, followed[:, :, 0, 0])
    scores = method.classifier.score_map(tokens)
    consistency = seed_consistency_loss(scores, teacher, temperature=0.1, background=1.0)
    classification = multi_label_loss(method.pooled(scores), batch.image_labels)
    torch.testing.assert_close(dict(terms.values), {"classification": classification, "consistency": consistency})
    torch.testing.assert_close(terms.total, classification + 0.25 * consistency)
    assert terms.maps.scores.requires_grad


def test_the_teacher_is_the_moving_average_of_the_student() -> None:
    config = run_config(teacher_decay=0.9)
    method = usage(teacher_decay=0.9)
    weights = [method.classifier.weight.weight.detach().clone()]
    optimiser = build_optimiser(method, config.training)
    for step in range(2):
        update(method, optimiser, step)
        weights.append(method.classifier.weight.weight.detach().clone())
    method.training_step(random_batch(), step=2, generator=torch.Generator())  # follows the second update
    after_first = 0.9 * weights[0] + 0.1 * weights[1]
    torch.testing.assert_close(method.teacher.classifier.weight.weight, 0.9 * after_first + 0.1 * weights[2])


@pytest.mark.parametrize("encoder", [TINY_ENCODER, TINY_CNN])
def test_a_step_moves_the_whole_student_and_gives_the_teacher_no_gradient(encoder: dict[str, Any]) -> None:
    method = usage(encoder)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    train(method, run_config(encoder), range(1))
    moved = {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}
    student = {name for name in before if not name.startswith("teacher.")}
    assert moved == student
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_the_optimiser_holds_the_student_alone() -> None:
    method = usage()
    assert list(method.head_parameters()) == list(method.classifier.parameters())
    held = build_optimiser(method, run_config().training).param_groups
    assert sum(len(group["params"]) for group in held) == len([*method.encoder.parameters()]) + 1


def test_the_teacher_of_a_cnn_takes_over_the_batch_statistics() -> None:
    method = usage(TINY_CNN)
    method.encoder.cnn.bn1.running_mean.fill_(7.0)
    method.eval().training_step(random_batch(), step=0, generator=torch.Generator())
    assert (method.teacher.encoder.cnn.bn1.running_mean == 7).all()


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("fixed", 0, (0.05, 0.15, 0.01)),
        ("linear", 0, (0.05, 0.05, 0.0)),
        ("linear", 5, (0.05, 0.10, 0.005)),  # half of steps 0 to 10
        ("linear", 10, (0.05, 0.15, 0.01)),
        ("self_adaptive", 10, (0.05, 0.05 + 0.6 * 0.1, 0.6 * 0.01)),
    ],
)
def test_the_students_rates_follow_the_schedule_and_the_teachers_stay(
    schedule: str, step: int, expected: tuple[float, ...]
) -> None:
    method = usage(schedule=schedule)
    method.learning_status.fill_(0.6)
    method.training_step(random_batch(), step=step, generator=torch.Generator())
    assert rates(method) == pytest.approx(expected)


def test_the_learning_status_averages_the_probability_of_tagged_classes() -> None:
    method, batch = usage(teacher_decay=0.75).eval(), random_batch()  # tags: both on the first image, one on the second
    probs = method.predict(batch.images).tag_probs
    method.training_step(batch, step=0, generator=torch.Generator())
    expected = 0.25 * (probs[0, 0] + probs[0, 1] + probs[1, 0]) / 3
    torch.testing.assert_close(method.learning_status, expected)


def test_a_batch_without_tags_leaves_the_learning_status() -> None:
    method, batch = usage(), random_batch()
    method.learning_status.fill_(0.3)
    batch.image_labels.zero_()
    method.training_step(batch, step=0, generator=torch.Generator())
    assert method.learning_status.item() == pytest.approx(0.3)


def test_without_weight_there_is_neither_teacher_nor_adjustment() -> None:
    method = usage(regularisation_weight=0.0)
    terms = method.training_step(random_batch(), step=0, generator=torch.Generator())
    assert set(terms.values) == {"classification"}
    assert method.teacher is None
    assert not any("teacher" in name for name in method.state_dict())


def test_the_gap_mapping_averages_over_the_image() -> None:
    scores = torch.randn(2, 2, 4, 4)
    torch.testing.assert_close(usage(mapping="gap").pooled(scores), scores.mean(dim=(2, 3)))
    sharp = usage(temperature=1e-3).pooled(scores)
    assert (sharp > usage(temperature=math.inf).pooled(scores)).all()


@pytest.mark.parametrize("encoder", [TINY_ENCODER, TINY_CNN])
def test_a_resumed_run_ends_with_the_same_weights(encoder: dict[str, Any], tmp_path: Path) -> None:
    config, whole = run_config(encoder), usage(encoder)
    optimiser = train(whole, config, range(2))
    save_checkpoint(tmp_path / "last.safetensors", whole, optimiser, RunState(2, None, None, "", ""))
    resumed = build_method(config, LABELS)
    again = build_optimiser(resumed, config.training)
    load_checkpoint(tmp_path / "last.safetensors", resumed, again)
    for step in (2, 3):
        update(whole, optimiser, step)
        update(resumed, again, step)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("encoder", [TINY_ENCODER, TINY_CNN])
def test_the_student_predicts(encoder: dict[str, Any]) -> None:
    method, images = usage(encoder).eval(), torch.rand(2, 3, 32, 40)
    before = method.predict(images, torch.ones(2, 2))
    torch.testing.assert_close(before.probs.sum(dim=1), torch.ones(2, 32, 40))
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter.zero_()
    torch.testing.assert_close(method.predict(images, torch.ones(2, 2)).probs, before.probs)
    assert method.explain(random_batch(), step=0).pseudo_labels.shape == (2, 32, 32)


def test_rates_of_the_encoders_own_are_refused() -> None:
    encoder = {**TINY_ENCODER, "arguments": {**TINY_ENCODER["arguments"], "drop_path_rate": 0.1}}
    with pytest.raises(ConfigError, match=r"leave encoder\.arguments\.drop_path_rate out"):
        usage(encoder)


def test_an_encoder_without_drop_path_works_with_rates_of_zero() -> None:
    encoder = {**TINY_ENCODER, "arguments": {**TINY_ENCODER["arguments"], "depth": 1}}
    encoder |= {"auxiliary_block": -1, "affinity_blocks": [-1]}
    with pytest.raises(ConfigError, match="without drop-path layers"):
        usage(encoder)
    usage(encoder, teacher_drop_path=0.0, student_drop_path=(0.0, 0.0))


@pytest.mark.parametrize(
    "settings", [{"student_drop_path": (0.2, 0.1)}, {"teacher_drop_path": 1.0}, {"cam": {"pooled_fraction": 0.1}}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        run_config(**settings)


def test_unia_with_an_encoder_without_attention_is_refused() -> None:
    config = tiny_run_config().model_dump() | {"encoder": TINY_CNN}
    with pytest.raises(ConfigError, match="method unia needs attention, which encoder resnet18 does not have"):
        build_method(RunConfig.model_validate(config), LABELS)
