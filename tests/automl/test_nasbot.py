from __future__ import annotations

from automl.proposers.base import Proposer
from automl.proposers.nasbot import NASBOTProposer
from automl.spaces.base import Space
from tests.contracts.proposer import SingleObjectiveContract


class TestNASBOTProposer(SingleObjectiveContract):
    def make(self, space: Space) -> Proposer:
        return NASBOTProposer(space, n_startup=5)
