"""Portfolio: the few candidates that together did best on past tasks, by greedy average rank.

The zero-shot baseline of transfer (Wistuba et al. 2015, "Sequential model-free hyperparameter tuning"; as in Syne
Tune's ZeroShotTransfer): each further candidate is the one that lowers most the mean, over tasks, of the best rank that
the portfolio has on the task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


def greedy_portfolio(losses: Floats, size: int, tried: Sequence[int] = ()) -> list[int]:
    """Places of at most `size` candidates, the one to try first in front.

    Args:
        losses: What each candidate was worth on each task, `T x M`, smaller is better; units may differ between tasks.
            NaN where it was not evaluated: it then counts as the worst of the task.
        size: Number of candidates wanted.
        tried: Places of candidates that have been tried already and are not to be chosen again.

    Raises:
        ValueError: If there is no task or no candidate.

    Examples:
        >>> greedy_portfolio(np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]]), 2)
        [0, 3]
    """
    if losses.ndim != 2 or 0 in losses.shape:
        raise ValueError(
            f"got losses of shape {losses.shape}, expected tasks x candidates with one or more of both; "
            "evaluate a candidate on a task first."
        )
    ranks = relative_ranks(losses)
    best = ranks[:, list(tried)].min(axis=1, initial=np.inf)
    chosen: list[int] = []
    for _ in range(min(size, losses.shape[1] - len(set(tried)))):
        costs = np.minimum(ranks, best[:, None]).mean(axis=0)
        # Where the portfolio cannot improve any more the better average rank decides.
        costs = costs + 1e-6 * ranks.mean(axis=0)
        costs[[*tried, *chosen]] = np.inf
        chosen.append(int(costs.argmin()))
        best = np.minimum(best, ranks[:, chosen[-1]])
    return chosen


def relative_ranks(losses: Floats) -> Floats:
    """Rank of each candidate on each task, from 0 for the best to 1, ties sharing their mean; 1 where unknown."""
    ranks = np.ones_like(losses)
    for row, values in zip(ranks, losses, strict=True):
        known = ~np.isnan(values)
        row[known] = (rankdata(values[known]) - 1) / max(known.sum() - 1, 1)
    return ranks
