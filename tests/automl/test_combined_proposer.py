"""CombinedProposer: every proposer's laws, the mixture of both models, and who brought what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from automl.acquisition import ACQUISITIONS, Acquisition
from automl.proposers import combined
from automl.proposers.combined import CombinedProposer
from automl.proposers.nao import NAOProposer
from automl.proposers.nasbot import NASBOTProposer
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.surrogates.nao import NAOSettings
from tests.contracts.proposer import SingleObjectiveContract, observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace

SMALL = NAOSettings(width=16, n_unlabelled=200, pretraining_steps=40, refinement_steps=15)


class TestCombinedProposer(SingleObjectiveContract):
    def make(self, space: Space) -> CombinedProposer:
        return CombinedProposer(
            space, n_startup=5, n_from_nasbot=2, nao=NAOProposer(space, n_startup=5, settings=SMALL)
        )


def test_notes_say_who_brought_the_winner_and_how_many_each_brought() -> None:
    proposal = (
        TestCombinedProposer().make(ChainSpace()).propose(observe(ChainSpace(), 12), 1, np.random.default_rng(0))[0]
    )
    assert proposal.notes["from"] in ("nasbot", "nao", "both")
    assert proposal.notes["n_pool"]["nao"] > 0
    assert sum(proposal.notes["n_pool"].values()) >= 3


@pytest.mark.usefixtures("first_fits_that_fail")
def test_a_looser_fit_is_noted_whoever_brought_the_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combined, "acquisition_values", lambda kind, pool, *_: torch.arange(len(pool.mean), 0, -1))
    with pytest.warns(RuntimeWarning, match="looser"):
        (proposal,) = (
            TestCombinedProposer().make(ChainSpace()).propose(observe(ChainSpace(), 12), 1, np.random.default_rng(0))
        )
    assert (proposal.notes["from"], proposal.notes["fallback"]) == ("nao", "more noise")


@pytest.fixture(scope="module")
def any_proposer() -> CombinedProposer:
    """One whose NAO is shared, and fitted once."""
    return TestCombinedProposer().make(ChainSpace())


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_every_acquisition_function_chooses_from_the_pool(
    any_proposer: CombinedProposer, acquisition: Acquisition
) -> None:
    proposer = replace(any_proposer, acquisition=acquisition)
    observations = observe(ChainSpace(), 12)
    (proposal,) = proposer.propose(observations, 1, np.random.default_rng(0))
    assert proposer._nasbot.acquisition == proposal.notes["acquisition"] == acquisition
    assert np.isfinite(proposal.notes["acquisition_value"])
    assert proposal.candidate.digest not in observations.digests


def test_an_unknown_acquisition_function_is_refused() -> None:
    with pytest.raises(ValueError, match="got the acquisition function 'best', expected one of log-ei"):
        CombinedProposer(ListedSpace(), acquisition="best")  # type: ignore[arg-type]  # what a user may type


def test_it_proposes_better_candidates_than_chance_after_forty() -> None:
    observations = observe(ChainSpace(), 40)
    proposals = TestCombinedProposer().make(ChainSpace()).propose(observations, 2, np.random.default_rng(0))
    assert np.mean([width(p.candidate) for p in proposals]) < np.quantile(observations.values, 0.1)


def test_the_mixture_is_as_uncertain_as_its_parts_and_their_disagreement() -> None:
    proposer = TestCombinedProposer().make(ChainSpace())
    observations = observe(ChainSpace(), 12)
    asked = observe(ChainSpace(), 6, seed=1).candidates
    mixture = proposer._mixture(observations, asked)
    parts = [
        p.predict(asked) for p in (proposer._nasbot.surrogate.fit(observations), proposer._nao.model(observations))
    ]
    draws = np.random.default_rng(0).standard_normal((2, 100_000, 1))
    sample = np.concatenate([p.mean + p.deviation * z for p, z in zip(parts, draws, strict=True)])
    np.testing.assert_allclose(mixture.mean, sample.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(mixture.deviation, sample.std(axis=0), rtol=0.02)


def test_a_number_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_from_nasbot = 0, expected at least 1"):
        CombinedProposer(ListedSpace(), n_from_nasbot=0)


@pytest.mark.parametrize("space", [ChainSpace(), ListedSpace()], ids=["evolving", "listed"])
def test_both_models_predict_the_same_scores(space: Space) -> None:
    proposer = TestCombinedProposer().make(space)
    values = observe(space, 8).values[:, 0]
    np.testing.assert_array_equal(proposer._nasbot.surrogate.scores(values), normal_scores(values))


def test_a_process_of_other_scores_than_the_network_s_is_refused() -> None:
    with pytest.raises(ValueError, match="got a Gaussian process of 'excess' scores, expected 'normal' ones"):
        CombinedProposer(ChainSpace(), nasbot=NASBOTProposer(ChainSpace()))
