"""analyze_features on small classifiers and detectors, against torch."""

import json

import ie_toy as toy
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import CLASSES, NUM, run_cfg, spare_time

from kd_det.analysis import (
    attention_maps,
    compare_features,
    feature_pictures,
    features,
    logit_relations,
    region_maps,
)
from kd_det.analysis.compare_features import analyze, titles
from kd_det.api import launch
from kd_det.errors import UserError
from kd_det.functional import linear_cka
from kd_det.registry import MODELS
from kd_det.testing import tiny_pair

CONFIG = 'iekd_resnet56_resnet20_short_cifar10'
PICTURES = (
    'cka.png',
    'norms.png',
    'active.png',
    'logits.png',
    'projection.png',
    'attention.png',
    'capacity.png',
)


@pytest.fixture(scope='module', autouse=True)
def fast():
    spare_time()


@pytest.fixture
def no_pictures(monkeypatch):
    """Spare the drawing where only numbers matter."""
    for module in (
        attention_maps,
        compare_features,
        feature_pictures,
        features,
        logit_relations,
        region_maps,
    ):
        for name in vars(module).copy():
            if name.startswith('draw_'):
                monkeypatch.setattr(module, name, lambda *a, **k: None)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return toy.images(tmp_path_factory.mktemp('data'), 12)


@pytest.fixture(scope='module')
def run(tmp_path_factory, root):
    """The folder of a student by IE-KD, and of a control."""
    folder = tmp_path_factory.mktemp('run')
    model = toy.pair(folder, split=dict(order='random'))
    cfg = toy.run(CONFIG, folder / 'iekd', root, model)
    cfg.custom_hooks[0].epochs = 1
    launch.train(cfg, seed=0)
    cfg = toy.run(
        'baseline_resnet20_short_cifar10',
        folder / 'control',
        root,
        toy.network(),
    )
    launch.train(cfg, seed=0)
    return folder


def config(run, root):
    model = toy.pair(run, split=dict(order='random'))
    return toy.run(CONFIG, run / 'analysis', root, model)


def test_what_is_written(run, root, tmp_path):
    files = [str(run / name / 'epoch_2.pth') for name in ('iekd', 'control')]
    path = analyze(config(run, root), files, str(tmp_path), num_images=100)
    content = json.loads(path.read_text())
    assert content['images'] == content['samples'] == 12
    names = content['representations']
    assert names == [
        'teacher',
        'iekd',
        'iekd inherit',
        'iekd explore',
        'control',
        'control half 1',
        'control half 2',
    ]
    (level,) = content['levels']
    for kernel in ('linear', 'rbf'):
        table = torch.tensor(level['cka'][kernel])
        torch.testing.assert_close(table, table.T)
        torch.testing.assert_close(table.diagonal(), torch.ones(7))
    counts = level['active']
    assert [counts[name]['of'] for name in names] == [12, 8, 4, 4, 8, 4, 4]
    for name, halves in (
        ('iekd', ('inherit', 'explore')),
        ('control', ('half 1', 'half 2')),
    ):
        parts = [counts[f'{name} {half}']['active'] for half in halves]
        assert sum(parts) == counts[name]['active'] > 0
    assert sum(c['count'] for c in level['norms']['teacher'].values()) == 12
    assert len(content['curves']['iekd']['eval']) == 2
    assert len(content['curves']['control']['train']) == 2
    assert [*content['projection']] == ['teacher', 'iekd', 'control']
    assert [*content['attention']['cosine']] == names
    assert content['attention']['images'] == [0, 2, 4, 6, 8, 10]
    weights = [
        sum(weight.numel() for weight in toy.build(spec).parameters())
        for spec in (toy.network((4, 4, 8, 12)), *[toy.network()] * 2)
    ]
    sizes = [entry['parameters'] for entry in content['networks'].values()]
    assert sizes == weights
    methods = [entry['method'] for entry in content['networks'].values()]
    assert methods == [None, 'iekd', 'baseline']
    shown = (tmp_path / 'regions.png').exists()
    assert shown == bool(content['ambiguous'])
    for picture in (*PICTURES, 'curves.png'):
        assert (tmp_path / picture).stat().st_size > 1000


def test_numbers_are_those_of_the_networks(run, root, tmp_path, no_pictures):
    """Features by hand, by the channels that the checkpoint remembers."""
    file = str(run / 'iekd/epoch_2.pth')
    cfg = config(run, root)
    state = toy.weights(file)
    path = analyze(cfg, [file], str(tmp_path), biased=True)
    content = json.loads(path.read_text())
    table = content['levels'][0]['cka']['linear']
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(state)
    runner = launch.tester(config(run, root), file)
    maps = [[], []]
    for data in runner.test_dataloader:
        batch = model.data_preprocessor(data, False)
        with torch.no_grad():
            for own, net in zip(maps, (model.student, model.teacher.model)):
                own.append(net.backbone(batch['inputs'])[-1])
    maps = [torch.cat(own) for own in maps]
    ours, theirs = (x.mean((2, 3)) for x in maps)
    inherit = state['distill.factor.split.inherit0']
    explore = state['distill.factor.split.explore0']
    reps = [theirs, ours, ours[:, inherit], ours[:, explore]]
    for row, one in enumerate(reps):
        for column, other in enumerate(reps):
            expected = linear_cka(one.double(), other.double()).item()
            assert table[row][column] == pytest.approx(expected, abs=1e-5)
    name = content['representations'][1]
    heads = model.student.head.fc, model.teacher.model.head.fc
    with torch.no_grad():
        logits = [fc(x).numpy() for fc, x in zip(heads, (ours, theirs))]
    found = content['logits'][name]
    alike = [np.corrcoef(*pair)[0, 1] for pair in zip(*logits)]
    assert found['pearson'] == pytest.approx(np.mean(alike), abs=1e-5)
    gap = np.corrcoef(logits[0].T) - np.corrcoef(logits[1].T)
    gap = gap[~np.eye(10, dtype=bool)]
    assert found['mean_gap'] == pytest.approx(np.abs(gap).mean(), abs=1e-5)
    attention = [
        (x[::2, own] ** 2).mean(1).flatten(1)
        for x, own in zip(maps, (explore, slice(None)))
    ]
    cosine = torch.cosine_similarity(*attention).mean().item()
    found = content['attention']['cosine'][f'{name} explore']
    assert found == pytest.approx(cosine, abs=1e-5)
    centred = (theirs - theirs.mean(0)).numpy()
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    share = spread[:2].sum() / spread.sum()
    assert content['projection']['teacher'] == pytest.approx(share, abs=1e-5)
    norm = content['networks']['teacher']['norm']
    assert norm == pytest.approx(theirs.norm(dim=1).mean().item(), abs=1e-5)
    # the halves of the config's own draw are other ones
    assert toy.build(cfg.model, seed=9).distill.factor.split.inherit0.tolist()


@pytest.mark.parametrize(
    'paths, names',
    [
        (['runs/iekd/epoch_2.pth'], ['iekd']),
        (['runs/iekd/seed0/epoch_2.pth'], ['iekd']),
        (['iekd/epoch_2.pth', 'ft/epoch_2.pth'], ['iekd', 'ft']),
        (['a/epoch_1.pth', 'a/epoch_2.pth'], ['epoch_1', 'epoch_2']),
        # seeds are folders below the runs, all of the same names
        (
            ['a/iekd/seed0/epoch_2.pth', 'a/ft/seed0/epoch_2.pth'],
            ['iekd', 'ft'],
        ),
        (
            ['a/ft/seed0/e.pth', 'a/ft/seed1/e.pth', 'a/kd/seed0/e.pth'],
            ['ft/seed0', 'ft/seed1', 'kd/seed0'],
        ),
        (
            ['a/ft/e.pth', 'a/ft/seed0/e.pth', 'b/e.pth'],
            ['a/ft', 'a/ft/seed0', 'b'],
        ),
        (
            ['kd_r56_r20_short/e.pth', 'alone_r20_short/e.pth'],
            ['kd_r56', 'alone'],
        ),
        (['a/teacher/e.pth', 'a/student/e.pth'], ['run teacher', 'student']),
    ],
)
def test_each_checkpoint_has_a_title(paths, names):
    assert titles(paths) == names


def test_a_checkpoint_named_twice():
    with pytest.raises(UserError, match='given twice'):
        titles(['a/e.pth', 'b/e.pth', './a/e.pth'])


def test_parts_and_refusals(run, root, tmp_path, no_pictures):
    file = str(run / 'iekd/epoch_2.pth')
    path = analyze(config(run, root), [file], str(tmp_path), minibatch=4)
    assert len(json.loads(path.read_text())['levels']) == 1
    for wrong in (
        dict(minibatch=3),
        dict(minibatch=-1),
        dict(num_images=2),
        dict(share=1.0),
    ):
        with pytest.raises(UserError, match='accepted|0 to 1'):
            analyze(config(run, root), [file], str(tmp_path), **wrong)
    alone = toy.run('baseline_resnet20_short_cifar10', tmp_path, root)
    with pytest.raises(UserError, match='has no teacher'):
        analyze(alone, [file])
    kd = toy.run('kd_resnet56_resnet20_short_cifar10', tmp_path, root)
    kd.model.teacher = config(run, root).model.teacher
    kd.model.student = toy.network()
    with pytest.raises(UserError, match='no feature map distiller'):
        analyze(kd, [file])


def test_the_auto_encoder_is_not_needed(run, root, tmp_path, no_pictures):
    """Neither a missing one nor one that does not fit stops anything."""
    file = tmp_path / 'of_somebody.pth'
    file.write_bytes(b'not an auto-encoder')
    for name in (file, tmp_path / 'none.pth'):
        cfg = config(run, root)
        cfg.model.distillers.factor.auto_encoder = str(name)
        path = analyze(cfg, [str(run / 'iekd/epoch_2.pth')], str(tmp_path))
        assert path.exists()


def test_refused_before_anything_is_looked_at(
    run, root, tmp_path, no_pictures
):
    file = str(run / 'iekd/epoch_2.pth')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match="file' is a file; set .*--out"):
        analyze(config(run, root), [file], str(tmp_path / 'file/out'))
    with pytest.raises(UserError, match='is given twice'):
        analyze(config(run, root), [file, file], str(tmp_path))
    odd = torch.load(file, weights_only=False)
    odd['state_dict']['backbone.layer3.0.bn2.bias'][0] = 3e38
    torch.save(odd, tmp_path / 'odd.pth')
    with pytest.raises(UserError, match='are not finite or too large'):
        analyze(
            config(run, root), [str(tmp_path / 'odd.pth')], str(tmp_path / 'o')
        )
    assert not (tmp_path / 'o').exists()


def test_detectors(tmp_path, shapes, no_pictures):
    losses = dict(loss_at=dict(type='AttentionTransferLoss'))
    factor = dict(type='FactorDistiller', losses=losses)
    init_default_scope('mmdet')
    model = tiny_pair(
        tmp_path, num_classes=NUM, distillers=dict(factor=factor)
    )
    cfg = run_cfg(model, shapes, tmp_path / 'run')
    torch.manual_seed(0)
    pair = MODELS.build(cfg.model)
    pair.init_weights()
    file = tmp_path / 'student.pth'
    torch.save(dict(state_dict=pair.state_dict()), file)
    before = {k: v.clone() for k, v in pair.teacher.state_dict().items()}
    path = analyze(cfg, [str(file)], str(tmp_path / 'out'))
    content = json.loads(path.read_text())
    assert content['samples'] > content['images'] == 6
    assert len(content['levels']) == len(pair.distill.factor.levels)
    for level in content['levels']:
        norms = level['norms']['teacher']
        assert sum(c['count'] for c in norms.values()) == content['samples']
        assert {*norms} <= {*CLASSES}
        whole = level['active'][content['representations'][1]]
        assert 0 < whole['active'] <= whole['of']
    (alike,) = content['logits'].values()
    assert -1 < alike['pearson'] < 1
    assert content['ambiguous'] is None
    assert content['attention']['stride'] == 16  # the middle level
    assert 'curves' not in content
    for key, value in pair.teacher.state_dict().items():
        assert torch.equal(value, before[key])
