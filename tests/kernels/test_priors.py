"""Priors peak, in the logarithm, where they say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.priors import prior_around

TYPICAL = st.floats(1e-3, 1e3)
DEVIATIONS = st.floats(0.2, 2.0)


@settings(max_examples=30, deadline=None)
@given(TYPICAL, DEVIATIONS)
def test_the_density_is_that_of_a_normal_distribution_of_the_logarithm(typical: float, deviation: float) -> None:
    logs = torch.linspace(-3, 3, 61, dtype=torch.float64) * deviation + math.log(typical)
    found = prior_around(typical, deviation).log_prob(logs.exp())
    normal = torch.distributions.Normal(math.log(typical), deviation).log_prob(logs)
    constant = found - normal
    assert torch.allclose(constant, constant.mean().expand_as(constant), atol=1e-3)
    assert int(found.argmax()) == 30


@pytest.mark.parametrize(("typical", "deviation"), [(0.0, 1.0), (1.0, 0.0), (math.nan, 1.0)])
def test_what_is_not_positive_is_refused(typical: float, deviation: float) -> None:
    with pytest.raises(ValueError, match="expected both above 0"):
        prior_around(typical, deviation)
