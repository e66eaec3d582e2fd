"""Questions to the hub that timm fetches pretrained weights from, asked before timm waits for an answer."""

import os
import socket
import urllib.parse
import urllib.request

import huggingface_hub
import huggingface_hub.constants

_FILE = "model.safetensors"


def is_cached(repository: str) -> bool:
    """Whether the weights lie in the cache of an earlier run."""
    return isinstance(huggingface_hub.try_to_load_from_cache(repository, _FILE), str)


def answers() -> bool:
    """Whether asking makes sense: without this, the client of the hub retries for most of a minute when offline.

    With ``HF_HUB_OFFLINE=1`` nothing is asked, not even for an address.
    """
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(_endpoint()).hostname, 443)
    except OSError:
        return False
    return True


def advice(encoder: str, repository: str) -> str:
    """What to fetch by hand, how to check it and where to pass it."""
    place = f"{_endpoint()}/{repository}"
    return (
        f"cannot fetch pretrained weights of '{encoder}' from the hub; where there is a network, download"
        f" {place}/resolve/main/{_FILE} and pass it with --weights FILE (its SHA-256 is at {place}/blob/main/{_FILE},"
        " --set encoder.sha256=… compares it), or train without: --set encoder.pretrained=false"
    )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
