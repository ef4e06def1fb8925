"""TransferProposer: the laws of proposers, a head start from past tasks, and no harm from misleading ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.parameters import Float, Int
from automl.proposers import transfer
from automl.proposers.base import Proposal, Proposer
from automl.proposers.shared_candidates import Method, SharedCandidatesProposer
from automl.proposers.transfer import TransferProposer, TransferSettings
from automl.proposers.transfer_pool import TransferPoolSettings
from automl.proposers.uniform import UniformProposer
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.flat import FlatSpace
from automl.surrogates.ablr import ABLRSettings
from automl.surrogates.transfer_prior import TransferPriorSettings
from automl.transfer_features import SourceTask
from tests.contracts.proposer import SingleObjectiveContract, observe
from tests.contracts.small_spaces import ChainSpace

BRIEF = TransferSettings(
    prior=TransferPriorSettings(
        n_networks=1, n_folds=2, fold_iterations=10, ablr=ABLRSettings(width=12, max_iterations=25, weight_decay=0.1)
    ),
    pool=TransferPoolSettings(n_random=60, n_edited=20),
)
FLAT = FlatSpace({"rate": Float(1e-4, 1.0, log=True), "depth": Int(1, 9)})


def bowl(candidate: Candidate, shift: float = 0.0) -> float:
    """Best at a rate of 0.01 and a depth of about 6."""
    rate, depth = float(candidate.hyperparameters["rate"]), float(candidate.hyperparameters["depth"])
    return float((np.log10(rate) + 2 + shift) ** 2 + 0.1 * (depth - 6) ** 2)


def past(*, sign: float = 1.0, n_tasks: int = 3, n: int = 30, names: str = "past") -> list[SourceTask]:
    """Tasks whose minima lie near one another."""
    generator = np.random.default_rng(0)
    tasks = []
    for t in range(n_tasks):
        candidates = tuple(FLAT.sample(generator) for _ in range(n))
        losses = np.array([sign * bowl(c, 0.1 * t) for c in candidates])
        tasks.append(SourceTask(f"{names}-{t}", candidates, losses))
    return tasks


def search(proposer: Proposer, n: int) -> tuple[list[float], list[Proposal]]:
    observations = Observations()
    proposals: list[Proposal] = []
    for trial in range(n):
        proposals += proposer.propose(observations, 1, np.random.default_rng([0, trial]))
        candidates = tuple(p.candidate for p in proposals)
        observations = Observations(candidates, np.array([bowl(c, 0.15) for c in candidates]))
    return observations.values[:, 0].tolist(), proposals


@pytest.mark.slow
class TestTransferProposer(SingleObjectiveContract):
    def make(self, space: Space) -> Proposer:
        sources = {name: observe(space, 8, seed=seed) for seed, name in enumerate(("first", "second"))}
        return TransferProposer(space, sources, UniformProposer(space), BRIEF)


@pytest.mark.parametrize("method", ["pmf", "empirical", "portfolio"])
class TestSharedCandidatesProposer:
    def test_it_starts_with_what_was_best_and_never_repeats(self, method: Method) -> None:
        generator = np.random.default_rng(1)
        candidates = tuple(FLAT.sample(generator) for _ in range(12))
        sources = {
            str(t): Observations(candidates, np.array([bowl(c, 0.05 * t) for c in candidates])) for t in range(4)
        }
        proposer = SharedCandidatesProposer(FLAT, sources, method)
        values, proposals = search(proposer, 16)
        best = sorted(bowl(c, 0.15) for c in candidates)[:3]
        assert min(values[:3]) <= best[0] + 1e-9
        assert len({p.candidate.digest for p in proposals}) == 16

    def test_one_huge_loss_is_as_bad_as_a_large_one(self, method: Method) -> None:
        candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(12))
        sources = {
            str(t): Observations(candidates, np.array([bowl(c, 0.05 * t) for c in candidates])) for t in range(4)
        }
        proposer = SharedCandidatesProposer(FLAT, sources, method)
        proposed = []
        for worst in (1e6, 1e200):
            losses = np.array([*(bowl(c, 0.15) for c in candidates[:4]), worst])
            observations = Observations(candidates[:5], losses)
            proposed.append(proposer.propose(observations, 1, np.random.default_rng(0))[0].candidate)
        assert proposed[0] == proposed[1]


def test_sources_of_one_name_are_tasks_of_their_own() -> None:
    candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(8))
    sources = [SourceTask("same", candidates, np.array([bowl(c, shift) for c in candidates])) for shift in (0.0, 0.9)]
    proposer = SharedCandidatesProposer(FLAT, sources, "pmf")
    assert proposer.decide(Observations(), np.random.default_rng(0)).sources == ("same", "same")
    assert proposer.refused == {}  # one task alone would share nothing


def test_the_first_proposal_lies_near_the_minima_of_past_tasks() -> None:
    values, proposals = search(TransferProposer(FLAT, past(), UniformProposer(FLAT), BRIEF), 1)
    drawn = [bowl(FLAT.sample(np.random.default_rng(i)), 0.15) for i in range(100)]
    assert values[0] < np.quantile(drawn, 0.1)
    assert proposals[0].notes["transfer"]["model"] == "transfer"
    assert proposals[0].notes["transfer"]["sources"] == ["past-0", "past-1", "past-2"]


@pytest.mark.slow
def test_flipped_sources_lose_their_say() -> None:
    values, proposals = search(TransferProposer(FLAT, past(sign=-1.0), UniformProposer(FLAT), BRIEF), 14)
    assert proposals[0].notes["transfer"]["model"] == "transfer"
    said = [proposal.notes["transfer"] for proposal in proposals[5:]]
    assert sum(notes["model"] == "base" for notes in said) >= 3
    assert "the sources run against the trials" in {notes["reason"] for notes in said}
    assert min(values[5:]) < min(values[:5])


def test_one_flipped_source_among_true_ones_is_dropped() -> None:
    sources = [*past(n_tasks=3), *past(sign=-1.0, n_tasks=1, names="flipped")]
    observations = Observations()
    proposer = TransferProposer(FLAT, sources, UniformProposer(FLAT), BRIEF)
    candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(12))
    observations = Observations(candidates, np.array([bowl(c) for c in candidates]))
    assert proposer.decide(observations, np.random.default_rng(0)).dropped == ("flipped-0",)


def test_sources_are_tested_anew_where_the_same_values_belong_to_other_candidates() -> None:
    sources = [*past(n_tasks=3), *past(sign=-1.0, n_tasks=1, names="flipped")]
    candidates = sorted((FLAT.sample(np.random.default_rng(i)) for i in range(12)), key=bowl)
    values = np.array([bowl(c) for c in candidates])
    proposer = TransferProposer(FLAT, sources, UniformProposer(FLAT), BRIEF)
    straight = proposer.decide(Observations(tuple(candidates), values), np.random.default_rng(0))
    turned = Observations(tuple(reversed(candidates)), values)
    again = proposer.decide(turned, np.random.default_rng(0))
    fresh = TransferProposer(FLAT, sources, UniformProposer(FLAT), BRIEF).decide(turned, np.random.default_rng(0))
    assert again.notes == fresh.notes != straight.notes


@pytest.mark.parametrize("sources", [[], [SourceTask("tiny", (FLAT.sample(np.random.default_rng(0)),), np.ones(1))]])
def test_without_a_usable_source_it_is_its_base(sources: Sequence[SourceTask]) -> None:
    ours = TransferProposer(FLAT, sources, UniformProposer(FLAT), BRIEF)
    seen = Observations((FLAT.sample(np.random.default_rng(3)),), np.zeros(1))
    expected = UniformProposer(FLAT).propose(seen, 3, np.random.default_rng(5))
    assert [p.candidate for p in ours.propose(seen, 3, np.random.default_rng(5))] == [p.candidate for p in expected]


def test_units_and_increasing_transforms_of_a_source_do_not_matter() -> None:
    plain = past()
    warped = [SourceTask(s.name, s.candidates, 1000.0 * np.exp(s.losses) + 5.0) for s in plain]
    pairs = [search(TransferProposer(FLAT, s, UniformProposer(FLAT), BRIEF), 3)[0] for s in (plain, warped)]
    assert pairs[0] == pairs[1]


def test_sources_that_share_too_little_are_refused_with_the_reason() -> None:
    foreign = SourceTask("foreign", tuple(Candidate(None, {"other": i}) for i in range(9)), np.arange(9.0))
    proposer = TransferProposer(FLAT, [*past(), foreign], UniformProposer(FLAT), BRIEF)
    assert list(proposer.refused) == ["foreign"]
    assert "shares 0%" in proposer.refused["foreign"]


def test_past_the_sources_budgets_the_base_goes_on_alone() -> None:
    candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(91))
    observations = Observations(candidates, np.array([bowl(c) for c in candidates]))
    decision = TransferProposer(FLAT, past(), UniformProposer(FLAT), BRIEF).decide(
        observations, np.random.default_rng()
    )
    assert (decision.model, decision.reason) == ("base", "the sources' budgets are behind")


def test_pending_candidates_of_an_unobserved_task_are_complemented() -> None:
    proposer = TransferProposer(FLAT, past(), UniformProposer(FLAT), BRIEF)
    batch = proposer.propose(Observations(), 4, np.random.default_rng(0))
    assert len({p.candidate.digest for p in batch}) == 4


@dataclass(frozen=True)
class _Foretelling:
    """A base whose own model foretells every value with the same log density."""

    space: Space
    log_density: float

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        return UniformProposer(self.space).propose(observations, n, generator)

    def scores(self, observations: Observations) -> NDArray[np.float64]:
        return normal_scores(observations.values[:, 0])

    def leave_one_out_log_density(self, observations: Observations) -> NDArray[np.float64]:
        return np.full(len(observations), self.log_density)


def test_on_networks_sources_must_foretell_values_better_than_the_model_of_their_base() -> None:
    space = ChainSpace()
    sources = {name: observe(space, 12, seed=seed) for seed, name in enumerate(("first", "second", "third"))}
    seen = observe(space, 10, seed=7)

    def weight(base: Proposer) -> float:
        return TransferProposer(space, sources, base, BRIEF).decide(seen, np.random.default_rng(0)).weight

    plain = weight(UniformProposer(space))
    assert weight(_Foretelling(space, -99.0)) == plain > 0.0
    assert weight(_Foretelling(space, 99.0)) < 1e-9


CELLS = CellSpace(("a", "b", "c", "skip"), links=((0, 0, 0), (0, 1, 2)), channels=(), hyperparameters={})


def share_of_a(candidate: Candidate) -> float:
    """A loss that every operation but one raises."""
    assert candidate.architecture is not None
    labels = candidate.architecture.labels
    return sum(label != "a" for label in labels) + 0.01 * len(labels)


def cells(n: int, seed: int, *, own: float = 0.0) -> Observations:
    """The simple cells and then some random ones, with losses that are the task's own to some degree."""
    generator = np.random.default_rng(seed)
    candidates = tuple(dict.fromkeys([*CELLS.initial, *(CELLS.sample(generator) for _ in range(9 * n))]))[:n]
    losses = np.array([share_of_a(candidate) for candidate in candidates])
    return Observations(candidates, losses + own * generator.standard_normal(n))


def cells_with_sources(base: Proposer | None = None, *, own: float = 1.5) -> TransferProposer:
    return TransferProposer(CELLS, {f"past-{seed}": cells(20, seed, own=own) for seed in range(3)}, base, BRIEF)


def test_sources_that_foretell_one_another_well_come_before_the_simple_cells() -> None:
    proposer = cells_with_sources(own=0.0)
    decision = proposer.decide(Observations(), np.random.default_rng(0))
    assert (decision.model, decision.reason) == ("transfer", "too few trials to judge the sources")
    assert decision.knowledge is not None and decision.knowledge.prior.foresight > 0.7


def test_the_simple_cells_of_a_listed_space_come_before_what_sources_propose() -> None:
    proposer = cells_with_sources()
    for n, simple in enumerate(CELLS.initial):
        (proposal,) = proposer.propose(cells(n, 9), 1, np.random.default_rng(0))
        assert proposal.candidate == simple
        assert proposal.notes["transfer"]["reason"] == "simple cells come first"
    assert proposer.decide(cells(len(CELLS.initial), 9), np.random.default_rng(0)).reason != "simple cells come first"


def test_sources_lead_where_the_base_does_not_begin_with_simple_cells_by_itself() -> None:
    decision = cells_with_sources(UniformProposer(CELLS)).decide(Observations(), np.random.default_rng(0))
    assert decision.model == "transfer"


@pytest.mark.parametrize(("belief", "model"), [(0.5, "base"), (0.98, "base"), (0.995, "transfer")])
def test_after_simple_cells_sources_must_foretell_the_values_clearly_better(
    belief: float, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def believed(with_sources: NDArray[np.float64], without: NDArray[np.float64], log_odds: float = 0.0) -> float:
        asked.append(log_odds)
        return belief

    monkeypatch.setattr(transfer, "transfer_weight", believed)
    decisions = {cells_with_sources().decide(cells(9, 9), np.random.default_rng(seed)).model for seed in range(5)}
    assert decisions == {model}
    assert set(asked) == {0.0}


def test_where_there_are_no_networks_a_base_s_model_is_not_asked() -> None:
    candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(9))
    seen = Observations(candidates, np.array([bowl(c) for c in candidates]))
    decisions = [
        TransferProposer(FLAT, past(), base, BRIEF).decide(seen, np.random.default_rng(0)).notes
        for base in (UniformProposer(FLAT), _Foretelling(FLAT, 99.0))
    ]
    assert decisions[0] == decisions[1]


def unlike(sign: float) -> list[SourceTask]:
    """Tasks of which each is half the bowl, turned or not, and half something of its own."""
    generator = np.random.default_rng(2)
    tasks = []
    for t in range(4):
        candidates = tuple(FLAT.sample(generator) for _ in range(40))
        losses = np.array([bowl(c) for c in candidates])
        own = losses.std() * generator.standard_normal(len(losses))
        tasks.append(SourceTask(f"unlike-{t}", candidates, sign * losses + own))
    return tasks


def test_sources_that_hardly_agree_share_the_first_trials_with_the_base() -> None:
    _, proposals = search(TransferProposer(FLAT, unlike(1.0), UniformProposer(FLAT), BRIEF), 4)
    models = [proposal.notes["transfer"]["model"] for proposal in proposals]
    assert models == ["transfer", "base", "transfer", "base"]
    assert proposals[1].notes["transfer"]["reason"] == "the sources' opinion is held against chance"


def test_flipped_sources_that_hardly_agree_are_found_out_within_five_trials() -> None:
    _, proposals = search(TransferProposer(FLAT, unlike(-1.0), UniformProposer(FLAT), BRIEF), 8)
    said = [proposal.notes["transfer"] for proposal in proposals]
    assert [notes["model"] for notes in said[5:]] == ["base"] * 3
    assert {notes["reason"] for notes in said[5:]} == {"the sources run against the trials"}


def test_workers_that_ask_at_once_share_the_first_trials_too() -> None:
    proposer = TransferProposer(FLAT, unlike(1.0), UniformProposer(FLAT), BRIEF)
    pending = Observations(pending=(FLAT.sample(np.random.default_rng(0)),))
    assert proposer.decide(Observations(), np.random.default_rng(0)).model == "transfer"
    assert proposer.decide(pending, np.random.default_rng(0)).model == "base"


def test_a_source_that_cannot_tell_candidates_apart_is_refused() -> None:
    candidates = tuple(FLAT.sample(np.random.default_rng(i)) for i in range(6))
    proposer = TransferProposer(FLAT, [SourceTask("flat", candidates, np.ones(6))], UniformProposer(FLAT), BRIEF)
    assert proposer.refused == {"flat": "all its 6 evaluations are worth the same"}


@dataclass(frozen=True)
class _Silent:
    """A base that must not be asked."""

    space: Space

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        raise AssertionError("the base was asked")


def test_the_base_is_not_asked_while_sources_lead() -> None:
    assert len(search(TransferProposer(FLAT, past(), _Silent(FLAT), BRIEF), 3)[0]) == 3
