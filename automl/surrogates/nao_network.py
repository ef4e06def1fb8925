"""The network of NAO: encoder, predictor heads and decoder over token sequences (Luo et al. 2018, section 3.2).

The encoder is an LSTM over embedded tokens; every output is L2-normalised, and their mean, normalised again, is the
embedding of the candidate. The predictor is an ensemble of small perceptrons on that embedding. The decoder is an LSTM
that starts from the embedding and attends to the encoder's outputs. Unlike the paper's, both are told at every
position which parameter the walk asks there, since walks differ in length and order.

Shapes: B sequences, T positions, E latent width, V tokens, M heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.sequences import TokenBatch, Vocabulary


@dataclass(frozen=True)
class TokenTensors:
    """A `TokenBatch` as tensors, each `B x T`, with the range of legal tokens at each position."""

    tokens: Tensor
    slots: Tensor
    residuals: Tensor
    mask: Tensor

    @classmethod
    def of(cls, batch: TokenBatch) -> TokenTensors:
        """The arrays as tensors that share their memory."""
        return cls(*(torch.from_numpy(a) for a in (batch.tokens, batch.slots, batch.residuals, batch.mask)))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Tensor) -> TokenTensors:
        """Some of the sequences, padded to the longest of them."""
        mask = self.mask[rows]
        length = int(mask.sum(dim=1).max()) if len(mask) else 0
        return TokenTensors(
            self.tokens[rows, :length], self.slots[rows, :length], self.residuals[rows, :length], mask[:, :length]
        )


@dataclass(frozen=True)
class DecoderState:
    """Where the decoder is after some positions: the LSTM's state, each `B x E`."""

    hidden: Tensor
    cell: Tensor

    def __getitem__(self, rows: Tensor) -> DecoderState:
        return DecoderState(self.hidden[rows], self.cell[rows])


class Heads(nn.Module):
    """M perceptrons with one hidden layer side by side, each added to a fixed random one of its own.

    The fixed part is a randomised prior (Osband et al. 2018): heads agree where there are data and differ elsewhere.

    Args:
        width_in: Width of the embedding.
        width: Width of the hidden layer.
        n_heads: Number of perceptrons.
        prior_scale: Scale of the fixed part; 0 leaves it out.
    """

    prior_w1: Tensor
    prior_b1: Tensor
    prior_w2: Tensor

    def __init__(self, width_in: int, width: int, n_heads: int, prior_scale: float) -> None:
        super().__init__()
        self.prior_scale = prior_scale
        self.w1 = nn.Parameter(torch.randn(n_heads, width_in, width) * math.sqrt(2.0))
        self.b1 = nn.Parameter(torch.randn(n_heads, 1, width) * 0.5)
        self.w2 = nn.Parameter(torch.randn(n_heads, width, 1) * 0.1 / math.sqrt(width))
        self.b2 = nn.Parameter(torch.zeros(n_heads, 1, 1))
        self.register_buffer("prior_w1", torch.randn(n_heads, width_in, width) * 3.0)
        self.register_buffer("prior_b1", torch.randn(n_heads, 1, width))
        self.register_buffer("prior_w2", torch.randn(n_heads, width, 1) / math.sqrt(width))

    def forward(self, embedding: Tensor) -> Tensor:
        """Predictions `M x B` for embeddings `B x E`."""
        x = embedding.unsqueeze(0)
        y = torch.relu(x @ self.w1 + self.b1) @ self.w2 + self.b2
        if self.prior_scale:
            prior = torch.tanh(x @ self.prior_w1 + self.prior_b1) @ self.prior_w2
            y = y + self.prior_scale * (prior - prior.mean(dim=0))  # no opinion on average
        prediction: Tensor = y.squeeze(-1)
        return prediction

    def forget(self) -> None:
        """Leaves nothing but the fixed part."""
        with torch.no_grad():
            self.w2.zero_()
            self.b2.zero_()


class EncoderPredictorDecoder(nn.Module):
    """Encoder, predictor heads and decoder with shared embeddings of tokens and slots.

    Args:
        vocabulary: The tokens of the space.
        width: E, width of the embeddings, both LSTMs and the latent outputs.
        n_heads: M, number of predictor heads.
        head_width: Width of a head's hidden layer.
        prior_scale: See `Heads`.
    """

    def __init__(self, vocabulary: Vocabulary, width: int, n_heads: int, head_width: int, prior_scale: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary.size + 1, width)  # the last one starts a sequence
        slots = list(vocabulary.slots.values())
        self.role = nn.Embedding(max(slot.role for slot in slots) + 1, width)
        self.ordinal = nn.Embedding(max(slot.ordinal for slot in slots) + 1, width)
        self.residual = nn.Embedding(len(slots), width)
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.query = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, vocabulary.size)
        self.heads = Heads(width, head_width, n_heads, prior_scale)
        offsets = torch.tensor([slot.offset for slot in slots])
        sizes = torch.tensor([slot.size for slot in slots])
        self.register_buffer("roles", torch.tensor([slot.role for slot in slots]), persistent=False)
        self.register_buffer("ordinals", torch.tensor([slot.ordinal for slot in slots]), persistent=False)
        tokens = torch.arange(vocabulary.size)
        legal = (tokens >= offsets[:, None]) & (tokens < (offsets + sizes)[:, None])
        self.register_buffer(
            "illegal", torch.where(legal, 0.0, -torch.inf), persistent=False
        )  # slots x V, added to logits
        self.start = vocabulary.size

    illegal: Tensor
    roles: Tensor
    ordinals: Tensor

    def _asked(self, slots: Tensor) -> Tensor:
        """Embeddings of slots: layers share the roles of their parameters, parameters the numbers of their layers."""
        embedded: Tensor = self.role(self.roles[slots]) + self.ordinal(self.ordinals[slots])
        return embedded

    def autoencoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of encoder and decoder, without the heads'."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("heads.")]

    def encode(self, batch: TokenTensors) -> Tensor:
        """Encoder outputs `B x T x E`, each of length 1, 0 where padded."""
        x = self.token(batch.tokens) + self._asked(batch.slots)
        x = x + batch.residuals.unsqueeze(-1) * self.residual(batch.slots)
        outputs, _ = self.encoder(x)
        return F.normalize(outputs, dim=-1) * batch.mask.unsqueeze(-1)

    @staticmethod
    def pool(outputs: Tensor) -> Tensor:
        """Embeddings `B x E` of length 1: the normalised mean over positions of encoder outputs."""
        return F.normalize(outputs.sum(dim=1), dim=-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """Predictions `M x B` of every head from encoder outputs."""
        prediction: Tensor = self.heads(self.pool(outputs))
        return prediction

    def start_state(self, outputs: Tensor) -> DecoderState:
        """The state before the first position: the embedding, as hidden and as cell state."""
        embedding = self.pool(outputs)
        return DecoderState(embedding, embedding)

    def logits(
        self, previous: Tensor, slots: Tensor, outputs: Tensor, mask: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState]:
        """Scores of the next tokens, minus infinity for illegal ones, after some further positions.

        Args:
            previous: The tokens before each position, `B x t`.
            slots: The slots asked at each position, `B x t`.
            outputs: Encoder outputs, `B x T x E`.
            mask: Where these are not padding, `B x T`.
            state: The decoder's state before these positions.

        Returns:
            Logits `B x t x V` and the state after these positions.
        """
        x = self.token(previous) + self._asked(slots)
        hidden, (h, c) = self.decoder(x, (state.hidden.unsqueeze(0), state.cell.unsqueeze(0)))
        scores = self.query(hidden) @ outputs.transpose(1, 2)
        attention = scores.masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(dim=-1)
        mixed = torch.tanh(self.mix(torch.cat([attention @ outputs, hidden], dim=-1)))
        return self.output(mixed) + self.illegal[slots], DecoderState(h[0], c[0])

    def reconstruction_nll(self, batch: TokenTensors, outputs: Tensor) -> Tensor:
        """Negative log-likelihood of teacher-forced decoding, `B`, one a sequence, in units of a mean sequence's token.

        Sequences weigh as they are long, so that long ones are learnt as surely as short ones.
        """
        nll = F.cross_entropy(self.teacher_forced(batch, outputs).transpose(1, 2), batch.tokens, reduction="none")
        return torch.where(batch.mask, nll, 0.0).sum(dim=1) * (len(batch) / batch.mask.sum())

    def teacher_forced(self, batch: TokenTensors, outputs: Tensor) -> Tensor:
        """Scores of every token of the sequences, `B x T x V`, given those before it and encoder outputs."""
        start = torch.full_like(batch.tokens[:, :1], self.start)
        previous = torch.cat([start, batch.tokens[:, :-1]], dim=1)
        logits, _ = self.logits(previous, batch.slots, outputs, batch.mask, self.start_state(outputs))
        return logits
