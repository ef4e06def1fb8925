"""Maps of NAO's latent space: the plane against scikit-learn's, and where paths begin."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from automl.observations import Observations
from automl.pictures.latent_map import latent_map
from automl.surrogates.nao import NAOModel, NAOSettings, pretrain
from tests.contracts.proposer import observe
from tests.contracts.small_spaces import ChainSpace


def model() -> NAOModel:
    return pretrain(ChainSpace(), NAOSettings(width=16, pretraining_steps=0))


def test_points_are_the_principal_components_of_the_embeddings_as_scikit_learn_has_them() -> None:
    observations = observe(ChainSpace(), 25)
    shown = latent_map(model(), observations)
    pca = PCA(2)
    expected = pca.fit_transform(model().embed(observations.candidates))
    np.testing.assert_allclose(np.abs(shown.points), np.abs(expected), atol=1e-6)
    np.testing.assert_allclose(shown.explained, pca.explained_variance_ratio_, rtol=1e-5)


def test_paths_begin_at_the_points_of_the_best_candidates() -> None:
    observations = observe(ChainSpace(), 25)
    shown = latent_map(model(), observations, n_paths=3, step_sizes=(0.5, 2.0))
    assert list(shown.seeds) == np.argsort(observations.values[:, 0], kind="stable")[:3].tolist()
    for seed, path in zip(shown.seeds, shown.paths, strict=True):
        assert path.shape == (3, 2)
        np.testing.assert_allclose(path[0], shown.points[seed], atol=1e-5)
        assert np.linalg.norm(path[2] - path[0]) > np.linalg.norm(path[1] - path[0])


def test_one_candidate_is_a_point_at_the_centre() -> None:
    shown = latent_map(model(), observe(ChainSpace(), 1))
    np.testing.assert_allclose(shown.points, [[0.0, 0.0]], atol=1e-12)
    assert shown.explained == (0.0, 0.0)


def test_nothing_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match="got no observations, expected at least one candidate"):
        latent_map(model(), Observations())
