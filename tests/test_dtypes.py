import pytest
import torch

from medwsss.dtypes import as_label_map, at_least_float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_dtype_become_int64_with_ignore_kept(dtype: torch.dtype) -> None:
    labels = as_label_map("labels", torch.tensor([[0, 1, 127]], dtype=dtype))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[0, 1, 127]]
    assert as_label_map("labels", torch.tensor([255], dtype=torch.uint8)).item() == 255


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_that_are_not_integers_are_refused_by_name(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="labels must hold integers"):
        as_label_map("labels", torch.zeros(2, 2).to(dtype))


def test_16_bits_become_32_and_wider_floats_stay() -> None:
    for given, expected in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert at_least_float32("maps", torch.zeros(1, dtype=given)).dtype == expected
    with pytest.raises(ValueError, match="maps must hold floats"):
        at_least_float32("maps", torch.zeros(1, dtype=torch.int64))
