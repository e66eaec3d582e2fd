import io
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medwsss.data.onehot_file import read_onehot
from medwsss.errors import ImageLabelsError

FIRST = np.array([1, 0, 1], dtype=np.float32)
SECOND = np.array([0, 0, 1], dtype=np.float32)
REFUSED = r"tags\.npy is refused: it holds more than arrays, perhaps code"


def saved(content: object, folder: Path) -> Path:
    """As everybody writes such files."""
    np.save(folder / "tags.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    return folder / "tags.npy"


def with_pickle(instructions: bytes, folder: Path) -> Path:
    """A .npy file with the header of a dictionary and these instructions."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    path = folder / "tags.npy"
    path.write_bytes(file.getvalue() + instructions)
    return path


def pickled(content: object, protocol: int) -> bytes:
    return pickle.dumps(np.array(content, dtype=object), protocol=protocol)


class Calls:
    """Unpickling calls ``function(*args)``, and builds a state where one is given."""

    def __init__(self, function: Callable[..., object], *args: object, state: object = None) -> None:
        self._reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self._reduced


def plant(sentinel: str) -> None:
    """The payload: leaves a file where it ran."""
    Path(sentinel).touch()


def test_a_dictionary_of_vectors_is_read_as_it_was_saved(tmp_path: Path) -> None:
    tags = read_onehot(saved({"2007_000032": FIRST, "2007_000039": SECOND}, tmp_path))
    assert {name: vector.tolist() for name, vector in tags.items()} == {
        "2007_000032": [1, 0, 1],
        "2007_000039": [0, 0, 1],
    }


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "f2", "u1", "i8", ">i4", "?"])
def test_any_type_of_number_and_any_protocol_of_numpy_is_read(tmp_path: Path, protocol: int, dtype: str) -> None:
    vectors = {
        "a": FIRST.astype(dtype),
        "b": SECOND.astype(dtype),
        "c": np.array([1, 5, 0, 5, 0, 5]).astype(dtype)[::2],
    }
    tags = read_onehot(with_pickle(pickled(vectors, protocol), tmp_path))
    assert {name: vector.tolist() for name, vector in tags.items()} == {"a": [1, 0, 1], "b": [0, 0, 1], "c": [1, 0, 0]}
    assert all(vector.dtype == np.uint8 for vector in tags.values())


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_names_of_numpy_1_and_of_numpy_2_are_known(tmp_path: Path, module: bytes) -> None:
    instructions = re.sub(rb"numpy\._?core\.multiarray", module, pickled({"a": FIRST}, 2))
    assert read_onehot(with_pickle(instructions, tmp_path))["a"].tolist() == [1, 0, 1]


def test_more_names_than_pickle_stores_at_a_time_are_read(tmp_path: Path) -> None:
    tags = read_onehot(saved({f"image{number}": FIRST for number in range(2500)}, tmp_path))
    assert list(tags) == [f"image{number}" for number in range(2500)]


@pytest.mark.parametrize("key", [2007000032, np.int32(2007000032), np.int64(2007000032), np.str_("2007_000032")])
def test_names_stored_as_numbers_or_numpy_text_become_names_of_voc(tmp_path: Path, key: object) -> None:
    assert list(read_onehot(saved({key: FIRST}, tmp_path))) == ["2007_000032"]


@pytest.mark.parametrize("key", [32, -2007000032, "", "a\nb", True])
def test_other_keys_are_refused(tmp_path: Path, key: object) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy has the key .*: keys must be names of images such as"):
        read_onehot(saved({key: FIRST}, tmp_path))


def test_one_image_by_name_and_by_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match="holds 2007_000032 twice, as text and as a number"):
        read_onehot(saved({"2007_000032": FIRST, 2007000032: FIRST}, tmp_path))


def test_vectors_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy: b has 2 values, a has 3"):
        read_onehot(saved({"a": FIRST, "b": SECOND[:2]}, tmp_path))


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_values_other_than_0_and_1_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy: b has values other than 0 and 1"):
        read_onehot(saved({"a": FIRST, "b": np.array([0, value, 1])}, tmp_path))


@pytest.mark.parametrize("value", [np.array(["x"]), np.zeros(0), None, 1, "x", {"b": FIRST}])
def test_a_value_that_is_no_vector_of_numbers_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy: the value of a is no vector of numbers"):
        read_onehot(saved({"a": value}, tmp_path))


def test_a_dictionary_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy holds no image"):
        read_onehot(saved({}, tmp_path))


@pytest.mark.parametrize(
    "content",
    [[1], {"a": [1, 0]}, {("a",): FIRST}, {"a": np.eye(2)}, {"a": 0.5}, {None: FIRST}, "text"],
)
def test_other_objects_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ImageLabelsError, match=REFUSED):
        read_onehot(with_pickle(pickled(content, 4), tmp_path))


def test_an_array_of_numbers_is_no_dictionary(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match=r"tags\.npy holds an array of float32, not a dictionary of names"):
        read_onehot(saved(np.stack([FIRST, SECOND]), tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"name,cat\n2007_000032,1\n", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x05\x00((((("]
)
def test_another_file_is_no_npy_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tags.npy").write_bytes(content)
    with pytest.raises(ImageLabelsError, match=r"tags\.npy is not a \.npy file: pass cls_labels_onehot\.npy or a CSV"):
        read_onehot(tmp_path / "tags.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageLabelsError, match=r"cannot read the image-level labels .*tags\.npy: No such file"):
        read_onehot(tmp_path / "tags.npy")


@pytest.mark.parametrize("share", [0.35, 0.6, 0.999])
def test_a_truncated_file_is_named(tmp_path: Path, share: float) -> None:
    path = saved({f"image{number}": FIRST for number in range(50)}, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageLabelsError, match=r"tags\.npy is truncated: copy it again"):
        read_onehot(path)


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medwsss.data.pickled_arrays._LIMIT_BYTES", 1_000_000)
    path = with_pickle(bytes(1_000_001), tmp_path)
    with pytest.raises(ImageLabelsError, match=r"tags\.npy is refused: it is larger than 1 MB"):
        read_onehot(path)


def hostile(sentinel: str) -> dict[str, object]:
    """Objects whose unpickling runs ``plant`` or would change this process."""
    return {
        "call": Calls(plant, sentinel),
        "call as a value": {"a": Calls(plant, sentinel)},
        "call as a key": {Calls(plant, sentinel): FIRST},
        "call deep inside": {"a": [(FIRST, {"b": Calls(plant, sentinel)})]},
        "call inside of an array": {"a": np.array([Calls(plant, sentinel)], dtype=object)},
        "call in the state": {"a": Calls(object, state={"x": Calls(plant, sentinel)})},
        "eval": {"a": Calls(eval, f"__import__('pathlib').Path({sentinel!r}).touch()")},
        "a way through numpy": {"a": Calls(np.load, sentinel)},
        "a class": {"a": Path},
        "a function": {"a": plant},
        "changed state of a function": {"a": Calls(plant, sentinel, state={"__doc__": "x"})},
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("case", hostile(""))
def test_no_code_in_a_file_is_run(tmp_path: Path, case: str, protocol: int) -> None:
    sentinel = tmp_path / "ran"
    instructions = pickled(hostile(str(sentinel))[case], protocol)
    with pytest.raises(ImageLabelsError, match=REFUSED):
        read_onehot(with_pickle(instructions, tmp_path))
    assert not sentinel.exists()


def test_the_hostile_files_do_run_code_where_they_are_unpickled(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    path = with_pickle(pickled({"a": Calls(plant, str(sentinel))}, 4), tmp_path)
    np.load(path, allow_pickle=True)
    assert sentinel.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        pytest.param(b"cos\nsystem\n(X\x0b\x00\x00\x00touch {ran}tR.", id="GLOBAL os.system and REDUCE"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch {ran}\x85R.", id="STACK_GLOBAL os.system"),
        pytest.param(b"(S'touch {ran}'\nios\nsystem\n.", id="INST"),
        pytest.param(b"(cos\nsystem\nS'touch {ran}'\no.", id="OBJ"),
        pytest.param(b"\x80\x02ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.", id="copyreg"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n(cos\nsystem\ntR.", id="a known name with other arguments"),
        pytest.param(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", id="another codec"),
        pytest.param(b"\x80\x02cnumpy\ndtype\n)\x81.", id="NEWOBJ"),
        pytest.param(b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aNsb.", id="BUILD of a class"),
        pytest.param(b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85RN\x85b.", id="BUILD with an odd state"),
        pytest.param(b"\x80\x02\x82\x01.", id="EXT1"),
        pytest.param(b"\x80\x02Pname\n.", id="PERSID"),
        pytest.param(b"\x80\x02X\x01\x00\x00\x00aQ.", id="BINPERSID"),
        pytest.param(b"\x80\x02].", id="a list"),
        pytest.param(b"\x80\x02.", id="nothing"),
        pytest.param(b"\x80\x02tt.", id="no mark"),
        pytest.param(b"\x80\x02h\x05.", id="never remembered"),
        pytest.param(b"\x80\x02s.", id="nothing to set"),
    ],
)
def test_instructions_made_by_hand_are_refused(tmp_path: Path, instructions: bytes) -> None:
    sentinel = tmp_path / "ran"
    with pytest.raises(ImageLabelsError, match=REFUSED):
        read_onehot(with_pickle(instructions.replace(b"{ran}", str(sentinel).encode()), tmp_path))
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        pytest.param(b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".", id="nested lists"),
        pytest.param(b"\x80\x02)" + b"\x85" * 20_000 + b".", id="nested tuples"),
        pytest.param(b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.", id="nested tuples as a key"),
        pytest.param(b"\x80\x02]" + b"h\x00a" * 9 + b".", id="a list in itself"),
        pytest.param(b"\x80\x02Nr\xff\xff\xff\xff.", id="a memo of four billion places"),
        pytest.param(b"\x80\x02" + b"(" * 20_000 + b".", id="marks"),
        pytest.param(b"\x80\x02cnumpy\ndtype\nX\x06\x00\x00\x00U99999\x85R.", id="long text type"),
    ],
)
def test_bombs_are_refused(tmp_path: Path, instructions: bytes) -> None:
    with pytest.raises(ImageLabelsError, match=REFUSED):
        read_onehot(with_pickle(instructions, tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x03\x85", b"K\x04\x85"),  # four values are promised and three stored
        (b"K\x03\x85", b"K\x02\x85"),
        (b"K\x03\x85", b"N\x85\x30"),
        (b"\x8c\x02f4", b"\x8c\x02f3"),
        (b"\x8c\x02f4", b"\x8c\x02V4"),
        (b"\x8c\x01<", b"\x8c\x01?"),
    ],
)
def test_shapes_and_types_that_do_not_fit_the_data_are_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    whole = pickled({"a": FIRST}, 4)
    assert old in whole
    with pytest.raises(ImageLabelsError, match=REFUSED):
        read_onehot(with_pickle(whole.replace(old, new), tmp_path))


def test_damaged_files_raise_nothing_but_image_labels_errors(tmp_path: Path) -> None:
    whole = pickled({"a": FIRST, np.str_("b"): SECOND, 2007000032: FIRST}, 4)
    rng = random.Random(0)
    messages = []
    for _ in range(1000):
        content = bytearray(whole)
        for _ in range(2):
            content[rng.randrange(len(content))] = rng.choice(whole)
        try:
            read_onehot(with_pickle(bytes(content), tmp_path))
        except ImageLabelsError as error:
            messages.append(str(error))
    assert len(messages) > 500
    assert all("tags.npy" in message and "\n" not in message for message in messages)
