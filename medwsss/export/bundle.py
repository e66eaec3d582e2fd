"""A trained run as a MONAI bundle: metadata, inference configuration, weights, words and a licence in one folder.

The bundle runs with ``python -m monai.bundle run`` wherever medwsss is installed, and gives what ``medwsss predict``
gives. It holds no path, no patient and nothing of the training data.
"""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from medwsss.config.data import SplitConfig, VolumeDataConfig
from medwsss.config.loading import to_yaml
from medwsss.config.schema import RunConfig
from medwsss.config.segmenters import RetrainConfig, SeedsConfig
from medwsss.engine.run_folder import without_foreign_weights
from medwsss.errors import OutputError
from medwsss.labels import LabelSet
from medwsss.methods.method import Method
from medwsss.writing import written_whole

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
CONFIG, WEIGHTS = "configs/medwsss.yaml", "models/model.safetensors"
SIDE = 32
"""Sides of images are multiples of this where a network is tried with made-up data."""
_PACKAGES = ("medwsss", "timm", "nibabel", "scipy", "scikit-image", "pydantic")


def write_bundle(config: RunConfig, labels: LabelSet, method: Method, out: Path, *, about: Mapping[str, str]) -> None:
    """Write the bundle into ``out``, metadata last.

    Args:
        config: of a run on volumes.
        labels: its classes.
        method: trained.
        out: a folder that is not there or empty.
        about: what the README says of the training, such as method and data, without paths and patients.

    Raises:
        OutputError: ``out`` holds something or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already holds something: choose another --out")
    files = {
        CONFIG: to_yaml(portable(config)).encode(),
        WEIGHTS: save({name: tensor.cpu().contiguous() for name, tensor in method.state_dict().items()}),
        "configs/inference.json": _json(inference_json()),
        "docs/README.md": readme(labels, about).encode(),
        "LICENSE": _licence().encode(),
        "configs/metadata.json": _json(metadata_json(config, labels)),
    }
    for name, content in files.items():
        try:
            with written_whole(out / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise OutputError(f"cannot write {out / name}: {error.strerror}; choose another --out") from error


def portable(config: RunConfig) -> RunConfig:
    """The configuration without anything that lies on this machine; predictions do not depend on it."""
    assert isinstance(config.data, VolumeDataConfig)
    data = config.data.model_copy(update={"root": None, "tags": None, "cache_dir": None, "split": SplitConfig()})
    method = config.method
    if isinstance(method, RetrainConfig):
        method = method.model_copy(update={"pseudo": None})
    elif isinstance(method, SeedsConfig):
        method = method.model_copy(update={"seeds": None})
    cine = config.addons.cine.model_copy(update={"seeds": None})
    addons = config.addons.model_copy(update={"cine": cine})
    return without_foreign_weights(config.model_copy(update={"data": data, "method": method, "addons": addons}))


def inference_json() -> dict[str, Any]:
    """What ``monai.bundle run`` executes: each NIfTI file of ``dataset_dir`` becomes a label file in ``output_dir``."""
    return {
        "imports": ["$from medwsss.export.bundle_inference import segment_folder"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/labels'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "medwsss.export.bundle_inference.BundleNetwork",
            "config_file": f"$@bundle_root + '/{CONFIG}'",
            "weights_file": f"$@bundle_root + '/{WEIGHTS}'",
        },
        "network": "$@network_def.to(@device)",
        "run": ["$segment_folder(@network, @dataset_dir, @output_dir, @device)"],
    }


def metadata_json(config: RunConfig, labels: LabelSet) -> dict[str, Any]:
    """Metadata by MONAI's schema."""
    assert isinstance(config.data, VolumeDataConfig)
    classes = {"0": "background", **{str(label): name for label, name in enumerate(labels.names, start=1)}}
    shown = ", ".join(f"{code} {name}" for code, name in classes.items())
    image = {
        "type": "image",
        "spatial_shape": [f"{SIDE}*n", f"{SIDE}*n"],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
    }
    return {
        "schema": SCHEMA,
        "version": metadata.version("medwsss"),
        "changelog": {metadata.version("medwsss"): "as exported"},
        "monai_version": metadata.version("monai"),
        "pytorch_version": str(torch.__version__).split("+")[0],
        "numpy_version": metadata.version("numpy"),
        "required_packages_version": {name: metadata.version(name) for name in _PACKAGES},
        "task": f"Segmentation of short-axis cardiac MRI ({', '.join(labels.names)})",
        "description": f"Method {config.method.name} of medwsss, trained from image-level labels. Labels: {shown}.",
        "authors": "The users of medwsss who trained it",
        "copyright": "See LICENSE and docs/README.md",
        "intended_use": "Research. Not a medical device; not validated for diagnosis, treatment or clinical decisions.",
        "data_type": "nibabel",
        "image_classes": "one slice of a volume, grey levels of that volume scaled to [0, 1]",
        "pred_classes": shown,
        "network_data_format": {
            "inputs": {
                "image": {**image, "format": "magnitude", "modality": "MR", "num_channels": 3,
                          "channel_def": {str(channel): "slice" for channel in range(3)}}
            },
            "outputs": {
                "pred": {**image, "format": "segmentation", "num_channels": labels.num_classes, "channel_def": classes}
            },
        },
    }  # fmt: skip


def readme(labels: LabelSet, about: Mapping[str, str]) -> str:
    """What a stranger needs to run and judge the bundle."""
    lines = [
        f"# {', '.join(labels.names)} on short-axis cardiac MRI",
        "",
        "Trained with medwsss from image-level labels. Research software: not a medical device.",
        "",
        "```bash",
        "pip install medwsss fire",
        "python -m monai.bundle run --meta_file configs/metadata.json --config_file configs/inference.json \\",
        "    --dataset_dir IMAGES --output_dir LABELS     # from the folder of this bundle",
        "```",
        "",
        "IMAGES holds 3D or 4D NIfTI files; LABELS gets a label file of the same name and grid for each, and",
        "quality.csv, which says what to review first. The result equals that of `medwsss predict`.",
        "",
        *(f"- **{name}**: {value}" for name, value in about.items()),
        "",
        "LICENSE is that of the software. Whether the weights may be passed on depends on the licence of the images",
        "that they were trained on.",
    ]
    return "\n".join(lines) + "\n"


def _licence() -> str:
    distribution = metadata.distribution("medwsss")
    text = distribution.read_text("licenses/LICENSE") or distribution.read_text("LICENSE")
    if text is None:  # an installation that left the file out
        return f"{distribution.metadata['License-Expression'] or 'MIT'}\n"
    return text


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
