"""A study as one HTML page that needs no server: what was searched, the best network, and every trial."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from optuna.trial import FrozenTrial

from automl.pictures.curve_drawing import curve_svg
from automl.pictures.drawing import architecture_svg
from kernels.architecture import Architecture
from studies.attributes import TrialFacts, retried_numbers
from studies.commands.listings import ranked_trials
from studies.console import number_text, trial_cells, trial_columns
from studies.dashboard.latent_space import is_searched_by_nao, study_map_svg
from studies.dashboard.notes import study_facts
from studies.study import Study

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><meta name="viewport" content="width=device-width">
<style>
body{{font:15px/1.5 Inter,'Segoe UI',Roboto,Arial,sans-serif;color:#0f172a}}
body{{max-width:72rem;margin:2rem auto;padding:0 1rem}}
h1{{font-size:1.6rem}} h2{{font-size:1.2rem;margin-top:2.5rem}} .pictures{{display:flex;flex-wrap:wrap;gap:1.5rem}}
.pictures img{{border:1px solid #e2e8f0;border-radius:12px;align-self:flex-start;max-width:100%}}
table{{border-collapse:collapse}} th,td{{text-align:left;padding:.25rem .9rem;border-bottom:1px solid #e2e8f0}}
td{{font-variant-numeric:tabular-nums}} tr.best td{{background:#dcfce7}}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def report_html(study: Study) -> str:
    """The report of a study as the text of one HTML page; pictures are part of it.

    Args:
        study: The study; it may be without a finished trial.
    """
    definition = study.definition
    maximise = definition.maximises
    ranked = ranked_trials(study)
    facts = [*study_facts(definition), ("trials", f"{len(study.trials)}, {len(ranked)} of them complete")]
    parts = [_table((), facts)]
    if ranked:
        parts += _best(ranked[0], study)
        parts += [
            "<h2>Progress</h2>",
            _picture(_progress_svg(ranked, definition.metric, maximise), "Best value so far"),
        ]
    if is_searched_by_nao(study) and (latent := study_map_svg(study)) is not None:
        parts += ["<h2>Latent space</h2>", _picture(latent, "Latent space of NAO's model, coloured by value")]
    parts += ["<h2>Trials</h2>", _trials(study.trials, definition.metric, ranked[0].number if ranked else None)]
    return _PAGE.format(title=escape(f"Study {study.name}"), body="\n".join(parts))


def _best(trial: FrozenTrial, study: Study) -> list[str]:
    """The best trial: its value, pictures and hyperparameters."""
    metric, facts = study.definition.metric, TrialFacts.from_user_attrs(trial.user_attrs)
    pictures = []
    if facts.architecture is not None:
        drawing = architecture_svg(Architecture.from_dict(facts.architecture), title=f"Trial {trial.number}")
        pictures.append(_picture(drawing, "Architecture of the best trial"))
    if facts.curve:
        curve = curve_svg(facts.curve, metric=metric, best_epoch=facts.best_epoch)
        pictures.append(_picture(curve, "Learning curve of the best trial"))
    values = {**study.space.decode(trial.params).hyperparameters, **facts.metrics}
    sizes = {"parameters": facts.parameters, "epochs": facts.epochs, "seconds": facts.seconds}
    rows = [
        (name, value if isinstance(value, str) else number_text(value)) for name, value in {**values, **sizes}.items()
    ]
    return [
        f"<h2>Best trial: {trial.number}, {escape(metric)} {number_text(trial.value)}</h2>",
        f'<div class="pictures">{"".join(pictures)}{_table((), rows)}</div>',
    ]


def _progress_svg(complete: Sequence[FrozenTrial], metric: str, maximise: bool) -> str:
    """The best value after every completed trial, as a picture."""
    best: list[float] = []
    for trial in sorted(complete, key=lambda trial: trial.number):
        value = trial.values[0]
        best.append(value if not best else max(best[-1], value) if maximise else min(best[-1], value))
    return curve_svg(best, metric=metric, heading=f"Best {metric} after {len(best)} trials", axis="trial")


def _trials(trials: Sequence[FrozenTrial], metric: str, best: int | None) -> str:
    retried = retried_numbers(trials)
    rows = [trial_cells(trial, trial.value if trial.values else None, retried) for trial in trials]
    return _table(trial_columns(metric), rows, marked=None if best is None else str(best))


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], marked: str | None = None) -> str:
    head = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>" if names else ""
    lines = []
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        best = ' class="best"' if marked is not None and row[0] == marked else ""
        lines.append(f"<tr{best}>{cells}</tr>")
    return f"<table>{head}{''.join(lines)}</table>"


def _picture(svg: str, text: str) -> str:
    """An SVG document as a picture of its own, so that the styles and names in it stay in it."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'
