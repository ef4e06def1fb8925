"""The `automl` command, from its arguments to its exit status."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import optuna
import pytest
from optuna.exceptions import StorageInternalError

from automl.errors import InputError
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies import cli
from studies.attributes import BUDGET, NOTES
from studies.commands import joining
from studies.storage import DEFAULT_STORAGE, open_storage
from studies.study import create_study, load_study

pytestmark = pytest.mark.usefixtures("_warnings_as_before")

HEAVY = ("torch", "optuna", "pandas", "numpy", "scipy", "sklearn", "botorch", "gpytorch", "ot", "plotly", "matplotlib")


@pytest.fixture
def _warnings_as_before() -> Iterator[None]:
    """The command line silences warnings for its process; tests go on as before."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a study of three trials on it, and its model."""
    folder = tmp_path_factory.mktemp("home")
    generator = np.random.default_rng(0)
    with (folder / "fruit.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("weight", "colour", "fruit"))
        for _ in range(60):
            apple = generator.random() < 0.5
            weight = generator.normal(180 if apple else 120, 20)
            writer.writerow((f"{weight:.1f}", generator.choice(["red", "green"]), "apple" if apple else "pear"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "3", *FAST) == 0
    return folder


FAST = ("--sampler", "random", "--epochs", "2")


@pytest.fixture
def copy(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, as the working folder."""
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def automl(*arguments: str) -> int:
    """Runs the command in this process; its exit status."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "studies.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for name in ("run", "worker", "studies", "show", "best", "export", "predict", "dashboard", "benchmark"):
        assert f"  {name} " in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported.isdisjoint(HEAVY)


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert automl() == 0
    assert "Usage: automl" in capsys.readouterr().out


def test_a_run_ends_with_a_model_and_says_what_to_do_next(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "4", "--model", "best", *FAST) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("task fruit: classification by log_loss")
    assert "study fruit-random goes on: 3 trials finished, 1 to go" in lines
    assert sum(line.startswith("[4/4] trial 3") for line in lines) == 1
    assert lines[-3].startswith("best log_loss: ")
    assert lines[-2:] == ["dashboard: automl dashboard", "predict:   automl predict best DATA.csv"]
    assert (copy / "best" / "model.safetensors").is_file()


def test_the_first_study_of_a_storage_may_learn_from_all_others(copy: Path) -> None:
    arguments = ("run", "iris", "--trials", "1", *FAST, "--storage", "sqlite:///new.db", "--transfer-from", "all")
    assert automl(*arguments) == 0
    assert load_study("iris-random", "sqlite:///new.db").definition.transfer_from == ("all",)


def test_a_past_study_whose_name_looks_like_a_pattern_is_found_by_it(copy: Path) -> None:
    fruit = ("run", "fruit.csv", "--target", "fruit", "--trials", "1", *FAST)
    assert automl(*fruit, "--study", "fruit[1]") == 0
    assert automl(*fruit, "--study", "next", "--transfer-from", "fruit[1]") == 0


@pytest.mark.slow
@pytest.mark.usefixtures("copy", "first_fits_that_fail")
def test_a_looser_fit_of_the_model_is_told() -> None:
    with pytest.warns(RuntimeWarning, match="the next fit is looser") as told:
        assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "11", "--epochs", "2", "--study", "new") == 0
    looser, *_ = [warning for warning in told if "looser" in str(warning.message)]
    line = warnings.formatwarning(looser.message, looser.category, looser.filename, looser.lineno)
    assert line.startswith("automl: the Gaussian process of ")
    assert line.count("\n") == 1
    notes = load_study("new").trials[10].user_attrs[NOTES]
    assert notes["fallback"] == "more noise"


def test_rows_kept_apart_judge_the_best_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("run", "iris", "--trials", "2", "--test-fraction", "0.2", *FAST)
    assert automl(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("90 rows to train on, 30 to validate on, 30 to test on")
    assert lines[-3].startswith("test log_loss: ")
    assert automl(*arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["log_loss"] == pytest.approx(float(lines[-3].split()[2]), rel=1e-4)
    assert found["test"]["log_loss"] != found["best_value"]


def test_the_space_is_as_large_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    size = ("--max-layers", "2", "--max-units", "5", "--trials", "4", "--study", "small")
    assert automl("run", "iris", *size, *FAST) == 0
    trials = load_study("small", "sqlite:///automl.db").trials
    assert {trial.params["depth"] for trial in trials} <= {1, 2}
    assert {value for trial in trials for name, value in trial.params.items() if name.endswith("_units")} == {5}


@pytest.mark.slow
@pytest.mark.parametrize("space", ["cell", "cnn"])
def test_images_in_a_file_are_learnt_by_networks_for_images(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 9, size=(40, 16))
    rows = [",".join(map(str, row)) + f",{'bright' if row[:8].sum() > row[8:].sum() else 'dark'}" for row in pixels]
    Path("images.csv").write_text("\n".join([",".join([*(f"p{i}" for i in range(16)), "half"]), *rows]))
    shape = ("--image-shape", "1x4x4", "--space", space, "--trials", "2", "--study", "images")
    assert automl("run", "images.csv", "--target", "half", *shape, *FAST) == 0
    study = load_study("images", "sqlite:///automl.db")
    assert study.definition.space["type"] == space
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]


def test_a_study_that_is_complete_runs_no_trial(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "3", *FAST, "--json") == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["study"] == "fruit-random"
    assert answer["n_trials"] == 3
    assert answer["model"] == "fruit-random.model"
    assert answer["best_value"] == answer["best_trial"]["value"]
    assert "trial 3" not in captured.err


def test_a_worker_runs_as_many_trials_as_it_is_given(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("worker", "--study", "fruit-random", "--trials", "1") == 0
    assert automl("worker") == 0  # the budget of three trials is spent
    assert capsys.readouterr().out.count("[4] trial 3") == 1
    assert automl("show", "fruit-random", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_trials"] == 4


def test_a_worker_without_a_study_leaves_those_alone_that_have_no_trials_left(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert automl("worker", "--trials", "1") == 0
    assert "3 trials finished of 3" in capsys.readouterr().out
    assert len(load_study("fruit-random").trials) == 3


def test_a_worker_leaves_out_a_study_that_it_cannot_join_and_says_why(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = TrainerSettings(max_epochs=2)
    create_study(
        "a", task=load_task("iris"), sampler=optuna.samplers.RandomSampler(), storage=DEFAULT_STORAGE, settings=settings
    )
    create_study("b", task=load_task("iris"), sampler="random", storage=DEFAULT_STORAGE, settings=settings)
    study = create_study("c", task=load_task("iris"), sampler="random", storage=DEFAULT_STORAGE, settings=settings)
    study.stored.set_user_attr(BUDGET, {"n_trials": 1})
    assert automl("worker") == 0
    errors = capsys.readouterr().err
    assert "study 'a' was made with a sampler object" in errors and "study 'b' has no budget of trials" in errors
    assert load_study("c").n_finished == 1
    assert automl("worker", "--study", "b") == 2


def test_a_database_that_another_process_has_filled_meanwhile_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def after_another(*_: object, **__: object) -> NoReturn:
        optuna.create_study(study_name="another's", storage=open_storage(DEFAULT_STORAGE))
        raise InputError("got something, expected something else; mend it.")

    monkeypatch.setattr("studies.commands.search.create_study", after_another)
    assert automl("run", "iris", "--trials", "1", "--storage", DEFAULT_STORAGE) == 2
    assert optuna.study.get_all_study_names(open_storage(DEFAULT_STORAGE)) == ["another's"]


def test_what_to_do_next_can_be_pasted_into_a_shell(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "3", *FAST, "--model", "my fruit") == 0
    assert "predict:   automl predict 'my fruit' DATA.csv" in capsys.readouterr().out


def test_studies_are_listed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("studies", "--json") == 0
    (study,) = json.loads(capsys.readouterr().out)
    assert (study["study"], study["task"], study["sampler"], study["trials"]) == ("fruit-random", "fruit", "random", 3)
    assert automl("studies") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["study", "task", "space", "sampler", "trials", "metric", "best"]
    assert row.split()[:6] == ["fruit-random", "fruit", "mlp", "random", "3", "log_loss"]


def test_a_study_is_shown_with_its_best_trials_and_network(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("show", "fruit-random", "--trials", "2") == 0
    text = capsys.readouterr().out
    assert "study fruit-random: minimize log_loss of task fruit" in text
    assert "● input" in text and "● output" in text
    table = text.split("trial  ")[1].split("\n\n")[0].splitlines()
    assert len(table) == 1 + 2
    assert float(table[1].split()[1]) <= float(table[2].split()[1])


def test_interrupted_trials_are_no_failed_ones(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load_study("fruit-random")
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.give_back(study.optuna.ask().number)
    assert automl("show", "fruit-random") == 0
    assert "trials: 3 complete, 1 waiting, 1 interrupted" in capsys.readouterr().out


def test_withdrawn_trials_are_no_failed_ones(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load_study("fruit-random")
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        trial = study.optuna.ask()
    study.optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert automl("show", "fruit-random") == 0
    assert "trials: 3 complete, 1 not run" in capsys.readouterr().out


def test_the_best_trial_is_told_to_people_and_scripts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("best", "fruit-random") == 0
    text = capsys.readouterr().out
    assert "learning_rate" in text and "● softmax" in text
    assert automl("best", "fruit-random", "--json") == 0
    best = json.loads(capsys.readouterr().out)["best_trial"]
    assert best["architecture"]["labels"][0] == "ip"
    assert len(best["curve"]) == best["epochs"] == 2


def test_predictions_go_to_standard_output_or_a_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("predict", "fruit-random.model", "fruit.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fruit"
    assert len(lines) == 61 and set(lines[1:]) <= {"apple", "pear"}
    assert automl("predict", "fruit-random.model", "fruit.csv", "--output", "out.csv") == 0
    assert Path("out.csv").read_text().splitlines() == lines
    capsys.readouterr()
    assert automl("predict", "fruit-random.model", "fruit.csv", "--output", "-") == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert not Path("-").exists()


def test_rows_come_from_pipes_too(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert automl("predict", "fruit-random.model", "fruit.csv") == 0
    expected = capsys.readouterr().out
    rows = Path("fruit.csv").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    assert automl("predict", "fruit-random.model", "-") == 0
    assert capsys.readouterr().out == expected
    os.mkfifo("rows")
    writer = threading.Thread(target=lambda: Path("rows").write_bytes(rows))
    writer.start()
    assert automl("predict", "fruit-random.model", "rows") == 0
    writer.join()
    assert capsys.readouterr().out == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert automl("predict", "fruit-random.model", "-") == 2
    assert "'standard input' is empty, expected a header" in capsys.readouterr().err
    assert automl("predict", "fruit-random.model", os.devnull) == 2
    assert f"'{os.devnull}' is empty, expected a header" in capsys.readouterr().err


def test_probabilities_have_a_column_for_each_class(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("predict", "fruit-random.model", "fruit.csv", "--proba") == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["apple", "pear"]
    assert [sum(map(float, row)) for row in rows] == pytest.approx([1.0] * 60)


def test_an_exported_model_predicts_the_same(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert automl("export", "fruit-random", "--to", "exported") == 0
    capsys.readouterr()
    for model in ("exported", "fruit-random.model"):
        automl("predict", model, "fruit.csv", "--proba")
    first, second = capsys.readouterr().out.split("apple,pear\n")[1:]
    assert first == second


def test_a_report_is_one_page_with_pictures_and_all_trials(copy: Path) -> None:
    assert automl("report", "fruit-random") == 0
    page = Path("fruit-random.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 3
    assert page.count("<td>complete</td>") == 3
    assert 'class="best"' in page
    assert "http://" not in page and "https://" not in page


def test_predicting_needs_no_optuna(copy: Path) -> None:
    code = "import sys; from studies.commands import prediction; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert {"optuna", "botorch", "gpytorch", "ot", "sqlalchemy"}.isdisjoint(done.stdout.split())


def test_listing_studies_needs_no_torch() -> None:
    code = "import sys; from studies.commands import listings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert {"torch", "sklearn", "botorch", "gpytorch", "ot", "pandas"}.isdisjoint(done.stdout.split())


def test_unseen_categories_are_counted_and_told(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text("weight,colour\n150,blue\n160,red\n170,blue\n")
    assert automl("predict", "fruit-random.model", "new.csv") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 4
    assert "column 'colour': 2 of 3 rows" in captured.err and "'blue'" in captured.err


def write_bad_tables(folder: Path) -> None:
    rows = [f"{i},{'p' if i % 2 else 'q'}" for i in range(30)]
    tables = {
        "empty": "",
        "header": "a,y\n",
        "one_class": "a,y\n" + "\n".join(f"{i},p" for i in range(30)),
        "few_rows": "a,y\n" + "\n".join(f"{i},c{i}" for i in range(8)),
        "all_missing": "b,a,y\n" + "\n".join(f",{row}" for row in rows),
        "infinite": "a,y\ninf,p\n" + "\n".join(rows),
        "texts": "t,y\n" + "\n".join(f"text {i},{'p' if i % 2 else 'q'}" for i in range(1000)),
        "good": "a,y\n" + "\n".join(rows),
    }
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    (folder / "occupied").mkdir()
    (folder / "occupied" / "letter.txt").write_text("dear all")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run missing.csv --target y", "missing.csv"),
        ("run empty.csv --target y", "empty"),
        ("run header.csv --target y", "no rows"),
        ("run good.csv --target z", "no column 'z'"),
        ("run good.csv", "got no target for 'good.csv', expected one of its columns ('a', 'y'); name it (--target"),
        ("run good.csv --target y --ignore z", "mend or drop it (--ignore"),
        ("run one_class.csv --target y", "one value only"),
        ("run few_rows.csv --target y", "too few rows"),
        ("run few_rows.csv --target y", "(--kind regression, or kind='regression' in Python)"),
        ("run all_missing.csv --target y", "holds no value"),
        ("run infinite.csv --target y", "infinite"),
        ("run texts.csv --target y", "1000 different texts"),
        ("run texts.csv --target y --max-levels 999", "expected at most 999 levels"),
        ("run nonsense", "expected a built-in name"),
        ("run iris --sampler nonsense", "got the sampler 'nonsense'"),
        ("run iris --space nonsense", "got the space 'nonsense'"),
        ("run iris --space cnn", "no images"),
        (
            "run iris --space cell",
            "no images; choose MLPSpace (--space mlp), or say what images the rows are (--image-",
        ),
        ("run digits --space cell --max-layers 3", "got --max-layers or --max-units for the space 'cell'"),
        ("run iris --max-layers 0", "got --max-layers 0, expected 1 or more"),
        ("run iris --max-units 0", "got --max-units 0, expected 1 or more"),
        ("run iris --image-shape 28x28", "got --image-shape 28x28, expected channels, height and width"),
        ("run iris --image-shape 1x3x3", "which have 9 pixels, and 4 columns"),
        ("run iris --kind nonsense", "got the kind 'nonsense'"),
        ("run iris --metric nonsense", "got the metric 'nonsense'"),
        ("run iris --trials -3", "got --trials -3, expected 1 or more"),
        ("run iris --trials many", "--trials"),
        ("run iris --timeout -1", "got --timeout -1.0, expected 0 or more"),
        ("run iris --epochs 0", "got --epochs 0, expected 1 or more"),
        ("run iris --workers 0", "got --workers 0, expected 1 or more"),
        ("run iris --storage nonsense", "got the storage URL 'nonsense'"),
        ("run iris --storage sqlite:///no/such/folder/a.db", "cannot be opened"),
        ("run iris --storage sqlite:///good.csv/a.db", "cannot be opened"),
        ("run iris --transfer-from wine", "does not exist"),
        ("run iris --model occupied", "holds no model.json"),
        ("run iris --model good.csv/model", "cannot write 'good.csv/model'"),
        ("run iris --storage sqlite://", "a database in memory that ends with the command"),
        ("run", "Missing argument"),
        ("nonsense", "nonsense"),
        ("run iris --nonsense", "--nonsense"),
        ("studies", "does not exist"),
        ("show iris", "does not exist"),
        ("best iris", "does not exist"),
        ("export iris --to folder", "does not exist"),
        ("report iris", "does not exist"),
        ("worker", "does not exist"),
        ("dashboard", "does not exist"),
        ("dashboard --host 0.0.0.0", "without a token"),
        ("predict nonsense good.csv", "nonsense"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_writes_nothing(
    arguments: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_bad_tables(tmp_path)
    before = files()
    assert automl(*arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("automl: ") and captured.err.count("\n") == 1
    assert words in captured.err
    assert files() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run fruit.csv --target fruit --sampler random --epochs 3", "max_epochs 2, got max_epochs 3"),
        ("run fruit.csv --target fruit --sampler random --epochs 2 --seed 7", "seed"),
        ("run wine --study fruit-random --epochs 2", "made with the task fruit, got the task wine"),
        ("run fruit.csv --target fruit --transfer-from nonsense", "lacks; it has 'fruit-random'"),
        ("show nonsense", "it has 'fruit-random'"),
        ("worker --study nonsense", "it has 'fruit-random'"),
        (
            "run fruit.csv --target fruit --study fruit-random --max-layers 2 --epochs 2",
            "max_layers 8, got max_layers 2",
        ),
        ("export fruit-random --to fruit.csv", "is no folder"),
        ("export fruit-random --to fruit.csv/model", "cannot write 'fruit.csv/model'"),
        ("predict fruit-random.model no_colour.csv", "lack the column 'colour'"),
        ("predict fruit-random.model fruit.csv --output no/such/folder.csv", "cannot be written"),
        ("predict fruit-random.model fruit.csv --output .", "got the output '.', which is a folder"),
        ("report fruit-random --to fruit-random.model", "got the output 'fruit-random.model', which is a folder"),
        ("predict truncated.model fruit.csv", "damaged or truncated"),
        ("predict newer.model fruit.csv", "version"),
    ],
)
def test_what_does_not_fit_an_existing_study_or_model_is_refused(
    arguments: str, words: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("no_colour.csv").write_text("weight\n100\n")
    for name in ("truncated", "newer"):
        shutil.copytree("fruit-random.model", f"{name}.model")
    os.truncate("truncated.model/model.safetensors", 50)
    facts = json.loads(Path("newer.model/model.json").read_text())
    Path("newer.model/model.json").write_text(json.dumps({**facts, "version": facts["version"] + 1}))
    before = [path for path in files() if not path.endswith(("-wal", "-shm"))]
    assert automl(*arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("automl: ") and captured.err.count("\n") == 1
    assert words in captured.err
    assert [path for path in files() if not path.endswith(("-wal", "-shm"))] == before


def test_the_password_of_a_storage_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert automl("run", "iris", "--storage", "nonsense://ann:s3cret@localhost/db") == 2
    captured = capsys.readouterr()
    assert "ann:***@localhost" in captured.err
    assert "s3cret" not in captured.out + captured.err


def test_ctrl_c_says_how_to_go_on(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.study.Study.optimize", interrupt)
    assert automl("run", "fruit.csv", "--target", "fruit", "--trials", "9", *FAST) == 130
    assert "interrupted after 3 of 9 trials; nothing is lost: run the same command again" in capsys.readouterr().err


def test_sigterm_stops_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*arguments: object, **settings: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the signal was ignored")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(joining, "work", wait)
    assert automl("worker") == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_storage_that_fails_is_no_fault_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        try:
            raise OSError("no route to host")
        except OSError as error:
            raise StorageInternalError("An exception is raised during the commit.") from error

    monkeypatch.setattr(joining, "work", fail)
    assert automl("worker") == 2
    error = capsys.readouterr().err
    assert error.startswith("automl: the study's storage failed (no route to host), expected one that answers")


def test_a_fault_of_the_program_is_one_line_unless_a_traceback_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise RuntimeError("the moon\nis full")

    monkeypatch.setattr(joining, "work", fail)
    assert automl("worker") == 1
    error = capsys.readouterr().err
    assert error == "automl: RuntimeError: the moon is full (a fault of the program: --debug shows where)\n"
    with pytest.raises(RuntimeError, match="the moon"):
        cli.main(["worker", "--debug"])
