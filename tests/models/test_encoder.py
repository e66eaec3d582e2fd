import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from fakes.networks import TINY_ENCODER_CONFIG
from safetensors.torch import save_file

from medwsss.config.encoder import EncoderConfig
from medwsss.errors import ConfigError, WeightsError
from medwsss.models import hub
from medwsss.models.encoder import CnnEncoder, VitEncoder, build_encoder, has_attention
from medwsss.models.weights import save_weights


def tiny(**changes: object) -> VitEncoder:
    torch.manual_seed(0)
    return VitEncoder(TINY_ENCODER_CONFIG.model_copy(update=changes), image_size=32).eval()


def tiny_cnn(*, drop_path_rate: float = 0.0, **changes: object) -> CnnEncoder:
    torch.manual_seed(0)
    arguments = {"layers": [2, 1, 1, 1], "channels": [8, 8, 8, 24], "stem_width": 8, "drop_path_rate": drop_path_rate}
    config = EncoderConfig(name="resnet18", pretrained=False, arguments=arguments).model_copy(update=changes)
    return CnnEncoder(config, image_size=64).eval()


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
    encoder = VitEncoder(config, image_size=32)
    assert encoder.patch_size == 8
    assert encoder(torch.rand(1, 3, 32, 48)).tokens.shape == (1, 24, 4, 6)


def test_a_convolutional_stem_without_embed_dim_is_refused() -> None:
    with pytest.raises(ConfigError, match="embed_dim"):
        VitEncoder(EncoderConfig(pretrained=False, stem="convolutional"), image_size=32)


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
    assert VitEncoder(config, image_size=64).vit.pos_embed.shape[1] == 8 * 8 + 1


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


def test_only_the_file_with_the_expected_checksum_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(tiny().vit.state_dict(), path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert tiny(weights=path, sha256=checksum).weights_note == f"weights: weights.safetensors, sha256 {checksum}"
    with pytest.raises(WeightsError, match=f"has SHA-256 {checksum} but encoder.sha256 says {64 * '0'}"):
        tiny(weights=path, sha256=64 * "0")
    path.unlink()
    with pytest.raises(WeightsError, match=f"weights.safetensors: fetch the file with SHA-256 {checksum}"):
        tiny(weights=path, sha256=checksum)


def test_offline_the_hub_gives_advice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "answers", lambda: False)
    monkeypatch.setattr(hub, "is_cached", lambda repository: False)
    with pytest.raises(WeightsError, match=r"timm/vit_base_patch16_224.*--weights FILE.*SHA-256"):
        VitEncoder(EncoderConfig(), image_size=224)


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="vit_nonsense"):
        VitEncoder(EncoderConfig(name="vit_nonsense", pretrained=False), image_size=32)


def test_an_encoder_of_another_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        VitEncoder(EncoderConfig(name="resnet18", pretrained=False), image_size=32)


def test_a_block_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="block -4"):
        tiny(auxiliary_block=-4)


def test_the_name_decides_which_encoder_is_built() -> None:
    assert isinstance(build_encoder(TINY_ENCODER_CONFIG, image_size=32), VitEncoder)
    assert isinstance(build_encoder(EncoderConfig(name="resnet18", pretrained=False), image_size=64), CnnEncoder)
    names = ("vit_base_patch16_224.augreg_in21k", "deit_small_patch16_224", "resnet50.a1_in1k", "convnext_tiny")
    assert [has_attention(EncoderConfig(name=name)) for name in names] == [True, True, False, False]


def test_the_tokens_of_a_cnn_are_the_positions_of_its_final_map() -> None:
    encoder, images = tiny_cnn(), torch.rand(2, 3, 64, 96)
    features = encoder(images)
    assert features.tokens.shape == features.auxiliary.shape == (2, encoder.dim, 2, 3) == (2, 24, 2, 3)
    direct = encoder.cnn.forward_features((images - encoder.mean) / encoder.std)
    torch.testing.assert_close(features.tokens, direct)


def test_the_layers_of_a_cnn_see_images_channels_last() -> None:
    encoder, layouts = tiny_cnn(), list[bool]()
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(
                lambda _, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
            )
    encoder(torch.rand(2, 3, 64, 96))
    assert layouts
    assert all(layouts)


def test_images_that_are_no_multiple_of_the_stride_are_covered_by_the_nearest_grid() -> None:
    assert tiny_cnn()(torch.rand(1, 3, 60, 110)).tokens.shape == (1, 24, 2, 3)  # 60/32 = 1.9, 110/32 = 3.4


def test_a_cnn_can_be_dilated_to_a_finer_grid() -> None:
    config = EncoderConfig(name="resnet18", pretrained=False, arguments={"output_stride": 16})
    encoder = build_encoder(config, image_size=32)
    assert encoder.patch_size == 16
    assert encoder(torch.rand(1, 3, 32, 32)).tokens.shape == (1, 512, 2, 2)


def test_building_a_cnn_changes_no_batch_statistic() -> None:
    assert tiny_cnn().cnn.bn1.running_mean.abs().sum() == 0


def test_tokens_of_a_cnn_in_bfloat16_are_handed_on_in_single_precision() -> None:
    assert tiny_cnn(precision="bfloat16")(torch.rand(1, 3, 64, 64)).tokens.dtype == torch.float32


def test_weights_of_a_cnn_may_lack_the_counters_of_batch_normalisation(tmp_path: Path) -> None:
    donor, path = tiny_cnn(), tmp_path / "weights.pth"
    for parameter in donor.parameters():
        torch.nn.init.normal_(parameter)
    state = {name: tensor for name, tensor in donor.cnn.state_dict().items() if not name.endswith("_tracked")}
    torch.save(state | {"fc.weight": torch.zeros(1000, 24)}, path)
    loaded = tiny_cnn(weights=path)
    torch.testing.assert_close(loaded.cnn.layer4.state_dict(), donor.cnn.layer4.state_dict())
    assert hashlib.sha256(path.read_bytes()).hexdigest() in loaded.weights_note


def test_weights_of_a_transformer_do_not_fit_a_cnn(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(tiny().vit.state_dict(), path)
    with pytest.raises(WeightsError, match=r"does not fit this encoder: .* tensors missing"):
        tiny_cnn(weights=path)


def test_a_transformer_of_another_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="swin_tiny_patch4_window7_224' is neither"):
        build_encoder(EncoderConfig(name="swin_tiny_patch4_window7_224", pretrained=False), image_size=224)


def test_a_cnn_with_a_convolutional_stem_or_a_crop_below_its_stride_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stem=convolutional is for vision transformers"):
        tiny_cnn(stem="convolutional")
    with pytest.raises(ConfigError, match="less than one patch of 32"):
        CnnEncoder(EncoderConfig(name="resnet18", pretrained=False), image_size=24)


def test_drop_path_grows_with_depth_to_the_rate_that_is_set() -> None:
    arguments = {**TINY_ENCODER_CONFIG.arguments, "drop_path_rate": 0.15}  # three blocks: 0, 0.075, 0.15
    encoder = tiny(arguments=arguments)
    for rate in (0.0, 0.1):  # twice: the share of a block outlives a rate of 0
        encoder.set_adjustment(drop_path=rate, dropout=0.0)
    rates = [block.drop_path2.drop_prob for block in encoder.vit.blocks[1:]]
    assert rates == pytest.approx([0.05, 0.1])


def test_dropout_reaches_tokens_and_leaves_attention_weights_alone() -> None:
    encoder = tiny()
    encoder.set_adjustment(drop_path=0.0, dropout=0.01)
    block = encoder.vit.blocks[0]
    rates = [layer.p for layer in (encoder.vit.pos_drop, block.attn.proj_drop, block.mlp.drop1, block.mlp.drop2)]
    assert rates == [0.01] * 4
    assert block.attn.attn_drop.p == 0


def test_a_cnn_drops_paths_and_entries_of_its_final_map_while_it_trains() -> None:
    encoder, images = tiny_cnn(drop_path_rate=0.2), torch.rand(2, 3, 64, 64)
    encoder.set_adjustment(drop_path=0.1, dropout=0.5)
    assert encoder.cnn.layer4[0].drop_path.drop_prob == pytest.approx(0.1)
    torch.testing.assert_close(encoder(images).tokens, encoder(images).tokens)
    encoder.train()
    first, second = (encoder(images).tokens == 0 for _ in range(2))
    assert not torch.equal(first, second)


def test_drop_path_without_layers_for_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="encoder resnet18 was built without drop-path layers"):
        tiny_cnn().set_adjustment(drop_path=0.1, dropout=0.0)


HALF = torch.tensor([[[True, False, True, False]] * 4])


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_no_hidden_pixel_is_seen(stem: str) -> None:
    encoder, images, token = tiny(stem=stem), torch.rand(1, 3, 32, 32), torch.rand(24)
    changed = torch.where(HALF.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None], 0.9, images)
    assert not torch.equal(encoder(images).tokens, encoder(changed).tokens)
    assert torch.equal(encoder.masked_tokens(images, HALF, token), encoder.masked_tokens(changed, HALF, token))


def test_behind_a_linear_embedding_hidden_patches_become_one_learned_token() -> None:
    encoder, images, token = tiny(), torch.rand(1, 3, 32, 32), torch.rand(24)
    embeddings = encoder.vit.patch_embed((images - encoder.mean) / encoder.std)
    embeddings[HALF] = encoder.vit.patch_embed.proj.bias + token
    tokens = encoder.vit.norm(encoder.vit.blocks(encoder.vit._pos_embed(embeddings)))
    torch.testing.assert_close(encoder.masked_tokens(images, HALF, token).flatten(2).mT, tokens[:, 1:])


def test_with_nothing_hidden_the_tokens_are_the_usual_ones() -> None:
    encoder, images = tiny(), torch.rand(1, 3, 32, 48)
    nothing = torch.zeros(1, 4, 6, dtype=torch.bool)
    assert torch.equal(encoder.masked_tokens(images, nothing, torch.rand(24)), encoder(images).tokens)


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_stored_weights_come_back_bit_by_bit_and_say_what_made_them(tmp_path: Path, stem: str) -> None:
    donor, path = tiny(stem=stem), tmp_path / "weights.safetensors"
    donor.train()(torch.rand(4, 3, 32, 32))  # batch statistics that no new encoder has
    for parameter in donor.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_weights(donor.vit, path, origin="a test\nof two lines")
    loaded, images = tiny(stem=stem, weights=path), torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images).tokens, donor.eval()(images).tokens)
    assert loaded.weights_note.endswith(", made by a test of two lines")


def test_weights_of_a_linear_embedding_do_not_fit_a_convolutional_stem(tmp_path: Path) -> None:
    save_weights(tiny().vit, tmp_path / "weights.safetensors", origin="a test")
    with pytest.raises(WeightsError, match="does not fit this encoder"):
        tiny(stem="convolutional", weights=tmp_path / "weights.safetensors")


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_hidden_patches_work_in_half_precision_too(stem: str) -> None:
    images, token = torch.rand(1, 3, 32, 32), torch.rand(24)
    half, full = (
        tiny(stem=stem, precision=name).masked_tokens(images, HALF, token) for name in ("bfloat16", "float32")
    )
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < 0.1  # tokens are normalised: bfloat16 keeps about two digits
