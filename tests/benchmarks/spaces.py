"""Processor time of a space's sample, encoding, decoding and mutation: `python -m tests.benchmarks.spaces`.

Networks of the default spaces, and of spaces about twice as deep; milliseconds each, the best of several rounds. The
mutation is what an acquisition optimiser pays for: NASBOT's public implementation takes about 200 ms for one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from automl.observations import Candidate
from automl.spaces.base import Space
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace

T = TypeVar("T")

SPACES: dict[str, Space] = {
    "MLPSpace()": MLPSpace(),
    "20 to 22 layers": MLPSpace(min_layers=20, max_layers=22),
    "CNNSpace()": CNNSpace(),
    "18 to 24 layers": CNNSpace(min_layers=18, max_layers=24),
}


def milliseconds(job: Callable[[T], object], inputs: Iterable[T], rounds: int) -> float:
    """Mean processor time of a job, in the fastest of several rounds over the inputs."""
    items, times = list(inputs), []
    for _ in range(rounds):
        started = time.process_time()
        for item in items:
            job(item)
        times.append((time.process_time() - started) / len(items))
    return 1e3 * min(times)


def measured(space: Space, n: int, rounds: int) -> list[float]:
    """Layers of the median network, and milliseconds for a sample, an encoding, a decoding and a mutation."""
    generator = np.random.default_rng(0)
    candidates = [space.sample(generator) for _ in range(n)]
    assignments = [space.encode(candidate) for candidate in candidates]

    def mutate(candidate: Candidate) -> Candidate:
        return space.mutate(candidate, generator)

    return [
        statistics.median(len(candidate.architecture or ()) for candidate in candidates),
        milliseconds(lambda _: space.sample(generator), candidates, rounds),
        milliseconds(space.encode, candidates, rounds),
        milliseconds(space.decode, assignments, rounds),
        milliseconds(mutate, candidates, rounds),
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'space':<18}{'layers':>8}{'sample':>9}{'encode':>9}{'decode':>9}{'mutate':>9}   (ms)")
    for name, space in SPACES.items():
        layers, *times = measured(space, arguments.networks, arguments.rounds)
        print(f"{name:<18}{layers:>8.0f}" + "".join(f"{value:>9.3f}" for value in times))


if __name__ == "__main__":
    main()
