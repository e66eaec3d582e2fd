"""Files that cannot be trusted are refused in one line, at once and in little memory; odd but sound ones are read."""

import gzip
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medwsss.config.data import AugmentationConfig, GridConfig
from medwsss.data.transforms import TrainingTransform, channels_of, working_slices
from medwsss.errors import MedwsssWarning, VolumeError
from medwsss.volumes import Volume, load_label_volume, load_volume, save_volume
from medwsss.volumes.io import time_points
from medwsss.volumes.reassembly import reassemble
from medwsss.volumes.slicing import slices_of

ACDC_LIKE = np.diag([-1.5, -1.5, 10.0, 1.0])
SECONDS = 1.0
EXTRA_MIB = 200


def counted(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def nifti_bytes(array: np.ndarray) -> bytes:
    return bytes(nib.Nifti1Image(array, ACDC_LIKE).to_bytes())


def patched(offset: int, *values: float, kind: str, array: np.ndarray | None = None) -> bytes:
    """A small file with other numbers in its header."""
    raw = bytearray(nifti_bytes(counted(4, 3, 2) if array is None else array))
    content = np.array(values, dtype=kind).tobytes()
    raw[offset : offset + len(content)] = content
    return bytes(raw)


def shaped(*shape: int, array: np.ndarray | None = None) -> bytes:
    return patched(40, len(shape), *shape, kind="<i2", array=array)


def nifti_2(offset: int, *values: float, kind: str = "<i8") -> bytes:
    raw = bytearray(nib.Nifti2Image(counted(4, 3, 2), ACDC_LIKE).to_bytes())
    content = np.array(values, dtype=kind).tobytes()
    raw[offset : offset + len(content)] = content
    return bytes(raw)


@cache
def inflated(content: bytes, mib: int, *, missing: int = 0) -> bytes:
    """A small .gz of ``content`` and as many MiB of zeros, less some bytes."""
    packer = zlib.compressobj(level=1, wbits=31)
    parts = [packer.compress(content), *(packer.compress(bytes(1 << 20)) for _ in range(mib - 1))]
    return b"".join([*parts, packer.compress(bytes((1 << 20) - missing)), packer.flush()])


RGB = np.zeros((4, 3, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
RGBA = np.zeros((4, 3, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
WIDE = (1e200 * np.eye(4)[:3]).ravel()
BYTES = np.zeros((4, 3, 2), dtype=np.uint8)
NOISE = np.random.default_rng(0).normal(size=(16, 16, 4)).astype(np.float32)
MUCH_NOISE = np.random.default_rng(0).bytes(400_000)


def meta_image(size: str, voxels: bytes, *, compressed: bool = False) -> bytes:
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {size}", "ElementType = MET_UCHAR"]
    lines += ["CompressedData = True", f"CompressedDataSize = {len(voxels)}"] if compressed else []
    return "\n".join([*lines, "ElementDataFile = LOCAL\n"]).encode() + voxels


PACKED = meta_image("16 16 16", zlib.compress(NOISE.tobytes()), compressed=True)

MALFORMED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "two axes": ("a.nii", lambda: nifti_bytes(counted(4, 3)), "has shape"),
    "five axes": ("a.nii", lambda: nifti_bytes(counted(4, 3, 2, 2, 2)), "has shape"),
    "a vector image": ("a.nii", lambda: nifti_bytes(counted(4, 3, 2, 1, 3)), "has shape"),
    "no voxel": ("a.nii", lambda: shaped(0, 3, 2), "has shape"),
    "a negative length": ("a.nii", lambda: shaped(4, -3, 2), "has shape"),
    "a surface of no length": ("a.nii", lambda: shaped(-1, 1, 1), "damaged"),
    "complex voxels": ("a.nii", lambda: nifti_bytes(counted(4, 3, 2).astype(np.complex64)), "not real numbers"),
    "long complex voxels": ("a.nii", lambda: nifti_bytes(counted(4, 3, 2).astype(np.complex128)), "not real numbers"),
    "colours": ("a.nii", lambda: nifti_bytes(RGB), "not real numbers"),
    "colours and opacity": ("a.nii", lambda: nifti_bytes(RGBA), "not real numbers"),
    "unknown type": ("a.nii", lambda: patched(70, 77, kind="<i2"), "not real numbers"),
    "zero pixdim": ("a.nii", lambda: patched(80, 0.0, kind="<f4"), "pixdim"),
    "negative pixdim": ("a.nii", lambda: patched(84, -1.5, kind="<f4"), "pixdim"),
    "NaN pixdim": ("a.nii", lambda: patched(88, np.nan, kind="<f4"), "pixdim"),
    "infinite pixdim": ("a.nii", lambda: patched(88, np.inf, kind="<f4"), "pixdim"),
    "singular affine": ("a.nii", lambda: patched(280, *[0.0] * 12, kind="<f4"), "singular"),
    "infinite affine": ("a.nii", lambda: patched(292, np.inf, kind="<f4"), "singular or not finite"),
    "voxels of 10 km": ("a.nii", lambda: patched(280, 1e7, kind="<f4"), "beyond 1e-06 to 1e"),
    "voxels of an atom": ("a.nii", lambda: patched(280, 1e-7, kind="<f4"), "beyond 1e-06 to 1e"),
    "voxels on the moon": ("a.nii", lambda: patched(292, 4e11, kind="<f4"), "beyond 1e-06 to 1e"),
    "NIfTI-2, voxels whose squares overflow": ("a.nii", lambda: nifti_2(400, *WIDE, kind="<f8"), "lie beyond 1e-06"),
    "negative offset": ("a.nii", lambda: patched(108, -352.0, kind="<f4"), "vox_offset -352 must be 352 or more"),
    "offset 0": ("a.nii", lambda: patched(108, 0.0, kind="<f4"), "vox_offset 0 must"),
    "offset in the header": ("a.nii", lambda: patched(108, 348.0, kind="<f4"), "vox_offset 348 must"),
    "NaN offset": ("a.nii", lambda: patched(108, np.nan, kind="<f4"), "vox_offset nan must"),
    "infinite offset": ("a.nii", lambda: patched(108, np.inf, kind="<f4"), "vox_offset inf must"),
    "huge offset": ("a.nii", lambda: patched(108, 3e38, kind="<f4"), "claims"),
    "huge offset, gzip": ("a.nii.gz", lambda: gzip.compress(patched(108, 3e38, kind="<f4")), "claims"),
    "offset beyond the end": ("a.nii", lambda: patched(108, 464.0, kind="<f4"), "claims 560 bytes"),
    "offset beyond the end, gzip": ("a.nii.gz", lambda: gzip.compress(patched(108, 464.0, kind="<f4")), "claims 560"),
    "NIfTI-2, offset in the header": ("a.nii", lambda: nifti_2(168, 352), "vox_offset 352 must be 544 or more"),
    "NIfTI-2, negative offset": ("a.nii", lambda: nifti_2(168, -1), "vox_offset -1 must"),
    "truncated gzip": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE))[:-2000], "damaged"),
    "gzip cut in its header": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE))[:5], "damaged"),
    "gzip without its end": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE))[:-8], "damaged"),
    "damaged gzip": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE))[:-6] + b"123456", "damaged"),
    "gzip and text": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE)) + b"text", "damaged"),
    "truncated plain file": ("a.nii", lambda: nifti_bytes(NOISE)[:-1], "claims"),
    "truncated header": ("a.nii", lambda: nifti_bytes(NOISE)[:347], "not a NIfTI"),
    "truncated before compression": ("a.nii.gz", lambda: gzip.compress(nifti_bytes(NOISE)[:-1]), "claims"),
    "plain file named gz": ("a.nii.gz", lambda: nifti_bytes(NOISE), "damaged"),
    "gzip named plain": ("a.nii", lambda: gzip.compress(nifti_bytes(NOISE)), "not a NIfTI"),
    "no byte": ("a.nii", lambda: b"", "empty"),
    "no byte, gzip": ("a.nii.gz", lambda: b"", "empty"),
    "no byte inside gzip": ("a.nii.gz", lambda: gzip.compress(b""), "not a NIfTI"),
    "wrong magic": ("a.nii", lambda: patched(344, *b"nope", kind="u1"), "not a NIfTI"),
    "magic of a pair": ("a.nii", lambda: patched(344, *b"ni1\0", kind="u1"), "not a NIfTI"),
    "text": ("a.nii", lambda: b"<html>404</html>", "not a NIfTI"),
    "100 GB": ("a.nii", lambda: shaped(3000, 3000, 3000), "header claims 108000000352 bytes"),
    "100 GB, gzip": ("a.nii.gz", lambda: gzip.compress(shaped(3000, 3000, 3000)), "header claims 108000000352 bytes"),
    "100 TB": ("a.nii", lambda: shaped(30000, 30000, 30000), "claims"),
    "beyond 64 bits": ("a.nii", lambda: nifti_2(16, 3, 1 << 40, 1 << 40, 1 << 40), "claims"),
    "all that deflate can yield, of noise": (
        "a.nii.gz",
        lambda: gzip.compress(shaped(800, 800, 600, array=BYTES) + MUCH_NOISE),
        "header claims 384000352 bytes",
    ),
    "all that deflate can yield but a byte": (
        "a.nii.gz",
        lambda: inflated(shaped(1024, 1024, 64, array=BYTES)[:352], 64, missing=1),
        "header claims 67109216 bytes, the file has only 67109215",
    ),
    "a stream that goes on": ("a.nii.gz", lambda: inflated(nifti_bytes(BYTES), 256), "behind its voxels"),
    "a file that goes on": ("a.nii", lambda: nifti_bytes(BYTES) + bytes((1 << 20) + 1), "behind its voxels"),
    "no finite voxel": ("a.nii", lambda: nifti_bytes(np.full((4, 3, 2), np.nan)), "no voxel is finite"),
    "no voxel of any scanner": ("a.nii", lambda: nifti_bytes(np.full((4, 3, 2), 1e30)), "no voxel is finite and below"),
    "text as MetaImage": ("a.mha", lambda: b"<html>404</html>", "damaged"),
    "text as NRRD": ("a.nrrd", lambda: b"<html>404</html>", "damaged"),
    "huge MetaImage": ("a.mha", lambda: meta_image("30000 30000 30000", b""), "header claims 27000000000000 bytes"),
    "MetaImage of all that deflate can yield": (
        "a.mha",
        lambda: meta_image("800 800 600", MUCH_NOISE),
        "header claims 384000000 bytes, the file has only 400000",
    ),
    "MetaImage without voxels": (
        "a.mha",
        lambda: meta_image("8 8 8", b""),
        "header claims 512 bytes, the file has only 0",
    ),
    "truncated MetaImage": (
        "a.mha",
        lambda: meta_image("2 2 2", bytes(7)),
        "header claims 8 bytes, the file has only 7",
    ),
    "truncated MetaImage, compressed": ("a.mha", lambda: PACKED[:-2000], "header claims 4096 bytes"),
    "MetaImage without its end": ("a.mha", lambda: PACKED[:-2], "damaged"),
    "damaged MetaImage, compressed": ("a.mha", lambda: PACKED[:-6] + b"123456", "damaged"),
    "another suffix": ("a.png", lambda: b"\x89PNG", "unknown kind"),
}


def refusal(read: Callable[[Path], object], path: Path) -> str:
    start = time.perf_counter()
    with pytest.raises(VolumeError) as caught:
        read(path)
    assert time.perf_counter() - start < SECONDS
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.filterwarnings("ignore:.*the affine was believed:medwsss.errors.MedwsssWarning")
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_at_once_in_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    name, content, reason = MALFORMED[case]
    (tmp_path / name).write_bytes(content())
    assert reason in refusal(load_volume, tmp_path / name)
    refusal(load_label_volume, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


OF_THE_HEADER = ("has shape", "not real numbers", "not a NIfTI", "empty", "unknown kind")


@pytest.mark.parametrize("case", [case for case, (_, _, reason) in MALFORMED.items() if reason in OF_THE_HEADER])
def test_time_points_of_a_file_whose_header_is_malformed_are_refused(case: str, tmp_path: Path) -> None:
    name, content, reason = MALFORMED[case]
    (tmp_path / name).write_bytes(content())
    assert reason in refusal(time_points, tmp_path / name)


def test_time_points_of_a_surface_of_no_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(shaped(-1, 1, 1))
    assert "damaged" in refusal(time_points, tmp_path / "a.nii")


READ_ALL = """
import json, sys
from pathlib import Path
from medwsss.errors import VolumeError
from medwsss.volumes import load_label_volume, load_volume
from medwsss.volumes.io import time_points

def peak_mib():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

folder = Path(sys.argv[1])
for good in folder.glob("good*"):
    load_volume(good)
peaks = {"before": peak_mib()}
for path in sorted(folder.glob("bad/*/*")):
    for read in (load_volume, load_label_volume, time_points):
        try:
            read(path)
        except VolumeError:
            pass
    peaks[path.parent.name] = peak_mib()
print(json.dumps(peaks))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system does not tell the peak of memory")
def test_all_malformed_files_together_take_little_memory_and_print_nothing(tmp_path: Path) -> None:
    """In a process of their own, whose peak starts from what it needs for good files."""
    for case, (name, content, _) in MALFORMED.items():
        folder = tmp_path / "bad" / case
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content())
    save_volume(Volume(counted(4, 3, 2), (1.5, 1.5, 10.0), ACDC_LIKE), tmp_path / "good.nii.gz")
    (tmp_path / "good.mha").write_bytes(meta_image("2 2 2", bytes(range(8))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_ALL, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    peaks = json.loads(done.stdout)
    assert set(peaks) == {"before", *MALFORMED}
    assert max(peaks.values()) - peaks["before"] < EXTRA_MIB, peaks


# --- Odd, but sound --------------------------------------------------------------------------------------------------


def test_a_constant_volume_that_compresses_as_far_as_deflate_goes_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(inflated(shaped(256, 256, 16, array=BYTES)[:352], 1))
    assert (tmp_path / "a.nii.gz").stat().st_size < (1 << 20) / 200
    assert load_label_volume(tmp_path / "a.nii.gz").array.shape == (256, 256, 16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_up_to_a_mebibyte_behind_the_voxels_is_passed_over(name: str, tmp_path: Path) -> None:
    content = nifti_bytes(counted(4, 3, 2)) + bytes(1 << 20)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    np.testing.assert_array_equal(load_volume(tmp_path / name).array, counted(4, 3, 2))


@pytest.mark.parametrize(("stored", "kept"), [(-1, 0), (0, 0), (5, 5), (6, 1), (32767, 1)])
def test_a_form_code_outside_the_standard_is_kept_as_what_it_means(
    stored: int, kept: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.nii").write_bytes(patched(252, stored, 1, kind="<i2"))
    volume = load_volume(tmp_path / "a.nii")
    assert volume.form_codes == (kept, 1)
    save_volume(volume, tmp_path / "b.nii")
    np.testing.assert_allclose(load_volume(tmp_path / "b.nii").affine, ACDC_LIKE)
    assert capfd.readouterr() == ("", "")


def test_values_that_no_scanner_measures_count_as_not_finite(tmp_path: Path) -> None:
    array = counted(4, 3, 2)
    array[0, 0], array[3, 2, 1] = (3e38, -3e38), 9e14
    (tmp_path / "a.nii").write_bytes(nifti_bytes(array))
    with pytest.warns(MedwsssWarning, match=r"a\.nii: 2 of 24 voxels are NaN or infinite, or beyond 1e\+15"):
        loaded = load_volume(tmp_path / "a.nii").array
    assert loaded[0, 0].tolist() == [2.0, 2.0]
    assert loaded[3, 2, 1] == np.float32(9e14)


ODD: dict[str, np.ndarray] = {
    "one voxel": np.full((1, 1, 1), 7.0, np.float32),
    "a row": counted(5, 1, 1),
    "one slice": counted(5, 4, 1),
    "zeros": np.zeros((5, 4, 3), np.float32),
    "the largest values": np.where(counted(5, 4, 3) % 2 == 0, 9e14, -9e14).astype(np.float32),
    "the smallest values": (counted(5, 4, 3) * np.float32(1e-45)),
    "one bright voxel": np.where(counted(5, 4, 3) == 30, 9e14, counted(5, 4, 3) * 1e-38).astype(np.float32),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.filterwarnings("ignore:.*is constant:medwsss.errors.MedwsssWarning")
def test_odd_images_come_through_slicing_and_augmentation_finite_and_back(case: str, tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti_bytes(ODD[case])))
    volume = load_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(reassemble(slices_of(volume).array, like=volume).array, ODD[case])
    grid = GridConfig(crop=16, channels="neighbours")
    stack = working_slices(volume, grid)
    for index in range(len(stack)):
        image, _ = TrainingTransform(grid, AugmentationConfig())(channels_of(stack, index, grid), seed=3)
        assert image.shape == (3, 16, 16)
        assert image.isfinite().all()
    assert np.isfinite(stack).all()
    assert stack.min() >= 0.0
    assert stack.max() <= 1.0


@pytest.mark.parametrize("value", [0.0, 7.0, -3e5])
def test_a_constant_image_becomes_zeros_with_a_warning_that_names_it(value: float, tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(nifti_bytes(np.full((5, 4, 3), value, np.float32)))
    with pytest.warns(MedwsssWarning, match=r"a\.nii is constant: its slices become zeros"):
        stack = working_slices(load_volume(tmp_path / "a.nii"), GridConfig(), name=str(tmp_path / "a.nii"))
    assert not stack.any()


def test_slices_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """A header that counts in micrometres and does not say so."""
    volume = Volume(counted(200, 200, 2), (1500.0, 1500.0, 10000.0), np.diag([-1500.0, -1500.0, 10000.0, 1.0]))
    save_volume(volume, tmp_path / "a.nii")
    with pytest.raises(VolumeError, match=r"a\.nii: slices of 200 x 200 pixels become 200000 x 200000 at data\.grid"):
        working_slices(load_volume(tmp_path / "a.nii"), GridConfig(), name=str(tmp_path / "a.nii"))
