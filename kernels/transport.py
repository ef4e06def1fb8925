"""Compiled optimal transport between the layers of two networks, for OTMANN (Kandasamy et al. 2018, appendix A).

The least cost of matching masses a_u with b_v at costs C_uv, when leaving a unit unmatched costs 1 on either side, is a
minimum-cost flow on a small bipartite graph with one more node, the root, at which unmatched masses end and begin:
arcs u -> v at C_uv, u -> root and root -> v at 1. A network simplex solves it exactly. What makes it fast here:

- Labels that can never be matched divide the problem into independent blocks, each far smaller than the whole.
- Blocks of one layer against one or several, the most frequent, need no simplex: the cheapest are matched first.
- The simplex starts from a greedy matching, the cheapest pair first, which is built as a tree without any pivot; where
  it is optimal, the first pricing says so.
- Weights of the structural cost are taken in turn, each starting from the optimal tree of the one before.
- Costs are capped at 2, since leaving both layers unmatched costs no more, and prices are compared row by row in loops
  without branches.

Basis trees are kept strongly feasible (Cunningham 1976), so degenerate pivots, frequent because layers of equal mass
are, cannot cycle. A tree is two arrays: each node's parent and the flow on the arc between them. Since every arc leaves
a row or the root, a row's own arc points up, to the root, and a column's own arc points down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernels.compilation import compiled

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_TOLERANCE = 1e-13  # reduced costs above minus this count as zero; costs are of the order of 1
# Leaving two units of mass unmatched costs this, as in `kernels.layer_costs`; a constant of its own, since machine code
# kept on disk would go on with the value it was compiled with.
_FORBIDDEN = 2.0


class _Tree(NamedTuple):
    """A basis tree and work space; nodes are the n rows, then the m columns, then the root.

    Attributes:
        parent: The node above each node, -1 above the root.
        flow: Flow on the arc between each node and its parent.
        potential: Dual values: C_uv = potential_u - potential_v on the arcs of the tree, 0 at the root.
        mark: Work space.
        path: Work space.
    """

    parent: Integers
    flow: Floats
    potential: Floats
    mark: Integers
    path: Integers


@compiled
def _structural_cost(x: Floats, y: Floats) -> float:
    """Mean absolute difference of the path lengths, (K,) each, of two layers."""
    total = 0.0
    for k in range(len(x)):
        total += abs(x[k] - y[k])
    return total / len(x)


@compiled
def _row_minimum(row: Floats, offsets: Floats) -> float:
    """The least of row + offsets; a loop without branches, which the compiler vectorises."""
    least = np.inf
    for v in range(len(row)):
        least = min(least, row[v] + offsets[v])
    return least


@compiled
def _column_of_minimum(row: Floats, offsets: Floats) -> int:
    """Where row + offsets is least."""
    best, least = 0, np.inf
    for v in range(len(row)):
        value = row[v] + offsets[v]
        if value < least:
            best, least = v, value
    return best


@compiled
def _greedy_tree(cost: Floats, a: Floats, b: Floats, tree: _Tree) -> None:
    """Makes the tree that matches greedily, the cheapest pair first.

    A row or column that is used up hangs below its last partner, which stays at the root with what it has left. Where
    both are used up at once the column is hung, so that the only empty arc leads up: the tree is strongly feasible.
    """
    n, m = cost.shape
    root = n + m
    parent, flow = tree.parent, tree.flow
    parent[:root], parent[root] = root, -1
    flow[:n], flow[n:root] = a, b
    lows, closed = tree.potential[:n], tree.potential[n:root]  # each row's least cost; inf for columns used up
    closed[:] = 0.0
    for row in range(n):
        lows[row] = _row_minimum(cost[row], closed)
    for _ in range(root):
        u = _column_of_minimum(lows, lows)
        if not lows[u] < _FORBIDDEN:
            return
        v = _column_of_minimum(cost[u], closed)
        if flow[u] < flow[n + v]:
            parent[u] = n + v
            flow[n + v] -= flow[u]
            lows[u] = np.inf
            continue
        parent[n + v] = u
        flow[u] -= flow[n + v]
        closed[v] = np.inf
        for row in range(n):
            if lows[row] < _FORBIDDEN and cost[row, v] <= lows[row]:
                lows[row] = _row_minimum(cost[row], closed)


@compiled
def _arc_cost(cost: Floats, n: int, root: int, node: int, above: int) -> float:
    """Cost of the arc between a node and its parent."""
    if above == root:
        return 1.0
    row, column = (node, above - n) if node < n else (above, node - n)
    return float(cost[row, column])


@compiled
def _set_potentials(cost: Floats, tree: _Tree) -> None:
    """Sets the potentials that make every arc of the tree tight."""
    n = cost.shape[0]
    root = n + cost.shape[1]
    parent, potential, path, known = tree.parent, tree.potential, tree.path, tree.mark
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


@compiled
def _entering_arc(cost: Floats, potential: Floats) -> tuple[int, int, float]:
    """The arc (tail, head) of least reduced cost, and that cost; (-1, -1, 0) where none is negative."""
    n, m = cost.shape
    root = n + m
    below = potential[n:root]
    tail, head, least = -1, -1, -_TOLERANCE
    for u in range(n):
        low = _row_minimum(cost[u], below) - potential[u]
        if low < least:
            tail, least = u, low
    if tail >= 0:
        head = n + _column_of_minimum(cost[tail], below)
    for u in range(n):
        if 1.0 - potential[u] < least:
            tail, head, least = u, root, 1.0 - potential[u]
    for v in range(n, root):
        if 1.0 + potential[v] < least:
            tail, head, least = root, v, 1.0 + potential[v]
    return tail, head, least


@compiled
def _apex(tree: _Tree, tail: int, head: int, stamp: int) -> int:
    """The lowest node above both ends of the entering arc."""
    node = tail
    while node >= 0:
        tree.mark[node] = stamp
        node = tree.parent[node]
    node = head
    while tree.mark[node] != stamp:
        node = tree.parent[node]
    return node


@compiled
def _leaving_node(n: int, tree: _Tree, tail: int, head: int, apex: int) -> tuple[int, bool]:
    """The node whose arc leaves the tree, and whether it lies on the side of the entering arc's tail.

    Among the arcs that lose flow and run empty first it is the last one met when following the cycle from its apex in
    the direction of the entering arc, which keeps the tree strongly feasible.
    """
    leaving, of_tail, least = -1, True, np.inf
    node = tail
    while node != apex:
        if node < n and tree.flow[node] < least:
            leaving, least = node, tree.flow[node]
        node = tree.parent[node]
    node = head
    while node != apex:
        if node >= n and tree.flow[node] <= least:
            leaving, of_tail, least = node, False, tree.flow[node]
        node = tree.parent[node]
    return leaving, of_tail


@compiled
def _push(n: int, tree: _Tree, tail: int, head: int, apex: int, amount: float) -> None:
    """Sends an amount around the cycle that the entering arc closes."""
    node = tail
    while node != apex:
        tree.flow[node] += -amount if node < n else amount
        node = tree.parent[node]
    node = head
    while node != apex:
        tree.flow[node] += amount if node < n else -amount
        node = tree.parent[node]


@compiled
def _rehang(tree: _Tree, top: int, leaving: int, above: int, amount: float) -> None:
    """Hangs the subtree that the leaving arc cuts off below `above`, by its node `top`."""
    node = top
    while True:
        next_node, next_flow = tree.parent[node], tree.flow[node]
        tree.parent[node], tree.flow[node] = above, amount
        if node == leaving:
            return
        above, amount = node, next_flow
        node = next_node


@compiled
def _shift_potentials(tree: _Tree, top: int, root: int, change: float) -> None:
    """Adds a change to the potentials of all nodes below `top`, itself included.

    Trees are shallow, so walking up from every node is faster than keeping lists of children.
    """
    for start in range(root):
        node = start
        while node != top and node != root:
            node = tree.parent[node]
        if node == top:
            tree.potential[start] += change


@compiled
def _simplex(cost: Floats, tree: _Tree, limit: int) -> bool:
    """Pivots a strongly feasible tree until it is optimal; false where `limit` pivots do not suffice."""
    n, m = cost.shape
    root = n + m
    _set_potentials(cost, tree)
    tree.mark[: root + 1] = 0
    for stamp in range(1, limit + 1):
        tail, head, reduced = _entering_arc(cost, tree.potential)
        if tail < 0:
            return True
        apex = _apex(tree, tail, head, stamp)
        leaving, of_tail = _leaving_node(n, tree, tail, head, apex)
        amount = tree.flow[leaving]
        _push(n, tree, tail, head, apex, amount)
        if of_tail:
            _rehang(tree, tail, leaving, head, amount)
            _shift_potentials(tree, tail, root, reduced)
        else:
            _rehang(tree, head, leaving, tail, amount)
            _shift_potentials(tree, head, root, -reduced)
    return False


@compiled
def _total_cost(cost: Floats, tree: _Tree) -> float:
    n = cost.shape[0]
    root = n + cost.shape[1]
    total = 0.0
    for node in range(root):
        total += tree.flow[node] * _arc_cost(cost, n, root, node, tree.parent[node])
    return total


@compiled
def _set_costs(mismatch: Floats, structure: Floats, nu_str: float, cost: Floats) -> None:
    for u in range(cost.shape[0]):
        for v in range(cost.shape[1]):
            cost[u, v] = min(mismatch[u, v] + nu_str * structure[u, v], _FORBIDDEN)


@compiled
def _add_pair(a: float, b: float, structure: float, mismatch: float, nu_str: Floats, sums: Floats) -> None:
    """Adds the least cost of one layer of mass `a` against another of mass `b`, for each weight."""
    for g in range(len(nu_str)):
        sums[g] += abs(a - b) + min(a, b) * min(mismatch + nu_str[g] * structure, _FORBIDDEN)


@compiled
def _add_star(
    a: float, b: Floats, structure: Floats, mismatch: Floats, nu_str: Floats, cost: Floats, sums: Floats
) -> None:
    """Adds the least cost of one layer of mass `a` against several, for each weight: the cheapest are matched first."""
    for g in range(len(nu_str)):
        total = a
        for v in range(len(b)):
            cost[v] = min(mismatch[v] + nu_str[g] * structure[v], _FORBIDDEN)
            total += b[v]
        left = a
        for _ in range(len(b)):
            best = 0
            for v in range(1, len(b)):
                if cost[v] < cost[best]:
                    best = v
            if left <= 0.0 or cost[best] >= _FORBIDDEN:
                break
            matched = min(left, b[best])
            total -= matched * (_FORBIDDEN - cost[best])
            left -= matched
            cost[best] = _FORBIDDEN
        sums[g] += total


@compiled
def _add_block(
    a: Floats,
    b: Floats,
    structure: Floats,
    mismatch: Floats,
    nu_str: Floats,
    cost: Floats,
    tree: _Tree,
    limit: int,
    sums: Floats,
) -> bool:
    """Adds the least cost of one block, rows of mass `a` against columns of mass `b`, for each weight."""
    solved = True
    for g in range(len(nu_str)):
        _set_costs(mismatch, structure, nu_str[g], cost)
        if g == 0:
            _greedy_tree(cost, a, b, tree)
        solved &= _simplex(cost, tree, limit)
        sums[g] += _total_cost(cost, tree)
    return solved


@compiled
def solve_pairs(
    masses: Floats,
    labels: Integers,
    lengths: Floats,
    blocks: Integers,
    mismatch: Floats,
    pairs: Integers,
    nu_str: Floats,
    limit: int,
) -> tuple[Floats, Booleans]:
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
    most = (blocks[:, -1] - blocks[:, 0]).max()
    tree = _Tree(
        np.empty(2 * most + 1, np.int64),
        np.empty(2 * most + 1),
        np.empty(2 * most + 1),
        np.empty(2 * most + 1, np.int64),
        np.empty(2 * most + 1, np.int64),
    )
    structures, mismatches, costs = np.empty(most * most), np.empty(most * most), np.empty(most * most)
    distances = np.zeros((len(pairs), len(nu_str)))
    failed = np.zeros(len(pairs), np.bool_)
    for p in range(len(pairs)):
        x, y = pairs[p]
        for block in range(blocks.shape[1] - 1):
            first, n = blocks[x, block], blocks[x, block + 1] - blocks[x, block]
            second, m = blocks[y, block], blocks[y, block + 1] - blocks[y, block]
            a, b = masses[first : first + n], masses[second : second + m]
            if n == 0 or m == 0:
                distances[p] += a.sum() + b.sum()
                continue
            for u in range(n):
                for v in range(m):
                    structures[u * m + v] = _structural_cost(lengths[first + u], lengths[second + v])
                    mismatches[u * m + v] = mismatch[labels[first + u], labels[second + v]]
            structure, label_cost, cost = structures[: n * m], mismatches[: n * m], costs[: n * m]
            if n == 1 and m == 1:
                _add_pair(a[0], b[0], structure[0], label_cost[0], nu_str, distances[p])
            elif n == 1:
                _add_star(a[0], b, structure, label_cost, nu_str, cost, distances[p])
            elif m == 1:
                _add_star(b[0], a, structure, label_cost, nu_str, cost, distances[p])
            else:
                shape = (n, m)
                failed[p] |= not _add_block(
                    a,
                    b,
                    structure.reshape(shape),
                    label_cost.reshape(shape),
                    nu_str,
                    cost.reshape(shape),
                    tree,
                    limit,
                    distances[p],
                )
    return distances, failed
