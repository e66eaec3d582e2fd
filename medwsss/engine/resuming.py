"""Whether a run may go on: with the configuration and the split it began with, or with changes that were accepted."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medwsss.config.pretraining import LearningConfig
from medwsss.data.records import differences, read_record, save_record
from medwsss.data.splits import Split, read_split
from medwsss.engine.checkpoint import RunState, load_checkpoint, read_state, replace_state
from medwsss.engine.run_folder import RunFolder, config_hash, settings_of, versions
from medwsss.errors import CheckpointError, MedwsssWarning
from medwsss.methods.method import Learner

_ADVICE = "undo that, or go on all the same with --accept-changes"


def resumable_state(run: RunFolder, config: LearningConfig) -> RunState:
    """Where a run stands that is to go on.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it was made with another configuration.
    """
    path = run.checkpoint("last")
    state = last_state(run)
    if state.config_hash != config_hash(config):
        raise CheckpointError(
            f"{path} was made with another configuration ({_listed(_changes(state, config))}): {_ADVICE}"
        )
    return state


def last_state(run: RunFolder) -> RunState:
    """Where a run stands, whatever it was made with.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    path = run.checkpoint("last")
    if not path.is_file():
        raise CheckpointError(f"{run.path} has no checkpoint to resume from: train into a new folder instead")
    return read_state(path)


def check_split_unchanged(run: RunFolder, state: RunState, split: Split) -> None:
    """Refuse to go on with other patients.

    Raises:
        CheckpointError: the checkpoint was made with another split.
        SplitError: the split that the run has stored is damaged.
    """
    if state.split_hash != split.hash:
        before = _stored_split(run, state)
        moves = [f"{state.split_hash}, now {split.hash}"] if before is None else _moves(before, split)
        raise CheckpointError(f"{run.checkpoint('last')} was made with another split ({_listed(moves)}): {_ADVICE}")


def warn_of_other_versions(run: RunFolder) -> None:
    """A resumed run repeats an uninterrupted one bit by bit only with the same software on the same kind of machine."""
    changes = differences(read_record(run.versions) or {}, versions())
    if changes:
        message = f"{run.path} began with other versions ({_listed(changes)}): results may differ in the last digits"
        warnings.warn(message, MedwsssWarning, stacklevel=2)


def accept_changes(run: RunFolder, config: LearningConfig, split: Split, learner: Learner[Any]) -> RunState:
    """Let a run go on with another configuration or split than it began with; ``changes.json`` says from which step.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, its weights do not fit, the split that it was made with
            is not known, or a patient that it was trained on would be held out.
        SplitError: the split that the run has stored is damaged.
        OutputError: a file cannot be written.
    """
    state = last_state(run)
    changes = _changes(state, config) if state.config_hash != config_hash(config) else []
    if state.split_hash != split.hash:
        before = _stored_split(run, state)
        if before is None:
            raise CheckpointError(f"{run.split} is not the split of the last checkpoint: train into a new folder")
        leaked = sorted(set(before.train) & set(split.held_out))
        if leaked:
            raise CheckpointError(
                f"{run.path} was trained on {leaked[0]}, which would be held out now ({len(leaked)} in all): its scores"
                " would not be those of unseen patients; train into a new folder"
            )
        changes += _moves(before, split)
    if not changes:
        return state
    load_checkpoint(run.checkpoint("last"), learner)  # before anything is changed
    earlier = (read_record(run.changes) or {}).get("changes", [])
    if not isinstance(earlier, list):
        raise CheckpointError(f"{run.changes} is damaged: move it away, then --resume")
    entry = {"after_step": state.step, "what": changes}
    if earlier[-1:] != [entry]:  # a try that failed may have written it
        save_record(run.changes, {"changes": [*earlier, entry]})
    state = replace(state, config_hash=config_hash(config), split_hash=split.hash, settings=settings_of(config))
    replace_state(run.checkpoint("last"), state)
    return state


def _changes(state: RunState, config: LearningConfig) -> list[str]:
    if not state.settings:
        return [f"hash {state.config_hash}, now {config_hash(config)}"]
    return differences(state.settings, settings_of(config))


def _stored_split(run: RunFolder, state: RunState) -> Split | None:
    """The split of the last checkpoint, if the run still has it."""
    split = read_split(run.split) if run.split.is_file() else None
    return split if split is not None and split.hash == state.split_hash else None


def _moves(before: Split, now: Split) -> list[str]:
    def places(split: Split) -> dict[str, str]:
        return dict.fromkeys(split.train, "trains") | dict.fromkeys(split.held_out, "held out")

    return differences(places(before), places(now))


def _listed(changes: Sequence[str]) -> str:
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more
