"""The Markdown notes of trials and studies."""

from __future__ import annotations

import math

from studies.attributes import StudyDefinition, TrialFacts
from studies.dashboard.notes import study_note, trial_note

FACTS = TrialFacts(
    architecture={"labels": ["ip", "op"], "units": [None, None], "edges": [[0, 1]]},
    depth=4,
    parameters=12345,
    epochs=30,
    best_epoch=21,
    seconds=1.234,
    curve=(0.5, 0.4),
    metrics={"log_loss": 0.25, "accuracy": math.nan},
    notes={"acquisition_value": 0.123456},
    proposal_seconds=0.5,
)


def test_a_trials_note_holds_its_size_training_metrics_and_picture() -> None:
    note = trial_note(7, FACTS, picture_url="/picture.svg")
    assert "depth **4** · parameters **12,345** · epochs **30** · best epoch **21** · seconds **1.23**" in note
    assert "log loss **0.25**" in note
    assert "accuracy" not in note
    assert "![Architecture and learning curve of trial 7](/picture.svg)" in note
    assert "Proposal: acquisition value 0.1235; 0.50 s" in note


def test_a_failed_trial_says_why_first_in_plain_text() -> None:
    note = trial_note(1, TrialFacts(reason="loss was *nan*\nat <b>epoch</b> 3"), picture_url="/x")
    assert note == "**loss was \\*nan\\* at \\<b\\>epoch\\</b\\> 3**"


def test_a_trial_without_facts_has_no_note() -> None:
    assert trial_note(0, TrialFacts(), picture_url="/x") == ""


def definition(transfer_from: tuple[str, ...] = ()) -> StudyDefinition:
    return StudyDefinition(
        task={},
        task_name="digits",
        task_digest="",
        metric="log_loss",
        direction="minimize",
        space={"type": "mlp"},
        settings={},
        sampler="nasbot",
        seed=3,
        transfer_from=transfer_from,
    )


def test_a_studys_note_says_what_is_searched_and_shows_the_best_architecture() -> None:
    note = study_note(definition(("wine",)), best_value=0.123456, best_number=5, url="/best.svg")
    for line in ("- task: **digits**", "- objective: **minimize log\\_loss**", "- learns from: **wine**"):
        assert line in note.splitlines()
    assert "- best value: **0.12346 (trial 5)**" in note
    assert note.endswith("![Architecture of the best trial](/best.svg)")


def test_a_study_without_a_finished_trial_shows_no_picture() -> None:
    assert "![" not in study_note(definition(), best_value=None, best_number=None, url="")
