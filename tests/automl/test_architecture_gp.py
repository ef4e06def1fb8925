from __future__ import annotations

from automl.spaces.base import Space
from automl.surrogates.architecture_gp import ArchitectureGP
from automl.surrogates.base import Surrogate
from tests.contracts.surrogate import SurrogateContract


class TestArchitectureGP(SurrogateContract):
    def make(self, space: Space) -> Surrogate:
        return ArchitectureGP(space.hyperparameters)
