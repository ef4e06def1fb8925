"""Candidates of several tasks and spaces as rows of numbers that mean the same everywhere.

Hyperparameters are put on the unit scale of the target's parameters: values out of range are clipped, missing ones lie
in the middle and say so in a column of their own, names that the target lacks are dropped, choices are one column each.
Graphs are described by names that no space owns: how often their commonest local patterns occur (labels with their
neighbours, labels at a depth, label paths; Shervashidze et al. 2011, White et al. 2021) and how large they are. So
studies of other spaces inform the target wherever their networks look alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.scales import normal_scores
from kernels.architecture import Architecture
from kernels.weisfeiler_lehman import Counts, label_depth_counts, label_path_counts, weisfeiler_lehman_counts

Floats = NDArray[np.float64]

_PATTERNS_AT_MOST = 64
_LARGEST_COUNT = 8  # Counts beyond say little more: stacks of many cells repeat the same pattern.
_COUNTED_AT_MOST = 2000  # Candidates from which the commonest patterns are learnt.


@dataclass(frozen=True, eq=False)
class SourceTask:
    """Finished evaluations of a past task.

    Args:
        name: What people call it.
        candidates: What was evaluated, of any space.
        losses: Their losses in the task's own units, one each, finite; smaller is better.
        scores: Their normal scores among all evaluations of the task, where these are only some; made by default.
        n_evaluations: Number of all evaluations of the task, where these are only some.

    Raises:
        ValueError: If the numbers differ or a loss is not finite.
    """

    name: str
    candidates: tuple[Candidate, ...]
    losses: Floats
    scores: Floats = field(default_factory=lambda: np.empty(0))
    n_evaluations: int = 0

    def __post_init__(self) -> None:
        losses = np.array(self.losses, dtype=np.float64)
        if losses.shape != (len(self.candidates),) or not np.isfinite(losses).all():
            raise ValueError(
                f"got losses of shape {losses.shape} for the {len(self.candidates)} candidates of source "
                f"{self.name!r}, expected one finite loss each; drop evaluations that failed."
            )
        scores = np.array(self.scores if len(self.scores) else normal_scores(losses), dtype=np.float64)
        object.__setattr__(self, "candidates", tuple(self.candidates))
        object.__setattr__(self, "losses", losses)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "n_evaluations", max(self.n_evaluations, len(self.candidates)))

    def __len__(self) -> int:
        return len(self.candidates)

    def best(self, n: int) -> list[Candidate]:
        """The `n` candidates with the least losses, the best first."""
        return [self.candidates[i] for i in np.argsort(self.losses, kind="stable")[:n]]

    def thinned(self, n: int) -> SourceTask:
        """At most `n` of the evaluations, see `thinned_rows`; each keeps its score."""
        if len(self) <= n:
            return self
        rows = thinned_rows(self.losses, n)
        kept = tuple(self.candidates[i] for i in rows)
        return SourceTask(self.name, kept, self.losses[rows], self.scores[rows], self.n_evaluations)


def thinned_rows(losses: Floats, n: int) -> NDArray[np.int64]:
    """Which `n` of more evaluations to keep, in order: a quarter the best, the rest evenly spread over ranks."""
    order = np.argsort(losses, kind="stable")
    best, rest = order[: n // 4], order[n // 4 :]
    spread = rest[np.linspace(0, len(rest) - 1, n - len(best)).round().astype(int)]
    return np.sort(np.concatenate([best, spread]))


def unit_value(parameter: Float | Int, value: Value | None) -> float | None:
    """Position of a number in the parameter's range, clipped to it; None where it is no finite number."""
    if value is None or isinstance(value, bool | str) or not math.isfinite(value):
        return None
    return parameter.to_unit(min(max(value, parameter.low), parameter.high))


@dataclass(frozen=True)
class FeatureMap:
    """Turns candidates into rows of P features; `feature_map` makes one.

    Args:
        parameters: The target's hyperparameters by name.
        optional: Names of those that some candidate lacks: each has a column that says whether it is there.
        patterns: Digests of the patterns that are counted in graphs, each with what its count is divided by.
        sizes: Lower and upper bound of each measure of size; empty where candidates have no graphs.
    """

    parameters: Mapping[str, Parameter]
    optional: frozenset[str] = frozenset()
    patterns: Mapping[int, float] = field(default_factory=dict)
    sizes: tuple[tuple[float, float], ...] = ()

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        """The features, `n x P`."""
        parts = [self._column(name, parameter, candidates) for name, parameter in self.parameters.items()]
        if self.sizes:
            graphs = [candidate.architecture for candidate in candidates]
            parts += [self._measured(graphs), self._counted(graphs)]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(candidates), 0))

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """For each feature the number of its group: one a hyperparameter, one for sizes, one for patterns."""
        widths = [_width(parameter) + (name in self.optional) for name, parameter in self.parameters.items()]
        widths += [len(self.sizes), len(self.patterns)] if self.sizes else []
        return tuple(np.repeat(np.arange(len(widths)), widths).tolist())

    def _column(self, name: str, parameter: Parameter, candidates: Sequence[Candidate]) -> Floats:
        values = [candidate.hyperparameters.get(name) for candidate in candidates]
        if isinstance(parameter, Categorical):
            rows = [[float(value == choice) for choice in parameter.choices] for value in values]
            present = [float(any(row)) for row in rows]
        else:
            units = [unit_value(parameter, value) for value in values]
            rows = [[0.5 if unit is None else unit] for unit in units]
            present = [float(unit is not None) for unit in units]
        columns = np.array(rows, dtype=np.float64).reshape(len(values), _width(parameter))
        if isinstance(parameter, Categorical):
            columns *= math.sqrt(0.5)  # So that two choices are at distance 1, as the ends of a range are.
        return np.hstack([columns, np.array(present)[:, None]]) if name in self.optional else columns

    def _measured(self, graphs: Sequence[Architecture | None]) -> Floats:
        low, high = np.array(self.sizes).T
        sizes = np.array([_sizes(graph) for graph in graphs], dtype=np.float64).reshape(len(graphs), len(self.sizes))
        return np.asarray(np.clip((sizes - low) / np.maximum(high - low, 1e-9), 0.0, 1.0), dtype=np.float64)

    def _counted(self, graphs: Sequence[Architecture | None]) -> Floats:
        place = {pattern: i for i, pattern in enumerate(self.patterns)}
        scale = list(self.patterns.values())
        counted = np.zeros((len(graphs), len(place)))
        for row, graph in enumerate(graphs):
            for pattern, count in _patterns(graph).items():
                if pattern in place:
                    counted[row, place[pattern]] = min(count, _LARGEST_COUNT) / scale[place[pattern]]
        return counted


def feature_map(parameters: Mapping[str, Parameter], candidates: Iterable[Candidate]) -> FeatureMap:
    """The features that tell these candidates apart.

    Args:
        parameters: The target's hyperparameters by name.
        candidates: Candidates of all sources, and some of the target's space.
    """
    known = list(candidates)
    spread = np.linspace(0, max(len(known) - 1, 0), min(len(known), _COUNTED_AT_MOST)).round().astype(int)
    graphs = [known[i].architecture for i in spread]
    optional = frozenset(name for name, p in parameters.items() if any(_lacks(c, name, p) for c in known))
    if all(graph is None for graph in graphs):
        return FeatureMap(dict(parameters), optional)
    sizes = np.array([_sizes(graph) for graph in graphs])
    bounds = tuple(zip(sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist(), strict=True))
    return FeatureMap(dict(parameters), optional, _telling_patterns(graphs), bounds)


def _lacks(candidate: Candidate, name: str, parameter: Parameter) -> bool:
    value = candidate.hyperparameters.get(name)
    if isinstance(parameter, Categorical):
        return value not in parameter.choices
    return unit_value(parameter, value) is None


def _width(parameter: Parameter) -> int:
    return len(parameter.choices) if isinstance(parameter, Categorical) else 1


def _telling_patterns(graphs: Sequence[Architecture | None]) -> dict[int, float]:
    """The patterns whose counts vary most, scaled so that the variances of all their columns add up to 1."""
    totals: Counter[int] = Counter()
    squares: Counter[int] = Counter()
    for graph in graphs:
        for pattern, count in _patterns(graph).items():
            capped = min(count, _LARGEST_COUNT)
            totals[pattern] += capped
            squares[pattern] += capped**2
    n = len(graphs)
    variance = {pattern: squares[pattern] / n - (totals[pattern] / n) ** 2 for pattern in totals}
    telling = sorted((p for p in variance if variance[p] > 1e-9), key=lambda p: (-variance[p], p))[:_PATTERNS_AT_MOST]
    return {pattern: math.sqrt(variance[pattern] * len(telling)) for pattern in telling}


_COUNTS: tuple[Callable[[Architecture], Counts], ...] = (
    lambda graph: weisfeiler_lehman_counts(graph, 1),
    lambda graph: weisfeiler_lehman_counts(graph, 1, direction="parents"),
    label_depth_counts,
    label_path_counts,
)


def _patterns(graph: Architecture | None) -> Counts:
    """How often each pattern occurs; sorts of patterns have digests of their own, as they hash different things."""
    found: dict[int, int] = {}
    for count in _COUNTS if graph is not None else ():
        found.update(count(graph))  # type: ignore[arg-type]  # the loop is empty without a graph
    return found


def _sizes(graph: Architecture | None) -> tuple[float, ...]:
    """Layers, edges, depth, and the logarithms of the units in all, at most, and of the products along edges."""
    if graph is None:
        return (0.0,) * 6
    units = [u or 0 for u in graph.units]
    products = sum(max(units[u], 1) * max(units[v], 1) for u, v in graph.edges)
    return (
        float(len(graph)),
        float(len(graph.edges)),
        float(graph.depth),
        math.log1p(sum(units)),
        math.log1p(max(units)),
        math.log1p(products),
    )
