"""Scales on which values of different tasks can be compared.

Normal scores (a Gaussian copula's marginal, as in Salinas et al. 2020, "A quantile-based approach for hyperparameter
transfer learning") keep only the ranks within a task, so a task's units, its outliers and any increasing transform of
it do not matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata


def normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal quantiles of the ranks of `n` values, ties sharing their mean rank.

    The extreme ranks are held at Blom's positions `(rank - 3/8) / (n + 1/4)`, so that no score is infinite. Constant
    values give zeros.

    >>> normal_scores(np.array([10.0, 1.0, 100.0])).round(2).tolist()
    [0.0, -0.87, 0.87]
    """
    n = len(values)
    if n == 0:
        return np.empty(0)
    return np.asarray(ndtri((rankdata(values) - 0.375) / (n + 0.25)), dtype=np.float64)
