"""Going on with a study that exists: which parts of its definition must agree with what is asked for now."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from automl.data.recipe import Recipe
from automl.errors import InputError
from automl.trainer import TrainerSettings
from studies.attributes import StudyDefinition

_logger = logging.getLogger("automl.studies")


def is_in_memory(task_reference: Mapping[str, Any]) -> bool:
    """Whether a task's data are held by this process alone, so that no other can join a study on them."""
    return task_reference.get("source") not in ("built-in", "file", "folder")


def agreed(name: str, stored: StudyDefinition, wanted: StudyDefinition, load_if_exists: bool) -> StudyDefinition:
    """The definition with which an existing study goes on: the stored one, with the sampler and pruner that are wanted.

    Raises:
        InputError: If the study may not be gone on with, or has another task, space, trainer settings or seed.
    """
    if not load_if_exists:
        raise InputError(
            f"a study named {name!r} exists already in this storage; pass load_if_exists=True to go on with it, or "
            "choose another name."
        )
    if differing := _differing(stored, wanted):
        has, got = (", ".join(f"{what} {sides[i]}" for what, sides in differing.items()) for i in (0, 1))
        raise InputError(
            f"study {name!r} was made with {has}, got {got}; give the new study another name (--study on the command "
            "line), or go on with what the study was made with."
        )
    if stored.task_digest != wanted.task_digest:
        raise InputError(
            f"study {name!r} was made of other data of the task {stored.task_name!r}, or they were read otherwise "
            f"(digest {stored.task_digest}, got {wanted.task_digest}); give the new study another name (--study on the "
            "command line), or go on with the same data."
        )
    if stored.sampler != wanted.sampler:
        _logger.warning("study %r goes on with the sampler %s instead of %s", name, wanted.sampler, stored.sampler)
    if dropped := [source for source in stored.transfer_from if source not in wanted.transfer_from]:
        _logger.warning(
            "study %r learns no longer from %s, as it was not asked to; name it again to go on learning from it "
            "(--transfer-from, or transfer_from= in Python)",
            name,
            ", ".join(dropped),
        )
    return replace(
        stored,
        sampler=wanted.sampler,
        pruner=wanted.pruner,
        transfer_from=wanted.transfer_from,
        models_dir=wanted.models_dir or stored.models_dir,
    )


def _differing(stored: StudyDefinition, wanted: StudyDefinition) -> dict[str, tuple[Any, Any]]:
    """What was chosen otherwise, by the name that people know it by: what the study has, and what is asked for."""
    if stored.task_name != wanted.task_name:
        return {"the task": (stored.task_name, wanted.task_name)}
    one_task = stored.task_digest == wanted.task_digest
    groups: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
        ({}, {}) if one_task else _task_choices(stored.task, wanted.task),
        ({"the metric": stored.metric}, {"the metric": wanted.metric}),
        _space_choices(_plain(stored.space), _plain(wanted.space), one_task),
        (_settings(stored), _settings(wanted)),
        ({"the seed": stored.seed}, {"the seed": wanted.seed}),
    ]
    return {
        what: (has.get(what), got.get(what))
        for has, got in groups
        for what in {**has, **got}
        if has.get(what) != got.get(what)
    }


def _settings(definition: StudyDefinition) -> dict[str, Any]:
    """The trainer's settings; those that the study was made without have their defaults."""
    return TrainerSettings.from_dict(definition.settings).to_dict()


def _task_choices(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was chosen where two tasks were made of their data; nothing if one was read from a folder, ready made."""
    if "options" not in stored or "options" not in wanted:
        return {}, {}
    has, got = (
        {"the target": task.get("target"), **_plain(asdict(Recipe())), **_plain(task["options"])}
        for task in (stored, wanted)
    )
    for choices in (has, got):
        choices["the split's seed"] = choices.pop("seed")
        del choices["metric"]  # the definition has the one that is judged by, be it chosen or not
    return has, got


def _space_choices(has: dict[str, Any], got: dict[str, Any], one_task: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of two spaces, or their types alone where these differ; without those that follow from the task."""
    if has.get("type") != got.get("type"):
        return {"the space": has.get("type")}, {"the space": got.get("type")}
    followed = () if one_task else ("task_kind", "image_size")
    kept, wanted = ({name: value for name, value in fields.items() if name not in followed} for fields in (has, got))
    return kept, wanted


def _plain(fields: Mapping[str, Any]) -> Any:
    """Fields as they look after a way through JSON, where tuples are lists."""
    return json.loads(json.dumps(dict(fields)))
