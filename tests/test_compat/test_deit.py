"""DeiT's two tokens: one learns the labels, the other the teacher's class."""

import subprocess
import sys

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from kd_det.compat.deit import DistilledDeiTHead
from kd_det.registry import MODELS
from kd_det.testing import save_teacher
from kd_det.testing.classifiers import tiny_classifier

CLASSES, WIDTH = 10, 16


@pytest.fixture
def heads():
    torch.manual_seed(0)
    ours = DistilledDeiTHead(CLASSES, WIDTH)
    stock = DeiTClsHead(CLASSES, WIDTH)
    stock.load_state_dict(ours.state_dict())
    return ours, stock


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.randn(2, 4, WIDTH).unbind()


def test_training_sees_the_class_token_alone(heads, tokens):
    ours, _ = heads
    logits = ours.train()((tokens,))
    assert torch.equal(logits, ours.layers.head(tokens[0]))


def test_evaluation_is_that_of_mmpretrain(heads, tokens):
    ours, stock = heads
    assert torch.equal(ours.eval()((tokens,)), stock.eval()((tokens,)))


@pytest.fixture
def pair(tmp_path):
    """A tiny DeiT, hard KD on its token and ND on the mean of both."""
    spec = tiny_classifier(50, CLASSES)
    preprocessor = dict(spec['data_preprocessor'])
    student = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=preprocessor,
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(
                embed_dims=WIDTH,
                num_layers=2,
                num_heads=2,
                feedforward_channels=32,
            ),
            img_size=32,
            patch_size=16,
        ),
        head=dict(
            type='DistilledDeiTHead',
            num_classes=CLASSES,
            in_channels=WIDTH,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1),
        ),
        train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
    )
    cfg = dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(spec, tmp_path / 'teacher.pth'),
        student=student,
        distillers=dict(
            token=dict(
                type='LogitDistiller',
                taps=dict(classifier='head.layers.head_dist'),
                losses=dict(loss_hardkd=dict(type='HardKDLoss')),
            ),
            logit=dict(
                type='LogitDistiller',
                losses=dict(loss_kd=dict(type='KDLoss')),
            ),
        ),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield MODELS.build(cfg).train()


def test_each_distiller_reads_its_token(pair):
    seen, read = {}, {}
    for name, distiller in pair.distill.items():
        distiller.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: args[0]})
        )
    layers = pair.student.head.layers
    for key in ('head', 'head_dist'):
        layers.get_submodule(key).register_forward_hook(
            lambda _, args, out, key=key: read.update({key: (*args, out)})
        )
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    batch = dict(inputs=list(images), data_samples=samples)
    losses = pair(**pair.data_preprocessor(batch, True), mode='loss')
    class_token, class_logits = read['head']
    dist_token, dist_logits = read['head_dist']
    assert torch.equal(seen['token']['student_logits'], dist_logits)
    assert torch.equal(seen['token']['student_embed'], dist_token)
    mean = (class_token + dist_token) / 2
    torch.testing.assert_close(seen['logit']['student_embed'], mean)
    mixed = seen['logit']['labels']
    assert mixed.shape == (4, CLASSES) and mixed.is_floating_point()
    smooth = 0.9 * mixed + 0.1 / CLASSES
    task = F.cross_entropy(class_logits, smooth)
    torch.testing.assert_close(losses['loss_task'], task)
    teacher = seen['token']['teacher_logits'].argmax(1)
    hard = F.cross_entropy(dist_logits, teacher)
    torch.testing.assert_close(losses['token.loss_hardkd'], hard)


def test_detectors_do_without_it():
    code = (
        'import sys\n'
        'from kd_det.registry import MODELS\n'
        "assert MODELS.get('DistillModel')\n"
        "assert 'mmpretrain' not in sys.modules\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True)
