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

_WORST = 10.0


def normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal quantiles of the ranks of `n` values, ties sharing their mean rank.

    The extreme ranks are held at Blom's positions `(rank - 3/8) / (n + 1/4)`, so that no score is infinite. Constant
    values give zeros.

    >>> normal_scores(np.array([10.0, 1.0, 100.0])).round(2).tolist()
    [0.0, -0.87, 0.87]
    """
    return np.asarray(ndtri((rankdata(values) - 0.375) / (len(values) + 0.25)), dtype=np.float64)


def excess_scores(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardised logarithms of how far above the least `n >= 1` finite losses lie; constant ones give zeros.

    Unlike normal scores they keep by how much one loss is better than another; units and outliers do not matter here
    either.

    >>> excess_scores(np.array([3.0, 1.0, 9.0, 2.0])).round(2).tolist()
    [-0.05, -1.07, 1.62, -0.5]
    """
    excess = np.log1p(comparable(losses))
    spread = float(excess.std())
    return np.asarray((excess - excess.mean()) / spread if spread > 0 else np.zeros(len(losses)), dtype=np.float64)


def comparable(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses as numbers of ordinary size, in which exploded trainings are merely bad ones, one as bad as the other.

    They are counted from the least in units of the upper quartile's distance from it, at most `_WORST` of them: those
    below that keep their order, those above are equal. A model that standardises what it is given sees no difference
    where none is as bad.

    Args:
        losses: One or more, finite, of any size.
    """
    least, most = float(losses.min()), float(losses.max())
    size = max(abs(least), abs(most)) or 1.0  # Differences of the largest numbers would overflow.
    above = losses / size - least / size
    unit = float(np.quantile(above, 0.75)) or float(above.max()) or 1.0
    bounded = np.minimum(above, _WORST * unit) / unit  # Bounded first: the quotient of a tiny unit would overflow.
    return np.asarray(np.minimum(bounded, _WORST), dtype=np.float64)


def tie(values: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and scale with which a task's values follow from what is foreseen of them on a shared scale.

    The scale is the spread of the values over the spread foreseen for these very candidates, since a task whose first
    candidates are all good ones looks narrow; the offset makes both means agree.

    Args:
        values: What `n >= 1` candidates were worth, in the task's own units.
        mean: What was foreseen of them, `n`.
        variance: How unsure that was, `n`.

    >>> tie(np.array([10.0, 30.0]), np.array([-1.0, 1.0]), np.zeros(2))
    (20.0, 10.0)
    """
    foreseen = float(np.sqrt(mean.var() + variance.mean()))
    spread = float(values.std())
    scale = spread / foreseen if spread > 0 and foreseen > 0 else 1.0
    return float(values.mean() - scale * mean.mean()), scale
