import pytest
import torch

from medwsss.models.token_mask import random_token_mask


def drawn(size: int = 4, *, grid: tuple[int, int] = (6, 6), ratio: float = 0.5, block: int = 2, seed: int = 0):  # type: ignore[no-untyped-def]
    return random_token_mask(size, grid, ratio=ratio, block=block, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("ratio", "block"), [(0.5, 2), (0.6, 2), (0.75, 3), (0.9, 4), (0.1, 1)])
def test_every_image_has_exactly_the_share_of_hidden_tokens(ratio: float, block: int) -> None:
    mask = drawn(5, grid=(7, 9), ratio=ratio, block=block)
    assert mask.sum(dim=(1, 2)).tolist() == [round(ratio * 63)] * 5


def test_at_least_one_token_is_hidden_however_small_the_share() -> None:
    assert drawn(2, grid=(2, 2), ratio=0.01).sum(dim=(1, 2)).tolist() == [1, 1]


def test_hidden_tokens_make_whole_blocks_where_the_count_allows() -> None:
    mask = drawn(8, grid=(6, 6), ratio=4 * 5 / 36, block=2)  # 5 blocks of 4
    blocks = mask.reshape(8, 3, 2, 3, 2).sum(dim=(2, 4))
    assert set(blocks.flatten().tolist()) == {0, 4}
    assert (blocks == 4).sum(dim=(1, 2)).tolist() == [5] * 8


def test_a_count_between_blocks_cuts_one_block() -> None:
    blocks = drawn(8, grid=(6, 6), ratio=18 / 36, block=2).reshape(8, 3, 2, 3, 2).sum(dim=(2, 4)).flatten(1)
    assert [sorted(counts) for counts in blocks.tolist()] == [[0] * 4 + [2] + [4] * 4] * 8  # 18 = 4 · 4 + 2


def test_masks_follow_from_the_generator_and_differ_between_images() -> None:
    assert torch.equal(drawn(seed=3), drawn(seed=3))
    assert not torch.equal(drawn(seed=3), drawn(seed=4))
    assert not torch.equal(drawn(seed=3)[0], drawn(seed=3)[1])
