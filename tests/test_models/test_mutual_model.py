"""MutualModel: peers by hand, their optimisers, their checkpoints."""

import copy

import ie_toy as toy
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn import functional as F

from kd_det.batch_norm import statistics_kept
from kd_det.errors import UserError
from kd_det.functional import exploration_loss, inheritance_loss
from kd_det.models.mutual_model import MutualModel
from kd_det.registry import MODELS

DML = dict(
    logit=dict(type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss')))
)
FACTOR = dict(
    factor=dict(
        type='MutualFactorDistiller',
        channels=4,
        taps=[toy.POINT],
        split=dict(order='random'),
        losses=dict(
            loss_inh=toy.INHERIT,
            loss_exp=toy.EXPLORE,
            loss_rec=dict(type='ReconstructionLoss'),
        ),
    )
)
OPTIM = dict(
    constructor='kd_det.PeerOptimWrapperConstructor',
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
)


def config(distillers=DML, **peers):
    peers = peers or dict(a=toy.network(), b=toy.network((4, 4, 8, 12)))
    return ConfigDict(
        _scope_='kd_det',
        type='MutualModel',
        peers=peers,
        distillers=copy.deepcopy(distillers),
    )


def build(*args, **peers) -> MutualModel:
    return toy.build(config(*args, **peers))


def prepared(model, data=None):
    return model.data_preprocessor(data or toy.batch(), True)


def logits_of(peer, inputs):
    with torch.no_grad(), statistics_kept(peer):
        return peer.head.fc(peer.neck(peer.backbone(inputs))[-1])


def test_peers_of_grey_and_colour_images():
    grey = toy.network()
    grey['backbone'] = dict(
        type='mmpretrain.ResNet_CIFAR', depth=18, in_channels=1
    )
    with pytest.raises(UserError, match='The a takes grey images'):
        build(a=grey, b=toy.network((4, 4, 8, 12)))


def test_losses_by_hand():
    model = build()
    data = prepared(model)
    labels = torch.arange(6)
    shown = {n: logits_of(p, data['inputs']) for n, p in model.peers.items()}
    for one, other in (('a', 'b'), ('b', 'a')):
        losses = model(**data, mode='loss', peer=one)
        assert losses.keys() == {'loss_task', 'logit.loss_kd'}
        torch.testing.assert_close(
            losses['loss_task'], F.cross_entropy(shown[one], labels)
        )
        torch.testing.assert_close(
            losses['logit.loss_kd'],
            F.kl_div(
                shown[one].log_softmax(1),
                shown[other].softmax(1),
                reduction='batchmean',
            ),
        )


def test_gradient_is_the_difference_of_the_softmaxes():
    """And reaches the peer that learns alone."""
    model = build()
    data = prepared(model)
    shown = {n: logits_of(p, data['inputs']) for n, p in model.peers.items()}
    loss = model(**data, mode='loss', peer='a')['logit.loss_kd']
    loss.backward()
    p, q = (shown[name].softmax(1) for name in 'ab')
    torch.testing.assert_close(
        model.peers.a.head.fc.bias.grad, ((p - q) / len(p)).sum(0)
    )
    assert all(value.grad is None for value in model.peers.b.parameters())


def test_updates_alternate():
    """The second peer sees the first behind its step, by two optimisers."""
    model = build()
    by_hand = copy.deepcopy(model)
    optim = build_optim_wrapper(model, OPTIM)
    data = toy.batch()
    for _ in range(2):
        logs = model.train_step(copy.deepcopy(data), optim)
    assert logs['loss'] == pytest.approx(logs['a.loss'] + logs['b.loss'])
    assert 'a.logit.loss_kd' in logs and 'b.loss_task' in logs
    batch = prepared(by_hand, copy.deepcopy(data))
    sgd = {
        name: torch.optim.SGD(peer.parameters(), 0.1, momentum=0.9)
        for name, peer in by_hand.peers.items()
    }
    for _ in range(2):
        for one, other in (('a', 'b'), ('b', 'a')):
            peer = by_hand.peers[one]
            target = logits_of(by_hand.peers[other], batch['inputs'])
            ours = peer.head.fc(peer.neck(peer.backbone(batch['inputs']))[-1])
            loss = F.cross_entropy(ours, torch.arange(6)) + F.kl_div(
                ours.log_softmax(1), target.softmax(1), reduction='batchmean'
            )
            sgd[one].zero_grad()
            loss.backward()
            sgd[one].step()
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


def test_being_looked_at_leaves_no_trace():
    model = build(DML | FACTOR)
    before = copy.deepcopy(model.peers.b.state_dict())
    coder = model.distill.b_a_factor.own
    coded = copy.deepcopy(coder.state_dict())
    model(**prepared(model), mode='loss', peer='a')
    for module, state in ((model.peers.b, before), (coder, coded)):
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key]), key
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.track_running_stats and m.training for m in norms)


def test_first_peer_is_that_of_plain_training():
    model = build(DML | FACTOR, a=toy.network(), b=toy.network())
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    plain = MODELS.build(toy.network())
    plain.init_weights()
    for key, value in plain.state_dict().items():
        assert torch.equal(value, model.peers.a.state_dict()[key]), key
    conv = [peer.backbone.conv1.weight for peer in model.peers.values()]
    assert not torch.equal(*conv)
    parts = [model.distill[f'{pair}_factor'] for pair in ('a_b', 'b_a')]
    assert not torch.equal(*(p.split.inherit0 for p in parts))
    weights = [p.own.encoder.coders[0].convs[0].weight for p in parts]
    assert not torch.equal(*weights)


def test_ie_dml_by_hand():
    model = build(FACTOR)
    data = prepared(model)
    found = model(**data, mode='loss', peer='a')
    with torch.no_grad(), statistics_kept(model):
        (ours,) = model.peers.a.backbone(data['inputs'])
        (theirs,) = model.peers.b.backbone(data['inputs'])
        own, other = model.distill.a_b_factor, model.distill.b_a_factor
        (target,) = other.own.encoder([theirs])
        halves = own.split([ours])
        inherit, explore = (
            own.encoders[f'student_{name}_factors'](maps)[0]
            for name, maps in zip(('inherit', 'explore'), halves)
        )
        (again,) = own.own([ours])
    expected = dict(
        loss_inh=50 * inheritance_loss(inherit, target),
        loss_exp=50 * exploration_loss(explore, target),
        loss_rec=(again - ours).abs().mean(),
    )
    for name, value in expected.items():
        torch.testing.assert_close(found[f'factor.{name}'], value)


def test_auto_encoder_learns_its_own_peer_and_moves_no_one_else():
    model = build(FACTOR)
    losses = model(**prepared(model), mode='loss', peer='a')
    losses['factor.loss_rec'].backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None}
    own = 'distill.a_b_factor.own.'
    assert moved and all(name.startswith(own) for name in moved)


def test_each_optimiser_has_a_peer_and_its_coders():
    model = build(DML | FACTOR)
    optim = build_optim_wrapper(model, OPTIM)
    assert [*optim.keys()] == ['a', 'b']
    names = {id(p): n for n, p in model.named_parameters()}
    seen = set()
    for peer, wrapper in optim.items():
        own = {
            names[id(p)]
            for group in wrapper.optimizer.param_groups
            for p in group['params']
        }
        assert all(
            n.startswith((f'peers.{peer}.', f'distill.{peer}_')) for n in own
        )
        assert f'distill.{peer}_' in ' '.join(own)
        assert not own & seen
        seen |= own
    assert seen == {*names.values()}


def test_checkpoint_is_one_of_the_first_peer():
    model = build(DML | FACTOR)
    state = model.state_dict()
    plain = {k: v for k, v in state.items() if not k.startswith('distill.')}
    assert not any(k.startswith('peers.') for k in state)
    copy.deepcopy(model.peers.a).load_state_dict(plain, strict=True)
    other = toy.build(config(DML | FACTOR), seed=1)
    other.load_state_dict(state)
    for key, value in state.items():
        assert torch.equal(other.state_dict()[key], value), key
    assert torch.equal(
        other.peers.b.head.fc.weight, model.peers.b.head.fc.weight
    )


def test_three_peers_average_and_share():
    peers = dict(a=toy.network(), b=toy.network(), c=toy.network())
    model = build(DML | FACTOR, **peers)
    one, other = model.distill.a_b_factor, model.distill.a_c_factor
    assert one.own is other.own and one.encoders is other.encoders
    assert one.split is other.split
    data = prepared(model)
    shown = {n: logits_of(p, data['inputs']) for n, p in model.peers.items()}
    found = model(**data, mode='loss', peer='a')
    expected = sum(
        F.kl_div(
            shown['a'].log_softmax(1),
            shown[name].softmax(1),
            reduction='batchmean',
        )
        for name in 'bc'
    )
    torch.testing.assert_close(found['logit.loss_kd'], expected / 2)
    optim = build_optim_wrapper(model, OPTIM)
    logs = model.train_step(toy.batch(), optim)
    assert {f'{peer}.factor.loss_inh' for peer in 'abc'} <= logs.keys()


def test_points_of_each_peer():
    factor = dict(
        factor=dict(
            FACTOR['factor'],
            taps=dict(a=['backbone.layer2'], b=['backbone.layer3']),
        )
    )
    model = build(factor)
    assert model.distill.a_b_factor.points == {'0': 'backbone.layer2'}
    assert model.distill.a_b_factor.teacher_points == {'0': 'backbone.layer3'}
    assert model(**prepared(model), mode='loss', peer='b')


def test_predicts_as_the_peer_that_is_shown():
    model = build().eval()
    data = toy.batch()
    found = {}
    for name in 'ab':
        model.shown = name
        with torch.no_grad():
            samples = model.val_step(copy.deepcopy(data))
            alone = model.peers[name].val_step(copy.deepcopy(data))
        for one, other in zip(samples, alone):
            assert torch.equal(one.pred_score, other.pred_score)
        found[name] = samples[0].pred_score
    assert not torch.equal(found['a'], found['b'])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(peers=dict(a=toy.network())), 'two or more'),
        (dict(peers=dict(a_1=toy.network(), b=toy.network())), 'letters'),
        (dict(peers=dict(train=toy.network(), b=toy.network())), "'train'"),
        (dict(peers={1: toy.network(), 2: toy.network()}), 'without dots'),
        (dict(distillers={}), 'LogitDistiller'),
        (dict(distillers={'a.b': DML['logit']}), 'without dots'),
        (
            dict(
                distillers=dict(
                    factor=dict(FACTOR['factor'], taps=dict(a=[toy.POINT]))
                )
            ),
            "none for the peer 'b'",
        ),
        (
            dict(
                distillers=dict(
                    factor=dict(
                        type='FactorDistiller',
                        auto_encoder='x.pth',
                        losses=toy.IE,
                    )
                )
            ),
            'MutualFactorDistiller',
        ),
    ],
)
def test_refusals(change, message):
    with pytest.raises(UserError, match=message):
        toy.build(ConfigDict(dict(config(), **change)))


def test_another_wrapper_is_refused():
    """As MMEngine takes it in several processes, without kd_det's tools."""
    model = build()
    optim = build_optim_wrapper(model, OPTIM)
    with pytest.raises(UserError, match='kd_det.MutualDataParallel'):
        MMDistributedDataParallel.train_step(model, toy.batch(), optim)


@pytest.mark.parametrize('distillers', [DML, FACTOR])
def test_a_frozen_peer_is_told(distillers):
    """Who learns from whom; what a peer has beside it does not hide it."""
    model = build(distillers)
    data = prepared(model)
    model.peers.b.requires_grad_(False)
    model.peers.b.head.bias_of_its_own = nn.Parameter(torch.zeros(()))
    model(**data, mode='loss', peer='a')
    with pytest.raises(UserError, match=r'\(b learns from a\): no gradient'):
        model(**data, mode='loss', peer='b')
    model.peers.b.requires_grad_(True)
    model(**data, mode='loss', peer='b')
    assert not model._unchecked


def test_steps_are_counted_as_with_one_optimiser():
    """Where gradients are accumulated the last steps are not lost."""
    model = build()
    cfg = dict(OPTIM, accumulative_counts=4)
    optim = build_optim_wrapper(model, cfg)
    optim.initialize_count_status(model, 0, 5)
    moved = []
    for _ in range(5):
        before = model.peers.b.head.fc.bias.clone()
        model.train_step(toy.batch(), optim)
        moved.append(not torch.equal(before, model.peers.b.head.fc.bias))
    assert moved == [False, False, False, True, True]


def test_peers_of_other_widths_name_their_points():
    distillers = copy.deepcopy(FACTOR)
    distillers['factor']['taps'] = dict(
        a=['backbone.layer3'], b=['backbone.layer3'], c=['backbone.layer2']
    )
    peers = dict(a=toy.network(), b=toy.network(), c=toy.network())
    assert build(distillers, **peers).distill['a_c_factor'].levels
    distillers['factor']['taps'] = ['backbone.layer4']
    with pytest.raises(UserError, match='layer4'):
        build(distillers, **peers)


def test_mixed_precision():
    model = build(dict(DML, **FACTOR))
    data = prepared(model)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(**data, mode='loss', peer='a')
    total, _ = model.parse_losses(losses)
    total.backward()
    for name, value in model.parts()['a'].named_parameters():
        assert torch.isfinite(value.grad).all(), name


def test_one_optimiser_for_all_is_refused():
    model = build()
    single = build_optim_wrapper(
        model, dict(optimizer=dict(type='SGD', lr=0.1))
    )
    with pytest.raises(UserError, match='PeerOptimWrapperConstructor'):
        model.train_step(toy.batch(), single)
    with pytest.raises(UserError, match='is for a MutualModel'):
        build_optim_wrapper(model.peers.a, OPTIM)


@pytest.mark.parametrize('distillers', [DML, FACTOR])
def test_peers_of_unequal_class_counts_are_refused(distillers):
    odd = toy.network()
    odd['head']['num_classes'] = 5
    with pytest.raises(UserError, match="'a': 10, 'b': 5.*num_classes"):
        build(distillers, a=toy.network(), b=odd)


def test_an_optimiser_for_each_peer_or_no_step():
    model = build()
    optim = build_optim_wrapper(model, OPTIM)
    before = copy.deepcopy(model.state_dict())
    for wrong in (optim['a'], OptimWrapperDict(a=optim['a'])):
        with pytest.raises(UserError, match='PeerOptimWrapperConstructor'):
            model.train_step(toy.batch(), wrong)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
