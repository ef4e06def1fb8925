"""Past evaluations of other tasks, and the samplers that learn from them in a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.errors import InputError
from automl.observations import Observations
from automl.parameters import Categorical, Float
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace
from studies.benchmark.command import benchmark
from studies.benchmark.past_tasks import Past, past_evaluations
from studies.benchmark.runs import Plan, TableSource, run, run_all
from studies.benchmark.samplers import check_sampler, make_searcher
from studies.benchmark.tables import BenchmarkTask, Table, load_table, table_from_file

SEEN = "tests.studies.test_benchmark_past_tasks:remembering"


def remembering(space: Space, sources: dict[str, Observations] | None = None) -> object:
    """A proposer for the runs below that must be handed its sources."""
    from automl.proposers.uniform import UniformProposer

    assert sources and all(len(task) == 20 for task in sources.values())
    return UniformProposer(space)


def log(folder: Path, name: str, best: int) -> Path:
    """A table of 30 rows whose loss is least at x = best."""
    path = folder / f"{name}.csv"
    path.write_text("x,y,error\n" + "\n".join(f"{x},{y},{abs(x - best) + y / 10}" for x in range(10) for y in range(3)))
    return path


@pytest.fixture
def family(tmp_path: Path) -> list[Table]:
    return [
        table_from_file(log(tmp_path, name, best), "error", "minimize") for name, best in (("a", 2), ("b", 3), ("c", 8))
    ]


def target_of(family: list[Table]) -> BenchmarkTask:
    return family[0]


def test_the_target_is_left_out_of_the_past(family: list[Table]) -> None:
    past = past_evaluations(Past("random", 20), target_of(family), family, seed=0)
    assert list(past) == ["b.csv", "c.csv"]
    assert all(len(task) == 20 for task in past.values())


def test_past_losses_are_those_of_their_own_table(family: list[Table]) -> None:
    past = past_evaluations(Past("random", 12), target_of(family), family, seed=0)["b.csv"]
    assert past.values[:, 0] == pytest.approx([family[1].mean(candidate) for candidate in past.candidates])


def test_flipped_past_has_the_signs_of_its_losses_turned(family: list[Table]) -> None:
    straight = past_evaluations(Past("random", 12), target_of(family), family, seed=0)["b.csv"]
    flipped = past_evaluations(Past("flipped", 12), target_of(family), family, seed=0)["b.csv"]
    assert flipped.candidates == straight.candidates
    assert np.array_equal(flipped.values, -straight.values)


def test_tasks_of_a_shared_past_know_the_same_candidates_by_losses_of_their_own(family: list[Table]) -> None:
    shared = past_evaluations(Past("shared", 12), target_of(family), family, seed=0)
    assert shared["b.csv"].candidates == shared["c.csv"].candidates
    assert not np.array_equal(shared["b.csv"].values, shared["c.csv"].values)
    own = past_evaluations(Past("random", 12), target_of(family), family, seed=0)
    assert own["b.csv"].candidates != own["c.csv"].candidates


def test_another_seed_draws_another_past(family: list[Table]) -> None:
    first, again, other = (past_evaluations(Past(), target_of(family), family, seed)["c.csv"] for seed in (0, 0, 1))
    assert first.candidates == again.candidates != other.candidates


def test_a_tuned_past_is_better_than_a_random_one(family: list[Table]) -> None:
    random, tuned = (
        np.mean(
            [past_evaluations(Past(kind, 25), target_of(family), family, seed)["c.csv"].values for seed in range(4)]
        )
        for kind in ("random", "tuned")
    )
    assert tuned < random


def test_tasks_of_another_space_are_no_sources() -> None:
    proteins = load_table("nbgraph/proteins")
    with pytest.raises(InputError, match="no other task of its space"):
        past_evaluations(Past(), proteins, [load_table("nbgraph/cora"), proteins], seed=0)


def test_the_best_of_each_past_task_comes_first(family: list[Table]) -> None:
    space = family[0].space
    past = past_evaluations(Past("random", 30), target_of(family), family, seed=0)
    best = [task.candidates[int(task.values.argmin())] for task in past.values()]
    for sampler in ("tpe+enq", "uniform+enq"):
        searcher = make_searcher(sampler, space, 0, past)
        asked = []
        for _ in range(4):
            asked.append(searcher.ask())
            searcher.tell(asked[-1], 0.0)
        assert asked[:2] == best
        assert asked[2] not in best


def test_warm_started_cma_es_begins_where_the_past_was_good(family: list[Table]) -> None:
    space = family[0].space
    past = past_evaluations(Past("random", 30), target_of(family), family[1:2], seed=0)

    def first_ten(name: str) -> float:
        searcher = make_searcher(name, space, 1, past)
        asked = []
        for _ in range(10):
            asked.append(searcher.ask())
            searcher.tell(asked[-1], family[1].mean(asked[-1]))
        return float(np.mean([family[1].mean(candidate) for candidate in asked]))

    assert first_ten("wscmaes") < first_ten("cmaes")


def test_warm_started_cma_es_learns_from_numbers_where_there_are_choices_too() -> None:
    space = FlatSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0), "kind": Categorical(("a", "b"))})
    generator = np.random.default_rng(0)
    candidates = tuple(space.sample(generator) for _ in range(30))
    losses = np.array([[abs(float(c.hyperparameters["x"]) - 0.9)] for c in candidates])
    searcher = make_searcher("wscmaes", space, 0, {"past": Observations(candidates, losses)})
    asked = []
    for _ in range(8):
        asked.append(searcher.ask())
        searcher.tell(asked[-1], 0.0)
    assert np.mean([float(candidate.hyperparameters["x"]) for candidate in asked[1:]]) > 0.7


def test_a_run_hands_the_past_to_its_sampler(family: list[Table]) -> None:
    plan = Plan(
        task="a.csv", sampler=SEEN, seed=0, n_trials=3, pending=1, noisy=False, past_kind="random", past_trials=20
    )
    assert len(run(plan, family[0], family).observed) == 3


def test_samplers_that_know_no_past_are_run_once_whatever_the_past(tmp_path: Path) -> None:
    source = TableSource("hpobench/car")
    runs = run_all([source], ["random"], [0], n_trials=2, n_workers=1, past=Past(), family=[source])
    assert runs[0].past_kind == ""
    assert runs[0].past_trials == 0


@pytest.mark.parametrize("sampler", ["tpe+enq", "wscmaes", "transfer"])
def test_transfer_samplers_ask_for_past_tasks(family: list[Table], sampler: str) -> None:
    with pytest.raises(InputError, match="learns from past tasks; add --transfer"):
        check_sampler(sampler, family[0].space)


@pytest.mark.slow
def test_the_command_compares_transfer_samplers(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(
        ["nb201/cifar10", "nb201/cifar100"],
        ["random", "random+enq"],
        trials=12,
        seeds=2,
        workers=1,
        transfer=True,
        past_trials=30,
    )
    shown = capsys.readouterr().out
    assert "nb201/cifar100: regret" in shown
    assert "Mean over 2 tasks" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tables": ["hpobench/car", "nb201/cifar10"], "transfer": True}, "tables of one family"),
        ({"tables": ["hpobench/car"], "transfer": True, "past": "good"}, "got past evaluations of the kind 'good'"),
        ({"tables": ["hpobench/car"], "transfer": True, "past_trials": 1}, "got 1 past trials"),
        ({"tables": ["lcbench/3945"]}, "without --lcbench"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmark(sampler=["random"], **arguments)  # type: ignore[arg-type]  # wrong arguments are the test
