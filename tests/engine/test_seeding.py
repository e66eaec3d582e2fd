import torch

from medwsss.engine.seeding import BatchDraws, derived_generator, derived_seed


def draws(first_step: int, iterations: int = 7) -> list[list[tuple[int, int]]]:
    batches = BatchDraws(5, batch_size=3, seed=1, first_step=first_step, iterations=iterations)
    return [[tuple(draw) for draw in batch] for batch in batches]


def test_every_epoch_shows_every_slice_once() -> None:
    indices = [index for batch in draws(0, iterations=5) for index, _ in batch]  # 15 draws: three epochs of 5
    assert [sorted(indices[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert indices[:5] != indices[5:10]


def test_a_resumed_run_draws_what_the_whole_run_would_have_drawn() -> None:
    assert draws(3) == draws(0)[3:]


def test_no_two_draws_share_an_augmentation_seed() -> None:
    seeds = [seed for batch in draws(0) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_streams_are_apart_and_reproducible() -> None:
    assert derived_seed(1, "a", 2) == derived_seed(1, "a", 2)
    assert (
        len({derived_seed(1, "a", 2), derived_seed(1, "a", 3), derived_seed(1, "b", 2), derived_seed(2, "a", 2)}) == 4
    )
    assert torch.equal(torch.rand(3, generator=derived_generator(1)), torch.rand(3, generator=derived_generator(1)))
