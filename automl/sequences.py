"""Token sequences: a candidate as the walk of its space, one typed token a decision, and back.

`Space.build` asks for decisions in order; the parameters asked and the bins of their values are the sequence that NAO
(Luo et al. 2018, section 3) encodes and decodes. A `Slot` is one parameter with its tokens: one a choice or integer,
or, for real numbers and long integer ranges, one a bin of the range plus a residual within it. The legal tokens at a
position are those of the parameter that the walk asks there, which may depend on all that was answered before; so
every decoding that stays within them is a valid candidate by construction.

Shapes: B sequences, T positions (the longest of a batch; shorter ones are padded).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.spaces.base import Space

N_BINS = 16
_DIGITS = re.compile(r"\d+")
# Encodings and walks kept, 6 to 10 kB each: a space may take milliseconds to find the first of many equal assignments.
_CACHE_LIMIT = 20_000


@dataclass(frozen=True)
class Slot:
    """One parameter of a space and its tokens, `offset` to `offset + size - 1` of the vocabulary.

    Args:
        index: Position of the parameter among those of the space.
        name: Its name.
        parameter: Its range.
        offset: Its first token; parameters with like ranges share tokens.
        size: Number of its tokens.
        role: Number of the name's text without its digits, so that "layer3_units" and "layer7_units" have one role.
        ordinal: Number of the name's digits, so that "layer3_units" and "layer3_label" have one ordinal.
    """

    index: int
    name: str
    parameter: Parameter
    offset: int
    size: int
    role: int = 0
    ordinal: int = 0

    @property
    def exact(self) -> bool:
        """Whether each token stands for exactly one value."""
        return _is_listed(self.parameter, self.size)

    def bin_of(self, value: Value) -> int:
        """The bin, from 0 to `size - 1`, that holds `value`.

        Raises:
            ValueError: If `value` is out of the parameter's range.
        """
        if not self.parameter.contains(value):
            raise ValueError(
                f"got {self.name} = {value!r}, expected a value in {self.parameter}; was it made in another space?"
            )
        if isinstance(self.parameter, Categorical):
            return self.parameter.choices.index(value)
        if isinstance(self.parameter, Int) and self.exact:
            return int(value) - self.parameter.low
        return min(int(self.parameter.to_unit(value) * self.size), self.size - 1)

    def residual(self, value: Value) -> float:
        """Where `value` lies in its bin, from -1 to 1; 0 for a token that stands for one value."""
        if self.exact:
            return 0.0
        return 2.0 * (self.parameter.to_unit(value) * self.size - self.bin_of(value)) - 1.0

    def value_of(self, bin_: int) -> Value:
        """The value at the centre of a bin."""
        return self._centres[bin_]

    @cached_property
    def _centres(self) -> tuple[Value, ...]:
        if isinstance(self.parameter, Categorical):
            return self.parameter.choices
        if isinstance(self.parameter, Int) and self.exact:
            return tuple(range(self.parameter.low, self.parameter.high + 1))
        centres = [self.parameter.from_unit((bin_ + 0.5) / self.size) for bin_ in range(self.size)]
        if isinstance(self.parameter, Float):
            return tuple(centres)
        return tuple(self._nearest_in_bin(int(value), bin_) for bin_, value in enumerate(centres))

    def _nearest_in_bin(self, value: int, bin_: int) -> int:
        """An integer whose bin is `bin_` where there is one: rounding the centre may leave a narrow bin."""
        return next((v for v in (value, value + 1, value - 1) if self._holds(v, bin_)), value)

    def _holds(self, value: int, bin_: int) -> bool:
        return self.parameter.contains(value) and self.bin_of(value) == bin_


def _is_listed(parameter: Parameter, size: int) -> bool:
    if isinstance(parameter, Categorical):
        return True
    return isinstance(parameter, Int) and size == parameter.high - parameter.low + 1


def _n_tokens(parameter: Parameter, n_bins: int) -> int:
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    if isinstance(parameter, Int) and parameter.high - parameter.low < n_bins:
        return parameter.high - parameter.low + 1
    return 1 if parameter.low == parameter.high else n_bins


def _kind(parameter: Parameter, size: int) -> object:
    """Equal for parameters that share tokens: equal ranges, and lists of integers that begin at the same one."""
    if isinstance(parameter, Int) and _is_listed(parameter, size):
        return "integers from", parameter.low
    return parameter


def _ordinal(name: str) -> tuple[str, ...]:
    return tuple(_DIGITS.findall(name))


@dataclass(frozen=True)
class TokenSequence:
    """A candidate as the walk of its space: for each of T decisions, the slot asked, the bin and the exact value."""

    slots: tuple[Slot, ...]
    bins: tuple[int, ...]
    values: tuple[Value, ...]

    def __len__(self) -> int:
        return len(self.bins)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters asked, one a decision."""
        return tuple(slot.name for slot in self.slots)

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """Tokens of the vocabulary, one a decision."""
        return tuple(slot.offset + bin_ for slot, bin_ in zip(self.slots, self.bins, strict=True))

    def value(self, slot: Slot, bin_: int) -> Value:
        """What a bin of a slot stands for near this sequence: its own value if that lies in the bin, or the centre."""
        own = self._own_bins.get(slot.name)
        return self.assignment[slot.name] if own == bin_ else slot.value_of(bin_)

    @cached_property
    def _own_bins(self) -> dict[str, int]:
        return dict(zip(self.names, self.bins, strict=True))

    @cached_property
    def assignment(self) -> dict[str, Value]:
        """The exact values by parameter name: what `Space.decode` reads."""
        return {slot.name: value for slot, value in zip(self.slots, self.values, strict=True)}


class Vocabulary:
    """The tokens of a space: candidates to sequences and back.

    Args:
        space: The space whose walk is spoken.
        n_bins: Number of bins of a real range, and of an integer range longer than that.

    Raises:
        ValueError: If `n_bins` is below 2.
    """

    def __init__(self, space: Space, n_bins: int = N_BINS) -> None:
        if n_bins < 2:
            raise ValueError(f"got n_bins = {n_bins}, expected at least 2; one bin could not tell values apart.")
        self.space = space
        sizes = {name: _n_tokens(parameter, n_bins) for name, parameter in space.parameters.items()}
        kinds = {name: _kind(parameter, sizes[name]) for name, parameter in space.parameters.items()}
        offsets: dict[object, int] = {}
        self.size = 0
        for kind in dict.fromkeys(kinds.values()):
            offsets[kind] = self.size
            self.size += max(sizes[name] for name in kinds if kinds[name] == kind)
        roles = {role: i for i, role in enumerate(dict.fromkeys(_DIGITS.sub("#", name) for name in kinds))}
        ordinals = {digits: i for i, digits in enumerate(dict.fromkeys(_ordinal(name) for name in kinds))}
        self.slots: Mapping[str, Slot] = {
            name: Slot(
                index=index,
                name=name,
                parameter=parameter,
                offset=offsets[kinds[name]],
                size=sizes[name],
                role=roles[_DIGITS.sub("#", name)],
                ordinal=ordinals[_ordinal(name)],
            )
            for index, (name, parameter) in enumerate(space.parameters.items())
        }
        self._encoded: dict[Candidate, TokenSequence] = {}
        self._runs: dict[tuple[object, ...], tuple[TokenSequence, Candidate]] = {}

    def encode(self, candidate: Candidate) -> TokenSequence:
        """The walk that makes `candidate`; each topological order of its layers gives an equivalent one.

        Raises:
            ValueError: If the candidate lies outside the space.
        """
        if candidate not in self._encoded:
            if len(self._encoded) >= _CACHE_LIMIT:
                self._encoded.clear()
            assignment = self.space.encode(candidate)
            self._encoded[candidate] = self._sequence(tuple(assignment), tuple(assignment.values()))
        return self._encoded[candidate]

    def _sequence(self, names: tuple[str, ...], values: tuple[Value, ...]) -> TokenSequence:
        slots = tuple(self.slots[name] for name in names)
        return TokenSequence(slots, tuple(slot.bin_of(v) for slot, v in zip(slots, values, strict=True)), values)

    def sample(self, generator: np.random.Generator) -> TokenSequence:
        """The walk of random answers, each uniform on its parameter's scale, as it was asked and answered."""
        names: list[str] = []
        values: list[Value] = []

        def choose(name: str, parameter: Parameter) -> Value:
            names.append(name)
            values.append(parameter.sample(generator))
            return values[-1]

        self.space.build(choose)
        return self._sequence(tuple(names), tuple(values))

    def decode(self, sequence: TokenSequence) -> Candidate:
        """The candidate of a sequence: the inverse of `encode`, exact to the last digit of every scalar."""
        return self.space.decode(sequence.assignment)

    def walk(self, guess: TokenSequence, expected: Mapping[str, Value] | None = None) -> Walk:
        """A walk that starts with every decision open; see `Walk`."""
        return Walk(self, guess, expected)

    def run(self, answers: tuple[Value, ...], expected: Mapping[str, Value]) -> tuple[TokenSequence, Candidate]:
        """The walk that begins with some answers and goes on with expected ones, and the candidate it makes.

        A decision of which nothing is expected is answered with its first bin. Remembered, since decoding asks for the
        same walks over and over.
        """
        key = answers, tuple(expected.items())
        if key not in self._runs:
            if len(self._runs) >= _CACHE_LIMIT:
                self._runs.clear()
            self._runs[key] = self._run(answers, expected)
        return self._runs[key]

    def _run(self, answers: tuple[Value, ...], expected: Mapping[str, Value]) -> tuple[TokenSequence, Candidate]:
        names: list[str] = []
        values: list[Value] = []

        def choose(name: str, parameter: Parameter) -> Value:
            if len(values) < len(answers):
                value = answers[len(values)]
            else:
                value = expected[name] if name in expected else self.slots[name].value_of(0)
            names.append(name)
            values.append(value)
            return value

        candidate = self.space.build(choose)
        return self._sequence(tuple(names), tuple(values)), candidate


class Walk:
    """A walk through a space that is answered one decision at a time.

    `Space.build` cannot be paused, so it is run ahead with expected answers. Only an answer that differs from what was
    expected makes it run again; a walk with k surprises costs k + 1 runs, whatever its length. A decision answered with
    the bin that it has in `guess` gets that sequence's exact value, so that scalars that are not changed stay exact.

    Args:
        vocabulary: The tokens of the space.
        guess: The sequence that the walk is likely to be near.
        expected: Expected answers by parameter name; those of the guess where None.
    """

    def __init__(
        self, vocabulary: Vocabulary, guess: TokenSequence, expected: Mapping[str, Value] | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._guess = guess
        self._expected = guess.assignment if expected is None else expected
        self._n_answered = 0
        self._candidate: Candidate | None = None
        self.sequence = guess
        """The walk as a sequence, open decisions taken as expected."""
        if expected is not None:
            self.sequence, self._candidate = vocabulary.run((), expected)

    @property
    def finished(self) -> bool:
        """Whether every decision is answered."""
        return self._n_answered == len(self.sequence.bins)

    @property
    def asked(self) -> Slot:
        """The slot that the walk asks for now: its tokens are the legal ones."""
        return self.sequence.slots[self._n_answered]

    @property
    def candidate(self) -> Candidate:
        """The candidate of the answers so far, open decisions taken as expected."""
        if self._candidate is None:
            self.sequence, self._candidate = self._vocabulary.run((), self._expected)
        return self._candidate

    def answer(self, bin_: int) -> None:
        """Answers the decision asked now with one of its bins.

        Raises:
            ValueError: If the bin is not legal there, or the walk is finished.
        """
        if self.finished:
            raise ValueError("got an answer to a finished walk, expected none; look at `finished` first.")
        slot, t = self.asked, self._n_answered
        if not 0 <= bin_ < slot.size:
            raise ValueError(f"got bin {bin_} for {slot.name}, expected 0 to {slot.size - 1}; choose a legal one.")
        self._n_answered += 1
        if self.sequence.bins[t] != bin_:
            answers = (*self.sequence.values[:t], self._guess.value(slot, bin_))
            self.sequence, self._candidate = self._vocabulary.run(answers, self._expected)

    def fork(self) -> Walk:
        """A walk in the same state that can be answered differently."""
        return copy.copy(self)


@dataclass(frozen=True)
class TokenBatch:
    """Sequences as padded arrays, each `B x T`.

    Args:
        tokens: Tokens of the vocabulary; 0 where padded.
        slots: Index of the slot asked; 0 where padded.
        residuals: Position of the value in its bin, -1 to 1; 0 where padded or exact.
        mask: Whether there is a decision: False where padded.
    """

    tokens: NDArray[np.int64]
    slots: NDArray[np.int64]
    residuals: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @classmethod
    def stack(cls, sequences: Sequence[TokenSequence]) -> TokenBatch:
        """The sequences as one batch, padded to the longest."""
        shape = len(sequences), max((len(sequence) for sequence in sequences), default=0)
        batch = cls(
            np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
        )
        for row, sequence in enumerate(sequences):
            n = len(sequence)
            batch.tokens[row, :n] = sequence.tokens
            batch.slots[row, :n] = [slot.index for slot in sequence.slots]
            batch.residuals[row, :n] = [s.residual(v) for s, v in zip(sequence.slots, sequence.values, strict=True)]
            batch.mask[row, :n] = True
        return batch
