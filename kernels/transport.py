"""Compiled optimal transport between the layers of two networks, for OTMANN (Kandasamy et al. 2018, appendix A).

The least cost of matching masses a_u with b_v at costs C_uv, when leaving a unit unmatched costs 1 on either side, is a
minimum-cost flow on a small bipartite graph with one more node, the root, at which unmatched masses end and begin:
arcs u -> v at C_uv, u -> root and root -> v at 1. A network simplex solves it exactly. What makes it fast here:

- Labels that can never be matched divide the problem into independent blocks, each far smaller than the whole.
- The simplex starts from the star (nothing matched), which needs no search for a basis, and by Dantzig's rule first
  matches greedily, the cheapest pair first; where greedy is optimal, the first pricing after it says so.
- Weights of the structural cost are taken in turn, each starting from the optimal tree of the one before.
- Pairs with C_uv >= 2 are never priced: leaving both unmatched is as cheap.

Basis trees are kept strongly feasible (Cunningham 1976), so degenerate pivots, frequent because layers of equal mass
are, cannot cycle. A tree is two arrays: each node's parent and the flow on the arc between them. Since every arc leaves
a row or the root, a row's own arc points up, to the root, and a column's own arc points down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

_TOLERANCE = 1e-13  # reduced costs above minus this count as zero; costs are of the order of 1
_FORBIDDEN = 2.0  # leaving two units of mass unmatched costs this
_FASTMATH = {"reassoc", "contract"}  # sums may be vectorised; inf stays inf


def _compiled(function: Function) -> Function:
    """Compiles on first use, keeping the machine code on disk where a place can be written."""
    try:
        dispatcher = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        dispatcher = numba.njit(function, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    return cast(Function, dispatcher)


@_compiled
def _structural_costs(x: Floats, y: Floats, structure: Floats) -> None:
    """Mean absolute difference of path lengths, from (n, K) and (m, K) into `structure` (n, m)."""
    columns = x.shape[1]
    for u in range(x.shape[0]):
        for v in range(y.shape[0]):
            total = 0.0
            for k in range(columns):
                total += abs(x[u, k] - y[v, k])
            structure[u, v] = total / columns


@_compiled
def _star(a: Floats, b: Floats, parent: Integers, flow: Floats) -> None:
    """The tree in which nothing is matched. Nodes are the rows, then the columns, then the root."""
    n, m = len(a), len(b)
    for u in range(n):
        parent[u] = n + m
        flow[u] = a[u]
    for v in range(m):
        parent[n + v] = n + m
        flow[n + v] = b[v]
    parent[n + m] = -1


@_compiled
def _arc_cost(cost: Floats, n: int, root: int, node: int, above: int) -> float:
    """Cost of the arc between a node and its parent."""
    if above == root:
        return 1.0
    row, column = (node, above - n) if node < n else (above, node - n)
    return float(cost[row, column])


@_compiled
def _set_potentials(cost: Floats, parent: Integers, potential: Floats, known: Integers, path: Integers) -> None:
    """Potentials that make every tree arc tight: C_uv = potential_u - potential_v, with 0 at the root."""
    n = cost.shape[0]
    root = n + cost.shape[1]
    known[: root + 1] = 0
    known[root] = 1
    potential[root] = 0.0
    for start in range(root):
        steps = 0
        node = start
        while known[node] == 0:
            path[steps] = node
            steps += 1
            node = parent[node]
        for step in range(steps - 1, -1, -1):
            child = path[step]
            arc = _arc_cost(cost, n, root, child, parent[child])
            potential[child] = potential[parent[child]] + (arc if child < n else -arc)
            known[child] = 1


@_compiled
def _entering_arc(cost: Floats, potential: Floats) -> tuple[int, int, float]:
    """The arc (tail, head) of least reduced cost, and that cost; (-1, -1, 0) where none is negative."""
    n, m = cost.shape
    root = n + m
    tail, head, least = -1, -1, -_TOLERANCE
    for u in range(n):
        if 1.0 - potential[u] < least:
            tail, head, least = u, root, 1.0 - potential[u]
        for v in range(m):
            reduced = cost[u, v] - potential[u] + potential[n + v]
            if reduced < least and cost[u, v] < _FORBIDDEN:
                tail, head, least = u, n + v, reduced
    for v in range(n, root):
        if 1.0 + potential[v] < least:
            tail, head, least = root, v, 1.0 + potential[v]
    return tail, head, least


@_compiled
def _apex(parent: Integers, tail: int, head: int, mark: Integers, stamp: int) -> int:
    """The lowest node above both ends of the entering arc."""
    node = tail
    while node >= 0:
        mark[node] = stamp
        node = parent[node]
    node = head
    while mark[node] != stamp:
        node = parent[node]
    return node


@_compiled
def _leaving_node(n: int, parent: Integers, flow: Floats, tail: int, head: int, apex: int) -> tuple[int, bool]:
    """The node whose arc leaves the tree, and whether it lies on the side of the entering arc's tail.

    Among the arcs that lose flow and run empty first it is the last one met when following the cycle from its apex in
    the direction of the entering arc, which keeps the tree strongly feasible.
    """
    leaving, of_tail, least = -1, True, np.inf
    node = tail
    while node != apex:
        if node < n and flow[node] < least:
            leaving, least = node, flow[node]
        node = parent[node]
    node = head
    while node != apex:
        if node >= n and flow[node] <= least:
            leaving, of_tail, least = node, False, flow[node]
        node = parent[node]
    return leaving, of_tail


@_compiled
def _push(n: int, parent: Integers, flow: Floats, tail: int, head: int, apex: int, amount: float) -> None:
    """Sends an amount around the cycle that the entering arc closes."""
    node = tail
    while node != apex:
        flow[node] += -amount if node < n else amount
        node = parent[node]
    node = head
    while node != apex:
        flow[node] += amount if node < n else -amount
        node = parent[node]


@_compiled
def _rehang(parent: Integers, flow: Floats, top: int, leaving: int, above: int, amount: float) -> None:
    """Hangs the subtree that the leaving arc cuts off below `above`, by its node `top`."""
    node = top
    while True:
        next_node, next_flow = parent[node], flow[node]
        parent[node], flow[node] = above, amount
        if node == leaving:
            return
        above, amount = node, next_flow
        node = next_node


@_compiled
def _shift_potentials(
    parent: Integers, potential: Floats, top: int, root: int, change: float, mark: Integers, stamp: int
) -> None:
    """Adds a change to the potentials of all nodes below `top`, itself included."""
    inside, outside = stamp, stamp + 1
    mark[top], mark[root] = inside, outside
    for start in range(root):
        node = start
        while mark[node] != inside and mark[node] != outside:
            node = parent[node]
        found = mark[node]
        node = start
        while mark[node] != inside and mark[node] != outside:
            mark[node] = found
            node = parent[node]
    for node in range(root):
        if mark[node] == inside:
            potential[node] += change


@_compiled
def _simplex(
    cost: Floats, parent: Integers, flow: Floats, potential: Floats, mark: Integers, path: Integers, limit: int
) -> bool:
    """Pivots a strongly feasible tree until it is optimal; false where `limit` pivots do not suffice."""
    n, m = cost.shape
    root = n + m
    _set_potentials(cost, parent, potential, mark, path)
    mark[: root + 1] = 0
    stamp = 1
    for _ in range(limit):
        tail, head, reduced = _entering_arc(cost, potential)
        if tail < 0:
            return True
        apex = _apex(parent, tail, head, mark, stamp)
        leaving, of_tail = _leaving_node(n, parent, flow, tail, head, apex)
        amount = flow[leaving]
        _push(n, parent, flow, tail, head, apex, amount)
        top, above = (tail, head) if of_tail else (head, tail)
        _rehang(parent, flow, top, leaving, above, amount)
        _shift_potentials(parent, potential, top, root, reduced if of_tail else -reduced, mark, stamp + 1)
        stamp += 3
    return False


@_compiled
def _total_cost(cost: Floats, parent: Integers, flow: Floats) -> float:
    n = cost.shape[0]
    root = n + cost.shape[1]
    total = 0.0
    for node in range(root):
        total += flow[node] * _arc_cost(cost, n, root, node, parent[node])
    return total


@_compiled
def solve_pairs(
    masses: Floats,
    labels: Integers,
    lengths: Floats,
    blocks: Integers,
    mismatch: Floats,
    pairs: Integers,
    nu_str: Floats,
    limit: int,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """OTMANN distances of pairs of networks whose layers stand one network after another, sorted by block.

    Args:
        masses: Mass of every layer, positive, (T,).
        labels: Its row in `mismatch`, (T,).
        lengths: Its path lengths, (T, K).
        blocks: Where each of B blocks of each network begins and the last one ends, (N, B + 1).
        mismatch: Costs of mismatched labels, (L, L); inf between labels of different blocks.
        pairs: Two networks each, (P, 2).
        nu_str: Weights of the structural cost, (G,).
        limit: Most pivots for a block and a weight.

    Returns:
        The distances (P, G), and which pairs ran into the limit (P,).
    """
    widest = 0
    for network in range(blocks.shape[0]):
        widest = max(widest, blocks[network, -1] - blocks[network, 0])
    nodes = 2 * widest + 1
    parent, mark, path = np.empty(nodes, np.int64), np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    flow, potential = np.empty(nodes), np.empty(nodes)
    structures, costs = np.empty(widest * widest), np.empty(widest * widest)
    distances = np.zeros((len(pairs), len(nu_str)))
    failed = np.zeros(len(pairs), np.bool_)
    for p in range(len(pairs)):
        x, y = pairs[p]
        for block in range(blocks.shape[1] - 1):
            first, last = blocks[x, block], blocks[x, block + 1]
            begin, end = blocks[y, block], blocks[y, block + 1]
            n, m = last - first, end - begin
            a, b = masses[first:last], masses[begin:end]
            if n == 0 or m == 0:
                distances[p] += a.sum() + b.sum()
                continue
            structure, cost = structures[: n * m].reshape(n, m), costs[: n * m].reshape(n, m)
            _structural_costs(lengths[first:last], lengths[begin:end], structure)
            _star(a, b, parent, flow)
            for g in range(len(nu_str)):
                for u in range(n):
                    for v in range(m):
                        label_cost = mismatch[labels[first + u], labels[begin + v]]
                        cost[u, v] = label_cost + nu_str[g] * structure[u, v]
                if n == 1 and m == 1:
                    distances[p, g] += abs(a[0] - b[0]) + min(a[0], b[0]) * min(cost[0, 0], _FORBIDDEN)
                    continue
                if not _simplex(cost, parent, flow, potential, mark, path, limit):
                    failed[p] = True
                distances[p, g] += _total_cost(cost, parent, flow)
    return distances, failed
