"""The generators: what is captured comes back, what is isolated stays."""

import random

import numpy as np
import pytest
import torch

from kd_det import random_state


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    )


def test_restore_repeats_the_draws():
    random.gauss(0, 1), np.random.randn()  # both keep a second number back
    state = random_state.capture()
    first = draw()
    assert draw() != first
    random_state.restore(state)
    assert draw() == first


def test_state_survives_a_file_without_pickle_execution(tmp_path):
    state = random_state.capture()
    first = draw()
    torch.save(state, tmp_path / 'state.pth')
    loaded = torch.load(tmp_path / 'state.pth', weights_only=True)
    random_state.restore(loaded)
    assert draw() == first


def test_isolated():
    random_state.seed_all(3)
    first = draw()
    random_state.seed_all(3)
    with random_state.isolated():
        draw()
        random_state.seed_all(9)
    assert draw() == first


def test_isolated_after_an_exception():
    random_state.seed_all(3)
    first = draw()
    random_state.seed_all(3)
    with pytest.raises(KeyError), random_state.isolated():
        draw()
        raise KeyError
    assert draw() == first


def test_seed_all_takes_large_seeds():
    random_state.seed_all(2**32 + 5)
    first = draw()
    random_state.seed_all(2**32 + 5)
    assert draw() == first


def test_own_numbers():
    """The process's go on as if the block were not there."""
    random_state.seed_all(3)
    own = random_state.OwnNumbers()
    expected = draw()
    random_state.seed_all(3)
    same = random_state.OwnNumbers()
    with same.drawn():
        first = torch.rand(3).tolist()
    with same.drawn():
        second = torch.rand(3).tolist()
    assert draw() == expected
    for numbers in (first, second):
        with own.drawn():
            assert torch.rand(3).tolist() == numbers


def test_own_numbers_go_on_where_a_checkpoint_has_them():
    one, other = random_state.OwnNumbers(), random_state.OwnNumbers()
    for numbers in (one, other):
        with numbers.drawn():
            torch.rand(1)
    other.load_state_dict(one.state_dict())
    drawn = []
    for numbers in (one, other):
        with numbers.drawn():
            drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1]
