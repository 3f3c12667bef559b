"""The logged cosines against NumPy, and the trap that they show."""

import ie_toy as toy
import numpy as np
import pytest
import torch

from kd_det.engine.hooks import FactorCosineHook
from kd_det.engine.hooks.factor_cosine_hook import factor_cosines
from kd_det.functional import exploration_loss


def draw(seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(3, 2, 4, 4, generator=generator) for _ in range(count)
    )


def cosine(one, other):
    one, other = one.numpy().ravel(), other.numpy().ravel()
    return one @ other / np.sqrt((one @ one) * (other @ other))


def test_cosines_by_hand():
    knowledge = dict(
        student_inherit_factors=draw(0),
        student_explore_factors=draw(1),
        teacher_factors=draw(2),
    )
    pairs = {
        name: [
            cosine(a, b)
            for ours, theirs in zip(
                knowledge[f'student_{name}_factors'],
                knowledge['teacher_factors'],
            )
            for a, b in zip(ours, theirs)
        ]
        for name in ('inherit', 'explore')
    }
    found = factor_cosines(knowledge)
    assert found == dict(
        inherit_cosine=pytest.approx(np.mean(pairs['inherit']), abs=1e-6),
        explore_cosine=pytest.approx(
            np.mean(np.abs(pairs['explore'])), abs=1e-6
        ),
    )
    assert not any('loss' in name for name in found)


def test_the_trap_is_seen():
    """Minus the teacher's factor: a low loss, and a cosine of 1."""
    teacher = draw(0)
    trapped = tuple(-level for level in teacher)
    other = draw(1)
    trap, honest = (
        exploration_loss(factors[0], teacher[0])
        for factors in (trapped, other)
    )
    assert trap < honest
    knowledge = dict(teacher_factors=teacher, student_explore_factors=trapped)
    assert factor_cosines(knowledge)['explore_cosine'] == pytest.approx(1)
    knowledge['student_explore_factors'] = other
    assert factor_cosines(knowledge)['explore_cosine'] < 0.5


def test_hook_listens_to_logged_steps_alone(tmp_path):
    model = toy.build(toy.pair(tmp_path))
    distiller = model.distill.factor
    distiller.set_auto_encoder(distiller.new_auto_encoder())
    logged = []

    class Hub:
        def update_scalar(self, name, value):
            logged.append((name, value))

    class Run:
        logger = None
        message_hub = Hub()

    run = Run()
    run.model = model
    hook = FactorCosineHook(interval=2)
    hook.before_train(run)
    data = model.data_preprocessor(toy.batch(), True)
    for step in range(2):
        hook.before_train_iter(run, step)
        model(**data, mode='loss')
        hook.after_train_iter(run, step)
        assert bool(logged) == (step == 1)
    assert [name for name, _ in logged] == [
        'train/factor.inherit_cosine',
        'train/factor.explore_cosine',
    ]
    assert not distiller._forward_pre_hooks
