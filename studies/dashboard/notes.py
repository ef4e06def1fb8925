"""The notes that the dashboard shows on the pages of trials and studies, as Markdown text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from studies.attributes import StudyDefinition, TrialFacts


def trial_note(number: int, facts: TrialFacts, *, picture_url: str) -> str:
    """What there is to know of a trial: size, training and proposal, with a picture of its network and learning curve.

    Args:
        number: The trial's number, for the picture's text.
        facts: What the trial's attributes say.
        picture_url: Where the picture is served.

    Returns:
        Markdown text; empty where nothing is known.
    """
    reason = f"**{_one_line(facts.reason)}**" if facts.reason else ""
    has_picture = facts.architecture is not None or facts.curve
    picture = f"![Architecture and learning curve of trial {number}]({picture_url})" if has_picture else ""
    parts = (reason, _line(_sizes(facts)), _line(_metrics(facts.metrics)), picture, _proposal(facts))
    return "\n\n".join(part for part in parts if part)


def study_note(definition: StudyDefinition, *, best_value: float | None, best_number: int | None, url: str) -> str:
    """What a study searches and how, with a picture of the best architecture so far.

    Args:
        definition: What the study's attributes say.
        best_value: The objective of the best trial; None before the first.
        best_number: That trial's number.
        url: Where the picture of its architecture is served.
    """
    rows = study_facts(definition)
    if best_value is not None:
        rows.append(("best value", f"{best_value:.5g} (trial {best_number})"))
    text = "\n".join(f"- {name}: **{_one_line(value)}**" for name, value in rows)
    return text if best_value is None else f"{text}\n\n![Architecture of the best trial]({url})"


def study_facts(definition: StudyDefinition) -> list[tuple[str, str]]:
    """What a study searches and how, as names and texts."""
    facts = [
        ("task", definition.task_name),
        ("objective", f"{definition.direction} {definition.metric}"),
        ("space", str(definition.space.get("type", "custom"))),
        ("sampler", definition.sampler),
        ("seed", str(definition.seed)),
    ]
    if definition.transfer_from:
        facts.append(("learns from", ", ".join(definition.transfer_from)))
    return facts


def _line(facts: Iterable[tuple[str, str]]) -> str:
    return " · ".join(f"{_one_line(name)} **{_one_line(value)}**" for name, value in facts)


def _sizes(facts: TrialFacts) -> list[tuple[str, str]]:
    counts = (("depth", facts.depth), ("parameters", facts.parameters), ("FLOPs", facts.flops))
    epochs = (("epochs", facts.epochs), ("best epoch", facts.best_epoch))
    measured = [(name, f"{count:,}") for name, count in (*counts, *epochs) if count is not None]
    if facts.seconds is not None:
        measured.append(("seconds", f"{facts.seconds:.2f}"))
    return measured


def _metrics(metrics: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """The metrics that are finite; the storage holds None in the place of NaN."""
    finite = {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}
    return [(name.replace("_", " "), f"{value:.4g}") for name, value in finite.items()]


def _proposal(facts: TrialFacts) -> str:
    """How the sampler came to the candidate, in one line."""
    notes = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in facts.notes.items()]
    if facts.proposal_seconds is not None:
        notes.append(f"{facts.proposal_seconds:.2f} s")
    return f"Proposal: {_one_line('; '.join(notes))}" if notes else ""


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _one_line(text: str) -> str:
    """Text that stays plain in Markdown: on one line, its marks escaped."""
    plain = " ".join(text.split())
    for mark in "\\`*_[]<>#":
        plain = plain.replace(mark, f"\\{mark}")
    return plain
