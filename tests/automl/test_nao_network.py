"""NAO's network against its parts put together by hand, one sequence and one position after another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from automl.sequences import TokenBatch, TokenSequence, Vocabulary
from automl.surrogates.nao_network import DecoderState, EncoderPredictorDecoder, Heads, TokenTensors
from tests.contracts.small_spaces import ChainSpace

WIDTH = 8
VOCABULARY = Vocabulary(ChainSpace())


@lru_cache
def network() -> EncoderPredictorDecoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EncoderPredictorDecoder(VOCABULARY, WIDTH, n_heads=3, head_width=5, prior_scale=0.5).eval()


def sequences(n: int) -> list[TokenSequence]:
    generator = np.random.default_rng(0)
    return [VOCABULARY.sample(generator) for _ in range(n)]


def tensors(of: list[TokenSequence]) -> TokenTensors:
    return TokenTensors.of(TokenBatch.stack(of))


def asked(sequence: TokenSequence) -> list[Tensor]:
    """What the network is told of the parameter that each decision is about."""
    return [network().role.weight[slot.role] + network().ordinal.weight[slot.ordinal] for slot in sequence.slots]


def encoded(sequence: TokenSequence) -> Tensor:
    """Encoder outputs of one sequence, `T x E`."""
    rows = []
    for told, slot, token, value in zip(asked(sequence), sequence.slots, sequence.tokens, sequence.values, strict=True):
        place = slot.residual(value) * network().residual.weight[slot.index]
        rows.append(network().token.weight[token] + told + place)
    outputs, _ = network().encoder(torch.stack(rows))
    return torch.stack([row / row.norm() for row in outputs])


@torch.no_grad()
def test_the_encoder_reads_tokens_slots_and_places_in_bins_and_the_embedding_is_the_mean_of_what_it_says() -> None:
    found = sequences(5)
    batch = tensors(found)
    outputs = network().encode(batch)
    for row, sequence in enumerate(found):
        expected = encoded(sequence)
        torch.testing.assert_close(outputs[row, : len(sequence)], expected)
        assert not outputs[row, len(sequence) :].any()
        mean = expected.mean(dim=0)
        torch.testing.assert_close(network().pool(outputs)[row], mean / mean.norm())


@torch.no_grad()
def test_the_decoder_starts_from_the_embedding_and_attends_to_the_encoder_s_outputs() -> None:
    found = sequences(4)
    batch = tensors(found)
    scores = network().teacher_forced(batch, network().encode(batch))
    nll = network().reconstruction_nll(batch, network().encode(batch))
    mean_length = np.mean([len(sequence) for sequence in found])
    for row, sequence in enumerate(found):
        outputs, previous, log_likelihood = encoded(sequence), VOCABULARY.size, 0.0
        embedding = F.normalize(outputs.sum(dim=0), dim=0)
        state = embedding[None, :], embedding[None, :]
        for t, (slot, told) in enumerate(zip(sequence.slots, asked(sequence), strict=True)):
            (hidden,), state = network().decoder((network().token.weight[previous] + told)[None, :], state)
            weights = (outputs @ network().query(hidden)).softmax(dim=0)
            mixed = torch.tanh(network().mix(torch.cat([weights @ outputs, hidden])))
            legal = slice(slot.offset, slot.offset + slot.size)
            expected = network().output(mixed)[legal]
            torch.testing.assert_close(scores[row, t, legal], expected)
            assert int(scores[row, t].isfinite().sum()) == slot.size
            previous = sequence.tokens[t]
            log_likelihood += float(expected.log_softmax(dim=0)[sequence.bins[t]])
        assert float(nll[row]) == pytest.approx(-log_likelihood / mean_length, rel=1e-4)


@torch.no_grad()
def test_rows_of_a_batch_are_padded_to_the_longest_of_them() -> None:
    found = sorted(sequences(8), key=len)
    assert len(found[0]) < len(found[1]) or len(found[1]) < len(found[-1])
    some, alone = tensors(found)[torch.tensor([1, 0])], tensors([found[1], found[0]])
    for name in ("tokens", "slots", "residuals", "mask"):
        assert torch.equal(getattr(some, name), getattr(alone, name))
    assert len(tensors(found)[torch.empty(0, dtype=torch.long)]) == 0


def test_rows_of_a_decoder_s_state_are_rows_of_both_its_parts() -> None:
    state = DecoderState(torch.arange(3.0)[:, None], torch.arange(3.0, 6.0)[:, None])[torch.tensor([2, 0])]
    assert (state.hidden[:, 0].tolist(), state.cell[:, 0].tolist()) == ([2.0, 0.0], [5.0, 3.0])


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_each_head_is_a_perceptron_beside_a_fixed_one_and_the_fixed_ones_have_no_opinion_on_average(
    scale: float,
) -> None:
    torch.manual_seed(1)
    heads, x = Heads(4, 6, 3, scale), torch.randn(5, 4)
    heads.b2.normal_()
    fixed = [torch.tanh(x @ heads.prior_w1[m] + heads.prior_b1[m]) @ heads.prior_w2[m] for m in range(3)]
    fitted = [torch.relu(x @ heads.w1[m] + heads.b1[m]) @ heads.w2[m] + heads.b2[m] for m in range(3)]
    priors = torch.stack([scale * (prior - sum(fixed) / 3) for prior in fixed])[..., 0]
    torch.testing.assert_close(heads(x), torch.stack(fitted)[..., 0] + priors)
    heads.forget()
    torch.testing.assert_close(heads(x), priors)
    torch.testing.assert_close(heads(x).mean(dim=0), torch.zeros(5))


def test_the_heads_are_not_among_the_parameters_of_the_autoencoder() -> None:
    heads = {id(parameter) for parameter in network().heads.parameters()}
    every = {id(parameter) for parameter in network().parameters()}
    assert {id(parameter) for parameter in network().autoencoder_parameters()} == every - heads
