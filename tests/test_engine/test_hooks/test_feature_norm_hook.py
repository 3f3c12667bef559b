"""The logged norms against NumPy."""

import numpy as np
import pytest
import torch
from engine_toy import ToyDistiller, ToyModel, ToyPair
from mmengine.hooks import LoggerHook

from kd_det.analysis.cka import unbiased_hsic
from kd_det.distillers import base
from kd_det.engine.hooks import feature_norm_hook
from kd_det.engine.hooks.feature_norm_hook import (
    FeatureNormHook,
    feature_norms,
)

KEYS = ('student_norm', 'teacher_norm', 'norm_ratio', 'centroid_cosine')
MEANS = [[1.0, 2.0], [-3.0, 0.5], [0.0, -1.0]]


class WithMeans(ToyDistiller):
    """As CentroidHook leaves a distiller: a bank and its buffer."""

    def __init__(self, losses):
        super().__init__(losses)
        self.bank = object()  # that there is one is all the hook asks
        self.register_buffer('centroids', torch.tensor(MEANS))


class WithoutEmbeddings(ToyDistiller):
    """It reads something else."""

    provides = ('student_logits', 'teacher_logits')

    def forward(self, knowledge):
        return {}


class Silent(LoggerHook):
    """Keep what the logger would show."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shown = []

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        tag, _ = runner.log_processor.get_log_after_iter(
            runner, batch_idx, 'train'
        )
        self.shown.append(tag)


def oracle(knowledge, means=None):
    """Return the four means, by loops over foreground rows in float64."""
    rows = np.flatnonzero(knowledge['foreground'].numpy())
    student, teacher = (
        knowledge[f'{side}_embed'].numpy().astype(np.float64)
        for side in ('student', 'teacher')
    )
    ours = np.mean([np.sqrt((student[i] ** 2).sum()) for i in rows])
    theirs = np.mean([np.sqrt((teacher[i] ** 2).sum()) for i in rows])
    result = [ours, theirs, ours / theirs]
    if means is not None:
        cosines = []
        for i in rows:
            mean = np.array(means[knowledge['labels'][i]])
            length = np.linalg.norm(student[i]) * np.linalg.norm(mean)
            cosines.append(student[i] @ mean / length)
        result.append(np.mean(cosines))
    return result


def run(make_runner, distiller, interval=3, **kwargs):
    runner = make_runner(
        model=ToyPair,
        model_args=dict(distiller=distiller),
        hooks=[dict(type='kd_det.FeatureNormHook', interval=interval)],
        **kwargs,
    )
    runner.train()
    return runner


def logged(runner):
    scalars = runner.message_hub.log_scalars
    return {
        key: scalars[f'train/roi.{key}'].data[0]
        for key in KEYS
        if f'train/roi.{key}' in scalars
    }


def test_norms_and_cosine_of_the_logged_steps(make_runner):
    runner = run(make_runner, WithMeans)
    found = np.array(list(logged(runner).values()))
    # 4 epochs of 4 steps, of which the third is logged
    expected = [oracle(runner.model.seen[i], MEANS) for i in (2, 6, 10, 14)]
    np.testing.assert_allclose(found.T, expected, rtol=1e-5)
    assert not runner.model.distill.roi._forward_pre_hooks


def test_without_class_means_there_is_no_cosine(make_runner):
    runner = run(make_runner, ToyDistiller)
    assert set(logged(runner)) == set(KEYS[:3])


def test_the_logger_shows_them(make_runner):
    runner = run(make_runner, WithMeans, logger=dict(type=Silent, interval=3))
    hook = next(h for h in runner.hooks if isinstance(h, Silent))
    expected = oracle(runner.model.seen[6], MEANS)
    found = [hook.shown[6][f'roi.{key}'] for key in KEYS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_it_does_not_change_the_run(make_runner):
    plain = make_runner('plain', model=ToyPair)
    plain.train()
    hooked = run(make_runner, WithMeans, interval=1, name='hooked')
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, hooked.model.state_dict()[name])


def test_steps_without_foreground_log_nothing():
    knowledge = dict(
        student_embed=torch.ones(3, 2),
        teacher_embed=torch.ones(3, 2),
        labels=torch.zeros(3, dtype=torch.long),
        foreground=torch.zeros(3, dtype=torch.bool),
    )
    losses = dict(loss_norm=dict(type='kd_det.NormLoss'))
    assert feature_norms(ToyDistiller(losses), knowledge) == {}


def test_classes_unknown_to_the_teacher_are_left_out():
    distiller = WithMeans(dict(loss_norm=dict(type='kd_det.NormLoss')))
    distiller.asked |= {'class_norms'}
    distiller.class_norms = torch.tensor([2.0, 0.0, 4.0])
    distiller.centroids[1] = 0  # as a centroid file says it
    knowledge = dict(
        student_embed=torch.tensor(MEANS), labels=torch.tensor([0, 1, 2])
    )
    found = feature_norms(distiller, knowledge)
    assert found['teacher_norm'] == pytest.approx(3)
    assert found['centroid_cosine'] == pytest.approx(1)
    knowledge['labels'][:] = 1
    assert {*feature_norms(distiller, knowledge)} == {'student_norm'}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_no_background(dtype):
    embed = torch.full((3, 2), 300.0, dtype=dtype)  # its square overflows
    losses = dict(loss_norm=dict(type='kd_det.NormLoss'))
    found = feature_norms(ToyDistiller(losses), dict(student_embed=embed))
    assert found == {'student_norm': pytest.approx(300 * 2**0.5, rel=1e-2)}


def test_other_widths_have_norms_but_no_cosine():
    losses = dict(loss_norm=dict(type='kd_det.NormLoss'))
    knowledge = dict(
        student_embed=torch.ones(3, 4),
        teacher_embed=torch.ones(3, 2),
        labels=torch.tensor([0, 1, 2]),
    )
    found = feature_norms(WithMeans(losses), knowledge)
    assert set(found) == set(KEYS[:3])
    assert found['norm_ratio'] == pytest.approx(2**0.5)


def test_cka_of_the_embeddings_of_the_foreground():
    """Against the general formula of the unbiased HSIC; widths differ."""
    torch.manual_seed(0)
    student = torch.randn(20, 3)
    teacher = student @ torch.randn(3, 5) + torch.randn(20, 5)
    foreground = torch.arange(20) < 12
    knowledge = dict(
        student_embed=student, teacher_embed=teacher, foreground=foreground
    )
    losses = dict(loss_norm=dict(type='kd_det.NormLoss'))
    found = feature_norms(ToyDistiller(losses), knowledge)['embed_cka']
    rows = [x[:12].double() for x in (student, teacher)]
    k, other = (x @ x.T for x in rows)
    expected = (
        unbiased_hsic(k, other)
        / (unbiased_hsic(k, k) * unbiased_hsic(other, other)).sqrt()
    )
    assert 0.2 < found < 0.9
    assert found == pytest.approx(expected.item(), abs=1e-6)
    # of three rows there is none
    knowledge['foreground'] = torch.arange(20) < 3
    assert 'embed_cka' not in feature_norms(ToyDistiller(losses), knowledge)


@pytest.mark.parametrize('plain', [True, False])
def test_a_run_without_embeddings_is_told_once(
    make_runner, monkeypatch, plain
):
    losses = dict(loss_norm=dict(type='kd_det.NormLoss'))
    no_pair = dict(losses=losses, distiller=WithoutEmbeddings)
    with pytest.MonkeyPatch.context() as patch:
        # NormLoss cannot be wired there, and need not be
        patch.setattr(base, 'wire', lambda *_: {})
        runner = make_runner(
            model=ToyModel if plain else ToyPair,
            model_args=None if plain else no_pair,
            hooks=[dict(type='kd_det.FeatureNormHook')],
        )
    told = []
    monkeypatch.setattr(runner.logger, 'info', told.append)
    runner.train()
    assert len([text for text in told if 'no distiller has emb' in text]) == 1
    assert logged(runner) == {}


@pytest.mark.parametrize(
    ('loss', 'factor', 'connected', 'warned'),
    [
        ('NDLoss', 1.51, False, True),
        ('NDLoss', 1.51, True, True),
        ('FDRCosineLoss', 3.0, False, True),
        ('NDLoss', 1.49, False, False),
        ('NormLoss', 3.0, False, False),  # pulls the norm itself
    ],
)
def test_long_embeddings_are_warned_of_once(
    monkeypatch, loss, factor, connected, warned
):
    adaptor = dict(student_embed=dict(type='kd_det.EmbeddingAdaptor'))
    losses = dict(loss_it=dict(type=f'kd_det.{loss}'))
    distiller = ToyDistiller(
        losses, 'bank.npz', adaptor if connected else None
    )
    distiller.name = 'roi'  # as its owner binds it
    embed = torch.randn(5, 2)
    knowledge = dict(student_embed=factor * embed, teacher_embed=embed)
    hook = FeatureNormHook()
    texts = []
    monkeypatch.setattr(
        feature_norm_hook,
        'print_log',
        lambda text, *_, **__: texts.append(text),
    )
    for _ in range(2):
        values = hook.quantities(distiller, knowledge)
        assert values['norm_ratio'] == pytest.approx(factor)
    assert len(texts) == warned
    if warned:
        (text,) = texts
        assert f'{factor:.2f} times as long as the teacher' in text
        assert 'lower model.distillers.roi.losses.loss_it.loss_weight' in text
        assert ('nd_adaptor_roi.py' in text) != connected


def test_nothing_where_no_loss_asks_for_embeddings():
    """A dense head is then not asked for them either."""
    assert feature_norms(None, dict(student_logits=torch.zeros(2, 3))) == {}
