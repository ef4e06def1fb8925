"""What NAO's parts are worth: `python -m tests.benchmarks.nao reconstruction | predictor | choices`.

- reconstruction: share of held-out random candidates of every space that decode back to themselves after pre-training,
  share of decodings after long latent steps that are valid, and seconds of pre-training.
- predictor: pairwise accuracy and Kendall's tau on held-out cells of NAS-Bench-201 (CIFAR-10) against the number of
  labelled ones; a labelled value is that of one training, a held-out one the mean of its trainings. The published code
  reports a pairwise accuracy of .78 to .80 with 600.
- choices: regret of the next ten cells of NAS-Bench-Graph that NAO and its ablations propose at the same observations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from automl.observations import Candidate, Observations
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from automl.surrogates.nao import NAOModel, NAOSettings, pretrain
from studies.benchmark.samplers import make_proposer
from studies.benchmark.tables import Table, load_table

SPACES: Mapping[str, Callable[[], Space]] = {
    "mlp": MLPSpace,
    "cnn": CNNSpace,
    "cell": CellSpace,
    "nas-bench-201": CellSpace.nas_bench_201,
    "nas-bench-graph": CellSpace.nas_bench_graph,
}
PREDICTORS: Mapping[str, NAOSettings] = {
    "default": NAOSettings(),
    "no pre-training": NAOSettings(pretraining_steps=0),
    "pseudo-labels": NAOSettings(pseudo_labels=1000),
    "one predictor": NAOSettings(n_heads=1),
}
PROPOSERS = ("nao", "nao-mutation", "nao-single", "nao-supervised", "nao-pseudo-labels")
TABLES = ("cora", "citeseer", "photo", "arxiv")
OBSERVED = (30, 80)


def reconstruction(name: str, n: int) -> dict[str, object]:
    """Shares of `n` held-out candidates that decode to themselves, and of decodings that are valid."""
    space = SPACES[name]()
    started = time.process_time()
    model = pretrain(space, NAOSettings())
    seconds = time.process_time() - started
    generator = np.random.default_rng(1_000_000)
    held_out = [space.sample(generator) for _ in range(n)]
    sequences = [model.vocabulary.encode(candidate) for candidate in held_out]
    exact = [a.digest == b.digest for a, b in zip(held_out, model.reconstruct(sequences), strict=True)]
    decoded = [row[0] for row in model.improve(sequences, (1.0, 8.0))]
    return {
        "space": name,
        "exact": round(float(np.mean(exact)), 4),
        "legal": round(float(np.mean([_is_valid(space, candidate) for candidate in decoded])), 4),
        "pretraining_cpu_seconds": round(seconds, 1),
    }


def _is_valid(space: Space, candidate: Candidate) -> bool:
    return space.decode(space.encode(candidate)) == candidate


def predictor(name: str, sizes: Sequence[int], n_seeds: int, n_held_out: int = 1000) -> dict[str, object]:
    """Kendall's tau and pairwise accuracy on held-out cells, means over `n_seeds` sets of labelled ones."""
    table = load_table("nb201/cifar10")
    start = pretrain(table.space, PREDICTORS[name])
    scores = {n: [_ranking(start, table, n, n_held_out, seed) for seed in range(n_seeds)] for n in sizes}
    means = {n: np.mean(found, axis=0) for n, found in scores.items()}
    return {"predictor": name} | {f"tau_and_pairs_at_{n}": np.round(mean, 3).tolist() for n, mean in means.items()}


def _ranking(start: NAOModel, table: Table, n: int, n_held_out: int, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng([seed, n])
    everyone = table.space.candidates or ()
    rows = generator.choice(len(everyone), size=n + n_held_out, replace=False)
    cells = [everyone[int(row)] for row in rows]
    losses = np.array([table.loss(table.evaluate(cell, generator)) for cell in cells[:n]])
    predicted = start.refine(cells[:n], losses).predict(cells[n:]).mean
    truth = np.array([table.loss(table.mean(cell)) for cell in cells[n:]])
    return float(kendalltau(predicted, truth)[0]), pairwise_accuracy(predicted, truth)


def pairwise_accuracy(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of pairs with distinct true values that the prediction orders rightly."""
    upper = np.triu_indices(len(truth), 1)
    order = np.sign(truth[:, None] - truth[None, :])[upper]
    guess = np.sign(predicted[:, None] - predicted[None, :])[upper]
    return float((order == guess)[order != 0].mean())


def choices(data_set: str, seed: int, k: int, names: Sequence[str]) -> dict[str, object]:
    """Mean and least regret of the next ten cells that each sampler proposes after `k` evaluations of evolution.

    All samplers are asked at the same observations, so that their differences are not those of whole searches.
    """
    table = load_table(f"nbgraph/{data_set}")
    observations = _evolved(table, seed, k)
    answer: dict[str, object] = {"table": data_set, "seed": seed, "observed": k}
    for name in names:
        proposals = make_proposer(name, table.space).propose(observations, 10, np.random.default_rng([seed, k]))
        regrets = [table.regret(table.mean(proposal.candidate)) for proposal in proposals]
        answer[name] = [round(float(np.mean(regrets)), 3), round(min(regrets), 3)]
    return answer


def _evolved(table: Table, seed: int, k: int) -> Observations:
    proposer = make_proposer("evolution", table.space)
    observations = Observations()
    for trial in range(k):
        candidate = proposer.propose(observations, 1, np.random.default_rng([seed, trial]))[0].candidate
        losses = [*observations.values[:, 0], table.loss(table.mean(candidate))]
        observations = Observations((*observations.candidates, candidate), np.array(losses))
    return observations


def main() -> None:
    """Prints one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("reconstruction", "predictor", "choices"))
    parser.add_argument("names", nargs="*", help="spaces, predictors or samplers; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--held-out", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "reconstruction":
        lines = (reconstruction(name, arguments.held_out) for name in arguments.names or SPACES)
    elif arguments.part == "predictor":
        lines = (predictor(name, (50, 100, 150, 300, 600), arguments.seeds) for name in arguments.names or PREDICTORS)
    else:
        lines = (
            choices(table, seed, k, arguments.names or PROPOSERS)
            for seed in range(arguments.seeds)
            for table in arguments.tables
            for k in OBSERVED
        )
    for line in lines:
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
