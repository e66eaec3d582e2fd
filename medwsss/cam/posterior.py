"""Class scores as a multinomial posterior: classes and background share each position (HFPL, Eq. 5)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from medwsss.dtypes import at_least_float32


def multinomial_posterior(scores: Float[Tensor, "b cls h w"]) -> Float[Tensor, "b k h w"]:
    """a: softmax over the background and the classes at every position, background first, in [0, 1] (HFPL, Eq. 5).

    The paper's C includes the background, whose scores its network learns. Scores without one are read as log-odds
    against the background, which therefore scores 0 everywhere: with one class, a is the sigmoid of Eq. 14.

    Raises:
        ValueError: ``scores`` is not a float tensor of four axes.
    """
    return _with_background(scores).softmax(dim=1)


def multinomial_log_odds(scores: Float[Tensor, "b cls h w"]) -> Float[Tensor, "b cls h w"]:
    """log(a / (1 − a)) of every class, unbounded: the logits whose sigmoid is the posterior of Eq. 5 (HFPL).

    Losses on logits sample in proportion to that posterior (Eq. 6) and compare it with labels (Eq. 7-8), without its
    rounding to 0 or 1. With one class they are the scores themselves.

    Raises:
        ValueError: ``scores`` is not a float tensor of four axes.
    """
    log_probs = _with_background(scores).log_softmax(dim=1)
    likeliest = torch.zeros_like(log_probs, dtype=torch.bool).scatter(1, log_probs.argmax(dim=1, keepdim=True), True)
    others = log_probs.masked_fill(likeliest, -torch.inf)
    # 1 − a is at least 1/2 but for the likeliest channel, where it is the sum of all others.
    log_rest = torch.where(likeliest, others.logsumexp(dim=1, keepdim=True), torch.log1p(-others.exp()))
    return (log_probs - log_rest)[:, 1:]


def _with_background(scores: Tensor) -> Tensor:
    if scores.ndim != 4:
        raise ValueError(f"scores must be (B,M,h,w), got shape {tuple(scores.shape)}")
    return F.pad(at_least_float32("scores", scores), (0, 0, 0, 0, 1, 0))
