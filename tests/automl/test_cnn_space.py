"""CNNSpace: the laws of every space."""

from __future__ import annotations

from automl.parameters import Float
from automl.spaces.cnn import CNNSpace
from tests.contracts.space import SpaceContract


class TestCNNSpace(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace()


class TestDigitsSpace(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(
            20, 2, image_size=8, units=(1, 3), task_kind="regression", hyperparameters={"lr": Float(1e-3, 1)}
        )


class TestSpaceWithoutAveragePools(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(6, labels=("max-pool", "res3"), strided=False, max_fc_layers=0, hyperparameters={})


class TestSpaceOfOnePixel(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(4, image_size=1)
