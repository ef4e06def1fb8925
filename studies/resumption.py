"""Going on with a study that exists: which parts of its definition must agree with what is asked for now."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from automl.errors import InputError
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
    for what, has, got in (
        ("task", _task_facts(stored), _task_facts(wanted)),
        ("space", _plain(stored.space), _plain(wanted.space)),
        ("trainer settings", _plain(stored.settings), _plain(wanted.settings)),
        ("seed", stored.seed, wanted.seed),
    ):
        if has != got:
            _check_data(name, has, got)
            shown, other = _differing(has, got)
            raise InputError(
                f"study {name!r} exists with the {what} {shown}, got {other}; give the new study another name, or go "
                f"on with the same {what}."
            )
    if stored.sampler != wanted.sampler:
        _logger.info("study %r goes on with the sampler %s instead of %s", name, wanted.sampler, stored.sampler)
    return replace(
        stored,
        sampler=wanted.sampler,
        pruner=wanted.pruner,
        transfer_from=wanted.transfer_from,
        models_dir=wanted.models_dir or stored.models_dir,
    )


def _task_facts(definition: StudyDefinition) -> dict[str, str]:
    return {"name": definition.task_name, "metric": definition.metric, "digest": definition.task_digest}


def _check_data(name: str, has: Any, got: Any) -> None:
    """Refuses a task that differs by its data alone."""
    if isinstance(has, dict) and [fact for fact in has if has[fact] != got.get(fact)] == ["digest"]:
        raise InputError(
            f"study {name!r} was made of other data of the task {has['name']!r}, or they were read otherwise (digest "
            f"{has['digest']}, got {got['digest']}); give the new study another name, or go on with the same data."
        )


def _plain(fields: Mapping[str, Any]) -> Any:
    """Fields as they look after a way through JSON, where tuples are lists."""
    return json.loads(json.dumps(dict(fields)))


def _differing(has: Any, got: Any) -> tuple[Any, Any]:
    """The two values, or of two mappings only the items that differ: their types alone, where these do."""
    if not (isinstance(has, dict) and isinstance(got, dict)):
        return has, got
    names = [name for name in {**has, **got} if has.get(name) != got.get(name)]
    if "type" in names:
        return has.get("type"), got.get("type")
    return {name: has.get(name) for name in names}, {name: got.get(name) for name in names}
