"""A run becomes a MONAI bundle that other people's MONAI runs, through the real command lines."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fakes.cine import write_beating_acdc
from fakes.command_line import medwsss, tiny_config_file
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

REQUIRED = {
    "schema": "string", "version": "string", "monai_version": "string", "pytorch_version": "string",
    "numpy_version": "string", "required_packages_version": "object", "task": "string", "description": "string",
    "authors": "string", "copyright": "string", "network_data_format": "object",
}  # fmt: skip
TENSOR = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
"""What MONAI's schema of 2024-07-25 asks for, of the whole and of each tensor; the schema itself is on a server."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    write_beating_acdc(folder / "acdc", patients=3)
    config = tiny_config_file(folder)
    answer = medwsss("train", "--root", folder / "acdc", "--config", config, "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    out = run.parent / "bundle"
    answer = medwsss("export", "bundle", run, "--out", out)
    assert answer.code == 0, answer.err
    return out


def test_the_bundle_has_what_monai_expects_and_nothing_of_this_machine(run: Path, bundle: Path) -> None:
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {
        "LICENSE", "docs/README.md", "configs/metadata.json", "configs/inference.json", "configs/medwsss.yaml",
        "models/model.safetensors",
    }  # fmt: skip
    texts = [(bundle / name).read_text() for name in files if not name.endswith("safetensors")]
    assert not any(str(run.parent) in text or "patient0" in text for text in texts)
    assert "MIT License" in (bundle / "LICENSE").read_text()


def test_monai_verifies_its_metadata_without_network(bundle: Path, tmp_path: Path) -> None:
    tensors = {"type": "object", "additionalProperties": {"type": "object", "required": list(TENSOR)}}
    ends = {"type": "object", "required": ["inputs", "outputs"], "properties": {"inputs": tensors, "outputs": tensors}}
    properties = {name: {"type": kind} for name, kind in REQUIRED.items()} | {"network_data_format": ends}
    content = json.dumps({"type": "object", "required": list(REQUIRED), "properties": properties})
    schema = tmp_path / "schema.json"  # lies where MONAI would have put the one that it fetches
    schema.write_text(content)
    verify_metadata(
        meta_file=str(bundle / "configs/metadata.json"),
        filepath=str(schema),
        hash_val=hashlib.sha256(content.encode()).hexdigest(),
        hash_type="sha256",
    )


def test_monai_verifies_input_and_output_of_its_network(bundle: Path) -> None:
    verify_net_in_out(
        "network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        n=2,
        device="cpu",
        bundle_root=str(bundle),
    )


def test_the_bundle_gives_what_predict_gives_voxel_for_voxel(run: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for frame in sorted((run.parent / "acdc").rglob("patient00[12]_frame01.nii.gz")):
        (tmp_path / "images" / frame.name).write_bytes(frame.read_bytes())
    assert medwsss("predict", run, tmp_path / "images", "--out", tmp_path / "ours", "--device", "cpu").code == 0
    command = [
        sys.executable, "-m", "monai.bundle", "run", "--meta_file", "configs/metadata.json",
        "--config_file", "configs/inference.json", "--dataset_dir", str(tmp_path / "images"),
        "--output_dir", str(tmp_path / "theirs"), "--device", "$torch.device('cpu')",
    ]  # fmt: skip
    answer = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    names = sorted(path.name for path in (tmp_path / "ours").glob("*.nii.gz"))
    assert names == sorted(path.name for path in (tmp_path / "theirs").glob("*.nii.gz"))
    assert len(names) == 2
    for name in names:
        ours, theirs = nib.load(tmp_path / "ours" / name), nib.load(tmp_path / "theirs" / name)
        np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))
        np.testing.assert_array_equal(ours.affine, theirs.affine)


def test_weights_of_another_network_are_refused_by_name(bundle: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs/inference.json"))
    parser["bundle_root"] = str(bundle)
    parser["network_def"]["weights_file"] = str(bundle / "LICENSE")
    with pytest.raises(RuntimeError) as failure:  # MONAI wraps what a component raises
        parser.get_parsed_content("network_def")
    assert "does not fit" in str(failure.value.__cause__)


def test_what_cannot_be_exported_is_one_line(run: Path, bundle: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((run, "--out", bundle), "already holds something"),
        ((tmp_path, "--out", tmp_path / "new"), "is not a run folder"),
        ((run, "--out", tmp_path / "new", "--checkpoint", "third"), "has no checkpoint 'third'"),
    ):
        answer = medwsss("export", "bundle", *arguments)
        assert answer.code == 2
        assert message in answer.err
        assert answer.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
