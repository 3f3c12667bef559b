"""A teacher runs the fast way unless its config says how; see rewriting.py."""

import pytest
import ranks
import torch
from matrix_cells import HEAD, MAPS, REVIEW, named
from mmengine.registry import init_default_scope
from test_rewriting import lived, norms
from tiny import KD, build, losses_of, pair_cfg, tiny_spec, write_weights

from kd_det.models import FrozenTeacher, rewriting
from kd_det.models.rewriting import Running, agreed, rewrite
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS

# relative change of a loss and of its gradient in the student, by precision
LIMITS = {'float32': (1e-5, 1e-4), 'bfloat16': (0.02, 0.05)}
MAP = 'backbone.layer3.1.conv1'  # a batch norm follows


@pytest.fixture(scope='module')
def spec(tmp_path_factory):
    """A teacher whose batch norms and logits matter."""
    init_default_scope('mmdet')

    def change(state):
        torch.manual_seed(0)
        for key, value in state.items():
            if key.endswith('running_var'):
                value.uniform_(0.5, 2)
            elif value.is_floating_point():
                value += 0.05 * torch.randn_like(value)

    path = tmp_path_factory.mktemp('fast') / 'fast.pth'
    return write_weights(tiny_spec(50), path, change)


@pytest.fixture
def half(monkeypatch):
    monkeypatch.setattr(rewriting, 'is_fast_in', lambda dtype: True)


def lines_of(said):
    return [line for line in said if 'Teacher' in line and 'runs' in line]


def pair(spec, taps=None, **options):
    cfg = pair_cfg(dict(spec, **options))
    if taps:
        cfg.distillers = dict(
            maps=dict(
                type='FeatureDistiller',
                losses=dict(loss_at=dict(type='AttentionTransferLoss')),
                taps=dict(student=['backbone.layer3'], teacher=[taps]),
            )
        )
    return build(cfg)


def test_what_it_does_is_said_once(spec, half, said):
    teacher = pair(spec).teacher
    (line,) = lines_of(said)
    assert line.startswith('INFO') and '\n' not in line
    assert "fuse_conv_bn=True, channels_last=True, dtype='bfloat16'" in line
    assert norms(teacher.model) == 0 and teacher.halved
    assert not any(p.requires_grad for p in teacher.parameters())


def test_exact_is_as_loaded(spec, half, said):
    """Also where a shipped config asks for a switch."""
    loaded = FrozenTeacher(dict(spec, dtype=None)).model
    teacher = pair(spec, exact=True, fuse_conv_bn=True, dtype='bfloat16')
    assert not lines_of(said)
    images = torch.randn(2, 3, 64, 64)
    ours = teacher.teacher.extract_feat(images)
    assert all(map(torch.equal, ours, loaded.extract_feat(images)))


def test_what_the_config_says_wins(spec, half, said):
    options = dict(fuse_conv_bn=False, channels_last=False, dtype=None)
    teacher = pair(spec, **options).teacher
    assert not lines_of(said) and norms(teacher.model) and not teacher.halved
    teacher = pair(spec, **dict(options, dtype='bfloat16')).teacher
    assert not lines_of(said) and norms(teacher.model) and teacher.halved
    del options['channels_last']
    pair(spec, **options)
    assert lines_of(said)[0].count('True') == 2  # channels_last and exact


def test_half_precision_of_the_config_does_not_keep_it_from_folding(
    spec, half
):
    teacher = pair(spec, dtype='bfloat16').teacher
    assert norms(teacher.model) == 0 and teacher.halved


def test_a_layer_that_is_read_is_not_folded(spec, said):
    teacher = pair(spec, taps=MAP).teacher
    (line,) = lines_of(said)
    assert 'without fuse_conv_bn, since' in line and f"'{MAP}'" in line
    assert norms(teacher.model) > 0
    assert norms(pair(spec, taps='backbone.layer3').teacher.model) == 0


def gradients(spec, distillers, batch, **options):
    """Return key -> a loss and its gradient in the student."""
    cfg = pair_cfg(dict(spec, **options))
    cfg.distillers = distillers
    model = build(cfg)
    weights = [p for p in model.student.parameters() if p.requires_grad]
    found = {}
    for key, loss in losses_of(model, batch).items():
        if key.partition('.')[0] in distillers:
            grads = torch.autograd.grad(
                loss, weights, retain_graph=True, allow_unused=True
            )
            flat = [g.flatten() for g in grads if g is not None]
            found[key] = loss.detach(), torch.cat(flat)
    return found


@pytest.mark.parametrize('dtype', LIMITS)
def test_losses_and_gradients_stay_the_same(spec, bank, batch, dtype, request):
    """Within the limits that the guide states."""
    if dtype == 'bfloat16':
        request.getfixturevalue('half')
    heads = {k: v for k, v in HEAD.items() if k != 'ND'}
    distillers = dict(
        head=dict(type='RoIDistiller', losses=named(heads)),
        maps=dict(type='FeatureDistiller', losses=named(MAPS)),
        review=dict(
            type='FeatureDistiller',
            losses=named(REVIEW),
            connectors=dict(student_feats=dict(type='ABFConnector')),
        ),
    )
    ours = gradients(spec, distillers, batch)
    exact = gradients(spec, distillers, batch, exact=True)
    assert len(ours) == len(heads) + len(MAPS) + len(REVIEW)
    for key, pairs in ours.items():
        changes = [
            ((fast - full).norm() / full.norm()).item()
            for fast, full in zip(pairs, exact[key])
        ]
        for change, limit in zip(changes, LIMITS[dtype]):
            assert change <= limit, (key, changes)
    if dtype == 'bfloat16':  # it did run that way
        assert any(not torch.equal(ours[k][0], exact[k][0]) for k in ours)


def test_the_box_head_runs_in_half_precision(spec, half, batch):
    model = build(pair_cfg(spec, KD))
    seen = []
    head = model.teacher.model.roi_head.bbox_head
    head.shared_fcs[0].register_forward_hook(lambda *c: seen.append(c[-1]))
    head.fc_cls.register_forward_hook(lambda *c: seen.append(c[-1]))
    losses_of(model, batch)
    # the class layer once more, in the weights' precision
    kinds = [torch.bfloat16, torch.bfloat16, torch.float32]
    assert [made.dtype for made in seen] == kinds


def test_stitching_reads_unfolded_layers(spec, half, said):
    cfg = pair_cfg(spec)
    cfg.student = dict(tiny_spec(), inherit=('neck',), stitch=True)
    teacher = build(cfg).teacher
    assert 'student.stitch reads its layers' in lines_of(said)[0]
    assert norms(teacher.model) > 0
    images, stem = torch.randn(1, 3, 64, 64), []
    teacher.model.backbone.conv1.register_forward_hook(
        lambda *call: stem.append(call[-1].dtype)
    )
    with teacher.exactly():
        teacher.extract_feat(images)
    teacher.extract_feat(images)
    assert stem == [torch.float32, torch.bfloat16]


def disagree(rank, folder):
    """Fold in a process whose network cannot be folded, and in another."""
    torch.distributed.init_process_group('gloo')
    init_default_scope('mmdet')
    model = read_spec(tiny_spec(50), 'teacher')[0]
    network = lived(MODELS.build(model))
    if rank:
        network.backbone.layer1.register_forward_hook(
            lambda module, args, out: out + norms(module)
        )
    asked = dict(fuse_conv_bn=True, channels_last=True)
    reasons = rewrite(Running(network), asked)
    verdicts = agreed(True), agreed(rank == 0)
    torch.save((reasons, verdicts), folder / f'{rank}.pth')


def test_all_processes_do_the_same(tmp_path):
    ranks.run(disagree, 2, tmp_path)
    first, second = (torch.load(tmp_path / f'{i}.pth') for i in range(2))
    assert {*first[0]} == {*second[0]} == {'fuse_conv_bn'}
    assert first[0]['fuse_conv_bn'] == 'it is not accepted in another process'
    assert first[1] == second[1] == (True, False)
