import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from medwsss.data.image_files import (
    photograph_size,
    read_label_image,
    read_photograph,
    voc_colours,
    write_label_image,
)
from medwsss.errors import DatasetError, OutputError

READERS: list[Callable[[Path], object]] = [read_photograph, photograph_size, read_label_image]


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def flat(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (5, 3), colour)  # type: ignore[arg-type]


def random_labels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(height, width), dtype=np.uint8)


def test_a_photograph_has_rows_columns_and_red_green_blue(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(3, 5, 3), dtype=np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    np.testing.assert_array_equal(read_photograph(path), pixels)
    assert photograph_size(path) == (3, 5)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat("L", 70), (70, 70, 70)),
        (flat("1", 1), (255, 255, 255)),
        (flat("RGBA", (10, 20, 30, 0)), (10, 20, 30)),
        (flat("LA", (70, 3)), (70, 70, 70)),
    ],
)
def test_photographs_of_other_modes_become_rgb(tmp_path: Path, image: Image.Image, expected: tuple[int, ...]) -> None:
    photograph = read_photograph(saved(image, tmp_path / "a.png"))
    np.testing.assert_array_equal(photograph, np.full((3, 5, 3), expected))


def test_a_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    no_ink_but_black = flat("CMYK", (0, 0, 0, 155))
    photograph = read_photograph(saved(no_ink_but_black, tmp_path / "a.jpg"))
    np.testing.assert_allclose(photograph, np.full((3, 5, 3), 255 - 155), atol=3)


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_a_palette_photograph_with_transparency_shows_the_colours_of_its_palette(
    tmp_path: Path, transparency: int | bytes
) -> None:
    image = flat("P", 0)
    image.putpalette([9, 8, 7, 1, 2, 3])
    photograph = read_photograph(saved(image, tmp_path / "a.png", transparency=transparency))
    np.testing.assert_array_equal(photograph, np.full((3, 5, 3), (9, 8, 7)))


def test_exif_does_not_turn_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned by 90 degrees
    path = saved(flat("RGB", (1, 2, 3)), tmp_path / "a.jpg", exif=exif)
    assert read_photograph(path).shape == (3, 5, 3)
    assert photograph_size(path) == (3, 5)


def test_odd_metadata_does_not_make_pillow_warn(tmp_path: Path) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"acTL", bytes(8))  # an animation of 0 frames
    path = saved(flat("RGB", (1, 2, 3)), tmp_path / "a.png", pnginfo=chunks)
    assert read_photograph(path).shape == (3, 5, 3)


def test_a_photograph_of_16_bits_is_refused(tmp_path: Path) -> None:
    path = saved(flat("I;16", 300), tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png does not hold 8-bit colours.*8-bit RGB"):
        read_photograph(path)


def test_the_arrays_can_be_written_to(tmp_path: Path) -> None:
    path = saved(flat("L", 70), tmp_path / "a.png")
    assert read_photograph(path).flags.writeable
    assert read_label_image(path).flags.writeable


@pytest.mark.parametrize("read", READERS)
def test_a_missing_an_empty_and_a_text_file_are_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(DatasetError, match=r"there is no image .*a\.png: check the name"):
        read(path)
    path.touch()
    with pytest.raises(DatasetError, match=r"a\.png is empty: copy it again"):
        read(path)
    path.write_text("not an image\n" * 50)
    with pytest.raises(DatasetError, match=r"a\.png is no .*PNG.* image: replace it"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_folder_is_no_image(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(DatasetError, match=r"cannot read the image .*: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = saved(Image.fromarray(random_labels(60, 80)), tmp_path / f"a.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DatasetError, match=rf"a\.{suffix} is damaged or truncated \(.*\): copy it again") as caught:
        read_photograph(path)
    assert "\n" not in str(caught.value)


def test_damaged_files_raise_nothing_but_dataset_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wholes = [
        saved(Image.fromarray(random_labels(9, 7)), tmp_path / f"a.{kind}").read_bytes() for kind in ("jpg", "png")
    ]
    messages = []
    for number in range(150):
        content = bytearray(wholes[number % 2])
        for position in rng.integers(len(content), size=3):
            content[position] = rng.integers(256)
        path = tmp_path / "damaged"
        path.write_bytes(content)
        for read in READERS:
            try:
                read(path)
            except DatasetError as error:
                messages.append(str(error))
    assert len(messages) > 150
    assert all("damaged" in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_claims_a_gigapixel_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "a.png"
    image = flat("L", 0)
    image.save(path)
    content = bytearray(path.read_bytes())
    header = b"IHDR" + (40_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.png claims to have more than \d+ pixels"):
        read(path)


@pytest.mark.parametrize("mode", ["P", "L"])
def test_label_numbers_are_read_as_they_are_stored(tmp_path: Path, mode: str) -> None:
    labels = random_labels(6, 9)
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette(bytes(768))  # colours do not matter, even where all are black
    path = saved(image, tmp_path / "a.png")
    with Image.open(path) as stored:
        assert stored.mode == mode
    np.testing.assert_array_equal(read_label_image(path), labels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_bits_keep_their_label_numbers(tmp_path: Path, bits: int) -> None:
    labels = random_labels(4, 6) % 2**bits
    image = Image.fromarray(labels)
    image.putpalette(voc_colours().tobytes())
    np.testing.assert_array_equal(read_label_image(saved(image, tmp_path / "a.png", bits=bits)), labels)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (
            flat("RGB", (128, 0, 0)),
            r"colours where label numbers are expected \(mode RGB\): save it as an 8-bit palette",
        ),
        (flat("RGBA", (128, 0, 0, 255)), "colours where label numbers are expected"),
        (flat("LA", (1, 255)), "colours where label numbers are expected"),
        (flat("I;16", 1), "16-bit numbers where label numbers are expected"),
        (flat("1", 1), "black and white where label numbers are expected"),
    ],
)
def test_pictures_are_refused_where_labels_are_expected(tmp_path: Path, image: Image.Image, kind: str) -> None:
    path = saved(image, tmp_path / "a.png")
    with pytest.raises(DatasetError, match=rf"a\.png holds {kind}"):
        read_label_image(path)


def test_grey_levels_of_four_bits_are_refused_because_pillow_would_stretch_them(tmp_path: Path) -> None:
    header = b"IHDR" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([4, 0, 0, 0, 0])
    path = saved(Image.new("L", (2, 1)), tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.png holds grey levels of fewer than 8 bits"):
        read_label_image(path)


def test_a_jpeg_is_no_label_image_because_it_changes_numbers(tmp_path: Path) -> None:
    path = saved(flat("L", 1), tmp_path / "a.png", format="JPEG")
    with pytest.raises(DatasetError, match=r"a\.png is no PNG image"):
        read_label_image(path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    labels = random_labels(7, 4)
    write_label_image(labels, tmp_path / "new" / "a.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "new" / "a.png"), labels)


def test_a_written_label_image_shows_the_colours_of_voc(tmp_path: Path) -> None:
    write_label_image(np.array([[0, 1, 15], [20, 255, 2]], dtype=np.uint8), tmp_path / "a.png")
    black, maroon, pink = (0, 0, 0), (128, 0, 0), (192, 128, 128)
    blue, cream, green = (0, 64, 128), (224, 224, 192), (0, 128, 0)
    np.testing.assert_array_equal(read_photograph(tmp_path / "a.png"), [[black, maroon, pink], [blue, cream, green]])


def test_colours_take_every_third_bit_of_the_label_from_the_top() -> None:
    # 0b01_101_011: red has bits 0, 3, 6 = 1, 1, 1; green 1, 4, 7 = 1, 0, 0; blue 2, 5 = 0, 1
    assert voc_colours()[0b01_101_011].tolist() == [0b1110_0000, 0b1000_0000, 0b0100_0000]
    assert len({tuple(colour) for colour in voc_colours().tolist()}) == 256


def test_an_unwritable_place_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write the image .*a\.png"):
        write_label_image(np.zeros((2, 2), dtype=np.uint8), tmp_path / "file" / "a.png")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write the image .*a\.png"):
        write_label_image(np.zeros((2, 2), dtype=np.uint8), tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "file"]


def test_labels_without_a_pixel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels must have at least one pixel"):
        write_label_image(np.zeros((0, 4), dtype=np.uint8), tmp_path / "a.png")


def test_threads_can_read_at_the_same_time(tmp_path: Path) -> None:
    path = saved(Image.fromarray(random_labels(40, 40)), tmp_path / "a.png")
    sums: list[int] = []

    def read() -> None:
        sums.extend(int(read_label_image(path).sum()) for _ in range(50))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [int(random_labels(40, 40).sum())] * 200
