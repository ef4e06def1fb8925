"""A plane of NAO's latent space for people to look at: observed candidates as points, latent steps as paths.

The axes are the two leading principal components of the candidates' embeddings (PCA; Hotelling 1933). They come from
the points alone, so that a path that leaves the observed region is seen to do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.observations import Observations
from automl.surrogates.nao import NAOModel

STEP_SIZES = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, eq=False)
class LatentMap:
    """What a plot of a latent space needs.

    Args:
        points: One a candidate, `n x 2`.
        values: What the candidates were worth, `n`; for the colours.
        paths: One a seed, each `(S + 1) x 2`: the seed's point and where its latent steps of growing size lead.
        seeds: Index of the candidate that each path begins at.
        explained: Shares of the embeddings' variance along the two axes.
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]
    paths: tuple[NDArray[np.float64], ...]
    seeds: tuple[int, ...]
    explained: tuple[float, float]


def latent_map(
    model: NAOModel, observations: Observations, *, n_paths: int = 5, step_sizes: Sequence[float] = STEP_SIZES
) -> LatentMap:
    """The latent space of a study as its present model sees it.

    Args:
        model: Whose embeddings and steps are shown, such as `NAOProposer.model` returns.
        observations: The study's; of the first objective, smaller is better.
        n_paths: Number of best candidates whose latent steps are shown.
        step_sizes: Of the latent steps, growing.

    Raises:
        ValueError: If there is no observation.
    """
    if not len(observations):
        raise ValueError("got no observations, expected at least one candidate to show; finish a trial first.")
    values = observations.values[:, 0]
    seeds = tuple(int(i) for i in values.argsort(kind="stable")[:n_paths])
    plane = _Plane.through(model.embed(observations.candidates))
    sequences = [model.vocabulary.encode(observations.candidates[i]) for i in seeds]
    paths = tuple(plane.project(model.trace(sequence, step_sizes)) for sequence in sequences)
    return LatentMap(plane.points, values, paths, seeds, plane.explained)


@dataclass(frozen=True, eq=False)
class _Plane:
    """The plane of two leading principal components."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    points: NDArray[np.float64]
    explained: tuple[float, float]

    @classmethod
    def through(cls, embeddings: NDArray[np.float64]) -> _Plane:
        centre = embeddings.mean(axis=0)
        _, singular, axes = np.linalg.svd(embeddings - centre, full_matrices=False)
        kept = np.zeros((2, embeddings.shape[1]))
        kept[: len(axes[:2])] = axes[:2]
        # Singular vectors have no sign; the heaviest entry is made positive, so that a plot does not flip between runs.
        heaviest = kept[np.arange(2), np.abs(kept).argmax(axis=1)]
        kept *= np.where(heaviest < 0, -1.0, 1.0)[:, None]
        shares = np.zeros(2)
        shares[: len(singular[:2])] = singular[:2] ** 2 / max(float((singular**2).sum()), 1e-300)
        return cls(centre, kept, (embeddings - centre) @ kept.T, (float(shares[0]), float(shares[1])))

    def project(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((embeddings - self.centre) @ self.axes.T)
