"""mmrazor's connectors: every one runs on every level, or is refused."""

import pytest
import torch
from razor import FEATS, LEVELS, PAGE, classifier_pair, knowledge_of
from test_distillers.test_logit import batch_of as images_of
from test_distillers.test_logit import losses_of as classifier_losses
from tiny import build, pair_cfg

from kd_det.compat import mmrazor as bridge
from kd_det.connectors import mmrazor as connectors
from kd_det.errors import UserError

CHANNELS = [6, 12], [8, 16]  # of two levels, in front and behind
CASES = {
    'ConvModuleConnector': {},
    'FBKDStudentConnector': {},
    'FBKDTeacherConnector': {},
    'MGDConnector': {},
    'NormConnector': dict(norm_cfg=dict(type='BN')),
    'Paraphraser': dict(phase='train'),
    'TorchFunctionalConnector': dict(function_name='relu'),
    'TorchNNConnector': dict(module_name='ReLU'),
    'Translator': {},
}


def connector(cfg, leveled=True):
    return connectors.MMRazorConnector(
        'connectors.x', cfg, lambda: CHANNELS, leveled
    )


def test_every_connector_is_documented_or_refused():
    text, run = PAGE.read_text(), {*CASES, 'CRDConnector'}
    refused = connectors.UNSUPPORTED
    assert run | refused.keys() == bridge.parts(bridge.CONNECTORS).keys()
    for kind in run:
        assert f'\n| `mmrazor.{kind}` |' in text, kind
    for kind in refused:
        assert f'\n- `mmrazor.{kind}`' in text, kind
        with pytest.raises(UserError, match=f'mmrazor.{kind} cannot be used'):
            connector(dict(type=f'mmrazor.{kind}'))


@pytest.mark.parametrize('kind', CASES)
def test_connectors_run_on_every_level(kind):
    """The channels that they need are found."""
    torch.manual_seed(0)
    made = connector(dict(CASES[kind], type=f'mmrazor.{kind}'))
    field = torch.randn(2, 6, 8, 8), torch.randn(2, 12, 4, 4)
    seed = int(made.numbers.seed)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    out = made(field, None)
    assert torch.equal(torch.rand(3), expected)  # what it draws is its own
    torch.manual_seed(seed)
    for level, (x, y) in enumerate(zip(field, out, strict=True)):
        torch.testing.assert_close(made.levels[level](x), y)
        if kind in ('ConvModuleConnector', 'MGDConnector', 'Translator'):
            assert y.shape[1] == CHANNELS[1][level]


def test_a_connector_of_an_embedding(tmp_path):
    inputs = dict(s_feature='student_embed', t_feature='teacher_embed')
    loss = dict(type='mmrazor.L2Loss', inputs=inputs)
    code = dict(type='mmrazor.CRDConnector', dim_out=16)
    model = classifier_pair(
        tmp_path,
        dict(loss_l2=loss),
        connectors=dict(
            student_embed=dict(code, dim_in=32),
            teacher_embed=dict(code, dim_in=128),
        ),
    )
    seen = knowledge_of(model)
    losses = classifier_losses(model, images_of())
    assert losses['x.loss_l2'] > 0
    for side in ('student', 'teacher'):
        code = seen['x'][f'{side}_embed']
        torch.testing.assert_close(code.norm(dim=1), torch.ones(4))


def test_connectors_of_their_own_for_each_level(teacher):
    """As the FBKD recipe has them; they are saved beside the student."""
    types = [
        dict(type='mmrazor.ConvModuleConnector', kernel_size=k, padding=k // 2)
        for k in (1, 3, 1, 3)
    ]
    cfg = pair_cfg(teacher)
    cfg.distillers = dict(
        x=dict(
            type='FeatureDistiller',
            losses=dict(loss_pkd=dict(type='mmrazor.PKDLoss', inputs=FEATS)),
            taps=dict(student=LEVELS, teacher=LEVELS),
            connectors=dict(student_feats=types),
        )
    )
    model = build(cfg)
    key = (
        'distill.x.connectors.student_feats.levels.{}.conv_module.conv.weight'
    )
    sizes = [model.state_dict()[key.format(i)].shape[-1] for i in range(4)]
    assert sizes == [1, 3, 1, 3]
    cfg.distillers.x.connectors.student_feats = types[:2]
    with pytest.raises(UserError, match='has 2 configs.*has 4 levels'):
        build(cfg)


def test_the_weights_of_a_connector(tmp_path):
    """As FT needs them: of the paraphraser's own training in mmrazor."""
    cfg = dict(type='mmrazor.Paraphraser', in_channel=4, out_channel=2)
    found = bridge.parts(bridge.CONNECTORS)['Paraphraser']
    torch.manual_seed(1)
    trained = found(4, 2).state_dict()
    prefix = 'distiller.connectors.tfeat.'
    state = {prefix + key: value for key, value in trained.items()}
    torch.save(dict(state_dict=state), tmp_path / 'pretrained.pth')
    init = dict(
        type='Pretrained',
        prefix=prefix,
        checkpoint=str(tmp_path / 'pretrained.pth'),
    )
    made = connector(dict(cfg, phase='train', init_cfg=init), leveled=False)
    for key, value in made.levels[0].state_dict().items():
        assert torch.equal(value, trained[key]), key


@pytest.mark.parametrize(
    ('field', 'cfg', 'message'),
    [
        ('student_feats', dict(type='mmrazor.Conv'), 'unknown type'),
        (
            'student_feats',
            dict(type='mmrazor.MGDConnector', alpha=1),
            "'alpha'; accepted are student_channels",
        ),
        ('teacher_feats', dict(type='mmrazor.Paraphraser'), "phase='train'"),
        ('teacher_feats', dict(type='ABFConnector'), 'accepted fields'),
        ('teacher_map', dict(type='mmrazor.Translator'), 'accepted fields'),
    ],
)
def test_wrong_connectors(teacher, field, cfg, message):
    pair = pair_cfg(teacher)
    loss = dict(type='mmrazor.PKDLoss', inputs=FEATS)
    pair.distillers = dict(
        x=dict(
            type='FeatureDistiller',
            losses=dict(loss_pkd=loss),
            connectors={field: cfg},
        )
    )
    with pytest.raises(UserError, match=message) as caught:
        build(pair)
    assert str(caught.value).startswith('connectors')
    assert str(caught.value).count('. ') == 0
