"""Damaged copies of good files, drawn from a seed: what bad disks, cut connections and hostile hands leave behind."""

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

import numpy as np

from medwsss.errors import MedwsssError, MedwsssWarning

Mutation = Callable[[bytes, np.random.Generator], bytes]
_Answer = TypeVar("_Answer")

LONGEST = 64
"""Bytes that one mutation of a small file inserts, or a chunk that it moves."""


def drawn(seed: int, case: int) -> np.random.Generator:
    """The randomness of one case; it can be repeated alone."""
    return np.random.default_rng([seed, case])


def mutated(content: bytes, rng: np.random.Generator, mutations: Sequence[Mutation], *, most: int = 3) -> bytes:
    """One mutation or several, one after the other."""
    for choice in rng.integers(len(mutations), size=rng.integers(1, most + 1)):
        content = mutations[choice](content, rng)
    return content


def with_flipped_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(content, np.uint8).copy()
    if len(changed):
        changed[rng.integers(len(changed), size=rng.integers(1, 9))] ^= rng.integers(1, 256, dtype=np.uint8)
    return changed.tobytes()


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def with_noise_inserted(content: bytes, rng: np.random.Generator) -> bytes:
    return _with(content, rng.bytes(int(rng.integers(1, LONGEST))), rng)


def with_zeros_inserted(content: bytes, rng: np.random.Generator) -> bytes:
    return _with(content, bytes(int(rng.integers(1, LONGEST))), rng)


def with_a_chunk_removed(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = rng.integers(len(content) + 1), rng.integers(1, LONGEST)
    return content[:start] + content[start + length :]


def with_a_chunk_repeated(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = rng.integers(len(content) + 1), rng.integers(1, LONGEST)
    return _with(content, content[start : start + length], rng)


def with_chunks_swapped(content: bytes, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(len(content) + 1, size=2).tolist())
    length = min(int(rng.integers(1, LONGEST)), last - first)
    here, there = content[first : first + length], content[last : last + length]
    return content[:first] + there + content[first + length : last] + here + content[last + length :]


BYTE_MUTATIONS: tuple[Mutation, ...] = (
    with_flipped_bytes,
    truncated,
    with_noise_inserted,
    with_zeros_inserted,
    with_a_chunk_removed,
    with_a_chunk_repeated,
    with_chunks_swapped,
)


def with_words(words: Sequence[str], separators: str) -> Mutation:
    """A mutation of text: a word between two of the separators becomes one of ``words``, or gets one beside it."""

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        ends = [index for index, byte in enumerate(content) if chr(byte) in separators]
        start = int(rng.choice([0, *(end + 1 for end in ends)]))
        end = next((end for end in ends if end >= start), len(content))
        word = str(rng.choice(words)).encode("utf-8", errors="surrogatepass")
        kept = content[start:end] if rng.random() < 0.2 else b""
        return content[:start] + word + kept + content[end:]

    return change


def _with(content: bytes, inserted: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(content) + 1)
    return content[:at] + inserted + content[at:]


def accepted(read: Callable[[], _Answer], path: Path, case: str) -> _Answer | None:
    """What ``read`` gives; None where it refuses as it should, with an error of our own: one line that names ``path``.

    Anything else is a failure that tells ``case``; so is a warning that is not for the user, or longer than a line.
    """
    refusal = None
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("error")
            warnings.simplefilter("always", MedwsssWarning)
            return read()
    except MedwsssError as error:
        refusal = str(error)
    except Exception as error:
        raise AssertionError(f"{case}: {error!r}") from error
    finally:
        assert all(len(str(warning.message).splitlines()) == 1 for warning in told), f"{case}: {told}"
    assert len(refusal.splitlines()) == 1, f"{case}: {refusal!r} is not one line"
    assert str(path) in refusal, f"{case}: {refusal!r} does not name {path}"
    return None


@contextmanager
def within(seconds: int, case: Callable[[], str]) -> Iterator[None]:
    """A block that takes longer fails and tells ``case``."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{case()}: not finished after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
