import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from fakes.networks import TINY_ENCODER_CONFIG
from safetensors.torch import save_file

from medwsss.config.schema import EncoderConfig
from medwsss.errors import ConfigError, WeightsError
from medwsss.models import encoder as encoder_module
from medwsss.models.encoder import Encoder


def tiny(**changes: object) -> Encoder:
    torch.manual_seed(0)
    return Encoder(TINY_ENCODER_CONFIG.model_copy(update=changes), image_size=32).eval()


def test_tokens_lie_on_a_grid_of_one_per_patch() -> None:
    features = tiny()(torch.rand(2, 3, 32, 48))
    assert features.tokens.shape == features.auxiliary.shape == (2, 24, 4, 6)


def test_images_that_are_no_multiple_of_the_patch_are_covered_by_the_nearest_grid() -> None:
    assert tiny()(torch.rand(1, 3, 30, 45)).tokens.shape == (1, 24, 4, 6)  # 30/8 = 3.75, 45/8 = 5.6


def test_tokens_are_those_of_the_transformer_itself() -> None:
    encoder, images = tiny(), torch.rand(2, 3, 32, 32)
    direct = encoder.vit.forward_features((images - encoder.mean) / encoder.std)
    torch.testing.assert_close(encoder(images).tokens.flatten(2).mT, direct[:, 1:])


def test_recording_attention_changes_no_token() -> None:
    encoder, images = tiny(), torch.rand(2, 3, 32, 32)
    features, _ = encoder.with_attention(images)
    torch.testing.assert_close(features.tokens, encoder(images).tokens)
    assert all(block.attn.fused_attn == tiny().vit.blocks[0].attn.fused_attn for block in encoder.vit.blocks)


def test_attention_is_the_mean_over_heads_and_chosen_blocks_with_rows_that_sum_to_one() -> None:
    encoder, images = tiny(affinity_blocks=(0,)), torch.rand(1, 3, 32, 32)
    _, attention = encoder.with_attention(images)
    block = encoder.vit.blocks[0]
    x = encoder.vit._pos_embed(encoder.vit.patch_embed((images - encoder.mean) / encoder.std))
    qkv = block.attn.qkv(block.norm1(x)).reshape(1, 17, 3, 2, 12).permute(2, 0, 3, 1, 4)
    by_hand = (qkv[0] @ qkv[1].mT / 12**0.5).softmax(dim=-1).mean(dim=1)[:, 1:, 1:]
    torch.testing.assert_close(attention, by_hand / by_hand.sum(dim=-1, keepdim=True))


def test_gradients_reach_the_encoder_through_the_attention() -> None:
    encoder = tiny()
    _, attention = encoder.with_attention(torch.rand(1, 3, 32, 32))
    attention[0, 0, 1].backward()
    assert encoder.vit.blocks[-1].attn.qkv.weight.grad.abs().sum() > 0


def test_a_convolutional_stem_gives_the_same_grid() -> None:
    config = TINY_ENCODER_CONFIG.model_copy(update={"stem": "convolutional"})
    encoder = Encoder(config, image_size=32)
    assert encoder.patch_size == 8
    assert encoder(torch.rand(1, 3, 32, 48)).tokens.shape == (1, 24, 4, 6)


def test_a_convolutional_stem_without_embed_dim_is_refused() -> None:
    with pytest.raises(ConfigError, match="embed_dim"):
        Encoder(EncoderConfig(pretrained=False, stem="convolutional"), image_size=32)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_replace_the_initialisation_and_its_checksum_is_told(tmp_path: Path, suffix: str) -> None:
    donor = tiny()
    for parameter in donor.parameters():
        torch.nn.init.normal_(parameter)
    path = tmp_path / f"weights{suffix}"
    state = donor.vit.state_dict()
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    loaded = tiny(weights=path)
    for name, tensor in loaded.vit.state_dict().items():
        torch.testing.assert_close(tensor, state[name])
    assert hashlib.sha256(path.read_bytes()).hexdigest() in loaded.weights_note


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(tiny().vit.state_dict(), path)
    config = TINY_ENCODER_CONFIG.model_copy(update={"weights": path})
    assert Encoder(config, image_size=64).vit.pos_embed.shape[1] == 8 * 8 + 1


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"something": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="does not fit"):
        tiny(weights=path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        tiny(weights=path)


class Trap:
    executed = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (Trap, "executed", True)


def test_a_pickle_that_would_execute_code_is_refused_unexecuted(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError):
        tiny(weights=path)
    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(WeightsError):
        tiny(weights=path)
    assert not Trap.executed


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pth"):
        tiny(weights=tmp_path / "nothing.pth")


def test_offline_the_hub_gives_advice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_hub_answers", lambda: False)
    monkeypatch.setattr(encoder_module, "_is_cached", lambda name: False)
    with pytest.raises(WeightsError, match=r"timm/vit_base_patch16_224.*--weights FILE"):
        Encoder(EncoderConfig(), image_size=224)


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="vit_nonsense"):
        Encoder(EncoderConfig(name="vit_nonsense", pretrained=False), image_size=32)


def test_an_encoder_of_another_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        Encoder(EncoderConfig(name="resnet18", pretrained=False), image_size=32)


def test_a_block_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="block -4"):
        tiny(auxiliary_block=-4)
