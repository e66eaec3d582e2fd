"""Files that somebody has made to do harm: nothing in them runs, no small file becomes a large one, and nothing outside
of the output folder changes.

More of the kind: ``tests/data/test_onehot_file.py`` (instructions of pickles one by one, and bombs of them),
``tests/end_to_end/test_bad_input.py`` (weights and runs), ``tests/end_to_end/test_bad_photographs.py`` (tables of tags,
XML and annotations), ``tests/data/test_image_files.py`` (damage in every place), ``tests/volumes/test_malformed.py``
(volumes).
"""

import json
import os
import pickle
import re
import resource
import shutil
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
import yaml
from fakes.acdc import fake_patients, write_acdc
from fakes.coco import write_coco
from fakes.command_line import Answer, is_refused, medwsss, tiny_config_file
from fakes.networks import TINY_ENCODER_CONFIG
from fakes.studies import write_image, write_table
from fakes.voc import write_voc
from safetensors.torch import save_file
from torch import nn

from medwsss.config.data import GridConfig
from medwsss.config.plain_yaml import plain_yaml
from medwsss.data.coco_annotations import read_annotations
from medwsss.data.discovery import find_images, write_example_table
from medwsss.data.image_labels import ImageLabels, read_tag_table, write_image_labels
from medwsss.data.name_lists import listed_names
from medwsss.data.onehot_file import read_onehot
from medwsss.data.records import read_record
from medwsss.data.sample import photograph_key
from medwsss.data.slice_cache import SliceCache
from medwsss.data.splits import read_split
from medwsss.data.study import Frame
from medwsss.engine.ablation import clear_stopped
from medwsss.engine.run_folder import RunFolder
from medwsss.errors import ConfigError, MedwsssError, WeightsError
from medwsss.export.bundle_inference import BundleNetwork
from medwsss.labels import LabelSet
from medwsss.models.encoder import VitEncoder
from medwsss.models.weights import load_weights
from medwsss.reports.panels import Panel, write_panels
from medwsss.writing import sole_writer, written_whole

CASE = "patient002_frame01"
MOST_SECONDS, MOST_BYTES = 2.0, 300_000_000
"""What it may cost to find out that a file is a bomb."""
DEEP = "[" * 100_000
ENDLESS = Path("/dev/zero")


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@dataclass(frozen=True)
class Scene:
    """A folder with everything that a command may read, its output folder, and files that are none of its business."""

    root: Path
    data: Path
    """A data set of four patients."""

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def scan(self) -> Path:
        return self.data / "training" / "patient002" / f"{CASE}.nii.gz"

    @property
    def victim(self) -> Path:
        return self.root / "victim.nii.gz"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def trap(self) -> Trap:
        return Trap(self.root / "ran")

    def outside(self) -> dict[str, object]:
        """What lies beside the output folder."""
        paths = (path for path in self.root.rglob("*") if path != self.out and self.out not in path.parents)
        return {str(path.relative_to(self.root)): _content(path) for path in paths}


def _content(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else "folder"


Act = Callable[[Scene], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a run on it that has a step to go."""
    folder = tmp_path_factory.mktemp("base")
    write_acdc(folder / "data", fake_patients(4))
    config = tiny_config_file(folder, training={"iterations": 1, "checkpoint_every": 1, "validate_every": 1})
    answer = medwsss("train", "--root", folder / "data", "--config", config, "--out", folder / "run")
    assert answer.code == 0, answer.err
    settings = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    settings["training"]["iterations"] = 2
    (folder / "run" / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture
def scene(base: Path, tmp_path: Path) -> Scene:
    root = tmp_path / "scene"
    shutil.copytree(base / "run", root / "run")
    (root / "victim.nii.gz").write_bytes(b"mine")
    (root / "album").mkdir()
    (root / "album" / "picture.png").write_bytes(b"mine")
    return Scene(root, base / "data")


def predict(scene: Scene, *options: object) -> Answer:
    return medwsss("predict", scene.run, scene.scan, "--out", scene.out, *options)


def resume(scene: Scene, *options: object) -> Answer:
    return medwsss("train", "--resume", scene.run, *options)


def evaluate(scene: Scene) -> Answer:
    return medwsss("evaluate", scene.root / "pred", scene.data, "--out", scene.out)


def train_with_weights(scene: Scene, name: str) -> Answer:
    config = tiny_config_file(scene.root)
    options = ("--config", config, "--weights", scene.root / name)
    return medwsss("train", "--root", scene.data, "--out", scene.out, *options)


def predictions(scene: Scene, record: object) -> Path:
    """A folder of predictions with this record."""
    folder = shutil.copytree(scene.run / "predictions", scene.root / "pred", dirs_exist_ok=True)
    (folder / "prediction.json").write_text(record if isinstance(record, str) else json.dumps(record))
    return Path(folder)


def pseudo_labels(scene: Scene, **changed: object) -> Path:
    """A folder of pseudo-labels whose record says something else."""
    record = {
        "dataset": "acdc", "task": "heart", "classes": ["heart"], "split_hash": None, "suffix": ".nii.gz",
        "names": [CASE], "provenance": {}, "left_out": {}, **changed,
    }  # fmt: skip
    (scene.root / "pred").mkdir()
    (scene.root / "pred" / "pseudo.json").write_text(json.dumps(record))
    return scene.root / "pred"


def settings(scene: Scene, change: Callable[[dict[str, Any]], object]) -> None:
    """Another configuration for the run."""
    path = scene.run / "config.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def encoder(scene: Scene, **changed: Any) -> None:
    settings(scene, lambda content: content["encoder"].update(changed))


def arguments(scene: Scene, **added: Any) -> None:
    settings(scene, lambda content: content["encoder"]["arguments"].update(added))


def checkpoint(scene: Scene) -> Path:
    return scene.run / "checkpoints" / "last.safetensors"


def state(scene: Scene, content: object) -> None:
    """Another state in the header of the checkpoint: text, or entries that change."""
    with safetensors.safe_open(checkpoint(scene), framework="pt") as stored:
        record = json.loads(stored.metadata()["state"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    text = content if isinstance(content, str) else json.dumps(record | content)  # type: ignore[operator]
    save_file(tensors, checkpoint(scene), metadata={"state": text})


def npy(header: str) -> bytes:
    """A .npy file that ends after its header."""
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n"


def safetensors_file(header: str, *, length: int | None = None, content: bytes = b"") -> bytes:
    size = len(header) if length is None else length
    return size.to_bytes(8, "little") + header.encode() + content


def png(width: int, height: int) -> bytes:
    """A PNG of these sides whose pixels are missing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sides) + pixels + chunk(b"IEND", b"")


def packed_weights(path: Path) -> None:
    """Two hundred megabytes of zeros in two hundred kilobytes."""
    torch.save({"weight": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as plain:
        content = {entry.filename: plain.read(entry) for entry in plain.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, stored in content.items():
            with packed.open(name, "w") as stream:
                stream.write(stored)
                for _ in range(200 if name.endswith("data/0") else 0):
                    stream.write(bytes(1_000_000))


def laughs(levels: int, *, indent: str = "") -> str:
    """Lists of nine aliases of the list before."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "".join(f"{indent}{line}\n" for line in lines)


# --- Code ------------------------------------------------------------------------------------------------------------


def with_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


def with_torch(path: Path, content: object) -> None:
    torch.save({"state_dict": content}, path)


CODE: dict[str, tuple[Act, Callable[[Scene], Answer], str]] = {
    "a pickle as weights": (
        lambda scene: with_pickle(scene.root / "w.pth", scene.trap),
        lambda scene: train_with_weights(scene, "w.pth"),
        "w.pth is refused",
    ),
    "torch's archive as weights": (
        lambda scene: with_torch(scene.root / "w.pt", scene.trap),
        lambda scene: train_with_weights(scene, "w.pt"),
        "w.pt is refused",
    ),
    "a pickle called safetensors": (
        lambda scene: with_pickle(scene.root / "w.safetensors", scene.trap),
        lambda scene: train_with_weights(scene, "w.safetensors"),
        "cannot read weights",
    ),
    "a pickle as checkpoint": (
        lambda scene: with_pickle(checkpoint(scene), scene.trap),
        predict,
        "last.safetensors is damaged or not a checkpoint",
    ),
    "torch's archive as checkpoint of a run that goes on": (
        lambda scene: with_torch(checkpoint(scene), scene.trap),
        resume,
        "last.safetensors is damaged or not a checkpoint",
    ),
    "a checkpoint that the configuration hands to timm": (
        lambda scene: (
            with_torch(scene.root / "w.pth", scene.trap),
            arguments(scene, checkpoint_path=str(scene.root / "w.pth")),
        ),
        predict,
        "arguments may not name checkpoint_path",
    ),
    "weights that the configuration hands to timm": (
        lambda scene: arguments(scene, pretrained_cfg={"file": str(scene.root / "w.pth")}),
        predict,
        "arguments may not name pretrained_cfg",
    ),
    "an encoder on somebody's page of the hub": (
        lambda scene: encoder(scene, name="hf-hub:somebody/something"),
        predict,
        "encoder.name",
    ),
    "an encoder in a folder": (
        lambda scene: encoder(scene, name=f"local-dir:{scene.root}"),
        predict,
        "encoder.name",
    ),
    "a tag of YAML in a run": (
        lambda scene: (scene.run / "config.yaml").write_text(f"!!python/object/apply:os.mkdir [{scene.trap.mark}]"),
        predict,
        "config.yaml is not valid YAML",
    ),
    "a tag of YAML within a run": (
        lambda scene: (scene.run / "config.yaml").write_text(
            f"training: {{seed: !!python/object/apply:os.mkdir [{scene.trap.mark}]}}"
        ),
        resume,
        "config.yaml is not valid YAML",
    ),
    "a tag of YAML on the command line": (
        lambda scene: None,
        lambda scene: medwsss(
            "train", "--out", scene.out, "--set", f"training.seed=!!python/object/apply:os.mkdir [{scene.trap.mark}]"
        ),
        "is not valid YAML",
    ),
    "a tag of YAML in a grid": (
        lambda scene: (scene.root / "g.yaml").write_text(f"title: !!python/object/new:os.mkdir [{scene.trap.mark}]"),
        lambda scene: medwsss("ablate", "--grid", scene.root / "g.yaml", "--root", scene.data, "--out", scene.out),
        "g.yaml is not valid YAML",
    ),
    "a pickle as split": (
        lambda scene: with_pickle(scene.run / "split.json", scene.trap),
        lambda scene: medwsss(
            "train", "--root", scene.data, "--out", scene.out, "--config", scene.run / "config.yaml",
            "--set", f"data.split.file={scene.run / 'split.json'}",
        ),
        "split.json is not JSON",
    ),
    "a pickle as table of tags": (
        lambda scene: with_pickle(scene.root / "tags.csv", scene.trap),
        lambda scene: predict(scene, "--tags", scene.root / "tags.csv"),
        "tags.csv is not UTF-8",
    ),
    "a pickle as record": (
        lambda scene: with_pickle(predictions(scene, {}) / "prediction.json", scene.trap),
        evaluate,
        "prediction.json is not a record",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CODE)
def test_code_in_a_file_is_not_run(scene: Scene, case: str) -> None:
    prepare, command, part = CODE[case]
    prepare(scene)
    before = scene.outside()
    answer = command(scene)
    before.setdefault("tiny.yaml", scene.outside().get("tiny.yaml"))
    is_refused(answer, part)
    assert not scene.trap.mark.exists()
    assert {key: value for key, value in before.items() if value is not None} == scene.outside()
    assert not scene.out.exists()


def test_the_traps_work_where_pickles_are_loaded(scene: Scene) -> None:
    pickle.loads(pickle.dumps(scene.trap))
    assert scene.trap.mark.is_dir()


def bundle(scene: Scene, **changed: object) -> tuple[str, str]:
    """Configuration and weights as they lie in a bundle; settings of the encoder may change."""
    content = yaml.safe_load((scene.run / "config.yaml").read_text())
    content["encoder"] |= changed
    (scene.root / "medwsss.yaml").write_text(yaml.safe_dump(content))
    return str(scene.root / "medwsss.yaml"), str(scene.root / "model.safetensors")


def test_a_pickle_in_a_bundle_is_refused(scene: Scene) -> None:
    config, weights = bundle(scene)
    for write in (with_pickle, with_torch):
        write(Path(weights), scene.trap)
        with pytest.raises(MedwsssError, match=r"model\.safetensors does not fit"):
            BundleNetwork(config, weights)
    assert not scene.trap.mark.exists()


def test_a_bundle_loads_no_file_but_its_own_and_fetches_nothing(scene: Scene) -> None:
    with_torch(scene.root / "w.pth", scene.trap)
    for changed in ({"weights": str(scene.root / "w.pth")}, {"pretrained": True}):
        with pytest.raises(MedwsssError, match=r"model\.safetensors does not fit"):  # it is missing
            BundleNetwork(*bundle(scene, **changed))
    assert not scene.trap.mark.exists()


def test_a_bundle_of_photographs_is_refused(scene: Scene) -> None:
    settings(scene, lambda content: content.update(data={"name": "voc"}))
    with pytest.raises(ConfigError, match="is not of a run on volumes"):
        BundleNetwork(*bundle(scene))


def archive(path: Path) -> None:
    with path.open("wb") as stream:  # given a path, numpy would add an ending
        np.savez(stream, a=np.zeros(3))


BAD_ENTRIES: dict[str, Callable[[Path], object]] = {
    "a pickle": lambda path: with_pickle(path, Trap(path.parent / "ran")),
    "an array of objects": lambda path: np.save(path, np.array([Trap(path.parent / "ran")]), allow_pickle=True),
    "an archive of arrays": lambda path: archive(path),
    "a damaged archive": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "a hundred gigabytes": lambda path: path.write_bytes(
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (25, 1000000000, 1)}")
    ),
    "a negative side": lambda path: path.write_bytes(
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 9, 9)}")
    ),
    "a side of 99 digits": lambda path: path.write_bytes(
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9' * 99}, 9, 9)}}")
    ),
    "a header of brackets": lambda path: path.write_bytes(npy("(" * 9000)),
    "a header of signs": lambda path: path.write_bytes(npy("-" * 9000 + "1")),
    "no slice": lambda path: np.save(path, np.zeros((0, 9, 9), np.float32)),
    "deep notes": lambda path: path.with_suffix(".json").write_text(DEEP),
    "notes of another kind": lambda path: path.with_suffix(".json").write_text('{"voxels": {}, "warned": "abc"}'),
}


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_a_hostile_entry_of_the_cache_is_built_again(scene: Scene, case: str) -> None:
    folder, frame = scene.root / "cache", Frame(scene.scan, 1)
    built = np.array(SliceCache(folder).stack(frame, GridConfig()))
    (entry,) = folder.glob("*.npy")
    BAD_ENTRIES[case](entry)
    np.testing.assert_array_equal(SliceCache(folder).stack(frame, GridConfig()), built)
    assert not (folder / "ran").exists()
    np.testing.assert_array_equal(np.load(entry, allow_pickle=False), built)


# --- Bombs -----------------------------------------------------------------------------------------------------------

WEIGHT = nn.Linear(3, 2)


def load(path: Path) -> str:
    return load_weights(WEIGHT, path, adapted=lambda weights: weights)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def annotations(path: Path, polygon: list[float]) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "height": 1500, "width": 65_535}
    outline = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [polygon]}
    return written(path, json.dumps({"images": [image], "annotations": [outline], "categories": []}))


def label_png(scene: Scene, content: bytes) -> Answer:
    """The evaluation of a photograph's labels."""
    voc = write_voc(scene.root / "voc", images=4)
    name = (voc / "ImageSets" / "Segmentation" / "val.txt").read_text().split()[0]
    (scene.root / "labels").mkdir()
    written(scene.root / "labels" / f"{name}.png", content)
    options = ("--dataset", "voc", "--list", "val", "--out", scene.out)
    return medwsss("evaluate", scene.root / "labels", voc, *options)


def photograph(scene: Scene, content: bytes) -> Answer:
    """The training on a photograph."""
    voc = write_voc(scene.root / "voc", images=4)
    for path in (voc / "JPEGImages").glob("*.jpg"):
        written(path, content)
    return medwsss("masks", voc, "--dataset", "voc", "--list", "val", "--out", scene.out)


def instances(scene: Scene, text: str) -> Answer:
    coco = write_coco(scene.root / "coco")
    written(coco / "annotations" / "instances_train2014.json", text)
    return medwsss("tags", coco, "--dataset", "coco", "--list", "train", "--out", scene.out)


BOMBS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "photograph of 3.6 gigapixels": (lambda scene: photograph(scene, png(60_000, 60_000)), "claims to have more than"),
    "label image of 3.6 gigapixels": (lambda scene: label_png(scene, png(60_000, 60_000)), "claims to have more than"),
    "label image of 169 megapixels": (lambda scene: label_png(scene, png(13_000, 13_000)), "claims to have more than"),
    "weights of a thousand to one": (
        lambda scene: (packed_weights(scene.root / "w.pth"), load(scene.root / "w.pth")),
        "w.pth is refused: it unpacks to 200",
    ),
    "weights that are a view of one number": (
        lambda scene: (
            torch.save(
                {"weight": torch.zeros(1).expand(2, 3), "bias": torch.zeros(1).expand(10**12)}, scene.root / "w"
            ),
            load(scene.root / "w"),
        ),
        "'bias' is no plain tensor",
    ),
    "weights of four terabytes": (
        lambda scene: load(
            written(
                scene.root / "w.safetensors",
                safetensors_file(
                    '{"weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
                ),
            )
        ),
        "cannot read weights",
    ),
    "weights whose size overflows": (
        lambda scene: load(
            written(
                scene.root / "w.safetensors",
                safetensors_file('{"weight":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
            )
        ),
        "cannot read weights",
    ),
    "weights that overlap": (
        lambda scene: load(
            written(
                scene.root / "w.safetensors",
                safetensors_file(
                    '{"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
                    '"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
                    content=bytes(24),
                ),
            )
        ),
        "cannot read weights",
    ),
    "a header of 8 exabytes": (
        lambda scene: (written(checkpoint(scene), safetensors_file("{}", length=2**63)), predict(scene))[1],
        "last.safetensors is damaged",
    ),
    "a header of 99 megabytes that are not there": (
        lambda scene: (written(checkpoint(scene), safetensors_file("{}", length=99_000_000)), predict(scene))[1],
        "last.safetensors is damaged",
    ),
    "a header of brackets": (
        lambda scene: (written(checkpoint(scene), safetensors_file(DEEP)), predict(scene))[1],
        "last.safetensors is damaged",
    ),
    "a deep state in a checkpoint": (
        lambda scene: (state(scene, DEEP), predict(scene))[1],
        "it is nested too deeply",
    ),
    "deep settings in a checkpoint": (
        lambda scene: (state(scene, {"settings": json.loads('{"a":' * 300 + "1" + "}" * 300)}), resume(scene))[1],
        "it is nested too deeply",
    ),
    "a deep prediction.json": (
        lambda scene: (predictions(scene, DEEP), evaluate(scene))[1],
        "prediction.json is not a record",
    ),
    "a deep pseudo.json": (
        lambda scene: (written(predictions(scene, {}) / "pseudo.json", DEEP), evaluate(scene))[1],
        "pseudo.json is damaged (it is nested too deeply)",
    ),
    "a deep pseudo.json to go on with": (
        lambda scene: (
            scene.out.mkdir(),
            written(scene.out / "pseudo.json", DEEP),
            medwsss("seeds", scene.data, "--out", scene.out, "--resume"),
        )[2],
        "pseudo.json is damaged",
    ),
    "a deep summary.json": (
        lambda scene: (
            written(scene.run / "report" / "summary.json", DEEP),
            medwsss("compare", scene.run, scene.run, "--out", scene.out),
        )[1],
        "is not a complete report (it is nested too deeply)",
    ),
    "a deep split": (lambda scene: read_split(written(scene.root / "s.json", DEEP)), "s.json is not JSON"),
    "a deep record": (lambda scene: read_record(written(scene.root / "r.json", DEEP)), "r.json is damaged"),
    "a deep annotation file": (lambda scene: instances(scene, DEEP), "instances_train2014.json is no JSON"),
    "polygons that cross an image again and again": (
        lambda scene: read_annotations(
            annotations(scene.root / "a.json", [corner for i in range(5000) for corner in (131_070 * (-1) ** i, i % 7)])
        ),
        "the polygons of image a are absurdly long",
    ),
    "aliases in a run": (
        lambda scene: (
            written(scene.run / "config.yaml", f"encoder:\n  arguments:\n{laughs(7, indent='    ')}"),
            predict(scene),
        )[1],
        "config.yaml is not valid YAML: its aliases multiply",
    ),
    "aliases in a grid": (
        lambda scene: medwsss(
            "ablate", "--grid", written(scene.root / "g.yaml", laughs(7)), "--root", scene.data, "--out", scene.out
        ),
        "g.yaml is not valid YAML: its aliases multiply",
    ),
    "an alias within itself": (
        lambda scene: (written(scene.run / "config.yaml", "encoder: &a {arguments: *a}"), predict(scene))[1],
        "config.yaml",
    ),
    "a .npy file of 100 GB": (
        lambda scene: read_onehot(
            written(scene.root / "t.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (100000000000,)}"))
        ),
        "t.npy holds an array of object",
    ),
    "a list that never ends": (lambda scene: listed_names(ENDLESS), "it is a pipe or a device"),
    "a record that never ends": (lambda scene: read_record(ENDLESS), "it is a pipe or a device"),
    "a split that never ends": (lambda scene: read_split(ENDLESS), "it is a pipe or a device"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_small_file_that_claims_to_be_large_is_refused_at_little_cost(scene: Scene, case: str) -> None:
    act, part = BOMBS[case]
    peak, started = _peak(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the test's own tensors
            answer = act(scene)
    except MedwsssError as error:
        answer = Answer(2, "", f"error: {error}")
    assert isinstance(answer, Answer), answer
    is_refused(answer, part)
    assert _peak() - peak < MOST_BYTES
    assert time.process_time() - started < MOST_SECONDS
    assert not scene.out.exists() or {path.name for path in scene.out.iterdir()} <= {"pseudo.json"}


def _peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("levels", [7, 12, 60])
def test_aliases_that_multiply_are_counted_and_not_written_out(levels: int) -> None:
    with pytest.raises(yaml.YAMLError, match="its aliases multiply to more than 100000 values"):
        plain_yaml(laughs(levels))


def test_yaml_with_a_few_aliases_is_read_as_ever() -> None:
    text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n"
    assert plain_yaml(text) == yaml.safe_load(text) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_that_are_not_stored_one_by_one_are_no_weights(tmp_path: Path, kind: str) -> None:
    place = torch.zeros(2, 1, dtype=torch.long)
    made = {
        "sparse": lambda: torch.sparse_coo_tensor(place, torch.ones(1), (2, 3), check_invariants=True),
        "meta": lambda: torch.zeros(2, 3, device="meta"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says how it checks them
        torch.save({"weight": made[kind](), "bias": torch.zeros(2)}, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match="'weight' is no plain tensor of numbers"):
            load(tmp_path / "w.pth")


BAD_STATES: dict[str, object] = {
    "a negative step": {"step": -5},
    "a score in words": {"best_score": "high"},
    "settings that are none": {"settings": 5},
    "a list": "[]",
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_checkpoint_whose_state_is_none_is_refused(scene: Scene, case: str) -> None:
    state(scene, BAD_STATES[case])
    is_refused(predict(scene), "last.safetensors is damaged or not a checkpoint")
    is_refused(resume(scene), "last.safetensors is damaged or not a checkpoint")


BAD_RECORDS: dict[str, object] = {
    "names": [["a"]],
    "classes": [1],
    "suffix": "/../../victim.nii.gz",
    "provenance": [],
    "left_out": {CASE: 5},
    "task": ["heart"],
}


@pytest.mark.parametrize("key", BAD_RECORDS)
def test_a_record_of_pseudo_labels_of_another_kind_is_named(scene: Scene, key: str) -> None:
    folder = pseudo_labels(scene, **{key: BAD_RECORDS[key]})
    is_refused(evaluate(scene), "pseudo.json is damaged")
    is_refused(medwsss("export", "nnunet", folder, "--root", scene.data, "--out", scene.out), "pseudo.json is damaged")


# --- Names -----------------------------------------------------------------------------------------------------------

PATHS = ("../x", "/abs/x", "a/../../x", "a\\..\\x", "a\0b", "..", ".hidden", "n" * 300)
"""Names that are no names of files."""


@pytest.mark.parametrize("name", PATHS)
def test_names_in_tables_lists_and_records_cannot_be_paths(scene: Scene, name: str) -> None:
    studies = scene.root / "studies"
    write_image(studies / "a.nii.gz")
    cell = f'"{name}"'
    for line in ({"patient": cell}, {"patient": "A1", "phase": cell}):
        write_table(studies / "studies.csv", [{"file": "a.nii.gz", "heart": 1, **line}])
        answer = medwsss("predict", scene.run, studies, "--out", scene.out)
        is_refused(answer, "studies.csv line 2", "cannot be part of a file name")
    write_table(studies / "studies.csv", [{"patient": "A1", "file": "a.nii.gz", cell: 1}])
    options = ("--config", scene.run / "config.yaml", "--dataset", "folder", "--out", scene.out)
    is_refused(medwsss("train", "--root", studies, *options), "studies.csv")
    pseudo_labels(scene, names=[name])
    is_refused(evaluate(scene), "pseudo.json is damaged")
    assert not scene.out.exists()


@pytest.mark.parametrize("name", ["..", ".hidden", "n" * 300, "a\0b"])
def test_a_line_of_a_list_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MedwsssError, match=r"list\.txt line 1"):
        listed_names(written(tmp_path / "list.txt", f"{name}\n"))


@pytest.mark.parametrize("name", PATHS[:3])
def test_of_a_path_in_a_list_or_in_annotations_the_name_alone_counts(tmp_path: Path, name: str) -> None:
    assert listed_names(written(tmp_path / "list.txt", f"{name}.jpg\n")) == ("x",)
    image = {"id": 1, "file_name": f"{name}.jpg", "height": 9, "width": 9}
    path = written(tmp_path / "a.json", json.dumps({"images": [image], "annotations": [], "categories": []}))
    assert list(read_annotations(path)) == ["x"]


@pytest.mark.parametrize("name", PATHS)
def test_a_class_of_a_run_cannot_be_a_path(scene: Scene, name: str) -> None:
    settings(scene, lambda content: content.update(data={"name": "folder", "classes": [name]}))
    before = scene.outside()
    is_refused(predict(scene, "--save", "probabilities"), "config.yaml", "cannot be part of a file name")
    assert scene.outside() == before


@pytest.mark.parametrize("name", ["../../victim", "/../../../victim"])
def test_classes_of_an_old_record_remove_nothing_outside(scene: Scene, name: str) -> None:
    (scene.out / "probabilities" / f"{CASE}_").mkdir(parents=True)
    (scene.out / "prediction.json").write_text(json.dumps({"classes": [name], "cases": []}))
    before = scene.outside()
    answer = predict(scene, "--overwrite", "--save", "probabilities")
    assert answer.code == 0, answer.err
    assert scene.outside() == before


def test_recorded_classes_that_are_paths_are_no_classes(scene: Scene) -> None:
    predictions(scene, {"task": "own", "classes": ["/../../victim"]})
    is_refused(evaluate(scene), "prediction.json is not a record")


NAMES = ("<img src=x onerror=alert(1)>", "$^{$", "=1+1", "@SUM(1)", "\x1b[31mred", 'a"b|c')


def test_names_of_files_and_classes_do_nothing_in_reports(scene: Scene) -> None:
    """``$^{$`` is a broken formula to matplotlib, the others are markup, formulas and signs that steer terminals."""
    folder, truth = scene.root / "pred", scene.root / "truth"
    folder.mkdir()
    truth.mkdir()
    label = next((scene.run / "predictions").glob("*.nii.gz"))
    for name in NAMES:
        for place in (folder, truth):
            shutil.copy(label, place / f"{name}.nii.gz")
    shutil.copy(label, folder / f"{NAMES[0]}2.nii.gz")  # alone: it is listed
    (folder / "prediction.json").write_text(json.dumps({"task": "own", "classes": ["$^{$"]}))
    for command in (("evaluate", folder, truth), ("report", folder)):
        answer = medwsss(*command, "--out", scene.out)
        assert answer.code == 0, answer.err
        assert "<img src=x" not in (scene.out / "report.html").read_text()
        assert "<img src=x" not in (scene.out / "report.md").read_text()
        cells = [cell for table in scene.out.glob("*.csv") for cell in table.read_text().replace("\n", ",").split(",")]
        assert [cell for cell in cells if cell.startswith(("=", "@"))] == []
        shutil.rmtree(scene.out)


def test_names_in_the_pictures_of_a_run_are_no_formulas(tmp_path: Path) -> None:
    image, flat = np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.float32)
    labels = np.zeros((4, 4), np.int64)
    write_panels([Panel("$^{$ ED", image, flat, flat, labels, labels)], tmp_path / "step.png")
    assert (tmp_path / "step.png").is_file()


def test_tables_that_are_written_hold_no_formulas(tmp_path: Path) -> None:
    tags = ImageLabels(("heart",), {photograph_key(name): (1,) for name in ("=1+1", "@x", "-a", "plain")})
    write_image_labels(tags, tmp_path / "tags.csv")
    lines = (tmp_path / "tags.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == ["'=1+1", "'@x", "'-a", "plain"]
    assert read_tag_table(tmp_path / "tags.csv", LabelSet("heart", ("heart",))) == tags
    write_image(tmp_path / "=1+1.nii.gz")
    write_example_table(find_images(tmp_path), ["heart"], tmp_path / "studies.csv")
    assert "P001,./=1+1.nii.gz" in (tmp_path / "studies.csv").read_text()


def test_names_do_not_steer_the_terminal(scene: Scene) -> None:
    scan = scene.root / "\x1b[2J\x1b]0;title\x07.nii.gz"
    scan.write_bytes(b"no volume")
    answer = medwsss("predict", scene.run, scan, "--out", scene.out)
    is_refused(answer, "\\x1b[2J\\x1b]0;title\\x07.nii.gz")
    assert answer.err.replace("\n", "").isprintable()


# --- Links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [f"{CASE}.nii.gz", f"probabilities/{CASE}_heart.nii.gz", "quality.csv", "prediction.json"]
)
def test_a_link_in_the_output_folder_is_replaced_and_not_followed(scene: Scene, name: str) -> None:
    link = scene.out / name
    link.parent.mkdir(parents=True)
    link.symlink_to(scene.victim)
    before = scene.outside()
    answer = predict(scene, "--overwrite", "--save", "probabilities")
    assert answer.code == 0, answer.err
    assert link.is_file()
    assert not link.is_symlink()
    assert scene.outside() == before


def test_a_link_in_place_of_a_temporary_file_is_not_followed(scene: Scene) -> None:
    scene.out.mkdir()
    (scene.out / f".file.{os.getpid()}.tmp").symlink_to(scene.victim)
    with written_whole(scene.out / "file") as temporary:
        temporary.write_text("result")
    assert (scene.out / "file").read_text() == "result"
    assert scene.victim.read_bytes() == b"mine"


@pytest.mark.parametrize("made", ["link", "link to nowhere", "file"])
def test_a_lock_that_somebody_else_made_is_neither_followed_nor_emptied(scene: Scene, made: str) -> None:
    scene.out.mkdir()
    lock = scene.out / ".lock"
    if made == "file":
        lock.write_bytes(b"mine")
    else:
        lock.symlink_to(scene.victim if made == "link" else scene.root / "new")
    before = scene.outside()
    with pytest.raises(MedwsssError, match=r"\.lock is no lock of medwsss"), sole_writer(scene.out):
        pass
    assert scene.outside() == before
    assert lock.is_symlink() or lock.read_bytes() == b"mine"


def test_a_run_that_goes_on_writes_through_none_of_its_links(scene: Scene) -> None:
    """The run folder is the output: all its files lead elsewhere, or to files that are not there yet."""
    elsewhere = scene.root / "elsewhere"
    for path in [path for path in scene.run.rglob("*") if path.is_file() and path.parent.name != "tensorboard"]:
        target = elsewhere / path.relative_to(scene.run)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        path.symlink_to(target)
    for name in ("changes.json", "pictures/step-000002.png", "report/dice.png"):
        (scene.run / name).unlink(missing_ok=True)
        (scene.run / name).parent.mkdir(exist_ok=True)
        (scene.run / name).symlink_to(elsewhere / f"new-{Path(name).name}")
    (scene.run / "validation.csv").unlink()
    (scene.run / "validation.csv").symlink_to(elsewhere / "new.csv")
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    answer = resume(scene, "--accept-changes")
    assert answer.code == 0, answer.err
    assert {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()} == before
    assert scene.victim.read_bytes() == b"mine"


def test_clearing_a_stopped_run_follows_no_link(scene: Scene) -> None:
    for name in ("pictures", "tensorboard", "checkpoints"):
        shutil.rmtree(scene.run / name, ignore_errors=True)
        (scene.run / name).symlink_to(scene.root / "album")
    clear_stopped(RunFolder(scene.run))
    assert (scene.root / "album" / "picture.png").read_bytes() == b"mine"


def test_a_link_in_the_data_is_read(scene: Scene) -> None:
    """Data folders are often linked together; nothing is written into them."""
    folder = scene.root / "linked"
    folder.mkdir()
    (folder / "scan.nii.gz").symlink_to(scene.scan)
    (folder / "loop").symlink_to(folder)
    before = scene.outside()
    answer = medwsss("predict", scene.run, folder, "--out", scene.out)
    assert answer.code == 0, answer.err
    assert (scene.out / "scan.nii.gz").is_file()
    assert scene.outside() == before


def test_a_pipe_among_the_data_keeps_no_command_waiting(scene: Scene) -> None:
    folder = scene.root / "piped"
    folder.mkdir()
    shutil.copy(scene.scan, folder / "scan.nii.gz")
    os.mkfifo(folder / "pipe.nii.gz")
    os.mkfifo(folder / "pipe.dcm")
    answer = medwsss("predict", scene.run, folder, "--out", scene.out)
    is_refused(answer, "pipe.nii.gz: no such file")
    assert (scene.out / "scan.nii.gz").is_file()


def test_what_no_run_needs_is_not_fetched_when_the_hub_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE=1 not even an address is asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("medwsss.models.hub.is_cached", lambda repository: False)
    config = TINY_ENCODER_CONFIG.model_copy(update={"pretrained": True})
    with pytest.raises(WeightsError, match="cannot fetch pretrained weights"):
        VitEncoder(config, image_size=32)


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    checkout = Path(__file__).resolve().parents[2]
    page = (checkout / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}" in (checkout / file).read_text(encoding="utf-8"), f"{file}::{test}"
