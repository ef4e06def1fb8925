"""OTMANN distances between layer graphs (Kandasamy et al. 2018, NASBOT, section 3).

The layers of two networks are matched by optimal transport of their masses m, m': moving a unit of mass from layer u to
layer v costs C(u, v) = M(u, v) + nu_str S(u, v), where M is the mismatch of their labels and S the mean absolute
difference of their path lengths; leaving it unmatched costs 1 on either side. The distance d is the least total cost,
d_bar is d divided by the total mass of both networks, and so lies in [0, 1]. d is a pseudo-metric; d_bar is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kernels.architecture import Architecture, Family, is_whole, listed_networks
from kernels.layer_costs import FORBIDDEN, LabelCosts, common_family, label_costs_for, layer_masses
from kernels.path_lengths import path_lengths

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

NU_STR = (0.1, 0.25, 0.61, 1.5)
UNMATCHED = 1.0  # cost of leaving a unit of mass unmatched: the unit of all costs
_PIVOT_LIMIT = 10_000


@dataclass(frozen=True, eq=False)
class _Layers:
    """What the distance needs of one network; equal layers are merged, which leaves every distance as it is.

    Args:
        labels: Row in the cost table, int64 (n,).
        masses: float64 (n,).
        lengths: Path lengths from the input and to the output side by side, float64 (n, 2k).
    """

    labels: npt.NDArray[np.int64]
    masses: Floats
    lengths: Floats

    @cached_property
    def mass(self) -> float:
        """That of all layers."""
        return float(self.masses.sum())

    @cached_property
    def content(self) -> tuple[bytes, bytes, bytes]:
        """All of it, to sort networks by."""
        return self.labels.tobytes(), self.masses.tobytes(), self.lengths.tobytes()


def otmann_distances(
    a: Iterable[Architecture],
    b: Iterable[Architecture] | None = None,
    nu_str: Iterable[float] = NU_STR,
    label_costs: LabelCosts | None = None,
    n_threads: int = 1,
) -> tuple[Floats, Floats]:
    """OTMANN distances between all networks of two lists, for several weights of the structural cost.

    Args:
        a: Networks of one family.
        b: Networks of the same family; `a` itself by default.
        nu_str: Weights of the structural cost.
        label_costs: Costs of mismatched labels; by default those of `kernels.layer_costs.label_costs_for`.
        n_threads: Threads to divide the pairs among.

    Returns:
        (d, d_bar), each float64 (len(a), len(b), len(nu_str)): the least cost, and the same divided by the total mass
        of both networks.

    Raises:
        ValueError: If the families are mixed, a label has no cost, a weight is negative or not finite, there is no
            thread, or something else stands where networks or costs should.
    """
    others = None if b is None else listed_networks(b)
    return DistanceTable(nu_str, label_costs=label_costs, n_threads=n_threads).distances(listed_networks(a), others)


class DistanceTable:
    """Distances between the networks met so far: as a set grows, only pairs not seen before are computed.

    Networks are told apart by content. Memory is bounded: beyond `max_networks` the least recently used are forgotten.
    A table changes as it is used: of several threads one at a time may ask.

    Args:
        nu_str: G weights of the structural cost.
        label_costs: Costs of mismatched labels; by default `label_costs_for` the networks met so far.
        max_networks: How many networks to remember; G numbers are kept for every pair of them.
        n_threads: Threads to divide the pairs among.

    Raises:
        ValueError: If a weight is negative or not finite, or there is none, a number is below 1, or the costs are none.
    """

    def __init__(
        self,
        nu_str: Iterable[float] = NU_STR,
        *,
        label_costs: LabelCosts | None = None,
        max_networks: int = 2048,
        n_threads: int = 1,
    ) -> None:
        self.nu_str = checked_weights(nu_str)
        for name, number in (("max_networks", max_networks), ("n_threads", n_threads)):
            if not is_whole(number) or number < 1:
                raise ValueError(f"got {name} = {number}, expected at least 1; raise it.")
        if label_costs is not None and not isinstance(label_costs, LabelCosts):
            raise ValueError(f"got label_costs = {label_costs!r}, expected LabelCosts(...); make and pass them.")
        self.max_networks = max_networks
        self.n_threads = n_threads
        self._given_costs = label_costs
        self._labels: tuple[str, ...] = ()  # sorted, lest the last bits of a distance tell in which order they were met
        self._family: Family | None = None
        self._forget()

    def __len__(self) -> int:
        """Number of networks remembered."""
        return len(self._slots)

    def distances(self, a: Sequence[Architecture], b: Sequence[Architecture] | None = None) -> tuple[Floats, Floats]:
        """(d, d_bar) as `otmann_distances` gives them, each float64 (len(a), len(b), G).

        Raises:
            ValueError: If the families are mixed, also with networks met earlier, or a label has no cost.
        """
        both = [*a, *(b or ())]
        if not both:  # nothing settles the family of the networks to come
            return np.empty((0, 0, len(self.nu_str))), np.empty((0, 0, len(self.nu_str)))
        family = self._settle_family(both)
        costs = self._costs(both, family)
        slots = self._slots_of(both, family, costs)
        rows, columns = slots[: len(a)], slots[: len(a)] if b is None else slots[len(a) :]
        self._fill(rows, columns, costs)
        d = self._d[np.ix_(rows, columns)]
        a_mass, b_mass = ([self._layers[slot].mass for slot in slots] for slots in (rows, columns))
        totals = np.add.outer(a_mass, b_mass)[:, :, None]
        return d, np.divide(d, totals, out=np.zeros_like(d), where=totals > 0)

    def _settle_family(self, architectures: Sequence[Architecture]) -> Family:
        """The family of all networks met so far; where it changes the table starts afresh."""
        met = () if self._family is None else (self._family,)
        family = common_family((*met, *(architecture.family for architecture in architectures)))
        if family != self._family:
            self._family = family
            self._forget()
        return family

    def _costs(self, architectures: Sequence[Architecture], family: Family) -> LabelCosts:
        if self._given_costs is not None:
            return self._given_costs
        if family != "graph":
            return label_costs_for(family)
        labels = tuple(sorted({*self._labels}.union(*(architecture.labels for architecture in architectures))))
        if labels != self._labels:
            self._labels = labels
            self._forget()  # the networks met so far are sorted by rows of the costs, which move
        return label_costs_for(family, labels)

    def _forget(self) -> None:
        self._slots: dict[Architecture, int] = {}  # the least recently used first
        self._layers: list[_Layers] = []
        self._free: list[int] = []  # slots of forgotten networks
        self._d = np.empty((0, 0, len(self.nu_str)))

    def _slots_of(self, architectures: Sequence[Architecture], family: Family, costs: LabelCosts) -> Indices:
        """Rows of the table that hold the networks, made for those that are new."""
        features = {x: _layers(x, family, costs) for x in dict.fromkeys(architectures) if x not in self._slots}
        if len(self) + len(features) > self.max_networks:
            self._drop_old(keep=set(architectures), room=self.max_networks * 3 // 4 - len(features))
        for architecture, layers in features.items():
            self._slots[architecture] = self._placed(layers)
        self._grow(len(self._layers))
        for architecture in dict.fromkeys(architectures):
            self._slots[architecture] = self._slots.pop(architecture)
        return np.array([self._slots[architecture] for architecture in architectures], dtype=np.int64)

    def _placed(self, layers: _Layers) -> int:
        """A slot for a network, one that is free or a new one."""
        if not self._free:
            self._layers.append(layers)
            return len(self._layers) - 1
        slot = self._free.pop()
        self._layers[slot] = layers
        return slot

    def _drop_old(self, keep: set[Architecture], room: int) -> None:
        """Forgets the least recently used networks but those to keep, until no more than `room` are left."""
        others = [architecture for architecture in self._slots if architecture not in keep]
        free = [self._slots.pop(architecture) for architecture in others[: max(len(self) - room, 0)]]
        self._d[free] = self._d[:, free] = np.nan
        self._free += free
        if len(self._layers) > self.max_networks:  # a call with more networks than these has made the table larger
            self._shrink()

    def _shrink(self) -> None:
        slots = list(self._slots.values())
        self._layers = [self._layers[slot] for slot in slots]
        self._d = self._d[np.ix_(slots, slots)]
        self._slots = {architecture: i for i, architecture in enumerate(self._slots)}
        self._free = []

    def _grow(self, n: int) -> None:
        """Makes room for n networks, doubling so that a growing set is seldom copied; nan marks what is unknown."""
        size = len(self._d)
        if n <= size:
            return
        grown = np.full((max(n, min(2 * size, self.max_networks)),) * 2 + self._d.shape[2:], np.nan)
        grown[:size, :size] = self._d
        self._d = grown

    def _fill(self, rows: Indices, columns: Indices, costs: LabelCosts) -> None:
        """Computes the pairs of rows and columns that are unknown, each once."""
        i, j = np.nonzero(np.isnan(self._d[:, :, 0][np.ix_(rows, columns)]))
        if not len(i):
            return
        low, high = np.minimum(rows[i], columns[j]), np.maximum(rows[i], columns[j])
        low, high = np.divmod(np.unique(low * len(self._d) + high), len(self._d))
        d = _solve(self._layers, self._ordered(np.stack([low, high], axis=1)), self.nu_str, costs, self.n_threads)
        self._d[low, high] = self._d[high, low] = d

    def _ordered(self, pairs: Indices) -> Indices:
        """The pairs (P, 2), each in an order of its networks' content, on which the last bits then depend alone."""
        rank = np.empty(len(self._layers), dtype=np.int64)
        networks = np.unique(pairs)
        rank[sorted(networks.tolist(), key=lambda network: self._layers[network].content)] = np.arange(len(networks))
        turned = rank[pairs[:, 0]] > rank[pairs[:, 1]]
        return np.where(turned[:, None], pairs[:, ::-1], pairs)


def checked_weights(nu_str: Iterable[float]) -> Floats:
    """Weights of the structural cost as an array (G,).

    Raises:
        ValueError: If a weight is negative or not finite, or there is none.
    """
    try:
        weights = np.array(tuple(nu_str), dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.ndim != 1 or not len(weights) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"got nu_str {nu_str!r}, expected at least one weight, each finite and not negative; "
            f"the usual ones are {NU_STR}."
        )
    return weights


def _layers(architecture: Architecture, family: Family, costs: LabelCosts) -> _Layers:
    """The layers of a network by block of labels, those of equal label and path lengths as one."""
    paths = path_lengths(architecture, family)
    lengths = np.hstack([paths.from_input, paths.to_output])
    labels = costs.indices(architecture)
    masses = layer_masses(architecture, family)
    equal: dict[tuple[int, int, bytes], list[int]] = {}
    for layer, label in enumerate(labels.tolist()):
        if masses[layer] > 0:
            equal.setdefault((int(costs.blocks[label]), label, lengths[layer].tobytes()), []).append(layer)
    groups = [equal[key] for key in sorted(equal)]
    firsts = [group[0] for group in groups]
    return _Layers(
        labels=labels[firsts],
        masses=np.array([masses[group].sum() for group in groups]),
        lengths=lengths[firsts],
    )


def _solve(layers: Sequence[_Layers], pairs: Indices, nu_str: Floats, costs: LabelCosts, n_threads: int) -> Floats:
    """Distances (P, G) of pairs (P, 2) of networks."""
    # Deferred: numba takes half a second to import, and who asks for no distance should not wait for it.
    from kernels.transport import solve_pairs

    networks, places = np.unique(pairs, return_inverse=True)
    packed = [layers[network] for network in networks]
    labels = np.concatenate([network.labels for network in packed])
    masses = np.concatenate([network.masses for network in packed])
    lengths = np.concatenate([network.lengths for network in packed])
    bounds = _block_bounds(packed, labels, costs)

    def part(places: Indices) -> tuple[Floats, npt.NDArray[np.bool_]]:
        return solve_pairs(masses, labels, lengths, bounds, costs.array, places, nu_str, _PIVOT_LIMIT)

    parts = np.array_split(places.reshape(-1, 2), n_threads)
    if n_threads == 1:
        solved = [part(parts[0])]
    else:
        with ThreadPoolExecutor(n_threads) as threads:  # the compiled code releases the interpreter's lock
            solved = list(threads.map(part, parts))
    d = np.concatenate([distances for distances, _ in solved])
    for pair in np.flatnonzero(np.concatenate([failed for _, failed in solved])):
        i, j = pairs[pair]
        d[pair] = _solve_by_pot(layers[i], layers[j], nu_str, costs)
    return d


def _block_bounds(networks: Sequence[_Layers], labels: Indices, costs: LabelCosts) -> Indices:
    """Where each of B blocks begins in each network's part of all layers, and where the last ends, (N, B + 1)."""
    n_blocks = int(costs.blocks.max()) + 1
    owners = np.repeat(np.arange(len(networks)), [len(network.labels) for network in networks])
    wanted = np.arange(len(networks))[:, None] * n_blocks + np.arange(n_blocks + 1)
    return np.searchsorted(owners * n_blocks + costs.blocks[labels], wanted)


def _solve_by_pot(x: _Layers, y: _Layers, nu_str: Floats, costs: LabelCosts) -> Floats:
    """Distances (G,) of one pair by POT's network simplex: for pairs on which ours gives up, and to check it.

    Costs are kept non-negative and masses normalised: POT returns 0 for some problems with negative costs, with no more
    than a warning.
    """
    from ot import emd2  # deferred: POT pulls in scikit-learn and torch

    mismatch = costs.array[np.ix_(x.labels, y.labels)]
    structure = np.abs(x.lengths[:, None, :] - y.lengths[None, :, :]).mean(axis=2)
    supply = np.append(x.masses, y.masses.sum())
    demand = np.append(y.masses, x.masses.sum())
    scale = supply.sum()
    cost = np.zeros((len(supply), len(demand)))
    cost[-1, :-1] = cost[:-1, -1] = UNMATCHED
    d = np.empty(len(nu_str))
    for g, nu in enumerate(nu_str):
        cost[:-1, :-1] = np.minimum(mismatch + nu * structure, FORBIDDEN)
        d[g] = scale * float(emd2(supply / scale, demand / scale, cost, numItermax=1_000_000))
    return d
