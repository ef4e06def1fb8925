"""Token sequences: candidates there and back, walks answered one decision at a time, and bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter
from automl.sequences import Slot, TokenBatch, Vocabulary
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from tests.contracts.small_spaces import ChainSpace, ListedSpace, chain

SPACES: tuple[Space, ...] = (
    ChainSpace(),
    ListedSpace(),
    MLPSpace(),
    CNNSpace(),
    CellSpace(),
    CellSpace.nas_bench_201(),
    CellSpace.nas_bench_graph(),
)
IDS = ("chain", "listed", "mlp", "cnn", "cell", "nas-bench-201", "nas-bench-graph")

PARAMETERS: tuple[Parameter, ...] = (
    Float(-1.0, 3.0),
    Float(1e-5, 1.0, log=True),
    Float(2.0, 2.0),
    Int(0, 5),
    Int(8, 512, log=True),
    Int(1, 100),
    Categorical(("a", "b", "c")),
)


def slot_of(parameter: Parameter) -> Slot:
    return Vocabulary(MLPSpace(hyperparameters={"p": parameter})).slots["p"]


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_a_candidate_is_its_own_sequence_decoded(space: Space) -> None:
    vocabulary, generator = Vocabulary(space), np.random.default_rng(0)
    for _ in range(20):
        candidate = space.mutate(space.sample(generator), generator)
        assert vocabulary.decode(vocabulary.encode(candidate)) == candidate


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_every_random_answer_within_the_legal_sets_makes_a_valid_candidate(space: Space) -> None:
    vocabulary, generator = Vocabulary(space), np.random.default_rng(1)
    for _ in range(20):
        walk = vocabulary.walk(vocabulary.encode(space.sample(generator)))
        while not walk.finished:
            walk.answer(int(generator.integers(walk.asked.size)))
        candidate = walk.candidate
        assert space.decode(space.encode(candidate)) == candidate
        assert space.decode(walk.sequence.assignment) == candidate


@pytest.mark.parametrize("space", SPACES, ids=IDS)
def test_tokens_of_a_sequence_are_legal_where_they_stand(space: Space) -> None:
    vocabulary, generator = Vocabulary(space), np.random.default_rng(2)
    for _ in range(10):
        sequence = vocabulary.sample(generator)
        for slot, token in zip(sequence.slots, sequence.tokens, strict=True):
            assert slot.offset <= token < slot.offset + slot.size <= vocabulary.size


def test_answering_as_the_guess_gives_the_guess_to_the_last_digit() -> None:
    space = MLPSpace()
    vocabulary = Vocabulary(space)
    candidate = space.sample(np.random.default_rng(3))
    sequence = vocabulary.encode(candidate)
    walk = vocabulary.walk(sequence)
    for bin_ in sequence.bins:
        walk.answer(bin_)
    assert walk.finished
    assert walk.candidate == candidate


def test_one_changed_answer_leaves_every_other_scalar_exact() -> None:
    space = ChainSpace()
    vocabulary = Vocabulary(space)
    sequence = vocabulary.encode(space.sample(np.random.default_rng(4)))
    walk = vocabulary.walk(sequence)
    while not walk.finished:
        name = walk.asked.name
        old = dict(zip(sequence.names, sequence.bins, strict=True))[name]
        walk.answer(1 - old if name == "optimiser" else old)
    before, after = sequence.assignment, walk.sequence.assignment
    assert {name for name in before if before[name] != after[name]} == {"optimiser"}


def test_a_walk_may_grow_beyond_its_guess() -> None:
    space = ChainSpace()
    vocabulary = Vocabulary(space)
    walk = vocabulary.walk(
        vocabulary.encode(Candidate(chain(["relu"], [8]), {"learning_rate": 0.01, "optimiser": "sgd"}))
    )
    walk.answer(2)
    assert walk.sequence.assignment["depth"] == 3
    assert "units_2" in walk.sequence.assignment


def test_a_fork_does_not_disturb_its_origin() -> None:
    vocabulary = Vocabulary(ListedSpace())
    walk = vocabulary.walk(vocabulary.sample(np.random.default_rng(6)))
    twin = walk.fork()
    twin.answer(1 - twin.sequence.bins[0])
    assert walk.asked.name == "cell_0"
    assert walk.sequence.bins[0] != twin.sequence.bins[0]


def test_equivalent_orders_of_the_layers_are_sequences_of_one_candidate() -> None:
    space = MLPSpace()
    vocabulary, generator = Vocabulary(space), np.random.default_rng(7)
    for _ in range(20):
        candidate = space.sample(generator)
        architecture = candidate.architecture
        assert architecture is not None
        permuted = architecture.permuted(architecture.topological_order)
        sequence = vocabulary.encode(Candidate(permuted, candidate.hyperparameters))
        assert vocabulary.decode(sequence).digest == candidate.digest


@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
def test_a_bin_holds_the_value_it_stands_for(parameter: Parameter) -> None:
    slot = slot_of(parameter)
    held = [slot.bin_of(slot.value_of(bin_)) for bin_ in range(slot.size)]
    empty = isinstance(parameter, Int) and not slot.exact  # narrow bins of a logarithmic range may hold no integer
    assert all(abs(a - b) <= (1 if empty else 0) for a, b in zip(held, range(slot.size), strict=True))


@settings(max_examples=50, deadline=None)
@given(parameter=st.sampled_from(PARAMETERS), seed=st.integers(0, 2**32))
def test_bin_and_residual_together_keep_a_value(parameter: Parameter, seed: int) -> None:
    slot = slot_of(parameter)
    value = parameter.sample(np.random.default_rng(seed))
    bin_, residual = slot.bin_of(value), slot.residual(value)
    assert -1.0 <= residual <= 1.0
    if slot.exact:
        assert slot.value_of(bin_) == value
    else:
        assert (bin_ + 0.5 * (residual + 1.0)) / slot.size == pytest.approx(parameter.to_unit(value), abs=1e-12)


def test_layers_share_the_tokens_and_roles_of_like_parameters() -> None:
    slots = Vocabulary(MLPSpace()).slots
    third, seventh = slots["layer3_units"], slots["layer7_units"]
    assert (third.offset, third.role) == (seventh.offset, seventh.role)
    assert third.ordinal == slots["layer3_activation"].ordinal != seventh.ordinal


def test_batches_are_padded_to_the_longest_sequence() -> None:
    vocabulary, generator = Vocabulary(ChainSpace()), np.random.default_rng(8)
    sequences = [vocabulary.sample(generator) for _ in range(8)]
    batch = TokenBatch.stack(sequences)
    assert batch.tokens.shape == (8, max(map(len, sequences)))
    assert batch.mask.sum(axis=1).tolist() == [len(sequence) for sequence in sequences]


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got p = 9, expected a value in .*made in another space"):
        slot_of(Int(0, 5)).bin_of(9)


def test_an_illegal_answer_is_refused() -> None:
    vocabulary = Vocabulary(ListedSpace())
    walk = vocabulary.walk(vocabulary.sample(np.random.default_rng(0)))
    with pytest.raises(ValueError, match="got bin 2 for cell_0, expected 0 to 1"):
        walk.answer(2)
    for _ in range(3):
        walk.answer(0)
    with pytest.raises(ValueError, match="finished walk"):
        walk.answer(0)


def test_one_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_bins = 1, expected at least 2"):
        Vocabulary(ChainSpace(), n_bins=1)
