"""Decoding of NAO's latent outputs into candidates: greedy and beam search along the walk of the space.

Every row walks through its space on its own, all rows in step, and at each position the decoder chooses among the
tokens of the parameter that the row's walk asks there. What comes out is a valid candidate by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from automl.observations import Candidate
from automl.parameters import Value
from automl.sequences import TokenBatch, TokenSequence, Vocabulary, Walk
from automl.surrogates.nao_network import DecoderState, EncoderPredictorDecoder, TokenTensors


@dataclass(frozen=True)
class _Beam:
    """A walk in progress: its row, log-likelihood and last token, and the row of the decoder's state that fits it."""

    row: int
    walk: Walk
    score: float
    token: int
    state_row: int


def decode(
    network: EncoderPredictorDecoder,
    vocabulary: Vocabulary,
    outputs: Tensor,
    mask: Tensor,
    guesses: Sequence[TokenSequence],
    *,
    beam_width: int = 1,
) -> list[list[Candidate]]:
    """Decodes encoder outputs into candidates, every token among those that the space's walk allows there.

    Args:
        network: Whose decoder is run.
        vocabulary: The tokens of the space.
        outputs: Encoder outputs, `B x T x E`.
        mask: Where these are not padding, `B x T`.
        guesses: What the results are expected to be near, one a row; unchanged scalars keep their exact values.
        beam_width: Walks kept at every position; 1 is greedy decoding.

    Returns:
        For each row up to `beam_width` candidates, the likeliest first.
    """
    expected = _expected_answers(network, outputs, guesses)
    walks = [vocabulary.walk(guess, answers) for guess, answers in zip(guesses, expected, strict=True)]
    beams = [[_Beam(row, walk, 0.0, network.start, row)] for row, walk in enumerate(walks)]
    state = network.start_state(outputs)
    while open_ := [beam for kept in beams for beam in kept if not beam.walk.finished]:
        scores, state = _next_scores(network, open_, outputs, mask, state)
        values, tokens = scores.topk(min(beam_width, scores.shape[1]), dim=-1)
        options = [[beam] for kept in beams for beam in kept if beam.walk.finished]
        for i, (beam, gains, nexts) in enumerate(zip(open_, values.tolist(), tokens.tolist(), strict=True)):
            legal = [(gain, token) for gain, token in zip(gains, nexts, strict=True) if gain > -torch.inf]
            options.append([_Beam(beam.row, beam.walk, beam.score + gain, token, i) for gain, token in legal])
        beams = _best_of_each_row(options, len(guesses), beam_width)
    return [[beam.walk.candidate for beam in kept] for kept in beams]


def _expected_answers(
    network: EncoderPredictorDecoder, outputs: Tensor, guesses: Sequence[TokenSequence]
) -> list[dict[str, Value]]:
    """What the decoder would answer if it had answered as the guesses so far, by parameter name.

    All positions at once, and right at most of them: so a walk need be run again only at the few that differ.
    """
    batch = TokenTensors.of(TokenBatch.stack(guesses))
    tokens = network.teacher_forced(batch, outputs).argmax(dim=-1).tolist()
    return [
        {slot.name: guess.value(slot, token - slot.offset) for slot, token in zip(guess.slots, row, strict=False)}
        for guess, row in zip(guesses, tokens, strict=True)
    ]


def _next_scores(
    network: EncoderPredictorDecoder, beams: Sequence[_Beam], outputs: Tensor, mask: Tensor, state: DecoderState
) -> tuple[Tensor, DecoderState]:
    """Log-probabilities of the next token of each beam, one row a beam, and the decoder's states after them."""
    rows = torch.tensor([beam.row for beam in beams])
    slots = torch.tensor([[beam.walk.asked.index] for beam in beams])
    previous = torch.tensor([[beam.token] for beam in beams])
    before = state[torch.tensor([beam.state_row for beam in beams])]
    logits, after = network.logits(previous, slots, outputs[rows], mask[rows], before)
    return logits[:, 0].log_softmax(dim=-1), after


def _best_of_each_row(options: Sequence[Sequence[_Beam]], n_rows: int, beam_width: int) -> list[list[_Beam]]:
    by_row: list[list[_Beam]] = [[] for _ in range(n_rows)]
    for option in options:
        for beam in option:
            by_row[beam.row].append(beam)
    best = [sorted(row, key=lambda beam: -beam.score)[:beam_width] for row in by_row]
    return [[beam if beam.walk.finished else _answered(beam, shared=beam_width > 1) for beam in row] for row in best]


def _answered(beam: _Beam, *, shared: bool) -> _Beam:
    """The beam with its token answered, on a walk of its own where other beams go on from the same one."""
    walk = beam.walk.fork() if shared else beam.walk
    walk.answer(beam.token - walk.asked.offset)
    return replace(beam, walk=walk)
