import itertools

import numpy as np

from medwsss.config.cine import WallConfig
from medwsss.priors.cardiac.cavity import Cavity
from medwsss.priors.cardiac.wall import closed_path, outer_wall


def test_the_closed_path_is_the_cheapest_of_all() -> None:
    cost = np.random.default_rng(3).random((6, 4))
    smoothness = 0.1

    def price(path: tuple[int, ...]) -> float:
        steps = [abs(a - b) for a, b in zip(path, path[1:] + path[:1], strict=True)]
        if max(steps) > 2:
            return np.inf
        return float(sum(cost[angle, sample] for angle, sample in enumerate(path))) + smoothness * sum(
            s * s for s in steps
        )

    best = min(itertools.product(range(4), repeat=6), key=price)
    assert tuple(closed_path(cost, smoothness=smoothness)) == best


def test_the_ends_of_a_path_meet() -> None:
    cost = np.random.default_rng(0).random((72, 30))
    path = closed_path(cost, smoothness=0.02)
    assert np.abs(np.diff(path, append=path[:1])).max() <= 2


def test_a_drawn_wall_is_found_within_a_pixel() -> None:
    rows, columns = np.mgrid[:81, :81] - 40
    distance = np.hypot(rows, columns)
    image = np.where(distance <= 14, 0.9, np.where(distance <= 20, 0.35, 0.1)).astype(np.float32)
    found = outer_wall(
        image, Cavity(distance <= 14, 0.6), expected_mm=9.0, range_mm=(3.0, 18.0), spacing_mm=1.5, config=WallConfig()
    )
    radius = np.sqrt(found.sum() / np.pi)
    assert abs(radius - 20.0) < 1.0
    assert not (found & (distance > 21.5)).any()
