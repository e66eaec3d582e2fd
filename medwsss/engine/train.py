"""The training loop: one for every method, pretraining and data set."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from medwsss.config.pretraining import LearningConfig
from medwsss.data.sample import Batch, Draw, TrainingSet, collate
from medwsss.data.splits import Split
from medwsss.engine.batches import training_batches
from medwsss.engine.checkpoint import RunState, load_checkpoint, save_checkpoint
from medwsss.engine.divergence import Randomness, first_not_finite, keep_step
from medwsss.engine.interruption import Interruption
from medwsss.engine.optim import build_optimiser, set_learning_rate
from medwsss.engine.processes import check_shares
from medwsss.engine.resuming import check_split_unchanged, resumable_state
from medwsss.engine.run_folder import RunFolder, config_hash, settings_of
from medwsss.engine.seeding import derived_generator, derived_seed
from medwsss.engine.training_time import training_seconds, write_training_time
from medwsss.errors import MedwsssWarning, TrainingError
from medwsss.methods.method import Learner, Shown
from medwsss.ranks import in_any_rank, mean_over_ranks, rank, ranks


@dataclass(frozen=True)
class StepRecord:
    """One iteration, for whoever watches."""

    step: int
    """Iterations done, this one included."""
    losses: Mapping[str, float]
    """Unweighted terms and their weighted ``total``."""
    learning_rate: float
    seconds_left: float


Seen = TypeVar("Seen", contravariant=True)
"""What a learner shows of a batch, from the side of who looks."""


@runtime_checkable
class Observer(Protocol[Seen]):
    """What a front end may do while training runs; the loop itself prints and draws nothing."""

    def on_step(self, record: StepRecord) -> None:
        """After every iteration."""

    def on_pictures(self, step: int, batch: Batch, explanation: Seen) -> None:
        """Now and then: what the learner makes of the same few training slices."""

    def on_validation(self, step: int, scores: Mapping[str, float]) -> None:
        """After every validation."""


Validation = Callable[[], Mapping[str, float]]
"""Scores of the learner by name; ``score`` decides which checkpoint is best, higher is better."""


def train(
    learner: Learner[Shown],
    dataset: TrainingSet,
    config: LearningConfig,
    run: RunFolder,
    *,
    split: Split,
    device: torch.device,
    observer: Observer[Shown] | None,
    validate: Validation | None,
    resume: bool = False,
) -> RunState:
    """Train to the configured number of iterations, from the last checkpoint with ``resume``.

    Every draw follows from the seed and the step, so a resumed run repeats what an uninterrupted one would have done.
    Ctrl-C or SIGTERM lets the iteration end and writes the last checkpoint before ``KeyboardInterrupt`` goes on; a
    second one stops at once, with the checkpoint there was. With each last checkpoint goes the time that training has
    taken so far, over all its parts. Without ``validate`` no checkpoint is the best one.

    Under ``torchrun`` every process learns from its part of each batch, and all of them hold the same weights; the
    first alone writes, and is watched by an ``observer``. Losses that pool over a batch do so over all processes.

    Raises:
        TrainingError: a loss term or a weight is not finite; the message names the step, the term, the slices, and the
            folder where all that the step saw is kept (see ``engine.divergence``).
        DatasetError: a training image cannot be read.
        ConfigError: a batch cannot be shared out among the processes or cut into ``training.accumulate`` parts.
        CheckpointError: the checkpoint to resume from belongs to another configuration or split.
        OutputError: a checkpoint or the time cannot be written.
    """
    settings = config.training
    check_shares(settings.batch_size, parts=settings.accumulate, bags=bool(dataset.bags))
    learner.to(device).train()
    optimiser = build_optimiser(learner, settings)
    state = RunState(0, None, None, config_hash(config), split.hash, settings_of(config))
    if resume:
        check_split_unchanged(run, resumable_state(run, config), split)
        state = load_checkpoint(run.checkpoint("last"), learner, optimiser)
    earlier = training_seconds(run, state.step) if resume else 0.0
    first_step, started = state.step, time.monotonic()
    model = _shared(_Step(learner), device)
    pictured = collate([dataset[draw] for draw in _picture_draws(dataset, settings.seed)])
    own_rng = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with own_rng, Interruption() as interruption:
        parts = training_batches(dataset, config, first_step=first_step, device=device)
        for step, batches in enumerate(zip(*settings.accumulate * [parts], strict=True), start=first_step):
            rate = set_learning_rate(optimiser, settings, step)
            try:
                losses = _one_step(
                    model, optimiser, [part.to(device) for part in batches], seed=settings.seed, step=step
                )
            except _NotFiniteError as found:
                kept = keep_step(
                    run.diverged, learner, optimiser, state, found.batch, found.randomness,
                    files=[dataset.file_of(key) for key in found.batch.keys], reason=str(found),
                )  # fmt: skip
                raise TrainingError(f"{found}: lower training.learning_rate; what it saw is in {kept}") from None
            state = replace(state, step=step + 1)
            seconds_left = (time.monotonic() - started) / (state.step - first_step) * (settings.iterations - state.step)
            if observer is not None:
                observer.on_step(StepRecord(state.step, losses, rate, seconds_left))
            if observer is not None and _due(state.step, settings.picture_every, settings.iterations):
                observer.on_pictures(state.step, pictured, _explained(learner, pictured, device, step))
            if validate is not None and _due(state.step, settings.validate_every, settings.iterations):
                state = _validated(learner, optimiser, validate, observer, run, state)
            stopped = in_any_rank(interruption.requested, device)
            if rank() == 0 and (stopped or _due(state.step, settings.checkpoint_every, settings.iterations)):
                save_checkpoint(run.checkpoint("last"), learner, optimiser, state)
                write_training_time(run, state.step, earlier + time.monotonic() - started)
            if stopped:
                raise KeyboardInterrupt
    return state


class _NotFiniteError(Exception):
    """A loss term or a weight is not finite."""

    def __init__(self, message: str, batch: Batch, randomness: Randomness) -> None:
        super().__init__(message)
        self.batch, self.randomness = batch, randomness


class _Step(nn.Module):
    """A training step as the forward pass of a module, which is what DDP wraps."""

    def __init__(self, learner: Learner[Any]) -> None:
        super().__init__()
        self.learner = learner

    def forward(
        self, batch: Batch, step: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The total loss, and its terms without gradient."""
        terms = self.learner.training_step(batch, step=step, generator=generator)
        return terms.total, {name: value.detach() for name, value in terms.values.items()}


def _shared(model: _Step, device: torch.device) -> _Step | DistributedDataParallel:
    """Gradients averaged over the processes, if there are several; parts of a method start learning later."""
    if ranks() == 1:
        return model
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    elif any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        message = f"each of {ranks()} processes normalises by the statistics of its own part of a batch"
        warnings.warn(message, MedwsssWarning, stacklevel=3)
    return DistributedDataParallel(model, find_unused_parameters=True)


def _one_step(
    model: _Step | DistributedDataParallel,
    optimiser: torch.optim.AdamW,
    batches: Sequence[Batch],
    *,
    seed: int,
    step: int,
) -> dict[str, float]:
    """One update of the weights from the parts of a batch; returns the mean loss terms."""
    own = (rank(),) if ranks() > 1 else ()
    torch.manual_seed(derived_seed(seed, "layers", step, *own))  # dropout and drop-path
    generator = derived_generator(seed, "method", step)
    optimiser.zero_grad(set_to_none=True)
    means: dict[str, float] = {}
    for number, batch in enumerate(batches, start=1):
        with _synchronised(model, whether=number == len(batches)):
            total, losses = _finite_losses(model, batch, step, generator)
            (total / len(batches)).backward()  # type: ignore[no-untyped-call]
        means = {name: means.get(name, 0.0) + loss / len(batches) for name, loss in losses.items()}
    optimiser.step()
    return means


def _finite_losses(
    model: _Step | DistributedDataParallel, batch: Batch, step: int, generator: torch.Generator
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """The total loss of one part of a batch, and its terms as numbers."""
    before, where = Randomness.now(generator), f"at step {step} on {', '.join(map(str, batch.keys))}"
    try:
        total, terms = model(batch, step, generator)
    except ValueError:  # parts of a method refuse what is not finite before there is a loss
        learner = (model.module if isinstance(model, DistributedDataParallel) else model).learner
        culprit = first_not_finite(learner, batch, before, step=step)
        if culprit is None:
            raise
        raise _NotFiniteError(f"{culprit} is not finite {where}", batch, before) from None
    losses = _read({**terms, "total": total.detach()})
    wrong = next((name for name, value in losses.items() if not math.isfinite(value)), None)
    if wrong is not None:
        raise _NotFiniteError(f"loss '{wrong}' is {losses[wrong]} {where}", batch, before)
    return total, losses


def _synchronised(model: _Step | DistributedDataParallel, *, whether: bool) -> AbstractContextManager[object]:
    """Gradients of the block are averaged over processes, or stay with each of them for now."""
    return nullcontext() if whether or not isinstance(model, DistributedDataParallel) else model.no_sync()


def _picture_draws(dataset: TrainingSet, seed: int) -> list[Draw]:
    """Four slices spread over the training set, the same ones all the time."""
    indices = torch.linspace(0, len(dataset) - 1, 6).long().tolist()[1:-1]
    return [Draw(index, derived_seed(seed, "picture", index)) for index in indices]


def _read(losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, float]:
    """Losses of all processes together as numbers; read in one go, for which a GPU stops."""
    return dict(zip(losses, mean_over_ranks(torch.stack(list(losses.values()))).tolist(), strict=True))


def _explained(learner: Learner[Shown], batch: Batch, device: torch.device, step: int) -> Shown:
    learner.eval()
    explanation = learner.explain(batch.to(device), step=step)
    learner.train()
    return explanation


def _validated(
    learner: Learner[Any],
    optimiser: torch.optim.AdamW,
    validate: Validation,
    observer: Observer[Any] | None,
    run: RunFolder,
    state: RunState,
) -> RunState:
    learner.eval()
    scores = validate()
    learner.train()
    if observer is not None:
        observer.on_validation(state.step, scores)
    score = scores["score"]
    if math.isnan(score) or (state.best_score is not None and score <= state.best_score):
        return state
    state = replace(state, best_step=state.step, best_score=score)
    if rank() == 0:
        save_checkpoint(run.checkpoint("best"), learner, optimiser, state)
    return state


def _due(done: int, every: int, iterations: int) -> bool:
    return done % every == 0 or done == iterations
