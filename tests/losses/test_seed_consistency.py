import inspect
import math

import pytest
import torch

from medwsss.losses.seed_consistency import seed_consistency_loss


def views(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return student, teacher


def test_one_position_gives_the_scaled_cross_entropy_of_the_renormalised_powers() -> None:
    student = torch.tensor([[[[math.log(3.0)]]]])  # α = (1, 3)/4 against a background of exp(0)
    teacher = torch.tensor([[[[math.log(2.0)]]]])  # α̃ = (1, 2)/3
    # τ2 = 1/2 squares both: p = (1, 9)/10, p̃ = (1, 4)/5
    expected = -(0.5**2) * (1 / 5 * math.log(1 / 10) + 4 / 5 * math.log(9 / 10))
    assert seed_consistency_loss(student, teacher, temperature=0.5, background=0.0).item() == pytest.approx(expected)


def test_gradient_is_the_derivative() -> None:
    student, teacher = views(torch.float64)
    inside = torch.ones(2, 4, 5, dtype=torch.bool)
    inside[0, 2:] = False
    assert torch.autograd.gradcheck(
        lambda x: seed_consistency_loss(x, teacher, temperature=0.5, background=1.0, inside=inside),
        (student.requires_grad_(),),
    )


def test_a_common_change_of_places_and_classes_changes_nothing() -> None:
    student, teacher = views()
    torch.testing.assert_close(
        seed_consistency_loss(student.flip(1, 3), teacher.flip(1, 3), temperature=0.1, background=1.0),
        seed_consistency_loss(student, teacher, temperature=0.1, background=1.0),
    )


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = (view.requires_grad_() for view in views())
    seed_consistency_loss(student, teacher, temperature=0.1, background=1.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_no_student_does_better_than_the_teacher_itself() -> None:
    _, teacher = views()
    optimum = teacher.clone().requires_grad_()
    seed_consistency_loss(optimum, teacher, temperature=0.5, background=1.0).backward()
    torch.testing.assert_close(optimum.grad, torch.zeros_like(teacher))


def test_positions_outside_the_image_do_not_count() -> None:
    student, teacher = views()
    inside = torch.zeros(2, 4, 5, dtype=torch.bool)
    inside[:, :3, :2] = True
    cropped = seed_consistency_loss(student[..., :3, :2], teacher[..., :3, :2], temperature=0.1, background=1.0)
    student[:, :, 3:] = 1e6
    whole = seed_consistency_loss(student, teacher, temperature=0.1, background=1.0, inside=inside)
    torch.testing.assert_close(whole, cropped)


def test_views_of_different_shape_or_a_temperature_of_zero_are_refused() -> None:
    student, teacher = views()
    with pytest.raises(ValueError, match="teacher"):
        inspect.unwrap(seed_consistency_loss)(student, teacher[:1], temperature=0.1, background=1.0)
    with pytest.raises(ValueError, match="temperature"):
        seed_consistency_loss(student, teacher, temperature=0.0, background=1.0)
    with pytest.raises(ValueError, match="inside"):
        inspect.unwrap(seed_consistency_loss)(
            student, teacher, temperature=0.1, background=1.0, inside=torch.ones(2, 5, 5, dtype=torch.bool)
        )
