"""What `automl export`, `automl report` and `automl show --latent-map` do, once their arguments are read."""

from __future__ import annotations

import sys
from pathlib import Path

from automl.errors import InputError
from studies.commands.listings import best_trial
from studies.commands.report import report_html
from studies.commands.search import check_model_folder
from studies.console import number_text
from studies.dashboard.latent_space import MIN_TRIALS, study_map_svg
from studies.output_files import written_whole
from studies.storage import default_path
from studies.study import load_study


def export(name: str, storage: str, folder: Path) -> None:
    """Saves the best model of a study as a folder.

    Raises:
        InputError: If there is no such storage or study, no completed trial, or the folder holds something else.
    """
    check_model_folder(folder)
    study = load_study(name, storage)
    trial = best_trial(study)
    study.best_model().save(folder)
    print(f"saved the model of trial {trial.number} ({study.definition.metric} {number_text(trial.value)}) in {folder}")


def report(name: str, storage: str, to: Path | None) -> None:
    """Writes a study as one HTML page, by default in the working folder.

    Raises:
        InputError: If there is no such storage or study, or the file cannot be written.
    """
    page = report_html(load_study(name, storage))
    path = to or default_path(name, ".html")
    with written_whole(path) as file:
        file.write(page)
    print(f"wrote {path}")


def draw_latent_map(name: str, storage: str, path: Path) -> None:
    """Writes a study's map in NAO's latent space as a picture, and says so on standard error.

    Raises:
        InputError: If there is no such storage or study, it has too few trials, or the file cannot be written.
    """
    if path.suffix.lower() != ".svg":
        raise InputError(f"got the picture {str(path)!r}, expected a file name that ends in .svg; rename it.")
    picture = study_map_svg(load_study(name, storage))
    if picture is None:
        raise InputError(
            f"study {name!r} has fewer than {MIN_TRIALS} trials whose values are known, too few for a map; run more."
        )
    with written_whole(path) as file:
        file.write(picture)
    print(f"wrote {path}", file=sys.stderr)
