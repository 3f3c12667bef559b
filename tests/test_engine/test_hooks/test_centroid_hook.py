"""No step without the right class means."""

import json
import os

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict
from tiny import (
    CLASSES,
    KD,
    ND,
    ND_FOREGROUND,
    build,
    other_annotations,
    pair_cfg,
    run_cfg,
    tiny_spec,
)

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.precompute.centroids import compute_bank

HOOK = dict(type='kd_det.CentroidHook')


class Stop(Hook):
    """End a run before its first step, by an exception of its own."""

    priority = 'LOWEST'

    class Reached(Exception):
        pass

    def before_train_iter(self, *args, **kwargs):
        raise self.Reached


def runner(model, shapes, folder, *hooks, **changes):
    cfg = run_cfg(model, shapes, folder / 'run', **changes)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg = dict(by_epoch=False, max_iters=2)
    cfg.custom_hooks = [*hooks]
    return Runner.from_cfg(cfg)


def until_the_first_step(*args, **kwargs):
    run = runner(*args, **kwargs)
    run.register_hook(Stop())
    with pytest.raises(Stop.Reached):
        run.train()
    return run


def refused(message, *args, **kwargs):
    """The run ends with this message before its first step."""
    with pytest.raises(UserError, match=message):
        run = runner(*args, **kwargs)
        run.register_hook(Stop())
        run.train()


@pytest.mark.parametrize(
    ('losses', 'options', 'source'),
    [
        (ND, {}, 'proposals'),
        (ND_FOREGROUND, {}, 'gt'),
        (ND_FOREGROUND, dict(source='proposals'), 'proposals'),
        (ND_FOREGROUND, dict(augmented=True), 'gt'),
    ],
)
def test_makes_what_is_missing(
    teacher, shapes, tmp_path, losses, options, source
):
    path = tmp_path / 'new' / 'bank.npz'
    model = pair_cfg(teacher, losses, path)
    run = until_the_first_step(model, shapes, tmp_path, {**HOOK, **options})
    distiller = run.model.distill['roi']
    bank = CentroidBank.load(path)
    assert bank.provenance['source'] == source
    augmented = bool(options.get('augmented'))
    assert bank.provenance['augmented'] is augmented
    expected = compute_bank(distiller, run.cfg, source, augmented)
    np.testing.assert_array_equal(bank.centroids, expected.centroids)
    for means in (distiller.centroids.numpy(), distiller.bank.centroids):
        np.testing.assert_array_equal(means, bank.centroids)


def test_making_it_changes_no_draw(teacher, shapes, tmp_path):
    """The weights are those of a run that finds its file."""
    path = tmp_path / 'bank.npz'
    weights = []
    for folder in (tmp_path / 'first', tmp_path / 'second'):
        model = pair_cfg(teacher, {**KD, **ND}, path)
        run = runner(model, shapes, folder, HOOK)
        run.train()
        weights.append(get_state_dict(run.model))
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_uses_what_is_there(teacher, bank, shapes, tmp_path):
    before = os.stat(bank).st_mtime_ns
    model = pair_cfg(teacher, ND, bank)
    run = until_the_first_step(model, shapes, tmp_path, HOOK)
    assert os.stat(bank).st_mtime_ns == before
    assert run.model.distill['roi'].bank.counts.min() > 0


def test_made_by_another_run_meanwhile(teacher, bank, shapes, tmp_path):
    path = tmp_path / 'bank.npz'
    run = runner(pair_cfg(teacher, ND, path), shapes, tmp_path, HOOK)
    CentroidBank.load(bank).save(path)
    before = os.stat(path).st_mtime_ns
    run.train()
    assert os.stat(path).st_mtime_ns == before


def test_beside_an_averaged_copy(teacher, shapes, tmp_path):
    """EMAHook copies the model before the means are known."""
    path = tmp_path / 'bank.npz'
    ema = dict(type='EMAHook', momentum=0.1)
    model = pair_cfg(teacher, ND, path)
    run = runner(model, shapes, tmp_path, ema, HOOK)
    run.train()
    (average,) = (h.ema_model for h in run.hooks if hasattr(h, 'ema_model'))
    assert average.module.teacher is run.model.teacher
    pairs = zip(average.module.buffers(), run.model.buffers())
    assert all(a.shape == b.shape for a, b in pairs)
    means = average.module.distill['roi'].centroids
    assert torch.equal(means, run.model.distill['roi'].centroids)


def test_no_distiller_that_needs_it(teacher, shapes, tmp_path):
    until_the_first_step(pair_cfg(teacher), shapes, tmp_path, HOOK)


def test_without_the_hook_the_step_says_it(teacher, shapes, tmp_path):
    path = tmp_path / 'none.npz'
    run = runner(pair_cfg(teacher, ND, path), shapes, tmp_path)
    with pytest.raises(UserError, match="none.npz'.*CentroidHook"):
        run.train()


def changed_bank(bank, path, **changes):
    old = CentroidBank.load(bank)
    fields = dict(
        centroids=old.centroids,
        counts=old.counts,
        classes=old.classes,
        provenance=dict(old.provenance),
    )
    fields['provenance'] |= changes.pop('provenance', {})
    CentroidBank(**(fields | changes)).save(path)
    return path


def test_banks_that_do_not_fit(teacher, bank, shapes, tmp_path):
    path = tmp_path / 'bank.npz'
    old = CentroidBank.load(bank)
    names = (CLASSES[1], CLASSES[0], *CLASSES[2:], 'background')
    other = dict(teacher_sha256='0' * 64)
    for change, message in (
        (dict(provenance=other), 'from another teacher checkpoint'),
        (dict(provenance=dict(annotation_sha256='0')), 'another annotation'),
        (dict(classes=names), "row 0 is 'square', not 'circle'"),
        (dict(centroids=old.centroids[:, :16]), '16 wide'),
        (dict(centroids=old.centroids * np.nan), 'a mean is not finite'),
        (dict(counts=old.counts * [1] * 7 + [0]), 'cannot be read'),
        (
            dict(counts=np.array([1] * 7 + [0])),
            'no background mean .*--source proposals',
        ),
    ):
        if 'cannot' in message:
            change = dict(counts=old.counts[:-1])
        changed_bank(bank, path, **change)
        model = pair_cfg(teacher, ND, path)
        refused(message, model, shapes, tmp_path, HOOK)


def test_changed_annotations(teacher, bank, shapes, tmp_path):
    def drop(table):
        del table['annotations'][-1]

    folder = other_annotations(shapes, tmp_path / 'other', drop)
    model = pair_cfg(teacher, ND, bank)
    refused('another annotation file', model, folder, tmp_path, HOOK)


def test_the_layout_of_the_authors_is_checked_as_far_as_it_goes(
    teacher, bank, shapes, tmp_path
):
    rows = CentroidBank.load(bank).centroids.tolist()
    path = tmp_path / 'center.json'
    path.write_text(json.dumps(dict(enumerate(rows))))
    model = pair_cfg(teacher, ND, path)
    until_the_first_step(model, shapes, tmp_path, HOOK)
    path.write_text(json.dumps(dict(enumerate(rows[:-1]))))
    refused('has 7 rows', pair_cfg(teacher, ND, path), shapes, tmp_path, HOOK)


def test_only_for_a_pair(shapes, tmp_path):
    model = read_spec(tiny_spec(), 'student')[0]
    message = 'CentroidHook is for a DistillModel, but .* a FasterRCNN; take'
    refused(message, model, shapes, tmp_path, HOOK)


def test_a_pair_built_by_hand_is_the_same(teacher, bank):
    """What the hook does is open to those without a Runner."""
    model = build(pair_cfg(teacher, ND, bank))
    model.distill['roi'].set_bank(CentroidBank.load(bank))
