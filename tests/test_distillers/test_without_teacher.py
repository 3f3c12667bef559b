"""A distiller whose losses need no teacher has none run for it."""

import dataclasses

import pytest
import torch
from mmengine.optim import OptimWrapper
from tiny import KD, build, pair_cfg

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError

ND = dict(loss_nd=dict(type='NDLoss', norm='class'))
DIRECTION = dict(loss_fdr=dict(type='FDRCosineLoss'))


def step(model, batch):
    """Train a step; return its log and how often the teacher ran."""
    runs = []
    handle = model.teacher.model.backbone.register_forward_hook(
        lambda *_: runs.append(1)
    )
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    log = model.train_step(batch, OptimWrapper(sgd))
    handle.remove()
    return log, len(runs)


@pytest.mark.parametrize(
    ('losses', 'count'), [(ND, 0), (DIRECTION, 0), ({**ND, **KD}, 1)]
)
def test_the_teacher_runs_if_a_loss_needs_it(
    losses, count, teacher, bank, batch
):
    model = build(pair_cfg(teacher, losses, bank))
    for name, loss in model.distill['roi'].losses.items():
        assert type(loss).__name__ == losses[name]['type']  # in messages
    log, runs = step(model, batch)
    assert runs == count
    assert all(log[f'roi.{name}'] > 0 for name in losses)


@pytest.mark.parametrize('kind', ['LinearAdaptor', 'EmbeddingAdaptor'])
def test_a_connector_needs_no_teacher(kind, teacher, bank, batch):
    cfg = pair_cfg(teacher, ND, bank)
    cfg.distillers.roi.connectors = dict(student_embed=dict(type=kind))
    model = build(cfg)
    layers = [*model.distill['roi'].connectors.parameters()]
    before = [layer.detach().clone() for layer in layers]
    _, runs = step(model, batch)
    assert runs == 0
    assert not all(map(torch.equal, before, layers))


def test_the_norm_is_that_of_the_class(teacher, bank, batch):
    """As with a teacher whose embeddings have the norms of the classes."""
    model = build(pair_cfg(teacher, ND, bank))
    seen = {}
    model.distill['roi'].losses['loss_nd'].register_forward_pre_hook(
        lambda _, args, fields: seen.update(fields), with_kwargs=True
    )
    log, _ = step(model, batch)
    rows = []
    table = CentroidBank.load(bank)
    for embed, label in zip(seen['student_embed'], seen['labels'].tolist()):
        own = embed.detach().double().numpy()
        mean = table.centroids[label].astype(float)
        cosine = own @ mean / (mean @ mean) ** 0.5
        rows.append(
            1 - cosine / max((own @ own) ** 0.5, float(table.norms[label]))
        )
    assert log['roi.loss_nd'].item() == pytest.approx(
        sum(rows) / len(rows), rel=1e-5
    )


def test_a_file_without_norms(teacher, bank, tmp_path):
    file = str(tmp_path / 'old.npz')
    dataclasses.replace(CentroidBank.load(bank), norms=None).save(file)
    assert CentroidBank.load(file).norms is None
    build(pair_cfg(teacher, DIRECTION, file))
    with pytest.raises(UserError, match='no norms, .* compute it again'):
        build(pair_cfg(teacher, ND, file))
