from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from automl.observations import Candidate
from automl.sequences import TokenBatch
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from automl.surrogates import nao
from automl.surrogates.nao import NAOModel, NAOSettings, NAOSurrogate, pretrain
from automl.surrogates.nao_decoding import decode
from automl.surrogates.nao_network import TokenTensors
from tests.contracts.proposer import observe, width
from tests.contracts.small_spaces import ChainSpace
from tests.contracts.surrogate import SurrogateContract

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
    assert (prediction.deviation <= 1e-6).all()


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
