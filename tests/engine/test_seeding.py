from collections import Counter

import torch

from medwsss.engine.seeding import BagDraws, BatchDraws, derived_generator, derived_seed


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


# --- Whole bags ------------------------------------------------------------------------------------------------------

BAGS = ((0, 1, 2), (3, 4), (5,), (6, 7, 8, 9, 10, 11))
"""The last is larger than a batch."""


def bag_draws(first_step: int = 0, iterations: int = 30, seed: int = 1) -> list[list[tuple[int, int]]]:
    batches = BagDraws(BAGS, batch_size=4, seed=seed, first_step=first_step, iterations=iterations)
    assert len(batches) == iterations - first_step
    return [[tuple(draw) for draw in batch] for batch in batches]


def test_a_batch_holds_whole_bags_or_as_much_of_one_as_fits() -> None:
    for batch in bag_draws():
        indices = {index for index, _ in batch}
        assert 1 <= len(indices) == len(batch) <= 4
        shown = [bag for bag in BAGS if indices & set(bag)]
        if BAGS[3] in shown:
            assert shown == [BAGS[3]]
            assert len(batch) == 4
        else:
            assert indices == {index for bag in shown for index in bag}


def test_every_epoch_shows_every_bag_once() -> None:
    """Bags of 3, 2, 1 and, cut, 4 slices make three batches, or four where the large one parts the others."""
    batches, seen = bag_draws(iterations=40), Counter[int]()
    for batch in batches:
        seen.update({number for number, bag in enumerate(BAGS) if {index for index, _ in batch} & set(bag)})
        assert max(seen[number] for number in range(4)) - min(seen[number] for number in range(4)) <= 1
    assert min(seen[number] for number in range(4)) >= 10


def test_a_large_bag_shows_other_slices_in_other_epochs() -> None:
    shown = {tuple(index for index, _ in batch) for batch in bag_draws() if batch[0][0] >= 6}
    assert len(shown) > 1
    assert {index for indices in shown for index in indices} == set(BAGS[3])


def test_a_resumed_run_draws_the_bags_that_the_whole_run_would_have_drawn() -> None:
    assert bag_draws(first_step=7) == bag_draws()[7:]
    assert bag_draws(seed=2) != bag_draws()


def test_no_two_draws_of_bags_share_an_augmentation_seed() -> None:
    seeds = [seed for batch in bag_draws() for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_bags_and_single_samples_are_spread_evenly_over_the_batches() -> None:
    """Ten bags of 4 and forty single samples: half of every batch of 8 comes from a bag, one bag a batch."""
    bags = (*(tuple(range(4 * n, 4 * n + 4)) for n in range(10)), *((index,) for index in range(40, 80)))
    batches = BagDraws(bags, batch_size=8, seed=3, first_step=0, iterations=25)
    assert all(sum(draw.index < 40 for draw in batch) == 4 == len(batch) - 4 for batch in batches)
