"""NAO's surrogate: pre-trained on unlabelled candidates, refined on observed values, improved along its gradient.

Neural Architecture Optimization (Luo et al. 2018) with the semi-supervised training of SemiNAS (Luo et al. 2020). The
autoencoder learns the space from random candidates alone, before any value is known; that result depends on the space
and the settings only. `NAOModel.refine` then fits predictor and autoencoder together to what was observed, starting
from the parameters at hand. `NAOModel.improve` is the latent step: down the gradient of the predicted loss with respect
to every encoder output, then decoding under the space's legal sets.

Everything here is deterministic given (space, settings, observations): seeds come from the settings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from automl.field_checks import check_counts
from automl.layer_orders import in_random_order
from automl.observations import Candidate, Observations
from automl.scales import normal_scores
from automl.sequences import TokenBatch, TokenSequence, Vocabulary
from automl.spaces.base import Space
from automl.surrogates.base import Prediction
from automl.surrogates.nao_decoding import decode
from automl.surrogates.nao_descent import Descent
from automl.surrogates.nao_network import EncoderPredictorDecoder, TokenTensors
from automl.torch_threads import limited_threads

_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class NAOSettings:
    """How NAO's network is shaped and trained.

    Args:
        width: E, width of embeddings and LSTMs.
        n_heads: Number of predictors in the ensemble; with 1 there is no uncertainty.
        head_width: Width of a predictor's hidden layer.
        prior_scale: Scale of the heads' fixed random priors.
        n_unlabelled: Random candidates on which the autoencoder is pre-trained.
        pretraining_steps: Optimiser steps on them; 0 leaves pre-training out.
        refinement_steps: Optimiser steps on the observations at each `refine`.
        pseudo_labels: Random candidates that get the predictor's own labels in a second pass of `refine` (SemiNAS).
        batch_size: Sequences a step of pre-training; refinement takes all observations at once up to four times that.
        learning_rate: Peak of the one-cycle schedule of both trainings.
        weight_decay: Decoupled weight decay.
        trade_off: Weight of the squared error; the reconstruction's NLL has the rest.
        n_orders: Equivalent layer orders of each observed candidate that training cycles through.
        seed: Of the parameters and of every draw in training.
    """

    width: int = 48
    n_heads: int = 16
    head_width: int = 32
    prior_scale: float = 1.0
    n_unlabelled: int = 2000
    pretraining_steps: int = 300
    refinement_steps: int = 25
    pseudo_labels: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-2
    weight_decay: float = 3e-2
    trade_off: float = 0.8
    n_orders: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "width", "n_heads", "head_width", "n_unlabelled")
        check_counts(self, "refinement_steps", "batch_size", "n_orders")
        for name in ("prior_scale", "pretraining_steps", "pseudo_labels", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"got {name} = {getattr(self, name)}, expected 0 or more; raise it.")
        if not 0.0 < self.trade_off <= 1.0 or self.learning_rate <= 0.0:
            raise ValueError(
                f"got trade_off = {self.trade_off} and learning_rate = {self.learning_rate}, expected a trade-off "
                "above 0 and at most 1, and a positive rate; choose such."
            )


class NAOModel:
    """Encoder, predictor and decoder of one space, in some state of training.

    Args:
        vocabulary: The tokens of the space.
        settings: How to train.
        network: The parameters; never changed in place.
        residual: Variance of a value's normal score around the heads' mean beyond what their differences explain, see
            `refine`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        settings: NAOSettings,
        network: EncoderPredictorDecoder,
        residual: float = 1.0,
    ) -> None:
        self.vocabulary = vocabulary
        self.settings = settings
        self.network = network.eval()
        self.residual = residual

    def embed(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        """Embeddings of length 1, an `n x E` array."""
        with _deterministic(), torch.no_grad():
            outputs = self.network.encode(_tensors([self.vocabulary.encode(c) for c in candidates]))
            return self.network.pool(outputs).numpy().astype(np.float64)

    def predict(self, candidates: Sequence[Candidate]) -> Prediction:
        """Mean and deviation of the heads' predictions, see `automl.surrogates.base.FittedSurrogate`."""
        scores = self.head_predictions(candidates)
        deviation = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.zeros(scores.shape[1])
        return Prediction(scores.mean(axis=0), np.maximum(deviation, _SMALLEST_DEVIATION))

    def head_predictions(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        """Standardised losses that each head expects, an `M x n` array."""
        with _deterministic(), torch.no_grad():
            batch = _tensors([self.vocabulary.encode(c) for c in candidates])
            return self.network.predict(self.network.encode(batch)).numpy().astype(np.float64)

    def refine(self, candidates: Sequence[Candidate], losses: NDArray[np.float64]) -> NAOModel:
        """The model fitted to observed losses, from the present parameters on.

        Each head leaves out about a third of the observations (the bootstrap). By how much the errors on what was left
        out are larger than the heads' differences is the residual: a half of the error on NAS-Bench-Graph's tables. An
        acquisition function that knew of the differences alone would never explore; one for which they were stretched
        to match wants the strangest candidates, on which heads differ most.

        Args:
            candidates: The n observed candidates.
            losses: Their losses, `n`; standardised here, by their ranks.

        Returns:
            A new model; this one is unchanged.
        """
        settings = self.settings
        if np.ptp(losses) == 0.0:
            return self._without_opinion()
        generator = np.random.default_rng((settings.seed, len(candidates)))
        labelled = _Labelled(
            [_orders(self.vocabulary, c, settings.n_orders, generator) for c in candidates], normal_scores(losses)
        )
        network = copy.deepcopy(self.network)
        with _deterministic():
            _fit(network, labelled, settings, generator, None)
            if settings.pseudo_labels:
                unlabelled = _tensors([self.vocabulary.sample(generator) for _ in range(settings.pseudo_labels)])
                _fit(network, labelled, settings, generator, unlabelled)
        scores = NAOModel(self.vocabulary, settings, network).head_predictions(candidates)
        residual = _residual(scores, normal_scores(losses), _bootstrap_weights(settings, len(losses)))
        return NAOModel(self.vocabulary, settings, network, residual)

    def _without_opinion(self) -> NAOModel:
        """The model with heads that expect the same of all candidates on average, and differ as their priors do."""
        network = copy.deepcopy(self.network)
        network.heads.forget()
        return NAOModel(self.vocabulary, self.settings, network)

    def improve(
        self,
        seeds: Sequence[TokenSequence],
        step_sizes: Sequence[float],
        *,
        heads: Sequence[int] | None = None,
        beam_width: int = 1,
    ) -> list[list[Candidate]]:
        """Candidates decoded one latent step from each seed, for several step sizes.

        Every encoder output moves down the gradient of the predicted loss and is put back to length 1. The gradient of
        a sequence is scaled so that its longest vector has length 1: a step size then means the same in every stage of
        training.

        Args:
            seeds: The B sequences to start from.
            step_sizes: Lengths of the longest move among a sequence's outputs, which themselves have length 1.
            heads: For each seed the predictor to follow; the mean of all where None.
            beam_width: Decodings to return of each row, likeliest first; 1 is greedy decoding.

        Returns:
            Candidates of each row: all seeds with the first step size, all with the second, and so on.
        """
        with _deterministic():
            moved, mask = self._moved(seeds, step_sizes, heads)
            with torch.no_grad():
                guesses = list(seeds) * len(step_sizes)
                return decode(self.network, self.vocabulary, moved, mask, guesses, beam_width=beam_width)

    def trace(self, seed: TokenSequence, step_sizes: Sequence[float]) -> NDArray[np.float64]:
        """The way of one seed's latent steps: its embedding and those after steps of growing size, `(S + 1) x E`."""
        with _deterministic():
            moved, _ = self._moved([seed], (0.0, *step_sizes), None)
            return self.network.pool(moved).numpy().astype(np.float64)

    def _moved(
        self, seeds: Sequence[TokenSequence], step_sizes: Sequence[float], heads: Sequence[int] | None
    ) -> tuple[Tensor, Tensor]:
        """Encoder outputs after a step, `S B x T x E`, and where they are not padding: see `improve`."""
        batch = _tensors(seeds)
        with torch.no_grad():
            outputs = self.network.encode(batch)
        direction = self._descent_direction(outputs, heads)
        sizes = torch.tensor(step_sizes, dtype=outputs.dtype)[:, None, None, None]
        mask = batch.mask.repeat(len(step_sizes), 1)
        moved = F.normalize((outputs + sizes * direction).flatten(0, 1), dim=-1) * mask.unsqueeze(-1)
        return moved, mask

    def _descent_direction(self, outputs: Tensor, heads: Sequence[int] | None) -> Tensor:
        """Minus the gradient of the predicted loss, `B x T x E`, the longest vector of each sequence of length 1."""
        outputs = outputs.detach().requires_grad_()
        predictions = self.network.predict(outputs)
        followed = predictions.mean(dim=0) if heads is None else predictions[list(heads), torch.arange(len(heads))]
        (gradient,) = torch.autograd.grad(followed.sum(), outputs)
        longest = gradient.norm(dim=-1).amax(dim=1).clamp_min(1e-12)
        direction: Tensor = -gradient / longest[:, None, None]
        return direction

    def reconstruct(self, sequences: Sequence[TokenSequence]) -> list[Candidate]:
        """What greedy decoding makes of the sequences' own encoder outputs: themselves, once pre-trained."""
        with _deterministic(), torch.no_grad():
            batch = _tensors(sequences)
            outputs = self.network.encode(batch)
            decoded = decode(self.network, self.vocabulary, outputs, batch.mask, sequences)
        return [candidates[0] for candidates in decoded]


@dataclass(frozen=True)
class NAOSurrogate:
    """NAO's predictor as a surrogate: pre-trained once, fitted anew to every set of observations.

    Args:
        space: The space of the candidates.
        settings: How to train.
    """

    space: Space
    settings: NAOSettings = field(default_factory=NAOSettings)

    def fit(self, observations: Observations) -> NAOModel:
        """Learns from the observations, see `automl.surrogates.base.Surrogate`.

        Raises:
            ValueError: If there is no value, or there are several objectives.
        """
        if not len(observations):
            raise ValueError("got no observations, expected at least one value to learn from; evaluate a candidate.")
        if observations.values.shape[1] != 1:
            raise ValueError(
                f"got observations of {observations.values.shape[1]} objectives, expected one objective; "
                "pass one column of the values."
            )
        return pretrain(self.space, self.settings).refine(observations.candidates, observations.values[:, 0])


def pretrain(space: Space, settings: NAOSettings) -> NAOModel:
    """A model whose autoencoder knows the space, and whose predictor knows nothing yet.

    A function of its arguments alone, so that all proposers of a process share what it returned; it is made anew at
    every call for a space that has no hash.
    """
    try:
        hash(space)
    except TypeError:
        return _pretrained.__wrapped__(space, settings)
    return _pretrained(space, settings)


@lru_cache(maxsize=8)
def _pretrained(space: Space, settings: NAOSettings) -> NAOModel:
    vocabulary = Vocabulary(space)
    generator = np.random.default_rng(settings.seed)
    with _deterministic():
        torch.manual_seed(settings.seed)
        network = EncoderPredictorDecoder(
            vocabulary, settings.width, settings.n_heads, settings.head_width, settings.prior_scale
        )
        if settings.pretraining_steps:
            _pretrain(
                network, [vocabulary.sample(generator) for _ in range(settings.n_unlabelled)], settings, generator
            )
    return NAOModel(vocabulary, settings, network)


def _pretrain(
    network: EncoderPredictorDecoder,
    sequences: Sequence[TokenSequence],
    settings: NAOSettings,
    generator: np.random.Generator,
) -> None:
    batch = _tensors(sorted(sequences, key=len))
    lengths = batch.mask.sum(dim=1).double()
    groups = [(network.autoencoder_parameters(), 1.0)]
    descend = Descent(groups, settings.learning_rate, settings.weight_decay, settings.pretraining_steps)
    half = settings.batch_size // 2
    for _ in range(settings.pretraining_steps):
        # Neighbours in the order of length make batches with little padding; long ones count as their tokens do.
        start = int(generator.integers(-half, len(batch) - half))
        rows = torch.arange(max(start, 0), min(start + settings.batch_size, len(batch)))
        part = batch[rows]
        weight = float(lengths[rows].mean() / lengths.mean())
        descend(weight * network.reconstruction_nll(part, network.encode(part)).mean())


class _Labelled:
    """Observed candidates, each in several equivalent orders, and their standardised losses."""

    def __init__(self, orders: Sequence[Sequence[TokenSequence]], targets: NDArray[np.float64]) -> None:
        self.batch = _tensors([sequence for row in orders for sequence in row])
        lengths = np.array([len(row) for row in orders])
        self._first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self._lengths = lengths
        self.targets = torch.from_numpy(targets.astype(np.float32))

    def draw(self, rows: NDArray[np.int64], generator: np.random.Generator) -> TokenTensors:
        """One random order of each of the given candidates."""
        order = (generator.random(len(rows)) * self._lengths[rows]).astype(np.int64)
        return self.batch[torch.from_numpy(self._first[rows] + order)]


def _fit(
    network: EncoderPredictorDecoder,
    labelled: _Labelled,
    settings: NAOSettings,
    generator: np.random.Generator,
    unlabelled: TokenTensors | None,
) -> None:
    """Fits predictor and autoencoder to the labelled candidates and, with their present predictions, unlabelled ones.

    Each head sees each observation as often as `_bootstrap_weights` says.
    """
    n = len(labelled.targets)
    weights = torch.from_numpy(_bootstrap_weights(settings, n))
    if unlabelled is not None:
        with torch.no_grad():
            pseudo = network.predict(network.encode(unlabelled))
    groups = [(network.autoencoder_parameters(), 1.0), (list(network.heads.parameters()), 3.0)]
    descend = Descent(groups, settings.learning_rate, settings.weight_decay, settings.refinement_steps)
    for _ in range(settings.refinement_steps):
        rows = _rows(n, 4 * settings.batch_size, generator)
        batch = labelled.draw(rows, generator)
        loss = _loss(network, batch, labelled.targets[rows], weights[:, rows], settings)
        if unlabelled is not None:
            others = torch.from_numpy(generator.integers(len(unlabelled), size=settings.batch_size))
            labels = pseudo[:, others]
            loss = loss + _loss(network, unlabelled[others], labels, torch.ones_like(labels), settings)
        descend(loss)


def _loss(
    network: EncoderPredictorDecoder, batch: TokenTensors, targets: Tensor, weights: Tensor, settings: NAOSettings
) -> Tensor:
    """Weighted squared error of the heads and reconstruction NLL, traded off as in the paper (section 3.3).

    Args:
        network: What is fitted.
        batch: The B sequences.
        targets: Their standardised losses, `B` or, where the heads have targets of their own, `M x B`.
        weights: How much each counts for each head, `M x B`.
        settings: The trade-off.
    """
    outputs = network.encode(batch)
    error = (weights * (network.predict(outputs) - targets).square()).mean()
    if settings.trade_off == 1.0:
        return error
    nll = network.reconstruction_nll(batch, outputs).mean()
    return settings.trade_off * error + (1.0 - settings.trade_off) * nll


def _rows(n: int, most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(n) if n <= most else generator.choice(n, size=most, replace=False)


def _bootstrap_weights(settings: NAOSettings, n: int) -> NDArray[np.float32]:
    """How often each head sees each observation, `M x n`, the same at every refinement; 1 for a single head."""
    if settings.n_heads == 1:
        return np.ones((1, n), dtype=np.float32)
    draws = np.random.default_rng((settings.seed, 1)).poisson(1.0, size=(n, settings.n_heads))
    return draws.T.astype(np.float32)


def _residual(scores: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float32]) -> float:
    """Mean squared error less variance of the heads that were not shown an observation, within .05 and 1."""
    left_out = np.ma.masked_array(scores, mask=weights > 0)[:, (weights == 0).sum(axis=0) > 1]
    targets = targets[(weights == 0).sum(axis=0) > 1]
    if not len(targets):
        return 1.0
    error = float(np.mean((left_out.mean(axis=0) - targets) ** 2))
    variance = float(left_out.var(axis=0, ddof=1).mean())
    return float(np.clip(error - variance, 0.05, 1.0))


def _orders(
    vocabulary: Vocabulary, candidate: Candidate, n: int, generator: np.random.Generator
) -> list[TokenSequence]:
    """Distinct sequences of a candidate: its own, and up to n - 1 of random topological orders of its layers."""
    sequences = [vocabulary.encode(candidate)]
    architecture = candidate.architecture
    if architecture is None:
        return sequences
    seen = {sequences[0].tokens}
    for _ in range(n - 1):
        permuted = in_random_order(architecture, generator)
        sequence = vocabulary.encode(Candidate(permuted, candidate.hyperparameters))
        if sequence.tokens not in seen:
            seen.add(sequence.tokens)
            sequences.append(sequence)
    return sequences


def _tensors(sequences: Sequence[TokenSequence]) -> TokenTensors:
    return TokenTensors.of(TokenBatch.stack(sequences))


@contextmanager
def _deterministic() -> Iterator[None]:
    """One thread and torch's own random state put back: results depend neither on the number of cores nor on callers.

    One thread is also faster at these sizes.
    """
    with limited_threads(1), torch.random.fork_rng(devices=[]):
        yield
