import torch

from medwsss.models.decoder import LargeFov
from medwsss.models.heads import Classifier


def test_logits_are_the_highest_score_of_each_class() -> None:
    classifier = Classifier(2, 2, pooled_fraction=0.0)
    with torch.no_grad():
        classifier.weight.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]])[:, :, None, None])
    tokens = torch.tensor([[[[1.0, 5.0]], [[3.0, 2.0]]]])  # two channels at two positions
    torch.testing.assert_close(classifier.score_map(tokens), torch.tensor([[[[1.0, 5.0]], [[-3.0, -2.0]]]]))
    torch.testing.assert_close(classifier(tokens), torch.tensor([[5.0, -2.0]]))


def test_a_pooled_fraction_averages_that_share_of_the_highest_scores() -> None:
    classifier = Classifier(1, 1, pooled_fraction=0.5)
    with torch.no_grad():
        classifier.weight.weight.fill_(1.0)
    tokens = torch.tensor([[[[1.0, 5.0, -3.0, 2.0]]]])
    torch.testing.assert_close(classifier(tokens), torch.tensor([[3.5]]))  # (5 + 2) / 2


def test_the_decoder_sees_two_dilations_far_and_no_farther() -> None:
    torch.manual_seed(0)
    decoder = LargeFov(1, 2, channels=4, dilation=5)
    tokens = torch.zeros(1, 1, 1, 31)
    moved = tokens.clone()
    moved[..., 15] = 1.0
    changed = (decoder.coarse(tokens) - decoder.coarse(moved)).abs().sum(dim=(0, 1, 2)) > 0
    assert set(torch.nonzero(changed)[:, 0].tolist()) <= {5, 10, 15, 20, 25}


def test_scores_in_the_padding_do_not_count() -> None:
    classifier = Classifier(1, 1, pooled_fraction=0.5)
    with torch.no_grad():
        classifier.weight.weight.fill_(1.0)
    tokens = torch.tensor([[[[1.0, 9.0, -3.0, 2.0]]], [[[1.0, 9.0, -3.0, 2.0]]]])
    inside = torch.tensor([[[True, False, True, False]], [[True, True, True, True]]])
    logits = classifier(tokens, inside=inside)
    torch.testing.assert_close(logits, torch.tensor([[1.0], [5.5]]))  # half of two positions; (9 + 2) / 2
