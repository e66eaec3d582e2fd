"""Dictionaries of vectors that numpy pickled into a .npy file, read as plain data.

Unpickling would run whatever the file names. Here the few instructions that numpy writes for a dictionary of vectors
are followed by hand, on stand-ins: nothing is imported, called or built because the file says so.
"""

import enum
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medwsss.errors import ImageLabelsError

_LIMIT_BYTES = 512_000_000
_LIMIT_STACK = 10_000
"""numpy's dictionaries need about 2000 entries: pickle stores 1000 items at a time."""
_LIMIT_MEMO = 5_000_000


def read_pickled_arrays(path: Path) -> dict[object, object]:
    """The values of a .npy file that holds one dictionary, by their keys (text or whole numbers): arrays, mostly.

    Raises:
        ImageLabelsError: the file cannot be read, is no .npy file, is truncated or larger than 512 MB, or holds
            anything but such a dictionary.
    """
    try:
        with path.open("rb") as file:
            _check_header(file, path)
            content = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise ImageLabelsError(f"cannot read the image-level labels {path}: {error.strerror}") from error
    if len(content) > _LIMIT_BYTES:
        raise ImageLabelsError(f"{path} is refused: it is larger than {_LIMIT_BYTES // 10**6} MB")
    try:
        return _values(_Reader(content).result())
    except EOFError:
        raise ImageLabelsError(f"{path} is truncated: copy it again from its source") from None
    except (_RefusedError, ValueError, TypeError, LookupError, SystemError):
        pass  # the instructions do not fit together as numpy would write them; impossible letters are a SystemError
    raise ImageLabelsError(f"{path} is refused: it holds more than arrays, perhaps code")


def _check_header(file: BinaryIO, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy remarks on headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read(file)
    except OSError:
        raise
    except Exception as error:  # numpy parses the header as Python literals, which fails in many ways
        raise ImageLabelsError(f"{path} is not a .npy file: pass cls_labels_onehot.npy or a CSV table") from error
    if dtype != np.dtype(object) or shape != ():
        raise ImageLabelsError(f"{path} holds an array of {str(dtype)[:40]}, not a dictionary of names")


class _RefusedError(Exception):
    """The file asks for something that no dictionary of arrays needs."""


class _Name(enum.Enum):
    """What stands in for a function or class that the file names."""

    RECONSTRUCT = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    SCALAR = enum.auto()
    ENCODE = enum.auto()


_NAMES: Mapping[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("_codecs", "encode"): _Name.ENCODE,
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Name.SCALAR,
}


@dataclass
class _Dtype:
    """A type of numbers, of text, or "O8" for any object."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[np.generic]:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|U[0-9]{1,4}", self.code) or self.order not in ("<", ">", "=", "|"):
            raise _RefusedError
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass
class _Array:
    """An array: empty when it is named, filled by a later instruction."""

    content: np.ndarray | dict[object, object] | None = None


def _called(name: object, args: object) -> object:
    """What numpy's pickles get from a call, worked out without one."""
    match name, args:
        case _Name.ENCODE, (str(text), "latin1"):
            return text.encode("latin1")
        case _Name.DTYPE, (str(code), *_):
            return _Dtype(code)
        case _Name.RECONSTRUCT, (_Name.NDARRAY, *_):
            return _Array()
        case _Name.SCALAR, (_Dtype() as dtype, bytes(data)):
            (value,) = np.frombuffer(data, dtype.numpy()).tolist()
            return value
    raise _RefusedError


def _fill(shell: object, state: object) -> None:
    match shell, state:
        case _Dtype(), (int(), str(order), *_):
            shell.order = order
        case _Array(), (1, (), _Dtype(code="O8"), _, [dict(content)]):
            shell.content = content
        case _Array(), (1, (int(count),), _Dtype() as dtype, _, bytes(data)):
            shell.content = np.frombuffer(data, dtype.numpy(), count)
            if shell.content.nbytes != len(data):
                raise _RefusedError
        case _:
            raise _RefusedError


def _values(stored: object) -> dict[object, object]:
    """What the array of one dictionary holds."""
    if not isinstance(stored, _Array) or not isinstance(stored.content, dict):
        raise _RefusedError
    return {key: value.content if isinstance(value, _Array) else value for key, value in stored.content.items()}


class _Reader:
    """Follows the instructions of a pickle, protocol 2 to 5, as far as numpy's dictionaries of arrays use them."""

    def __init__(self, content: bytes) -> None:
        self.stack: list[object] = []
        self.marks: list[int] = []
        self._content = content
        self._at = 0
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        while (code := self._content[self._at : self._at + 1]) != b".":
            if not code:
                raise EOFError
            if code not in _STEPS or len(self.stack) + len(self.marks) > _LIMIT_STACK or len(self._memo) > _LIMIT_MEMO:
                raise _RefusedError
            self._at += 1
            _STEPS[code](self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise EOFError
        self._at += count
        return taken

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def text(self, size: int) -> str:
        return self.take(self.number(size)).decode()

    def line(self) -> str:
        end = self._content.find(b"\n", self._at)
        return self.take(end + 1 - self._at if end >= 0 else len(self._content)).decode().rstrip("\n")

    def pop_to_mark(self) -> list[object]:
        return self.pop_last(len(self.stack) - self.marks.pop())

    def pop_last(self, count: int) -> list[object]:
        if not 0 <= count <= len(self.stack):
            raise _RefusedError
        start = len(self.stack) - count
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def remember(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def remember_next(self) -> None:
        self.remember(len(self._memo))

    def recall(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise _RefusedError
        self.stack.append(_NAMES[module, name])

    def append(self) -> None:
        value, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, list) or target:  # numpy's one list holds the one dictionary
            raise _RefusedError
        target.append(value)

    def set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in items[::2]):
            raise _RefusedError
        target.update(zip(items[::2], items[1::2], strict=True))

    def call(self) -> None:
        name, args = self.pop_last(2)
        self.stack.append(_called(name, args))

    def build(self) -> None:
        state = self.stack.pop()
        _fill(self.stack[-1], state)


_STEPS: Mapping[bytes, Callable[[_Reader], object]] = {
    b"\x80": lambda read: read.take(1),  # protocol
    b"\x95": lambda read: read.take(8),  # frame
    b"N": lambda read: read.stack.append(None),
    b"\x88": lambda read: read.stack.append(True),
    b"\x89": lambda read: read.stack.append(False),
    b"K": lambda read: read.stack.append(read.number(1)),
    b"M": lambda read: read.stack.append(read.number(2)),
    b"J": lambda read: read.stack.append(read.number(4, signed=True)),
    b"\x8a": lambda read: read.stack.append(read.number(read.number(1), signed=True)),
    b"\x8c": lambda read: read.stack.append(read.text(1)),
    b"X": lambda read: read.stack.append(read.text(4)),
    b"C": lambda read: read.stack.append(read.take(read.number(1))),
    b"B": lambda read: read.stack.append(read.take(read.number(4))),
    b"]": lambda read: read.stack.append([]),
    b"}": lambda read: read.stack.append({}),
    b")": lambda read: read.stack.append(()),
    b"\x85": lambda read: read.stack.append(tuple(read.pop_last(1))),
    b"\x86": lambda read: read.stack.append(tuple(read.pop_last(2))),
    b"\x87": lambda read: read.stack.append(tuple(read.pop_last(3))),
    b"(": lambda read: read.marks.append(len(read.stack)),
    b"t": lambda read: read.stack.append(tuple(read.pop_to_mark())),
    b"a": lambda read: read.append(),
    b"s": lambda read: read.set_items(read.pop_last(2)),
    b"u": lambda read: read.set_items(read.pop_to_mark()),
    b"q": lambda read: read.remember(read.number(1)),
    b"r": lambda read: read.remember(read.number(4)),
    b"\x94": lambda read: read.remember_next(),
    b"h": lambda read: read.recall(read.number(1)),
    b"j": lambda read: read.recall(read.number(4)),
    b"c": lambda read: read.name(read.line(), read.line()),
    b"\x93": lambda read: read.name(*read.pop_last(2)),
    b"R": lambda read: read.call(),
    b"b": lambda read: read.build(),
}
"""The instructions by their code (Python's pickletools documents them); any other is refused."""
