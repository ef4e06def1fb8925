"""Priors of positive parameters by what is typical of them.

A log-normal density of a parameter peaks below its median, at exp(mu - sigma^2), since it counts in the parameter and
not in its logarithm; a fit by MAP that follows it would take a parameter of which the data say nothing for e times
smaller than is typical. So priors here are normal in the logarithm, in which kernels are fitted: that is a log-normal
density with mu moved up by sigma^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from gpytorch import Module
from gpytorch.priors import LogNormalPrior
from torch import Tensor


def prior_around(typical: float, deviation: float) -> LogNormalPrior:
    """The prior whose density, as a fit by MAP sees it, is that of a normal distribution of the logarithm.

    Args:
        typical: Where the density peaks, above 0.
        deviation: Standard deviation of the logarithm, above 0.

    Raises:
        ValueError: If either is not above 0.

    Examples:
        >>> import torch
        >>> prior = prior_around(0.05, 1.0)
        >>> values = torch.tensor([0.04, 0.05, 0.06])
        >>> int(prior.log_prob(values).argmax())
        1
    """
    if not (typical > 0 and deviation > 0):
        raise ValueError(f"got a prior around {typical} with deviation {deviation}, expected both above 0; raise them.")
    return LogNormalPrior(math.log(typical) + deviation**2, deviation)


def value_of(name: str) -> Callable[[Module], Tensor]:
    """What `register_prior` asks a module for: its attribute of that name.

    Unlike a lambda it can be pickled, and with it a sampler that holds a fitted model.
    """
    return partial(_value, name=name)


def _value(module: Module, name: str) -> Tensor:
    value: Tensor = getattr(module, name)
    return value
