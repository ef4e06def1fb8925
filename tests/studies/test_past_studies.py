"""Past studies as sources: which are found, how much of each is read and as what, and what is told of the rest."""

from __future__ import annotations

import gc
import logging
import pickle
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial

from automl.parameters import Float
from automl.scales import normal_scores
from automl.spaces.flat import FlatSpace
from automl.transfer_features import SourceTask, thinned_rows
from studies import past_studies
from studies.attributes import DEFINITION, META_FEATURES
from studies.finished_trials import finished_trials
from studies.past_studies import PastStudies
from studies.storage import open_storage
from tests.contracts.small_spaces import ListedSpace

pytestmark = pytest.mark.usefixtures("quiet_optuna")

X: Mapping[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
UNIT = FlatSpace({"x": Float(0.0, 1.0)})


def made(
    storage: BaseStorage,
    name: str,
    losses: Sequence[float] = (1.0, 0.0, 2.0),
    *,
    params: Sequence[Mapping[str, Any]] | None = None,
    distributions: Mapping[str, BaseDistribution] = X,
    space: Mapping[str, Any] | None = None,
) -> optuna.Study:
    """A study with finished trials of these losses, one of ours where its space is given."""
    study = optuna.create_study(storage=storage, study_name=name)
    for i, loss in enumerate(losses):
        asked = dict(params[i] if params else {"x": i / len(losses)})
        trial = optuna.create_trial(
            params=asked, distributions={key: distributions[key] for key in asked}, value=float(loss)
        )
        study.add_trial(trial)
    if space is not None:
        study.set_user_attr(DEFINITION, {"space": dict(space)})
    return study


def target_in(storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name="target")


def names(tasks: Sequence[SourceTask]) -> list[str]:
    return [task.name for task in tasks]


def test_evaluations_are_shared_out_among_the_sources_the_best_and_a_spread_of_each_with_their_ranks_among_all() -> (
    None
):
    storage, losses = InMemoryStorage(), np.random.default_rng(0).permutation(50).astype(np.float64)
    for name in ("first", "second"):
        made(storage, name, losses.tolist())
    kept = thinned_rows(losses, 40)
    for task in PastStudies(["all"], rows_at_most=80).tasks(target_in(storage)):
        np.testing.assert_array_equal(task.losses, losses[kept])
        np.testing.assert_array_equal(task.scores, normal_scores(losses)[kept])
        assert [candidate.hyperparameters["x"] for candidate in task.candidates] == [i / 50 for i in kept]
        assert task.n_evaluations == 50


def test_of_every_source_thirty_evaluations_are_read_however_many_sources_there_are() -> None:
    storage = InMemoryStorage()
    for name in ("first", "second"):
        made(storage, name, range(50))
    assert [len(task) for task in PastStudies(["all"], rows_at_most=2).tasks(target_in(storage))] == [30, 30]


def test_of_too_many_sources_those_with_the_nearest_meta_features_are_taken() -> None:
    storage = InMemoryStorage()
    for name, size in (("large", 9.0), ("small", 1.0), ("unknown", None), ("middling", 4.0)):
        study = made(storage, name)
        if size is not None:
            study.set_user_attr(META_FEATURES, {"size": size})
    target = target_in(storage)
    target.set_user_attr(META_FEATURES, {"size": 2.0})
    assert names(PastStudies(["all"], nearest=2).tasks(target)) == ["small", "middling"]
    assert len(PastStudies(["all"], nearest=4).tasks(target)) == 4


def test_the_meta_features_of_a_target_are_found_though_hyperband_hides_them() -> None:
    storage = InMemoryStorage()
    for name, size in (("large", 9.0), ("small", 1.0)):
        made(storage, name).set_user_attr(META_FEATURES, {"size": size})
    target = target_in(storage)
    target.set_user_attr(META_FEATURES, {"size": 2.0})
    read: list[list[str]] = []

    class Reading(RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            read.append(names(PastStudies(["all"], nearest=1).tasks(study)))

    target.sampler, target.pruner = Reading(), HyperbandPruner(min_resource=1, max_resource=4)
    target.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert read == [["small"]]


def test_a_name_is_looked_up_in_the_storage_that_was_given_and_else_in_the_target_s() -> None:
    own, other = InMemoryStorage(), InMemoryStorage()
    made(own, "past", [1.0])
    made(other, "past", [2.0])
    target = target_in(own)
    assert [task.losses.tolist() for task in PastStudies(["past"]).tasks(target)] == [[1.0]]
    assert [task.losses.tolist() for task in PastStudies(["past"], storage=other).tasks(target)] == [[2.0]]


def test_studies_of_one_name_and_number_in_two_storages_are_two_sources() -> None:
    first, second = (made(InMemoryStorage(), "past", [loss]) for loss in (1.0, 2.0))
    past = PastStudies([first, second, first])
    for _ in range(2):  # read, and then remembered
        assert [task.losses.tolist() for task in past.tasks(optuna.create_study())] == [[1.0], [2.0]]


def test_a_study_by_the_name_of_a_pattern_is_meant_by_it() -> None:
    storage = InMemoryStorage()
    for name in ("run[1]", "run1", "other"):
        made(storage, name)
    target = target_in(storage)
    assert names(PastStudies(["run[1]"]).tasks(target)) == ["run[1]"]
    made(storage, "all")
    assert names(PastStudies(["all"]).tasks(target)) == ["all"]


def test_patterns_heed_the_case_of_letters_and_may_stand_anywhere() -> None:
    storage = InMemoryStorage()
    for name in ("mnist-1", "MNIST-2", "fashion-mnist-3"):
        made(storage, name)
    assert names(PastStudies(["*mnist-?"]).tasks(target_in(storage))) == ["mnist-1", "fashion-mnist-3"]


def test_a_study_is_read_again_only_where_it_has_more_finished_trials_or_more_of_them_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int] = []

    def counted(storage: BaseStorage, study_id: int) -> Any:
        reads.append(study_id)
        return finished_trials(storage, study_id)

    monkeypatch.setattr(past_studies, "finished_trials", counted)
    storage = InMemoryStorage()
    study, target = made(storage, "past", range(60)), target_in(storage)
    past = PastStudies(["all"], rows_at_most=60)
    (first,), (again,) = past.tasks(target), past.tasks(target)
    assert first is again and len(reads) == 1
    study.add_trial(optuna.create_trial(params={"x": 0.5}, distributions=dict(X), value=-1.0))
    assert past.tasks(target)[0].losses.min() == -1.0
    assert len(reads) == 2
    made(storage, "another")
    assert [len(task) for task in past.tasks(target)] == [30, 3]
    assert len(reads) == 4


def test_a_study_that_takes_the_number_of_a_deleted_one_is_read_anew(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    target, past = target_in(storage), PastStudies(["all"])
    old = made(storage, "old", [1.0, 2.0])
    assert [task.losses.tolist() for task in past.tasks(target)] == [[1.0, 2.0]]
    optuna.delete_study(study_name="old", storage=storage)
    assert made(storage, "new", [3.0, 4.0])._study_id == old._study_id
    assert [task.losses.tolist() for task in past.tasks(target)] == [[3.0, 4.0]]


def test_a_storage_that_was_read_is_held_on_to_lest_another_takes_its_place_in_memory_by_which_it_is_known() -> None:
    past, storage = PastStudies(["past"]), InMemoryStorage()
    made(storage, "past")
    past.tasks(target_in(storage))
    alive = weakref.ref(storage)
    del storage
    gc.collect()
    assert alive() is not None


def test_past_studies_that_were_read_can_be_pickled_and_are_read_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    storage = open_storage(url)  # which cannot be pickled
    made(storage, "past")
    target, past = target_in(storage), PastStudies(["past"])
    read = past.tasks(target)
    again = pickle.loads(pickle.dumps(past)).tasks(target)
    assert names(again) == names(read) == ["past"]
    np.testing.assert_array_equal(again[0].losses, read[0].losses)


def test_a_study_of_ours_is_read_by_its_own_space_and_a_plain_one_by_the_target_s() -> None:
    storage = InMemoryStorage()
    wide: Mapping[str, BaseDistribution] = {"x": FloatDistribution(0.0, 9.0)}
    params = [{"x": 0.5}, {"x": 5.0}]
    made(storage, "ours", range(2), params=params, distributions=wide, space=UNIT.to_dict())
    made(
        storage, "wider", range(2), params=params, distributions=wide, space=FlatSpace({"x": Float(0.0, 9.0)}).to_dict()
    )
    made(storage, "plain", range(2), params=params, distributions=wide)
    tasks = PastStudies(["all"], space=UNIT).tasks(target_in(storage))
    read = {task.name: [candidate.hyperparameters["x"] for candidate in task.candidates] for task in tasks}
    # 5 lies beyond the space of "ours", which asked for it by mistake; in a plain study it is taken as it is.
    assert read == {"ours": [0.5], "wider": [0.5, 5.0], "plain": [0.5, 5.0]}
    assert {task.name: task.losses.tolist() for task in tasks}["ours"] == [0.0]


def test_a_network_of_a_plain_study_is_read_by_the_target_s_space() -> None:
    storage, space = InMemoryStorage(), ListedSpace()
    choices: Mapping[str, BaseDistribution] = {
        name: CategoricalDistribution(("conv", "skip")) for name in space.parameters
    }
    made(storage, "plain", [0.0], params=[space.encode(space.candidates[5])], distributions=choices)
    (task,) = PastStudies(["plain"], space=space).tasks(target_in(storage))
    assert task.candidates == (space.candidates[5],)
    (task,) = PastStudies(["plain"], storage=storage).tasks(optuna.create_study())
    assert task.candidates[0].architecture is None


@pytest.mark.parametrize(
    "definition", [{}, {"space": {"type": "of its maker"}}, {"space": {"type": "flat"}}, "text", None]
)
def test_a_study_whose_space_cannot_be_read_is_read_as_a_plain_one(definition: object) -> None:
    storage = InMemoryStorage()
    made(storage, "past").set_user_attr(DEFINITION, definition)
    (task,) = PastStudies(["past"]).tasks(target_in(storage))
    assert len(task) == 3


def test_parameters_without_a_value_are_left_out_of_a_plain_study_s_candidates() -> None:
    storage = InMemoryStorage()
    distributions: Mapping[str, BaseDistribution] = {
        "kind": CategoricalDistribution((None, "a", True)),
        "n": IntDistribution(0, 9),
        **X,
    }
    params = [{"kind": kind, "n": 3, "x": 0.5} for kind in (None, "a", True)]
    made(storage, "past", range(3), params=params, distributions=distributions)
    (task,) = PastStudies(["past"]).tasks(target_in(storage))
    assert [dict(candidate.hyperparameters) for candidate in task.candidates] == [
        {"n": 3, "x": 0.5},
        {"kind": "a", "n": 3, "x": 0.5},
        {"kind": True, "n": 3, "x": 0.5},
    ]


def test_where_sources_ask_for_different_ranges_the_first_source_s_holds() -> None:
    storage = InMemoryStorage()
    for name, most in (("first", 2.0), ("second", 3.0)):
        made(storage, name, distributions={"x": FloatDistribution(0.0, most)})
    made(storage, "third", params=[{"a": 1}] * 3, distributions={"a": IntDistribution(0, 5)})
    found = PastStudies(["second", "first", "third"]).distributions(target_in(storage))
    assert list(found.items()) == [("a", IntDistribution(0, 5)), ("x", FloatDistribution(0.0, 3.0))]


class Broken(InMemoryStorage):
    """A storage of which nothing can be read but the list of its studies, and in the end not even that."""

    lists = True

    def get_all_studies(self) -> Any:
        if not self.lists:
            raise RuntimeError("no connection")
        return super().get_all_studies()

    def get_study_directions(self, study_id: int) -> Any:
        raise RuntimeError("no table")

    def get_study_user_attrs(self, study_id: int) -> Any:
        raise RuntimeError("no table")

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: object = None) -> Any:
        raise RuntimeError("no table")


def test_a_storage_that_breaks_is_told_once_and_is_no_obstacle(caplog: pytest.LogCaptureFixture) -> None:
    sound, broken = InMemoryStorage(), Broken()
    made(sound, "sound")
    broken.create_new_study([optuna.study.StudyDirection.MINIMIZE], "broken")
    target = target_in(sound)
    past = PastStudies([optuna.load_study(study_name="sound", storage=sound), "broken"], storage=broken, nearest=1)
    everything = PastStudies(past.sources, storage=broken)
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        for _ in range(2):
            assert names(past.tasks(target)) == names(everything.tasks(target)) == ["sound"]
            assert list(everything.distributions(target)) == ["x"]
        told = "nothing is learnt from study 'broken': it cannot be read (RuntimeError: no table)."
        assert [record.getMessage() for record in caplog.records] == [told]
        caplog.clear()
        broken.lists = False
        assert not PastStudies(["broken"], storage=broken).tasks(target)
        told = "nothing is learnt from study 'broken': its storage cannot be read (no connection)."
        assert [record.getMessage() for record in caplog.records] == [told]


def test_a_study_that_names_itself_is_told_and_one_that_a_glob_finds_is_not(caplog: pytest.LogCaptureFixture) -> None:
    target = target_in(InMemoryStorage())
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        assert not PastStudies(["all", "tar*"]).tasks(target)
        assert not caplog.records
        assert not PastStudies(["target"]).tasks(target)
    told = "nothing is learnt from study 'target': it is the very study that is to learn; name others."
    assert [record.getMessage() for record in caplog.records] == [told]


def test_a_name_that_no_study_has_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="automl.studies"):
        assert not PastStudies(["missing"]).tasks(target_in(InMemoryStorage()))
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is learnt from study 'missing': the storage has no study of that name; check the name and the storage."
    ]
