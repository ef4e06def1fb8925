"""Dropout masks: their values, their share, and that torch's own generator draws them."""

from __future__ import annotations

import pytest
import torch

from automl.dropout import dropout_mask, dropped


def test_masks_are_zero_or_one_over_the_share_kept() -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.empty(400, 500), 0.3)
    assert mask.dtype == torch.float32 and mask.shape == (400, 500)
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.01)


def test_masks_keep_what_doubles_below_the_share_kept_say() -> None:
    torch.manual_seed(3)
    drawn = torch.empty(7, 5, dtype=torch.float64).uniform_()
    torch.manual_seed(3)
    assert torch.equal(dropout_mask(torch.empty(7, 5), 0.6) > 0, drawn < 1 - 0.6)


def test_nothing_is_dropped_outside_of_training_or_of_no_share() -> None:
    x = torch.ones(3, 4)
    state = torch.get_rng_state()
    assert dropped(x, 0.5, training=False) is x and dropped(x, 0.0, training=True) is x
    assert torch.equal(torch.get_rng_state(), state)
