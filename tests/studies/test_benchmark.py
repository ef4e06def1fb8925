"""Benchmarks: runs, the file that keeps them, reports, plots, and the command's refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from automl.errors import InputError
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.nao import NAOProposer
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from studies.benchmark.command import benchmark, report
from studies.benchmark.plots import curves, write_plot
from studies.benchmark.regret import incumbents
from studies.benchmark.runs import Plan, TableSource, read_runs, run, run_all, write_runs
from studies.benchmark.samplers import ProposerSearcher, check_sampler, make_proposer, make_searcher
from studies.benchmark.tables import BenchmarkTask
from studies.proposer_sampler import ProposerSampler

LOG = "x,y,error\n" + "\n".join(f"{x},{y},{(x - 2) ** 2 + (y - 3) ** 2 + 0.5}" for x in range(5) for y in range(6))
PATIENT = "tests.studies.test_benchmark:Patient"


class Patient(UniformProposer):
    """Random search that asserts what it is told, and thinks the first candidate best."""

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        assert len(observations.pending) <= 2
        return super().propose(observations, n, generator)

    def incumbent(self, observations: Observations) -> Candidate:
        """The first candidate that was evaluated."""
        return observations.candidates[0]


@pytest.fixture
def source(tmp_path: Path) -> TableSource:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return TableSource(str(path), "error", "minimize")


@pytest.fixture
def table(source: TableSource) -> BenchmarkTask:
    return source.load()


def plan(sampler: str, *, seed: int = 0, n_trials: int = 12, pending: int = 1) -> Plan:
    return Plan(task="log.csv", sampler=sampler, seed=seed, n_trials=n_trials, pending=pending, noisy=False)


def test_the_ablations_of_nao_leave_out_what_their_names_say(table: BenchmarkTask) -> None:
    names = ("nao", "nao-mutation", "nao-single", "nao-supervised", "nao-pseudo-labels")
    made = {name: make_proposer(name, table.space) for name in names}
    assert all(isinstance(proposer, NAOProposer) for proposer in made.values())
    found = {
        name: (
            nao.search.latent,
            nao.settings.n_heads > 1,
            nao.settings.pretraining_steps > 0,
            nao.settings.pseudo_labels,
        )
        for name, nao in made.items()
        if isinstance(nao, NAOProposer)
    }
    assert found == {
        "nao": (True, True, True, 0),
        "nao-mutation": (False, True, True, 0),
        "nao-single": (True, False, True, 0),
        "nao-supervised": (True, True, False, 0),
        "nao-pseudo-labels": (True, True, True, 1000),
    }


def test_a_proposer_that_nobody_has_is_refused(table: BenchmarkTask) -> None:
    with pytest.raises(InputError, match=r"got the sampler 'nao-mutatoin', expected one of .* did you mean"):
        make_proposer("nao-mutatoin", table.space)


@pytest.mark.parametrize("sampler", ["uniform", "evolution", "local-search", "random", "tpe", "nsgaii", "cmaes"])
def test_a_run_reports_the_incumbent_after_every_trial(table: BenchmarkTask, sampler: str) -> None:
    found = run(plan(sampler), table)
    assert len(found.observed) == len(found.value) == len(found.regret) == len(found.seconds) == 12
    assert list(found.value) == [min(found.observed[: t + 1]) for t in range(12)]
    assert list(found.regret) == pytest.approx([value - 0.5 for value in found.value])
    assert incumbents(found.observed)[-1] == found.observed.index(found.value[-1])


def test_runs_of_a_seed_are_equal_and_those_of_another_differ(table: BenchmarkTask) -> None:
    first, again, other = (run(plan("uniform", seed=seed), table) for seed in (0, 0, 1))
    assert first.observed == again.observed != other.observed


def test_a_proposer_proposes_what_its_sampler_does_in_a_study(table: BenchmarkTask) -> None:
    sampler = ProposerSampler(UniformProposer(table.space), seed=3)
    study = optuna.create_study(sampler=sampler)
    searcher = make_searcher("uniform", table.space, 3)
    for _ in range(6):
        trial = study.ask()
        in_study = table.space.build(lambda name, p, trial=trial: trial.suggest_int(name, p.low, p.high))  # type: ignore[misc]  # every parameter here is an Int
        direct = searcher.ask()
        assert direct == in_study
        searcher.tell(direct, 1.0)
        study.tell(trial, 1.0)


def test_pending_evaluations_are_known_to_the_proposer_and_all_are_finished(table: BenchmarkTask) -> None:
    found = run(plan(PATIENT, pending=3), table)
    assert len(found.observed) == 12
    assert len(set(found.observed)) > 3


def test_what_the_model_thinks_best_is_reported_beside_the_incumbent(table: BenchmarkTask) -> None:
    found = run(plan(PATIENT), table)
    assert set(found.model_regret) == {found.regret[0]}
    assert run(plan("tpe"), table).model_regret == ()


def test_any_sampler_can_be_handed_the_simple_networks_of_the_space_first(table: BenchmarkTask) -> None:
    space = CellSpace.nas_bench_201()
    searcher, asked = make_searcher("tpe+initial", space, 0), list[Candidate]()
    for _ in range(len(space.initial) + 1):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], 0.0)
    assert tuple(asked[:-1]) == space.initial
    check_sampler("tpe+initial", space)
    with pytest.raises(InputError, match=r"'tpe\+initial' for a table without simple networks; take 'tpe'"):
        check_sampler("tpe+initial", table.space)


def seeded_by_its_sources(space: Space, sources: Mapping[str, Observations], seed: int) -> optuna.samplers.BaseSampler:
    """A sampler of Optuna's whose proposals tell what it was given."""
    return optuna.samplers.RandomSampler(seed=seed + len(sources))


def test_a_sampler_of_optuna_is_named_by_its_import_path_and_given_the_seed(table: BenchmarkTask) -> None:
    past = {"other": Observations((), np.empty((0, 1)))}
    named = make_searcher(f"{__name__}:seeded_by_its_sources", table.space, 3, past)
    plain = make_searcher("random", table.space, 4)
    assert [named.ask() for _ in range(5)] == [plain.ask() for _ in range(5)]


@pytest.mark.parametrize(
    ("past", "message"),
    [
        ({}, "add --transfer"),
        ({"other": Observations((), np.empty((0, 1)))}, "expected a clone of OptunaHub's registry"),
    ],
)
def test_metalearn_tpe_says_what_it_needs(
    table: BenchmarkTask, past: Mapping[str, Observations], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPTUNAHUB_REGISTRY", raising=False)
    with pytest.raises(InputError, match=message):
        make_searcher("tests.benchmarks.metalearn_tpe:metalearn_tpe", table.space, 0, past)


def test_a_callable_that_returns_no_sampler_is_refused(table: BenchmarkTask) -> None:
    with pytest.raises(InputError, match="which returned a str, expected a proposer or one of Optuna's samplers"):
        make_searcher("builtins:repr", table.space, 0)


def test_repeated_candidates_are_told_in_the_order_in_which_they_were_asked_for(table: BenchmarkTask) -> None:
    searcher = make_searcher("random", table.space, 0)
    asked = [searcher.ask() for _ in range(40)]  # of 30 rows: some come twice
    for candidate in asked:
        searcher.tell(candidate, 0.0)
    assert len(set(asked)) < 40


def test_finished_runs_are_kept_and_not_repeated(source: TableSource, tmp_path: Path) -> None:
    file, told = tmp_path / "runs.json", []
    first = run_all([source], ["uniform"], range(2), n_trials=5, n_workers=1, file=file)
    both = run_all(
        [source],
        ["uniform", "random"],
        range(2),
        n_trials=5,
        n_workers=1,
        file=file,
        progress=lambda done, total, plan: told.append((done, total, plan.sampler)),
    )
    assert both[:2] == first
    assert told == [(3, 4, "random"), (4, 4, "random")]
    assert read_runs(file) == both


def test_the_file_of_runs_is_json_with_an_object_for_each(source: TableSource, tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    run_all([source], ["uniform"], [7], n_trials=3, n_workers=1, file=file)
    (entry,) = json.loads(file.read_text())
    assert (entry["task"], entry["sampler"], entry["seed"]) == ("log.csv", "uniform", 7)
    assert len(entry["value"]) == len(entry["regret"]) == len(entry["seconds"]) == 3


@pytest.mark.slow
def test_parallel_processes_give_the_runs_of_one_process(source: TableSource) -> None:
    alone = run_all([source], ["uniform"], range(3), n_trials=4, n_workers=1)
    together = run_all([source], ["uniform"], range(3), n_trials=4, n_workers=2)
    assert [found.observed for found in together] == [found.observed for found in alone]


def test_runs_on_another_target_of_the_same_file_are_not_taken_for_those_asked_for(
    source: TableSource, tmp_path: Path
) -> None:
    file = tmp_path / "runs.json"
    others = (replace(source, direction="maximize"), replace(source, target="x"))
    for number, other in enumerate((source, *others), start=1):
        (found,) = run_all([other], ["uniform"], [0], n_trials=3, n_workers=1, file=file)
        assert found.variant == other.variant
        assert len(read_runs(file)) == number


def test_runs_of_a_file_are_not_taken_for_those_of_another_of_its_name_or_of_what_it_held_before(
    source: TableSource, tmp_path: Path
) -> None:
    runs, other = tmp_path / "runs.json", tmp_path / "other" / "log.csv"
    other.parent.mkdir()
    other.write_text(LOG.replace(".5", ".75"))
    first, second = (
        run_all([asked], ["uniform"], [0], n_trials=3, n_workers=1, file=runs)[0]
        for asked in (source, replace(source, name=str(other)))
    )
    assert second.observed == pytest.approx([value + 0.25 for value in first.observed])
    Path(source.name).write_text(LOG.replace(".5", ".625"))
    (third,) = run_all([source], ["uniform"], [0], n_trials=3, n_workers=1, file=runs)
    assert third.observed == pytest.approx([value + 0.125 for value in first.observed])
    assert read_runs(runs) == [first, second, third]


def test_two_tasks_of_one_name_are_refused(source: TableSource, tmp_path: Path) -> None:
    other = tmp_path / "other" / "log.csv"
    other.parent.mkdir()
    other.write_text(LOG)
    with pytest.raises(InputError, match=r"got two tasks of the name 'log\.csv'"):
        run_all([source, replace(source, name=str(other))], ["uniform"], [0], n_trials=3)


def test_trainings_of_another_length_are_other_runs() -> None:
    assert TableSource("train/digits").variant == "" != TableSource("train/digits", epochs=5).variant


def test_runs_of_a_file_written_before_variants_were_told_are_those_of_the_tables_by_name(
    source: TableSource, tmp_path: Path
) -> None:
    file = tmp_path / "runs.json"
    (found,) = run_all([source], ["uniform"], [0], n_trials=3, n_workers=1, file=file)
    (entry,) = json.loads(file.read_text())
    del entry["variant"]
    file.write_text(json.dumps([entry]))
    assert read_runs(file) == [replace(found, variant="")]


@pytest.mark.parametrize("text", ['[{"task": "a"}]', "{}", '{"task": "a"}', "[5]", '["a"]', "7", "no JSON"])
def test_a_file_that_holds_no_runs_is_refused_and_left_as_it_was(
    source: TableSource, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(InputError, match="holds no runs of a benchmark"):
        run_all([source], ["uniform"], [0], n_trials=3, n_workers=1, file=file)
    assert file.read_text() == text
    with pytest.raises(InputError, match="holds no runs of a benchmark"):
        run_all([source], ["uniform"], [0], n_trials=3, n_workers=1, file=tmp_path)


def test_the_report_compares_each_sampler_with_the_first(source: TableSource) -> None:
    runs = run_all([source], ["uniform", "random", PATIENT], range(3), n_trials=12, n_workers=1)
    lines = report(runs).splitlines()
    assert lines[0] == "log.csv: regret of the incumbent in the target's own unit, mean +- standard error"
    assert lines[1].split()[:4] == ["sampler", "seeds", "@10", "@12"]
    assert [line.split()[0] for line in lines[2:5]] == ["uniform", "random", PATIENT]
    assert lines[2].split()[-1] == "-"
    assert 0 < float(lines[3].split()[-1]) <= 1
    assert lines[5].startswith(f"{PATIENT}, by its model")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "html"])
def test_regret_curves_are_plotted(source: TableSource, tmp_path: Path, ending: str) -> None:
    runs = run_all([source], ["uniform", "random"], range(3), n_trials=8, n_workers=1)
    path = tmp_path / f"curves.{ending}"
    write_plot(path, runs)
    assert (b"\x89PNG" if ending == "png" else b"<html>") in path.read_bytes()[:40]
    assert [other.name for other in tmp_path.iterdir()].count(path.name) == 1
    assert not list(tmp_path.glob(".*part*"))


def test_a_curve_is_the_mean_over_seeds(source: TableSource) -> None:
    runs = run_all([source], ["uniform"], range(4), n_trials=6, n_workers=1)
    (curve,) = curves(runs)
    assert curve.mean == pytest.approx(np.mean([found.regret for found in runs], axis=0))
    assert curve.n_seeds == 4


def test_the_command_prints_the_report_and_keeps_the_runs(
    source: TableSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs.json"
    benchmark(["table", source.name], ["uniform", "random"], trials=4, seeds=2, workers=1, json=file, target="error")
    shown = capsys.readouterr()
    assert "uniform" in shown.out
    assert "[4/4] log.csv random seed 1" in shown.err
    assert len(read_runs(file)) == 4


def test_the_command_lists_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(list_tables=True)
    assert "nbgraph/cora" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tables": []}, "got no table"),
        ({"tables": ["nb201/cifar1"]}, "got the table 'nb201/cifar1'"),
        ({"tables": ["table", "a.csv"]}, "without --target"),
        ({"tables": ["nb201/cifar10"], "target": "error"}, "got --target for published tables"),
        ({"tables": ["table", "a.csv"], "target": "error"}, "is no file"),
        ({"tables": ["table", "a.csv"], "target": "error", "direction": "up"}, "got --direction up"),
        ({"tables": ["nb201/cifar10"], "sampler": ["nasbod"]}, "did you mean 'nasbot'"),
        ({"tables": ["nb201/cifar10"], "sampler": ["no.such:thing"]}, "cannot be imported"),
        ({"tables": ["nb201/cifar10"], "sampler": ["cmaes"]}, "parameters are all categories"),
        ({"tables": ["nb201/cifar10"], "trials": 0}, "got 0 trials"),
        ({"tables": ["nb201/cifar10"], "pending": 0}, "got 0 pending evaluations"),
        ({"tables": ["nb201/cifar10"], "seeds": 0}, "got --seeds 0"),
        ({"tables": ["nb201/cifar10"], "direction": "minimize"}, "got --direction for published tables"),
        ({"tables": ["nb201/cifar10"], "past": "shared"}, "got --past without --transfer"),
        ({"tables": ["nb201/cifar10"], "past_trials": 10}, "got --past-trials without --transfer"),
        ({"tables": ["nbgraph/cora"], "noisy": True}, "got --noisy for nbgraph/cora, which holds one value"),
        ({"tables": ["train/iris"], "noisy": False}, "got --noisy/--exact for trainings"),
        ({"tables": ["train/iris"], "direction": "maximize"}, "got --direction for trainings"),
        ({"tables": ["train/iris"], "epochs": 0}, "got --epochs 0, expected 1 or more"),
        ({"tables": ["nb201/cifar10"], "epochs": 3}, "got --epochs for tables"),
        ({"tables": ["nb201/cifar10"], "sampler": ["optuna.samplers:RandomSampler"]}, "cannot be called with space"),
        ({"tables": ["nb201/cifar10"], "sampler": ["optuna:__version__"]}, "a str, expected a callable"),
        ({"tables": ["nb201/cifar10"], "json": Path()}, "which is a folder"),
        ({"tables": ["nb201/cifar10"], "plot": [Path("curves.pdf")]}, "ends in .png or .html"),
        ({"tables": ["nb201/cifar10"], "json": Path("/no/such/folder/runs.json")}, "folder does not exist"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmark(**arguments)  # type: ignore[arg-type]  # wrong arguments are the test


def test_a_plot_in_the_place_of_a_folder_is_refused_before_the_runs(tmp_path: Path) -> None:
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(InputError, match=r"curves.png', which is a folder; expected a file's name"):
        benchmark(tables=["nb201/cifar10"], plot=[tmp_path / "curves.png"])


def test_writing_runs_leaves_no_draft_behind(tmp_path: Path, table: BenchmarkTask) -> None:
    write_runs(tmp_path / "runs.json", [run(plan("uniform", n_trials=2), table)])
    assert [path.name for path in tmp_path.glob("runs*")] == ["runs.json"]


def test_a_proposer_without_an_opinion_has_no_incumbent(table: BenchmarkTask) -> None:
    space: Space = table.space
    assert ProposerSearcher(UniformProposer(space), 0).incumbent() is None
