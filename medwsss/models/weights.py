"""Weights of a network from a local file."""

import hashlib
import reprlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from medwsss.errors import WeightsError

State = dict[str, Tensor]
"""Tensors by name."""
_ORIGIN = "medwsss"
"""Entry of a file's header that says what made it."""


def load_weights(
    network: nn.Module, path: Path, *, adapted: Callable[[State], State], sha256: str | None = None
) -> str:
    """Load weights from a local file; returns one line with its SHA-256 for the log and the run folder.

    Args:
        network: takes every tensor that it has a name for; the counters of batch normalisation may be missing.
        path: .safetensors or .pth file.
        adapted: turns the tensors of the file into those of the network, such as position embeddings of another size.
        sha256: checksum of the only file to take; None takes any.

    Raises:
        WeightsError: the file is missing, unreadable, not the one with that checksum, holds code instead of tensors, or
            fits another network.
    """
    checksum = _checksum(path, expected=sha256)
    try:
        state = adapted(_read_state(path))
    except (RuntimeError, ValueError, IndexError, KeyError, AttributeError):  # reshaping by name, before comparing
        raise WeightsError(
            f"{path} does not fit this encoder: choose the encoder's name, stem and arguments that it was made with"
        ) from None
    own = network.state_dict()
    missing = sorted(name for name in set(own) - set(state) if not name.endswith("num_batches_tracked"))
    misfits = sorted(name for name in set(own) & set(state) if own[name].shape != state[name].shape)
    if missing or misfits:
        example = (missing or misfits)[0]
        raise WeightsError(
            f"{path} does not fit this encoder: {len(missing)} tensors missing, {len(misfits)} of another shape"
            f" (first: {example}); choose the encoder's name, stem and arguments that it was made with"
        )
    network.load_state_dict(own | {name: tensor for name, tensor in state.items() if name in own})
    return f"weights: {path.name}, sha256 {checksum}{_origin(path)}"


def save_weights(network: nn.Module, path: Path, *, origin: str) -> None:
    """Store weights so that ``load_weights`` takes them, and tells ``origin`` in its line.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    path.write_bytes(safetensors.torch.save(tensors, metadata={_ORIGIN: origin}))


def _checksum(path: Path, *, expected: str | None) -> str:
    wanted = f" with SHA-256 {expected}" if expected else ""
    if not path.is_file():
        raise WeightsError(
            f"no weights file at {path}: fetch the file{wanted} to that place, or pass another --weights"
        )
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror}") from None
    if expected not in (None, found):
        raise WeightsError(f"{path} has SHA-256 {found} but encoder.sha256 says {expected}: fetch the file again")
    return found


def _origin(path: Path) -> str:
    """What a file of ours says about itself."""
    if path.suffix != ".safetensors":
        return ""
    with safetensors.safe_open(path, framework="pt") as stored:
        metadata = stored.metadata() or {}
    return f", made by {' '.join(metadata[_ORIGIN].split())}" if _ORIGIN in metadata else ""


def _read_state(path: Path) -> State:
    _check_not_packed(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200] or "it ends too early"
        raise WeightsError(f"cannot read weights {path}: {reason}; fetch the file again") from None
    except Exception:  # unpickling refuses foreign code with several exception types, and advice that is not ours
        raise WeightsError(f"{path} is refused: it holds more than tensors, perhaps code; pass .safetensors") from None
    for key in ("state_dict", "model"):
        loaded = loaded.get(key, loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in loaded.items()):
        raise WeightsError(f"{path} holds no table of tensors by name: pass the state dict of an encoder")
    size = path.stat().st_size
    odd = next((name for name, tensor in loaded.items() if not _is_plain(tensor, size)), None)
    if odd is not None:
        raise WeightsError(f"{path} is refused: {reprlib.repr(odd)} is no plain tensor of numbers; pass .safetensors")
    return loaded


def _check_not_packed(path: Path) -> None:
    """torch stores tensors as they are, but unpacks an archive that is a thousand times smaller than its content."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            content = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise WeightsError(f"cannot read weights {path}: it is a damaged archive; fetch the file again") from None
    if content > path.stat().st_size:
        raise WeightsError(f"{path} is refused: it unpacks to {content} bytes, torch packs nothing; pass .safetensors")


def _is_plain(tensor: Tensor, file_size: int) -> bool:
    """Whether its numbers are stored one by one: a view of one number can claim any size."""
    stored = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return stored and not (tensor.is_quantized or tensor.is_nested) and tensor.nbytes <= file_size
