"""DenseDistiller against the heads themselves, family by family."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import CLASSES, NUM

from kd_det.centroids import CentroidBank
from kd_det.distillers.dense_boxes import box_regions
from kd_det.distillers.dense_head import probe_head
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.precompute.centroids import compute_bank
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair, tiny_run

# Where each family's class logits come from, level by level.
LAYERS = {
    'retinanet': ['bbox_head.retina_cls'] * 5,
    'fcos': ['bbox_head.conv_cls'] * 5,
    'atss': ['bbox_head.atss_cls'] * 5,
    'gfl': ['bbox_head.gfl_cls'] * 5,
    'rtmdet': [f'bbox_head.rtm_cls.{i}' for i in range(3)],
}
K = 6
ALL = dict(
    loss_kd=dict(type='DenseKDLoss'),
    loss_nd=dict(type='NormLoss'),
    loss_sdd=dict(type='SDDLoss', base=dict(type='SigmoidKDLoss')),
    loss_sr=dict(type='SoftmaxRegressionLoss'),
)


def build(folder, family, losses=ALL, **kwargs):
    init_default_scope('mmdet')
    dense = dict(type='DenseDistiller', losses=losses, **kwargs)
    cfg = tiny_pair(
        folder, student=family, teacher=family, distillers=dict(dense=dense)
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    with torch.no_grad():
        for weight in model.teacher.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return model.train()


@pytest.fixture(scope='module', params=LAYERS)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, build(folder, request.param)


def prepared(model, **kwargs):
    batch = tiny_batch(model, size=(96, 128), **kwargs)
    return model.data_preprocessor(batch, True)


def knowledge_of(model, data):
    """Losses, what the distiller handed them, and what loss_cls was given."""
    seen, given = {}, []
    distiller = model.distill['dense']
    handles = [
        distiller.register_forward_pre_hook(
            lambda _, args: seen.update(args[0])
        ),
        model.student.bbox_head.loss_cls.register_forward_pre_hook(
            lambda _, args: given.append(args)
        ),
    ]
    torch.manual_seed(0)
    losses = model(**copy.deepcopy(data), mode='loss')
    for handle in handles:
        handle.remove()
    return losses, seen, given


def test_the_class_layers_are_found(pair):
    family, model = pair
    head = model.distill['dense'].ours
    assert head.layers == tuple(LAYERS[family])
    assert head.classes == K
    assert head.anchors == (9 if family == 'retinanet' else 1)
    assert head.bins == (17 if family == 'gfl' else 1)
    levels = len(LAYERS[family])
    assert head.strides == (8, 16, 32, 64, 128)[:levels]


def test_probing_leaves_no_trace():
    init_default_scope('mmdet')
    spec = tiny_detector('rtmdet')
    network = MODELS.build(read_spec(spec, 'student')[0]).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = torch.get_rng_state()
    probe_head(network, 'student')
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(m._forward_hooks for m in network.modules())


def test_rows_are_those_of_the_heads_own_loss(pair):
    _, model = pair
    _, seen, given = knowledge_of(model, prepared(model))
    logits = torch.cat([args[0] for args in given])
    targets = [args[1] for args in given]
    targets = [t[0] if isinstance(t, tuple) else t for t in targets]
    labels = torch.cat([t.reshape(-1) for t in targets])
    assert torch.equal(seen['student_dense_logits'], logits)
    on_object = labels < K
    assert on_object.any()
    assert torch.equal(seen['dense_foreground'], on_object)
    assert torch.equal(seen['labels'], labels[on_object])
    assert torch.equal(seen['student_logits'], logits[on_object])


def test_embeddings_give_the_logits(pair):
    """The class layer on its input, location by location."""
    _, model = pair
    data = prepared(model)
    _, seen, _ = knowledge_of(model, data)
    on_object = seen['dense_foreground'].nonzero()[:, 0]
    anchors = model.distill['dense'].ours.anchors
    for side, network in (
        ('student', model.student),
        ('teacher', model.teacher.model),
    ):
        entered = []
        layers = dict.fromkeys(model.distill['dense'].ours.layers)
        handles = [
            network.get_submodule(path).register_forward_hook(
                lambda _, args, out, to=entered: to.append((args[0], out))
            )
            for path in layers
        ]
        with torch.no_grad():
            network.bbox_head(network.extract_feat(data['inputs']))
        for handle in handles:
            handle.remove()
        embed = torch.cat(
            [x.permute(0, 2, 3, 1).flatten(0, 2) for x, _ in entered]
        )
        expected = embed[on_object // anchors]
        torch.testing.assert_close(seen[f'{side}_embed'], expected)
        logits = torch.cat(
            [
                y.permute(0, 2, 3, 1).reshape(-1, K)  # anchors, then classes
                for _, y in entered
            ]
        )
        if side == 'teacher':
            torch.testing.assert_close(seen['teacher_dense_logits'], logits)
            torch.testing.assert_close(
                seen['teacher_logits'], logits[on_object]
            )


def test_task_losses_are_untouched(pair):
    family, model = pair
    data = prepared(model)
    losses, _, _ = knowledge_of(model, data)
    plain = copy.deepcopy(model.student)
    torch.manual_seed(0)
    alone = plain(data['inputs'], copy.deepcopy(data['data_samples']), 'loss')
    for key, value in alone.items():
        ours, theirs = losses[key], value
        if not isinstance(value, list):
            ours, theirs = [ours], [theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b), (family, key)


@pytest.mark.parametrize('images', [(0,), (0, 1)])
def test_images_without_objects(pair, images):
    _, model = pair
    data = prepared(model, num_images=2, without_objects=images)
    losses, seen, _ = knowledge_of(model, data)
    total = sum(v.sum() for k, v in losses.items() if k.startswith('dense.'))
    assert torch.isfinite(total)
    total.backward()
    if len(images) == 2:
        assert len(seen['labels']) == 0
        assert losses['dense.loss_nd'] == 0
    data = prepared(model, num_images=1)
    losses, _, _ = knowledge_of(model, data)
    assert all(
        torch.isfinite(value)
        for key, value in losses.items()
        if key.startswith('dense.')
    )


def test_padding_is_left_out(pair):
    _, model = pair
    batch = tiny_batch(model, size=(96, 128))
    small = tiny_batch(model, num_images=1, size=(64, 64), seed=1)
    for key in ('inputs', 'data_samples'):
        batch[key][1] = small[key][0]
    data = model.data_preprocessor(batch, True)
    _, seen, _ = knowledge_of(model, data)
    head = model.distill['dense'].ours
    height, width = data['inputs'].shape[-2:]
    expected = []
    for stride in head.strides:
        rows, columns = -(-height // stride), -(-width // stride)
        level = torch.zeros(2, rows, columns, dtype=torch.bool)
        for image, (h, w) in enumerate([(96, 128), (64, 64)]):
            level[image, : -(-h // stride), : -(-w // stride)] = True
        expected.append(level.flatten().repeat_interleave(head.anchors))
    assert torch.equal(seen['dense_mask'], torch.cat(expected))
    assert not seen['dense_mask'].all()


def test_corners_of_gfl(tmp_path):
    losses = dict(loss_ld=dict(type='LDLoss'))
    model = build(tmp_path, 'gfl', losses)
    data = prepared(model)
    _, seen, _ = knowledge_of(model, data)
    network = model.teacher.model
    with torch.no_grad():
        _, boxes = network.bbox_head(network.extract_feat(data['inputs']))
    corners = torch.cat(
        [b.permute(0, 2, 3, 1).reshape(-1, 4, 17) for b in boxes]
    )
    torch.testing.assert_close(
        seen['teacher_corners'], corners[seen['dense_foreground']]
    )
    assert seen['student_corners'].shape == seen['teacher_corners'].shape


def test_class_means_are_of_the_locations_on_objects(shapes, tmp_path):
    losses = dict(loss_nd=dict(type='NDLoss'))
    init_default_scope('mmdet')
    dense = dict(
        type='DenseDistiller',
        losses=losses,
        centroids=str(tmp_path / 'bank.npz'),
    )
    cfg = tiny_run(
        tiny_pair(
            tmp_path,
            num_classes=NUM,
            student='atss',
            teacher='atss',
            distillers=dict(dense=dense),
        ),
        shapes,
        '',
        CLASSES,
    )
    model = MODELS.build(cfg.model)
    distiller = model.distill['dense']
    seen = []
    samples = distiller.teacher_samples
    distiller.teacher_samples = lambda *args: (
        seen.append(samples(*args)) or seen[-1]
    )
    bank = compute_bank(distiller, cfg, 'gt')
    embed = torch.cat([e for e, _ in seen]).double().numpy()
    labels = torch.cat([y for _, y in seen]).numpy()
    assert bank.counts.tolist() == np.bincount(labels, minlength=NUM).tolist()
    for row in range(NUM):
        if bank.counts[row]:
            np.testing.assert_allclose(
                bank.centroids[row], embed[labels == row].mean(0), rtol=1e-5
            )
    distiller.set_bank(bank)
    with pytest.raises(UserError, match='no proposals'):
        samples(None, [], 'proposals')


def test_the_bank_counts_classes_without_background(tmp_path):
    file = tmp_path / 'bank.npz'
    means = np.ones((K + 1, 16), np.float32)
    CentroidBank(means, np.ones(K + 1, np.int64), ()).save(file)
    with pytest.raises(UserError, match='7 rows'):
        build(
            tmp_path,
            'fcos',
            dict(loss_nd=dict(type='NDLoss')),
            centroids=str(file),
        )


def test_mean_logits_of_cells():
    """Of a map that is linear in x and y the mean over a cell is known."""
    classes, strides = 2, [8, 16]
    scores = []
    for stride in strides:
        size = 256 // stride
        axis = (torch.arange(size) + 0.5) * stride
        maps = torch.stack(
            [axis[None, :].expand(size, -1), axis[:, None].expand(-1, size)]
        )
        scores.append(maps[None] + (1000 if stride == 16 else 0))

    class Sample:
        pass

    sample = Sample()
    sample.gt_instances = Sample()
    boxes = torch.tensor([[32.0, 48, 96, 80], [24, 24, 216, 216]])
    sample.gt_instances.bboxes = boxes
    sample.gt_instances.labels = torch.tensor([1, 0])
    regions, labels = box_regions(scores, strides, classes, [sample], (1, 2))
    assert labels.tolist() == [1, 0]
    assert regions.shape == (2, classes, 5)
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        # the larger box, of 192 pixels a side, is asked of stride 16
        base = 1000 * row
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        dx, dy = (x2 - x1) / 4, (y2 - y1) / 4
        centres = [(x, y)] + [
            (x + i * dx, y + j * dy) for j in (-1, 1) for i in (-1, 1)
        ]
        expected = base + torch.tensor(centres).T
        torch.testing.assert_close(regions[row], expected)


@pytest.mark.parametrize(
    'student, teacher, losses, message',
    [
        ('atss', 'retinanet', ALL, '1 boxes per location.*9, so'),
        (
            'retinanet',
            'retinanet',
            dict(loss_ld=dict(type='LDLoss')),
            'RetinaHead has 1 values per edge',
        ),
        ('faster_rcnn', 'faster_rcnn', ALL, 'student FasterRCNN .*none.*RoI'),
        ('faster_rcnn', 'retinanet', ALL, 'RetinaNet have nothing .*Feature'),
        ('retinanet', 'detr', ALL, 'teacher DETR has none.*FeatureDistiller'),
    ],
)
def test_refusals(tmp_path, student, teacher, losses, message):
    init_default_scope('mmdet')
    dense = dict(type='DenseDistiller', losses=losses)
    with pytest.raises(UserError, match=message) as caught:
        MODELS.build(
            tiny_pair(
                tmp_path,
                student=student,
                teacher=teacher,
                distillers=dict(dense=dense),
            )
        )
    assert '\n' not in str(caught.value)
