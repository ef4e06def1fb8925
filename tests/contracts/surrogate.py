"""What every surrogate must do: subclass `SurrogateContract` and say how the surrogate of a space is made."""

from __future__ import annotations

import numpy as np
import pytest

from automl.observations import Observations
from automl.spaces.base import Space
from automl.surrogates.base import Surrogate
from tests.contracts.proposer import observe, width
from tests.contracts.small_spaces import ChainSpace


class SurrogateContract:
    """The laws of `automl.surrogates.base.Surrogate`."""

    def make(self, space: Space) -> Surrogate:
        """A fresh surrogate of that space."""
        raise NotImplementedError

    def test_it_ranks_unseen_candidates_better_than_chance(self) -> None:
        space = ChainSpace()
        unseen = observe(space, 40, seed=1)
        mean = self.make(space).fit(observe(space, 40)).predict(unseen.candidates).mean
        assert np.corrcoef(mean, unseen.values[:, 0])[0, 1] > 0.5

    def test_earlier_fits_leave_no_trace(self) -> None:
        space = ChainSpace()
        asked = observe(space, 5, seed=1).candidates
        used, fresh = self.make(space), self.make(space)
        used.fit(observe(space, 12, seed=2))
        predictions = [surrogate.fit(observe(space, 10)).predict(asked) for surrogate in (used, fresh)]
        np.testing.assert_array_equal(predictions[0].mean, predictions[1].mean)

    def test_company_changes_no_prediction(self) -> None:
        space = ChainSpace()
        fitted = self.make(space).fit(observe(space, 15))
        asked = observe(space, 6, seed=1).candidates
        together, alone = fitted.predict(asked), [fitted.predict([candidate]) for candidate in asked]
        np.testing.assert_allclose(together.mean, np.concatenate([p.mean for p in alone]), atol=1e-6)
        np.testing.assert_allclose(together.deviation, np.concatenate([p.deviation for p in alone]), atol=1e-5)

    @pytest.mark.parametrize("n", [1, 2, 7])
    def test_few_observations_give_finite_means_and_positive_deviations(self, n: int) -> None:
        space = ChainSpace()
        prediction = self.make(space).fit(observe(space, n)).predict(observe(space, 5, seed=1).candidates)
        assert np.isfinite(prediction.mean).all()
        assert (prediction.deviation > 0).all()

    def test_constant_values_predict_the_same_everywhere(self) -> None:
        space = ChainSpace()
        fitted = self.make(space).fit(observe(space, 10, loss=lambda _: 3.0))
        mean = fitted.predict(observe(space, 5, seed=1).candidates).mean
        assert np.ptp(mean) < 0.1

    def test_it_is_surer_of_what_it_has_seen(self) -> None:
        space = ChainSpace()
        seen = observe(space, 20)
        fitted = self.make(space).fit(seen)
        unseen = observe(space, 20, seed=1).candidates
        assert fitted.predict(seen.candidates).deviation.mean() < fitted.predict(unseen).deviation.mean()

    def test_nothing_observed_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            self.make(ChainSpace()).fit(Observations())

    def test_several_objectives_are_refused(self) -> None:
        one = observe(ChainSpace(), 3)
        with pytest.raises(ValueError, match="one objective"):
            self.make(ChainSpace()).fit(Observations(one.candidates, np.hstack([one.values, one.values])))

    def test_better_values_get_smaller_scores(self) -> None:
        observations = observe(ChainSpace(), 30)
        mean = self.make(ChainSpace()).fit(observations).predict(observations.candidates).mean
        best, worst = np.argsort([width(c) for c in observations.candidates])[[0, -1]]
        assert mean[best] < mean[worst]
