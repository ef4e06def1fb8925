"""The pool in which past tasks look for the next candidate, where there is nothing left to find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Categorical
from automl.proposers.transfer_pool import TransferPoolSettings, sampled_best
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace

SPACE = FlatSpace({"optimiser": Categorical(("adam", "sgd"))})


def test_a_space_that_is_used_up_is_not_searched_hundreds_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[None] = []
    sample = Space.sample

    def counted(space: Space, generator: np.random.Generator) -> Candidate:
        draws.append(None)
        return sample(space, generator)

    known = [Candidate(None, {"optimiser": name}) for name in ("adam", "sgd")]
    monkeypatch.setattr(Space, "sample", counted)
    candidate, value = sampled_best(
        SPACE, known, {c.digest for c in known}, _indifferent, np.random.default_rng(0), TransferPoolSettings()
    )
    assert candidate in known
    assert value == -np.inf
    assert len(draws) < 500


def test_what_is_left_of_a_small_space_is_found() -> None:
    adam, sgd = (Candidate(None, {"optimiser": name}) for name in ("adam", "sgd"))
    generator = np.random.default_rng(0)
    found, _ = sampled_best(SPACE, [adam], {adam.digest}, _indifferent, generator, TransferPoolSettings())
    assert found == sgd


def _indifferent(candidates: Sequence[Candidate]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.zeros(len(candidates))
