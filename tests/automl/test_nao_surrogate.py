"""NAO's surrogate: the autoencoder, what refining learns and from what, latent steps, and decoding."""

from __future__ import annotations

import copy
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from automl.observations import Candidate
from automl.parameters import Float
from automl.scales import normal_scores
from automl.sequences import TokenBatch, TokenSequence, Vocabulary
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.flat import FlatSpace
from automl.spaces.mlp import MLPSpace
from automl.surrogates import nao
from automl.surrogates.nao import NAOModel, NAOSettings, NAOSurrogate, pretrain
from automl.surrogates.nao_decoding import decode
from automl.surrogates.nao_network import EncoderPredictorDecoder, TokenTensors
from tests.contracts.proposer import observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace
from tests.contracts.surrogate import SurrogateContract

COUNTS = ("n_heads", "head_width", "n_unlabelled", "refinement_steps", "batch_size", "n_orders")
AMOUNTS = ("prior_scale", "pretraining_steps", "weight_decay")
SMALL = NAOSettings(width=24, n_unlabelled=500, pretraining_steps=150)


def pretrained() -> NAOModel:
    return pretrain(ChainSpace(), SMALL)


def sequence_tensors(model: NAOModel, n: int) -> TokenTensors:
    generator = np.random.default_rng(5)
    return TokenTensors.of(TokenBatch.stack([model.vocabulary.sample(generator) for _ in range(n)]))


class TestNAOSurrogate(SurrogateContract):
    def make(self, space: Space) -> NAOSurrogate:
        return NAOSurrogate(space, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [MLPSpace(max_layers=4), CNNSpace(), CellSpace(), CellSpace.nas_bench_201(), CellSpace.nas_bench_graph()],
    ids=["mlp", "cnn", "cell", "nas-bench-201", "nas-bench-graph"],
)
def test_every_decoding_is_legal_even_of_an_untrained_network_and_long_steps(space: Space) -> None:
    model = pretrain(space, NAOSettings(width=8, pretraining_steps=0))
    generator = np.random.default_rng(0)
    seeds = [model.vocabulary.sample(generator) for _ in range(5)]
    for row in model.improve(seeds, (0.5, 8.0), beam_width=2):
        for candidate in row:
            assert space.decode(space.encode(candidate)) == candidate


@pytest.mark.slow
@pytest.mark.parametrize("space", [CellSpace.nas_bench_201(), CellSpace.nas_bench_graph()], ids=["201", "graph"])
def test_held_out_candidates_decode_back_to_themselves_after_pretraining(space: Space) -> None:
    model = pretrain(space, NAOSettings(pretraining_steps=120, n_unlabelled=1000))
    generator = np.random.default_rng(1_000)
    held_out = [space.sample(generator) for _ in range(100)]
    decoded = model.reconstruct([model.vocabulary.encode(candidate) for candidate in held_out])
    assert sum(a == b for a, b in zip(held_out, decoded, strict=True)) >= 99


def test_encoder_outputs_and_embeddings_have_length_one_and_padding_none() -> None:
    model = pretrained()
    batch = sequence_tensors(model, 6)
    with torch.no_grad():
        outputs = model.network.encode(batch)
        embeddings = model.network.pool(outputs)
    torch.testing.assert_close(outputs.norm(dim=-1), batch.mask.float())
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(6))


def test_padding_changes_no_likelihood_and_no_prediction() -> None:
    model = pretrained()
    batch = sequence_tensors(model, 6)
    shortest = torch.tensor([int(batch.mask.sum(dim=1).argmin())])
    with torch.no_grad():
        outputs, alone = model.network.encode(batch), model.network.encode(batch[shortest])
        torch.testing.assert_close(model.network.predict(outputs)[:, shortest], model.network.predict(alone))
        together = model.network.logits(
            batch.tokens, batch.slots, outputs, batch.mask, model.network.start_state(outputs)
        )
        single = batch[shortest]
        apart = model.network.logits(single.tokens, single.slots, alone, single.mask, model.network.start_state(alone))
    length = single.tokens.shape[1]
    torch.testing.assert_close(together[0][shortest, :length], apart[0])


def test_decoding_step_by_step_is_teacher_forcing_with_the_tokens_decoded() -> None:
    model = pretrained()
    batch = sequence_tensors(model, 4)
    network = model.network
    previous = torch.cat([torch.full_like(batch.tokens[:, :1], network.start), batch.tokens[:, :-1]], dim=1)
    with torch.no_grad():
        outputs = network.encode(batch)
        at_once, _ = network.logits(previous, batch.slots, outputs, batch.mask, network.start_state(outputs))
        state, steps = network.start_state(outputs), []
        for t in range(previous.shape[1]):
            logits, state = network.logits(
                previous[:, t : t + 1], batch.slots[:, t : t + 1], outputs, batch.mask, state
            )
            steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), at_once)


def test_only_tokens_of_the_slot_asked_have_a_finite_score() -> None:
    model = pretrained()
    batch = sequence_tensors(model, 4)
    with torch.no_grad():
        outputs = model.network.encode(batch)
        logits, _ = model.network.logits(
            batch.tokens, batch.slots, outputs, batch.mask, model.network.start_state(outputs)
        )
    sizes = {slot.index: slot.size for slot in model.vocabulary.slots.values()}
    expected = [[sizes[int(slot)] for slot in row] for row in batch.slots]
    assert logits.isfinite().sum(dim=-1).tolist() == expected


def log_likelihood(model: NAOModel, outputs: torch.Tensor, mask: torch.Tensor, candidate: Candidate) -> float:
    """Of a candidate's tokens, all at once, by the decoder that looks at one row of encoder outputs."""
    batch = TokenTensors.of(TokenBatch.stack([model.vocabulary.encode(candidate)]))
    start = torch.full_like(batch.tokens[:, :1], model.network.start)
    previous = torch.cat([start, batch.tokens[:, :-1]], dim=1)
    logits, _ = model.network.logits(previous, batch.slots, outputs, mask, model.network.start_state(outputs))
    return float(logits.log_softmax(dim=-1).gather(-1, batch.tokens.unsqueeze(-1)).sum())


def test_a_beam_gives_the_likeliest_first_and_begins_with_no_worse_a_decoding_than_greed() -> None:
    model, generator = pretrained(), np.random.default_rng(2)
    seeds = [model.vocabulary.sample(generator) for _ in range(6)]
    batch = TokenTensors.of(TokenBatch.stack(seeds))
    with torch.no_grad():
        outputs = model.network.encode(batch)
        greedy, beams = (
            decode(model.network, model.vocabulary, outputs, batch.mask, seeds, beam_width=kept) for kept in (1, 4)
        )
        for row, ((likeliest,), kept) in enumerate(zip(greedy, beams, strict=True)):
            looked_at = outputs[row : row + 1], batch.mask[row : row + 1]
            likelihoods = [log_likelihood(model, *looked_at, candidate) for candidate in kept]
            assert len({candidate.digest for candidate in kept}) == len(kept) == 4
            assert (np.diff(likelihoods) <= 1e-4).all()
            assert likelihoods[0] >= log_likelihood(model, *looked_at, likeliest) - 1e-4


def test_a_beam_that_is_wide_enough_finds_all_candidates_in_the_order_of_their_likelihoods() -> None:
    untrained = pretrain(ListedSpace(), NAOSettings(width=8, pretraining_steps=0))
    model = NAOModel(untrained.vocabulary, untrained.settings, copy.deepcopy(untrained.network))
    seeds = [model.vocabulary.encode(candidate) for candidate in ListedSpace().candidates]
    batch = TokenTensors.of(TokenBatch.stack(seeds))
    with torch.no_grad():
        model.network.output.weight.mul_(20.0)  # of an untrained network all candidates are nearly as likely
        outputs = model.network.encode(batch)
        beams = decode(model.network, model.vocabulary, outputs, batch.mask, seeds, beam_width=8)
        for row, kept in enumerate(beams):
            looked_at = outputs[row : row + 1], batch.mask[row : row + 1]
            likelihoods = [log_likelihood(model, *looked_at, candidate) for candidate in kept]
            assert set(kept) == set(ListedSpace().candidates)
            assert likelihoods == sorted(likelihoods, reverse=True)
            assert sum(np.exp(likelihoods)) == pytest.approx(1.0, abs=1e-5)


def test_a_vanishing_step_decodes_to_the_seed() -> None:
    seeds = observe(ChainSpace(), 30, seed=9).candidates
    rows = pretrained().improve([pretrained().vocabulary.encode(candidate) for candidate in seeds], (1e-6,))
    assert sum(seed == row[0] for seed, row in zip(seeds, rows, strict=True)) >= 27


def test_a_latent_step_leads_to_candidates_that_are_better_in_truth_and_in_prediction() -> None:
    observations = observe(ChainSpace(), 40)
    model = pretrained().refine(observations.candidates, observations.values[:, 0])
    seeds = observe(ChainSpace(), 30, seed=9).candidates
    moved = [row[0] for row in model.improve([model.vocabulary.encode(candidate) for candidate in seeds], (1.0,))]
    assert model.predict(moved).mean.mean() < model.predict(seeds).mean.mean() - 0.3
    assert np.mean([width(c) for c in moved]) < np.mean([width(c) for c in seeds])


def test_refining_leaves_the_model_it_began_from_unchanged() -> None:
    observations = observe(ChainSpace(), 12)
    before = pretrained().head_predictions(observations.candidates)
    pretrained().refine(observations.candidates, observations.values[:, 0])
    np.testing.assert_array_equal(pretrained().head_predictions(observations.candidates), before)


def test_training_is_a_function_of_its_arguments_whatever_torch_s_random_state() -> None:
    observations = observe(ChainSpace(), 12)
    predictions, settings = [], replace(SMALL, pretraining_steps=5)
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        nao._pretrained.cache_clear()
        model = pretrain(ChainSpace(), settings).refine(observations.candidates, observations.values[:, 0])
        assert torch.equal(torch.get_rng_state(), state)
        predictions.append(model.head_predictions(observations.candidates))
    np.testing.assert_array_equal(predictions[0], predictions[1])


def test_predictions_depend_on_the_order_of_values_alone() -> None:
    observations = observe(ChainSpace(), 12)
    losses = observations.values[:, 0]
    first, second = (pretrained().refine(observations.candidates, y) for y in (losses, np.exp(5 * losses)))
    asked = observe(ChainSpace(), 5, seed=3).candidates
    np.testing.assert_array_equal(first.predict(asked).mean, second.predict(asked).mean)


def test_pseudo_labels_keep_what_was_learnt_from_labels() -> None:
    observations = observe(ChainSpace(), 40)
    start = NAOModel(pretrained().vocabulary, replace(SMALL, pseudo_labels=200), pretrained().network)
    model = start.refine(observations.candidates, observations.values[:, 0])
    unseen = observe(ChainSpace(), 40, seed=1)
    assert np.corrcoef(model.predict(unseen.candidates).mean, unseen.values[:, 0])[0, 1] > 0.5


def test_a_second_pass_sees_as_many_unlabelled_candidates_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int | None] = []

    def fitted(network: object, labelled: object, settings: object, generator: object, unlabelled: Any) -> None:
        passes.append(None if unlabelled is None else len(unlabelled))

    monkeypatch.setattr(nao, "_fit", fitted)
    observations = observe(ChainSpace(), 4)
    for n in (0, 7):
        start = NAOModel(pretrained().vocabulary, replace(SMALL, pseudo_labels=n), pretrained().network)
        start.refine(observations.candidates, observations.values[:, 0])
    assert passes == [None, None, 7]


def test_a_step_learns_from_all_values_up_to_a_bound_and_from_as_many_of_the_model_s_own_predictions() -> None:
    model, generator = refined(), np.random.default_rng(0)
    settings = replace(SMALL, pseudo_labels=40, batch_size=2, refinement_steps=3)
    unlabelled = sequence_tensors(model, 40)
    terms: list[torch.Tensor] = []
    sizes: list[int] = []
    totals: list[torch.Tensor] = []

    def recorded(network: Any, batch: TokenTensors, targets: torch.Tensor, weights: torch.Tensor, *rest: Any) -> Any:
        terms.append(loss(network, batch, targets, weights, *rest))
        sizes.append(len(batch))
        if len(terms) % 2 == 0:  # of the candidates that have no value
            torch.testing.assert_close(targets, network.predict(network.encode(batch)))
            assert (weights == 1.0).all()
        return terms[-1]

    class Recorder:
        """Goes nowhere, so that predictions stay what they were."""

        def __init__(self, *arguments: object) -> None:
            self.arguments = arguments

        def __call__(self, total: torch.Tensor) -> None:
            totals.append(total)

    loss = nao._loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nao, "_loss", recorded)
        patch.setattr(nao, "Descent", Recorder)
        labelled = nao._Labelled([[sequence] for sequence in seeds_of(model, 9)], np.arange(9.0))
        nao._fit(model.network, labelled, settings, generator, unlabelled)
    assert sizes == [8, 2] * 3
    sums = [first + second for first, second in zip(terms[::2], terms[1::2], strict=True)]
    torch.testing.assert_close(torch.stack(totals), torch.stack(sums))


def test_refining_looks_at_networks_in_several_orders_where_they_are_wanted() -> None:
    space, generator = MLPSpace(), np.random.default_rng(0)
    candidates = [space.sample(generator) for _ in range(10)]  # one in four has several
    settings = NAOSettings(width=4, n_heads=2, pretraining_steps=0, refinement_steps=3)
    start = pretrain(space, settings)
    first, second = (
        NAOModel(start.vocabulary, replace(settings, n_orders=n), start.network).refine(candidates, np.arange(10.0))
        for n in (1, 4)
    )
    assert (first.head_predictions(candidates) != second.head_predictions(candidates)).any()


def test_with_the_whole_trade_off_on_the_error_the_decoder_is_left_as_it_was() -> None:
    observations = observe(ChainSpace(), 20)
    start = NAOModel(pretrained().vocabulary, replace(SMALL, trade_off=1.0, weight_decay=0.0), pretrained().network)
    model = start.refine(observations.candidates, observations.values[:, 0])
    assert torch.equal(model.network.output.weight, start.network.output.weight)
    assert not torch.equal(model.network.heads.w1, start.network.heads.w1)


def test_the_residual_is_what_the_heads_cannot_foretell_of_what_they_were_not_shown() -> None:
    chance = observe(ChainSpace(), 40, loss=lambda c: float(int(c.digest, 16) % 997))  # nothing to be learnt
    lawful = observe(ChainSpace(), 40)
    by_chance, by_law = (pretrained().refine(o.candidates, o.values[:, 0]).residual for o in (chance, lawful))
    assert by_chance > 0.5
    assert by_law < 0.5 * by_chance


def test_one_head_has_no_uncertainty_to_speak_of() -> None:
    model = pretrain(ChainSpace(), NAOSettings(width=8, n_heads=1, pretraining_steps=0))
    prediction = model.predict(observe(ChainSpace(), 3).candidates)
    assert (prediction.deviation > 0).all() and (prediction.deviation <= 1e-6).all()


def test_embeddings_tell_candidates_apart() -> None:
    candidates: tuple[Candidate, ...] = observe(ChainSpace(), 20).candidates
    embeddings = pretrained().embed(candidates)
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1) + np.eye(20)
    assert distances.min() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "got width = 0, expected at least 1"),
        ({"pseudo_labels": -1}, "got pseudo_labels = -1, expected 0 or more"),
        ({"trade_off": 1.5}, "got trade_off = 1.5"),
        ({"trade_off": 0.0}, "got trade_off = 0.0"),
        ({"learning_rate": 0.0}, "and learning_rate = 0.0"),
        *[({name: 0}, f"got {name} = 0, expected at least 1") for name in COUNTS],
        *[({name: -1}, f"got {name} = -1, expected 0 or more") for name in AMOUNTS],
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NAOSettings(**settings)


def test_pretraining_works_with_one_sequence_a_step() -> None:
    # Some of so many steps begin before the first of the sequences.
    settings = NAOSettings(width=4, n_heads=1, head_width=4, n_unlabelled=2, pretraining_steps=20, batch_size=1)
    model = pretrain(ChainSpace(), settings)
    assert all(bool(parameter.isfinite().all()) for parameter in model.network.parameters())


def test_a_space_without_a_hash_gets_the_model_that_an_equal_one_gets() -> None:
    class Mutable(ChainSpace):
        __hash__ = None  # type: ignore[assignment]  # as in a dataclass that is not frozen

    settings = NAOSettings(width=4, n_heads=1, head_width=4, n_unlabelled=20, pretraining_steps=2)
    candidates = [ChainSpace().sample(np.random.default_rng(seed)) for seed in range(3)]
    mutable, frozen = pretrain(Mutable(), settings), pretrain(ChainSpace(), settings)
    np.testing.assert_array_equal(mutable.embed(candidates), frozen.embed(candidates))


def test_the_residual_is_the_error_of_heads_that_did_not_see_a_value_beyond_their_own_differences() -> None:
    scores, targets = np.array([[1.0, 0.4, 9.0], [0.6, 0.0, -9.0]]), np.zeros(3)
    unseen_but_the_last = np.array([[0, 0, 1], [0, 0, 0]], dtype=np.float32)
    # Means .8 and .2, so errors .64 and .04; variances .08 both. One head alone has no variance: the last is left out.
    assert nao._residual(scores, targets, unseen_but_the_last) == pytest.approx(0.34 - 0.08)
    assert nao._residual(scores, targets, np.ones((2, 3), dtype=np.float32)) == 1.0


def refined(n: int = 20) -> NAOModel:
    observations = observe(ChainSpace(), n)
    return pretrained().refine(observations.candidates, observations.values[:, 0])


def seeds_of(model: NAOModel, n: int) -> list[TokenSequence]:
    return [model.vocabulary.encode(candidate) for candidate in observe(ChainSpace(), n, seed=9).candidates]


def test_a_prediction_is_mean_and_deviation_of_the_heads() -> None:
    model, asked = refined(), observe(ChainSpace(), 5, seed=3).candidates
    prediction, heads = model.predict(asked), model.head_predictions(asked)
    assert len(heads) == SMALL.n_heads
    for i, column in enumerate(heads.T):
        assert prediction.mean[i] == pytest.approx(statistics.mean(column))
        assert prediction.deviation[i] == pytest.approx(statistics.stdev(column))


def test_a_model_that_has_seen_no_difference_expects_the_same_of_all_and_knows_nothing_of_any() -> None:
    observations = observe(ChainSpace(), 6, loss=lambda _: 2.0)
    start = refined()
    before = start.head_predictions(observations.candidates)
    model = start.refine(observations.candidates, observations.values[:, 0])
    np.testing.assert_allclose(model.predict(observations.candidates).mean, 0.0, atol=1e-6)
    assert model.predict(observations.candidates).deviation.min() > 0.05
    assert model.residual == pretrained().residual == 1.0
    np.testing.assert_array_equal(start.head_predictions(observations.candidates), before)


def test_values_that_differ_by_little_are_learnt_from_as_if_they_differed_by_much() -> None:
    observations = observe(ChainSpace(), 12)
    asked = observe(ChainSpace(), 5, seed=3).candidates
    near, far = (pretrained().refine(observations.candidates, s * observations.values[:, 0]) for s in (1e-3, 1.0))
    np.testing.assert_array_equal(near.predict(asked).mean, far.predict(asked).mean)


def test_rows_of_latent_steps_are_all_seeds_by_the_first_step_size_and_then_by_the_second() -> None:
    model = pretrained()
    seeds = seeds_of(model, 3)
    rows = model.improve(seeds, (1e-7, 2e-7), beam_width=2)
    decoded = [row[0] for row in model.improve(seeds, (1e-7,))]
    assert [row[0] for row in rows] == decoded * 2
    assert sum(a == model.vocabulary.decode(b) for a, b in zip(decoded, seeds, strict=True)) >= 2
    assert [len(row) for row in rows] == [2] * 6


def test_each_seed_moves_down_the_prediction_of_its_own_head_and_its_longest_move_is_the_step_size() -> None:
    model = refined()
    seeds, heads = seeds_of(model, 8), [0, 5, 1, 7, 3, 3, 11, 15]
    outputs = model.network.encode(TokenTensors.of(TokenBatch.stack(seeds))).detach()
    direction = model._descent_direction(outputs, heads)
    torch.testing.assert_close(direction.norm(dim=-1).amax(dim=1), torch.ones(8))
    for row, (seed, head) in enumerate(zip(seeds, heads, strict=True)):
        alone = model.network.encode(TokenTensors.of(TokenBatch.stack([seed]))).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model.network.predict(alone)[head, 0], alone)
        expected = -gradient[0] / gradient[0].norm(dim=-1).max()
        torch.testing.assert_close(direction[row, : len(seed)], expected, rtol=1e-3, atol=1e-4)
    of_all = model._descent_direction(outputs, None)
    assert not torch.allclose(of_all, direction, atol=0.05)


def test_where_all_candidates_are_expected_to_be_alike_steps_of_any_size_lead_nowhere() -> None:
    model = pretrain(ChainSpace(), NAOSettings(width=8, prior_scale=0.0, pretraining_steps=0))._without_opinion()
    seeds = seeds_of(model, 4)
    assert [row[0] for row in model.improve(seeds, (1.0, 4.0))] == model.reconstruct(seeds) * 2


def test_moved_outputs_are_put_back_to_length_one_and_padding_stays_empty() -> None:
    model = refined()
    seeds = seeds_of(model, 6)
    moved, mask = model._moved(seeds, (0.5, 4.0), None)
    lengths = [len(seed) for seed in seeds]
    assert mask.sum(dim=1).tolist() == lengths * 2
    torch.testing.assert_close(moved.norm(dim=-1), mask.float())


def test_the_trace_of_a_seed_begins_at_its_embedding_and_goes_down_by_growing_steps() -> None:
    model = refined(40)
    (seed,) = seeds_of(model, 1)
    trace = model.trace(seed, (0.01, 0.02, 0.04))
    assert trace.shape == (4, SMALL.width)
    np.testing.assert_allclose(trace[0], model.embed([model.vocabulary.decode(seed)])[0], atol=1e-6)
    with torch.no_grad():
        predictions = model.network.heads(torch.from_numpy(trace.astype(np.float32))).mean(dim=0)
    assert (predictions.diff() < 0).all()
    assert (np.diff(np.linalg.norm(trace - trace[0], axis=1)) > 0).all()


def test_the_seed_decides_on_the_parameters_and_on_the_candidates_of_pretraining(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[list[tuple[int, ...]]] = []
    monkeypatch.setattr(nao, "_pretrain", lambda network, sequences, *rest: drawn.append([s.tokens for s in sequences]))
    settings = NAOSettings(width=4, n_heads=1, n_unlabelled=5)
    first, second = (pretrain(ChainSpace(), replace(settings, seed=seed)).network.token.weight for seed in (901, 902))
    assert not torch.equal(first, second)
    assert drawn[0] != drawn[1]


def test_equivalent_orders_of_a_network_make_different_sequences_of_one_candidate() -> None:
    vocabulary = Vocabulary(MLPSpace())
    generator = np.random.default_rng(0)
    candidates = [vocabulary.space.sample(generator) for _ in range(20)]
    orders = [nao._orders(vocabulary, candidate, 4, generator) for candidate in candidates]
    assert {len(found) for found in orders} > {1, 2}
    assert max(len(found) for found in orders) <= 4
    for candidate, found in zip(candidates, orders, strict=True):
        assert found[0] == vocabulary.encode(candidate)
        assert len({sequence.tokens for sequence in found}) == len(found)
        assert {vocabulary.decode(sequence).digest for sequence in found} == {candidate.digest}
    assert {len(nao._orders(vocabulary, candidate, 1, generator)) for candidate in candidates} == {1}


def test_a_candidate_without_a_network_has_one_order() -> None:
    vocabulary = Vocabulary(FlatSpace({"x": Float(0.0, 1.0)}))
    candidate = Candidate(None, {"x": 0.5})
    assert nao._orders(vocabulary, candidate, 4, np.random.default_rng(0)) == [vocabulary.encode(candidate)]


def test_training_draws_one_of_the_orders_of_each_candidate_that_it_asks_for() -> None:
    model, generator = pretrained(), np.random.default_rng(0)
    sequences = [model.vocabulary.sample(generator) for _ in range(6)]
    labelled = nao._Labelled([sequences[:1], sequences[1:4], sequences[4:]], np.arange(3.0))
    rows = np.array([2, 0, 1])
    tokens = TokenBatch.stack(sequences).tokens
    drawn = [labelled.draw(rows, generator) for _ in range(60)]
    places = [
        [int((tokens[:, : b.tokens.shape[1]] == row).all(axis=1).argmax()) for row in b.tokens.numpy()] for b in drawn
    ]
    assert [set(column) for column in zip(*places, strict=True)] == [{4, 5}, {0}, {1, 2, 3}]


def test_a_step_of_refinement_takes_all_observations_up_to_a_bound_and_else_some_of_them_once() -> None:
    np.testing.assert_array_equal(nao._rows(7, 7, np.random.default_rng(0)), np.arange(7))
    rows = nao._rows(9, 7, np.random.default_rng(0))
    assert len(rows) == len(set(rows.tolist())) == 7
    assert rows.max() > 6


def test_each_head_leaves_out_a_third_of_the_observations_and_the_same_ones_when_more_are_known() -> None:
    weights = nao._bootstrap_weights(SMALL, 2000)
    assert weights.shape == (SMALL.n_heads, 2000)
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)  # Poisson draws of mean one
    assert weights.mean() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_array_equal(nao._bootstrap_weights(SMALL, 30), weights[:, :30])
    assert (nao._bootstrap_weights(replace(SMALL, seed=1), 30) != weights[:, :30]).any()
    np.testing.assert_array_equal(nao._bootstrap_weights(replace(SMALL, n_heads=1), 3), np.ones((1, 3)))


def test_the_loss_is_the_weighted_squared_error_and_the_rest_reconstruction() -> None:
    model = pretrained()
    batch, targets = sequence_tensors(model, 4), torch.tensor([0.5, -1.0, 0.0, 2.0])
    weights = torch.from_numpy(nao._bootstrap_weights(SMALL, 4))
    with torch.no_grad():
        outputs = model.network.encode(batch)
        predictions = model.network.predict(outputs)
        errors = [
            float(weights[m, i] * (predictions[m, i] - targets[i]) ** 2) for m in range(SMALL.n_heads) for i in range(4)
        ]
        nll = float(model.network.reconstruction_nll(batch, outputs).mean())
        for share in (0.3, 1.0):
            found = nao._loss(model.network, batch, targets, weights, replace(SMALL, trade_off=share))
            assert float(found) == pytest.approx(share * np.mean(errors) + (1 - share) * nll, rel=1e-5)


def test_a_head_learns_nothing_from_what_it_leaves_out() -> None:
    """A value that all but one head see is learnt by them and not by that one."""
    observations = observe(ChainSpace(), 3)
    settings = replace(SMALL, weight_decay=0.0, trade_off=1.0, refinement_steps=60)
    weights = np.ones((SMALL.n_heads, 3), dtype=np.float32)
    weights[2, 1] = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nao, "_bootstrap_weights", lambda settings, n: weights)
        start = NAOModel(pretrained().vocabulary, settings, pretrained().network)
        model = start.refine(observations.candidates, np.array([0.0, 5.0, 1.0]))
    errors = np.abs(model.head_predictions(observations.candidates)[:, 1] - normal_scores(np.array([0.0, 5.0, 1.0]))[1])
    assert errors.argmax() == 2
    assert errors[2] > 10 * np.median(errors)


def test_the_residual_is_held_within_bounds() -> None:
    scores, unseen = np.zeros((2, 3)), np.zeros((2, 3), dtype=np.float32)
    assert nao._residual(scores, np.zeros(3), unseen) == 0.05
    assert nao._residual(scores, np.full(3, 9.0), unseen) == 1.0
    assert nao._residual(scores, np.array([0.2, 0.8, 0.1]), unseen) == pytest.approx((0.04 + 0.64 + 0.01) / 3)


def test_predictions_are_made_on_one_thread_so_that_they_do_not_depend_on_the_number_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def encoded(network: EncoderPredictorDecoder, batch: TokenTensors) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return encode(network, batch)

    model, before, encode = pretrained(), torch.get_num_threads(), EncoderPredictorDecoder.encode
    monkeypatch.setattr(EncoderPredictorDecoder, "encode", encoded)
    torch.set_num_threads(2)
    try:
        model.predict(observe(ChainSpace(), 2).candidates)
        assert (threads, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
