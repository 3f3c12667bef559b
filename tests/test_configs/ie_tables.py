"""IE-KD and its relatives: what their names say, what the configs hold.

FT, OFD, IE-FT (called iekd), IE-AT, IE-OD with a teacher; DML and IE-DML
among peers, the last network of the name being the one that is shown.
"""

_IE_MAPS = {
    'factor.loss_inh': 'InheritMapLoss of {}',
    'factor.loss_exp': 'ExploreMapLoss of {}',
}
# name of a loss -> its type
WITH_TEACHER = {
    'ft': {'factor.loss_ft': 'FactorTransferLoss'},
    'ofd': {'factor.loss_ofd': 'OFDLoss'},
    'iekd': {
        'factor.loss_inh': 'InheritanceLoss',
        'factor.loss_exp': 'ExplorationLoss',
    },
    'ieat': {
        k: v.format('AttentionTransferLoss') for k, v in _IE_MAPS.items()
    },
    'ieod': {k: v.format('OFDLoss') for k, v in _IE_MAPS.items()},
}
AMONG_PEERS = {
    'dml': {'logit.loss_kd': 'KDLoss'},
    'iedml': {
        'logit.loss_kd': 'KDLoss',
        **WITH_TEACHER['iekd'],
        'factor.loss_rec': 'ReconstructionLoss',
    },
}
METHODS = WITH_TEACHER | AMONG_PEERS

# what an ablation of IE-KD changes: p, weight, split
ABLATIONS = {
    'cos': dict(p='cos', weight=1.0),
    'p2': dict(p=2),
    'lambda1': dict(weight=1.0),
    'lambda10': dict(weight=10.0),
    'lambda100': dict(weight=100.0),
    'ratio25': dict(split=dict(ratio=0.25)),
    'ratio75': dict(split=dict(ratio=0.75)),
    'randomsplit': dict(split=dict(order='random')),
}
SETTINGS = {'ierecipe', *ABLATIONS}
RECIPE = dict(lr=0.1, batch=128, epochs=160, decay=5e-4, steps=[80, 120])

SMALL_LARGE = 'resnet20_resnet56'
LARGE_SMALL = 'resnet56_resnet20'
LAST = ['backbone.layer3']
STAGES = [f'backbone.layer{stage}' for stage in (1, 2, 3)]


def expected_names() -> set[str]:
    """Every config of these methods, and what they are compared with."""
    names = {
        f'{method}_{pair}_{setting}cifar10'
        for method in WITH_TEACHER
        for pair in (LARGE_SMALL, SMALL_LARGE)
        for setting in ('', 'short_')
    }
    names |= {
        f'{method}_{peers}_{setting}cifar10'
        for method in AMONG_PEERS
        for peers in (LARGE_SMALL, 'resnet20_resnet20')
        for setting in ('', 'short_')
    }
    names |= {f'{method}_{LARGE_SMALL}_cifar100' for method in METHODS}
    names |= {f'iekd_{LARGE_SMALL}_{word}_cifar10' for word in ABLATIONS}
    names |= {
        f'{method}_{pair}_ierecipe_cifar10'
        for method in ('kd', 'at')
        for pair in (LARGE_SMALL, SMALL_LARGE)
    }
    # of KD the other direction stands among the methods on logits
    names |= {
        f'{method}_{pair}_short_cifar10'
        for method, pair in (
            ('kd', SMALL_LARGE),
            ('at', SMALL_LARGE),
            ('at', LARGE_SMALL),
        )
    }
    return names | {'iekd_resnet34_resnet18_imagenet'}


def _halves(p, weight: float) -> dict:
    return dict(
        loss_inh=dict(type='InheritanceLoss', p=p, loss_weight=weight),
        loss_exp=dict(type='ExplorationLoss', p=p, loss_weight=weight),
    )


def _halves_of_maps(base: dict, inherit: dict, explore: dict) -> dict:
    return dict(
        loss_inh=dict(type='InheritMapLoss', base=base, **inherit),
        loss_exp=dict(type='ExploreMapLoss', base=base, **explore),
    )


def expected_distillers(
    method: str, setting: str, data: str, teacher: str
) -> dict:
    """The `distillers` of a config, to the last key.

    Args:
        method: One of ``METHODS``.
        setting: Of the name, or ''.
        data: Of the name.
        teacher: What the file of its auto-encoder is called.
    """
    if method in AMONG_PEERS:
        distillers = dict(
            logit=dict(
                type='LogitDistiller',
                losses=dict(loss_kd=dict(type='KDLoss', tau=1.0)),
            )
        )
        if method == 'iedml':
            losses = dict(
                _halves(1, 50.0), loss_rec=dict(type='ReconstructionLoss')
            )
            distillers['factor'] = dict(
                type='MutualFactorDistiller', taps=LAST, losses=losses
            )
        return distillers
    points = LAST
    if method == 'ieat':
        points = STAGES
    elif method in ('ofd', 'ieod'):
        points = [f'{stage}.relu:input' for stage in STAGES]
    if data == 'imagenet':
        points = ['backbone.layer4']
    factor = dict(
        type='FactorDistiller', taps=dict(student=points, teacher=points)
    )
    adaptor = dict(type='ConvAdaptor', relu=False)
    if method in ('iekd', 'ft'):
        folder = 'auto_encoders' if method == 'iekd' else 'paraphrasers'
        factor['auto_encoder'] = f'data/{folder}/{teacher}.pth'
    if method == 'iekd':
        change = ABLATIONS.get(setting, {})
        factor['losses'] = _halves(
            change.get('p', 1), change.get('weight', 50.0)
        )
        if 'split' in change:
            factor['split'] = change['split']
        if data == 'imagenet':
            factor['channels'] = 256
    elif method == 'ft':
        factor['norm'] = False
        factor['losses'] = dict(
            loss_ft=dict(type='FactorTransferLoss', loss_weight=500.0)
        )
    elif method == 'ofd':
        factor['connectors'] = dict(student_feats=adaptor)
        factor['losses'] = dict(
            loss_ofd=dict(type='OFDLoss', loss_weight=1e-3)
        )
    elif method == 'ieat':
        factor['losses'] = _halves_of_maps(
            dict(type='AttentionTransferLoss'),
            dict(loss_weight=1000.0),
            dict(loss_weight=50.0),
        )
    else:
        factor['connectors'] = dict(
            student_inherit_feats=adaptor, student_explore_feats=adaptor
        )
        factor['losses'] = _halves_of_maps(
            dict(type='OFDLoss', loss_weight=1e-3), {}, dict(bound=50.0)
        )
    return dict(factor=factor)
