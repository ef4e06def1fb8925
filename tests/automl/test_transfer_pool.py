"""The pool in which past tasks look for the next candidate: what is in it, and where nothing is left to find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.observations import Candidate
from automl.parameters import Categorical, Float
from automl.proposers.transfer_pool import Listing, TransferPoolSettings, sampled_best, sources_best, translated
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace
from automl.transfer_features import SourceTask
from tests.contracts.small_spaces import chain

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


def test_what_is_found_is_unseen_and_wanted_most_of_a_pool_of_distinct_candidates() -> None:
    space = FlatSpace({"x": Float(0.0, 1.0)})
    asked: list[str] = []

    def wanted(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        asked.extend(candidate.digest for candidate in candidates)
        return np.array([-((float(candidate.hyperparameters["x"]) - 0.37) ** 2) for candidate in candidates])

    best, good = Candidate(None, {"x": 0.37}), Candidate(None, {"x": 0.3701})
    for seen, expected in ((set[str](), best), ({best.digest}, None)):
        asked.clear()
        known = [best, good, good]
        found, value = sampled_best(space, known, seen, wanted, np.random.default_rng(0), TransferPoolSettings())
        assert len(asked) == len(set(asked)) > 1000
        assert not seen & set(asked)
        assert value == wanted([found])[0] >= wanted([good])[0]
        assert found == expected or expected is None


def test_a_listing_knows_what_of_it_is_still_open() -> None:
    candidates = [Candidate(None, {"x": x}) for x in range(4)]
    listing = Listing(candidates)
    seen = {candidates[1].digest, candidates[3].digest, Candidate(None, {"x": 9}).digest}
    assert listing.open(seen).tolist() == [True, False, True, False]
    assert listing.places[candidates[2].digest] == 2


RATES = FlatSpace({"rate": Float(0.0, 1.0), "optimiser": Categorical(("adam", "sgd"))})


def test_a_source_s_candidate_keeps_what_the_space_knows_of_it_and_draws_what_it_lacks() -> None:
    generator = np.random.default_rng(0)
    past = Candidate(None, {"rate": 0.25, "momentum": 0.9})
    drawn = [translated(RATES, past, generator) for _ in range(20)]
    assert {inside and tuple(inside.hyperparameters.items()) for inside in drawn} == {
        (("rate", 0.25), ("optimiser", "adam")),
        (("rate", 0.25), ("optimiser", "sgd")),
    }
    outside = [Candidate(None, {"rate": 7.0}), Candidate(None, {"rate": "fast"}), Candidate(chain(["relu"], [8]))]
    assert [translated(RATES, other, generator) for other in outside] == [None] * 3


def test_the_very_best_of_all_sources_come_first_each_once() -> None:
    def source(*rates: float) -> SourceTask:
        candidates = tuple(Candidate(None, {"rate": rate, "optimiser": "sgd"}) for rate in rates)
        return SourceTask("past", candidates, np.arange(float(len(rates))))

    sources = [source(0.1, 0.2, 0.3, 0.4), source(7.0, 0.5), source(0.1, 0.6)]
    found = sources_best(RATES, sources, np.random.default_rng(0))
    assert [candidate.hyperparameters["rate"] for candidate in found] == [0.1, 0.2, 0.5, 0.6, 0.3]


def _indifferent(candidates: Sequence[Candidate]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.zeros(len(candidates))
