"""The tables of the papers and their code, written down once more.

Each function returns what a config must say, from its name alone.
"""

import ie_tables
from classification_words import (
    DATA,
    MOBILE,
    SRRL_ABLATIONS,
    SRRL_MODES,
    SRRL_TERMS,
    Name,
)
from mmpretrain.models import ResNet


def _table(text: str) -> dict[tuple[str, str], list[list[float]]]:
    """Read rows of teacher, student and cells such as 2.5/4.0/3.5."""
    rows = (line.split() for line in text.strip().splitlines())
    return {
        (teacher, student): [
            [float(value) for value in cell.split('/')] for cell in cells
        ]
        for teacher, student, *cells in rows
    }


# weights of ND's scripts: KD/ND, alpha/beta/ND, DIST/ND, ReviewKD/ND
ND_CIFAR = _table("""
    resnet56   resnet20  1.0/2.0 2.5/4.0/3.5 2.0/1.0 1.2/1.0
    resnet32x4 resnet8x4 3.5/2.0 2.0/8.0/0.5 1.5/4.0 8.0/1.0
    wrn-40-2   wrn-40-1  1.0/1.5 1.0/6.0/1.0 2.5/3.0 5.0/4.0
    resnet50   mv2       3.0/0.5 0.5/8.0/1.0 7.0/1.0 6.0/2.0
    resnet32x4 shufflev1 2.5/1.5 0.5/8.0/4.0 2.5/3.0 7.0/1.0
    resnet32x4 shufflev2 4.0/0.5 0.5/6.0/0.5 3.0/4.0 8.0/1.5
""")
ND_CIFAR_METHODS = ('kd', 'dkd', 'dist', 'reviewkd')
# the same without DIST
ND_IMAGENET = _table("""
    resnet34  resnet18 2.5/1.0 0.8/0.5/1.0 1.0/3.0
    resnet50  resnet18 4.0/1.0 0.6/0.5/2.0 3.0/2.0
    resnet101 resnet18 3.5/4.0 0.8/0.5/1.0 3.0/1.0
    resnet152 resnet18 4.0/2.0 1.0/1.0/1.0 3.0/1.0
    resnet50  mv1      4.0/1.0 0.8/1.0/1.0 8.0/4.0
    vit-s     resnet18 1.5/1.0 1.0/1.0/2.0
    vit-b     resnet18 2.0/1.0 1.4/0.5/2.0
""")
ND_IMAGENET_METHODS = ('kd', 'dkd', 'reviewkd')
# SDD's and mdistiller's DKD beta, which is SD-NKD's gamma
BETA = _table("""
    resnet32x4 resnet8x4 8
    resnet32x4 shufflev1 8
    resnet32x4 shufflev2 8
    resnet32x4 mv2       8
    resnet50   mv2       8
    resnet50   shufflev1 8
    wrn-40-2   shufflev1 8
    resnet50   vgg8      8
    wrn-40-2   vgg8      8
    vgg13      vgg8      6
    wrn-40-2   wrn-40-1  6
    wrn-40-2   wrn-16-2  6
    vgg13      mv2       6
    vgg13      shufflev1 6
    wrn-40-2   mv2       6
    resnet56   resnet20  2
    resnet56   resnet8   2
    resnet110  resnet32  2
    resnet34   resnet18  0.5
    resnet50   mv1       2
""")
BETA |= {pair: [[0.5]] for pair in ND_IMAGENET if pair not in BETA}
# plain ReviewKD; what its own code lacks is the weight of ReviewKD++
REVIEWKD = _table("""
    resnet56   resnet20  0.6
    resnet32x4 resnet8x4 5
    wrn-40-2   wrn-40-1  5
    resnet50   mv2       8
    resnet32x4 shufflev1 5
    resnet32x4 shufflev2 8
    resnet34   resnet18  1
    resnet50   mv1       8
    resnet50   resnet18  3
    resnet101  resnet18  3
    resnet152  resnet18  3
""")
ONE_FAMILY = {  # scales 1 and 2; else 4 too
    ('resnet32x4', 'resnet8x4'),
    ('vgg13', 'vgg8'),
    ('wrn-40-2', 'wrn-40-1'),
    ('wrn-40-2', 'wrn-16-2'),
    ('resnet56', 'resnet20'),
    ('resnet56', 'resnet8'),
    ('resnet110', 'resnet32'),
    ('resnet34', 'resnet18'),
}
ALSO_COARSE_IN_SDNKD = {('resnet50', 'vgg8'), ('wrn-40-2', 'vgg8')}
CUB_PAIRS = {
    ('resnet32x4', 'mv2'),
    ('resnet32x4', 'shufflev1'),
    ('vgg13', 'mv2'),
    ('vgg13', 'vgg8'),
    ('resnet50', 'shufflev1'),
}
SDD_IMAGENET = {('resnet34', 'resnet18'), ('resnet50', 'mv1')}
SDD_FAMILY = ('kd', 'dkd', 'nkd', 'sdkd', 'sddkd', 'sdnkd')

# RepDistiller's table of RKD; of AT and FitNet the first two pairs
RKD_PAIRS = {
    ('resnet56', 'resnet20'),
    ('resnet32x4', 'resnet8x4'),
    ('resnet110', 'resnet20'),
    ('resnet110', 'resnet32'),
    ('wrn-40-2', 'wrn-16-2'),
    ('wrn-40-2', 'wrn-40-1'),
    ('wrn-40-2', 'shufflev1'),
    ('vgg13', 'vgg8'),
    ('vgg13', 'mv2'),
    ('resnet50', 'mv2'),
    ('resnet50', 'vgg8'),
    ('resnet32x4', 'shufflev1'),
    ('resnet32x4', 'shufflev2'),
}
HINT_PAIRS = {('resnet56', 'resnet20'), ('resnet32x4', 'resnet8x4')}
# SRRL's own, and those of the SimKD README
SRRL_PAIRS = {
    ('wrn-40-4', 'wrn-16-4'),
    ('resnet32x4', 'resnet8x4'),
    ('resnet32x4', 'vgg8'),
    ('resnet32x4', 'shufflev2x15'),
}
SRRL_IMAGENET = {
    ('resnet34', 'resnet18'),
    ('resnet50', 'mv1'),
    ('resnet18', 'binaryresnet18'),
}
FEATURE_METHODS = ('srrl', 'rkd', 'rkdd', 'rkda', 'at', 'fitnet')
# the rows of the paper on RKD
RKD_ROWS = 'rkd rkdd rkda kd-rkd fitnet fitnet-rkd at at-rkd'.split()

WRN = ['backbone.layer2.0.relu1', 'backbone.layer3.0.relu1', 'backbone.relu']


def expected_names() -> set[str]:
    """Every row of the tables and what it is compared with, but baselines."""
    names = set()
    for (teacher, student), cells in ND_CIFAR.items():
        for method in ND_CIFAR_METHODS[: len(cells)]:
            names |= {
                f'{method}pp_{teacher}_{student}_cifar100',
                f'{method}_{teacher}_{student}_ndrecipe_cifar100',
            }
        names.add(f'reviewkd_{teacher}_{student}_cifar100')
    small = [p for p in BETA if p not in ND_IMAGENET and p[1] != 'resnet8']
    names |= {f'{m}_{t}_{s}_cifar100' for t, s in small for m in SDD_FAMILY}
    names |= {f'{m}_{t}_{s}_cub200' for t, s in CUB_PAIRS for m in SDD_FAMILY}
    for (teacher, student), cells in ND_IMAGENET.items():
        plain = set(ND_IMAGENET_METHODS[: len(cells)])
        methods = plain | {f'{method}pp' for method in plain}
        if (teacher, student) in SDD_IMAGENET:
            methods |= set(SDD_FAMILY)
        names |= {f'{m}_{teacher}_{student}_imagenet' for m in methods}
    names |= {
        f'{m}_regnety-16gf_deit-b_imagenet' for m in ('hardkd', 'hardkdpp')
    }
    names |= {f'rkd_{t}_{s}_cifar100' for t, s in RKD_PAIRS}
    names |= {f'srrl_{t}_{s}_cifar100' for t, s in SRRL_PAIRS}
    names |= {f'srrl_{t}_{s}_imagenet' for t, s in SRRL_IMAGENET}
    names |= {
        f'srrl_resnet56_resnet20_{word}_cifar10' for word in SRRL_ABLATIONS
    }
    names |= {f'{m}-srrl_resnet56_resnet20_cifar10' for m in ('kd', 'at')}
    names |= {
        f'{m}_{t}_{s}_cifar100'
        for t, s in HINT_PAIRS
        for m in ('at', 'fitnet')
    }
    own = (
        'resnet50_vgg11_rkdrecipe_cifar100',
        'resnet101_resnet18_tinyimagenet',
    )
    names |= {
        f'{m}_{row}' for row in own for m in ['kd', *RKD_ROWS] if m != 'rkda'
    }
    short_list = 'kd dkd sdkd sddkd kdpp dkdpp reviewkdpp srrl'.split()
    names |= {
        f'{method}_resnet56_{student}_{setting}cifar10'
        for method in [*short_list, *RKD_ROWS]
        for student in ('resnet20', 'resnet8')
        for setting in ('', 'short_')
    }
    return names | ie_tables.expected_names()


def nd_weights(name: Name) -> list[float]:
    """The cell of ND's tables: the base loss's weights, then ND's."""
    if name.data == 'imagenet':
        table, methods = ND_IMAGENET, ND_IMAGENET_METHODS
    else:
        table, methods = ND_CIFAR, ND_CIFAR_METHODS
    teacher, student = name.networks
    row = table[teacher, 'resnet20' if student == 'resnet8' else student]
    return row[methods.index(name.method.removesuffix('pp'))]


def base_loss(name: Name) -> dict[str, dict]:
    """The losses beside ND's, under the names of their distillers."""
    teacher, student = name.networks
    large = name.data == 'imagenet'
    tau = 1.0 if large else 4.0
    method = name.method.removesuffix('pp')
    if method.endswith('-rkd'):
        parts = method.removesuffix('-rkd'), 'rkd'
        one, other = (base_loss(name._replace(method=m)) for m in parts)
        return one | other
    if method == 'kd-srrl':  # as in the code of SimKD
        loss = dict(type='KDLoss', tau=4.0, loss_weight=1.0)
        return {'logit.loss_kd': loss, **FEATURE_LOSSES['srrl']}
    if method == 'at-srrl':
        return FEATURE_LOSSES['at'] | FEATURE_LOSSES['srrl']
    if method == 'hardkd':
        return {'token.loss_hardkd': dict(type='HardKDLoss', loss_weight=0.5)}
    if name.method.endswith('pp') or name.setting == 'ndrecipe':
        weight, *more = nd_weights(name)
        kind = dict(kd='KD', dist='DIST', dkd='DKD', reviewkd='ReviewKD')
        loss = dict(type=f'{kind[method]}Loss')
        if method == 'dkd':
            loss |= dict(alpha=weight, beta=more[0], tau=tau)
        elif method == 'reviewkd':
            loss |= dict(loss_weight=weight)
        else:
            loss |= dict(tau=tau, loss_weight=weight)
        where = 'feats' if method == 'reviewkd' else 'logit'
        return {f'{where}.loss_{method}': loss}
    if method == 'reviewkd':
        ((weight,),) = REVIEWKD[teacher, student]
        loss = dict(type='ReviewKDLoss', loss_weight=weight)
        return {'feats.loss_reviewkd': loss}
    if method in FEATURE_METHODS:
        losses = FEATURE_LOSSES[method]
        if name.by_rkd and 'rkd' in method:
            losses = {k: dict(v, normalize=True) for k, v in losses.items()}
        if name.setting in SRRL_TERMS:
            key = f'logit.loss_{name.setting}'
            losses = {key: losses[key]}
        if name.setting in SRRL_MODES:
            key = 'logit.loss_sr'
            losses = losses | {key: dict(losses[key], mode=name.setting)}
        return losses
    if name.by_rkd:
        return {'logit.loss_kd': dict(type='KDLoss', tau=4.0, loss_weight=1.0)}
    if name.by_ie:  # KD
        return {
            'logit.loss_kd': dict(type='KDLoss', tau=20.0, loss_weight=0.95)
        }
    if method == 'kd':  # of any pair
        share = 0.5 if large else 0.9
        loss = dict(type='KDLoss', tau=tau, loss_weight=share)
        return {'logit.loss_kd': loss}
    ((beta,),) = BETA[teacher, student]
    on_regions = method.startswith('sd')
    if method == 'sdkd':
        tau = 4.0  # on ImageNet too
    loss = {
        'kd': dict(type='KDLoss', tau=tau),
        'dkd': dict(type='DKDLoss', alpha=1.0, beta=beta, tau=tau),
        'nkd': dict(
            type='NKDLoss',
            gamma=beta if on_regions else 1.5,
            tau=tau if on_regions else 1.0,
            mask_target=False,
        ),
    }[method.removeprefix('sd')]
    if on_regions:
        weight = dict(loss_weight=0.9) if method == 'sdkd' else {}
        return {'logit.loss_sdd': dict(type='SDDLoss', base=loss, **weight)}
    return {f'logit.loss_{method}': loss}


# with the weights of SRRL's code and of RepDistiller
FEATURE_LOSSES = {
    'srrl': {
        'logit.loss_fm': dict(type='FeatureMatchingLoss'),
        'logit.loss_sr': dict(type='SoftmaxRegressionLoss'),
    },
    'rkd': {
        'logit.loss_rkd_d': dict(type='RKDDistanceLoss', loss_weight=25.0),
        'logit.loss_rkd_a': dict(type='RKDAngleLoss', loss_weight=50.0),
    },
    'at': {
        'feats.loss_at': dict(type='AttentionTransferLoss', loss_weight=1000.0)
    },
    'fitnet': {
        'feats.loss_fitnet': dict(type='FitNetLoss', loss_weight=100.0)
    },
}
for key in 'da':
    loss = f'logit.loss_rkd_{key}'
    FEATURE_LOSSES[f'rkd{key}'] = {loss: FEATURE_LOSSES['rkd'][loss]}


def expected_distillers(name: Name) -> dict[str, dict]:
    """The `distillers` of the config, to the last key."""
    teacher, student = name.networks
    if name.method in ie_tables.METHODS:
        file = name.teacher.removeprefix('baseline_')
        return ie_tables.expected_distillers(
            name.method, name.setting, name.data, file
        )
    losses = base_loss(name)
    distillers = {}
    for key, loss in losses.items():
        where, _, key = key.partition('.')
        kind = 'Feature' if where == 'feats' else 'Logit'
        distiller = dict(type=f'{kind}Distiller', losses={})
        distillers.setdefault(where, distiller)['losses'][key] = loss
    if name.method.endswith('pp'):
        logit = distillers.setdefault(
            'logit', dict(type='LogitDistiller', losses={})
        )
        weight = 1.5 if student == 'deit-b' else nd_weights(name)[-1]
        logit['losses']['loss_nd'] = dict(type='NDLoss', loss_weight=weight)
        bank = name.teacher.removeprefix('baseline_')
        logit['centroids'] = f'data/centroids/{bank}.npz'
        widths = [DATA[name.data].networks[n][1] for n in name.networks]
        if widths[0] != widths[1]:
            logit['connectors'] = dict(
                student_embed=dict(type='EmbeddingAdaptor')
            )
    if 'token' in distillers:
        distillers['token']['taps'] = dict(classifier='head.layers.head_dist')
    if name.method.startswith('sd'):
        coarse = name.networks in ONE_FAMILY or (
            name.method == 'sdnkd'
            and name.data == 'cifar100'
            and name.networks in ALSO_COARSE_IN_SDNKD
        )
        distillers['logit']['via_4x4'] = True
        if coarse:
            distillers['logit']['scales'] = (1, 2)
    if name.method.endswith('srrl'):
        adaptor = dict(type='ConvAdaptor')
        distillers['logit']['connectors'] = dict(student_map=adaptor)
    if 'feats' in distillers:
        hint = name.method.split('-')[0] in FEATURE_METHODS
        maps = _hints if hint else _maps
        distillers['feats'] |= maps(name)
    return distillers


def _hints(name: Name) -> dict:
    """Both sides behind the activation: all stages, or the second."""
    student, teacher = (
        _stages(name.data, network, False)
        for network in reversed(name.networks)
    )
    spec = dict(type='FeatureDistiller')
    if name.method.startswith('fitnet'):
        student, teacher = student[1:2], teacher[1:2]
        spec['connectors'] = dict(student_feats=dict(type='ConvAdaptor'))
    return dict(spec, taps=dict(student=student, teacher=teacher))


def _maps(name: Name) -> dict:
    teacher, student = name.networks
    connector = dict(type='ABFConnector')
    if student == 'mv1':
        connector['mid_channels'] = 256
    before = name.data == 'imagenet'  # there the student's too
    return dict(
        type='FeatureDistiller',
        connectors=dict(student_feats=connector),
        taps=dict(
            student=[*_stages(name.data, student, before), 'neck'],
            teacher=[*_stages(name.data, teacher, True), 'neck'],
        ),
    )


def _stages(data: str, network: str, before: bool) -> list[str]:
    """The maps of the stages, before their last activation or behind it."""
    backbone, _ = DATA[data].networks[network]
    if network.startswith('wrn'):
        return [f'{point}:input' if before else point for point in WRN]
    if network == 'mv2':
        return [f'backbone.blocks.{row}' for row in (1, 2, 4, 6)]
    if backbone['type'] == 'ResNet':
        _, counts = ResNet.arch_settings[backbone['depth']]
        return [
            f'backbone.layer{stage}.{count - 1}.relu:input[-1]'
            for stage, count in enumerate(counts, start=1)
        ]
    if network == 'vgg11':  # the last map of each size
        return [f'backbone.block{n}' for n in (0, 1, 2, 4)]
    number = 4 if network in ('resnet50', 'mv1') or 'tiny' in data else 3
    suffix = '.relu:input' if before else ''
    return [f'backbone.layer{n + 1}{suffix}' for n in range(number)]


def task_weight(name: Name) -> float:
    """The weight of the cross-entropy."""
    if name.method == 'hardkd':
        return 0.5
    if name.by_ie and name.method == 'kd':
        return 0.05
    scaled = ('kd', 'sdkd', 'kd-rkd')
    own = name.setting == 'ndrecipe' or name.by_rkd
    if own or name.method not in scaled:
        return 1.0
    return 0.5 if name.data == 'imagenet' and name.method == 'kd' else 0.1


def warm_up(name: Name) -> dict[str, dict]:
    """The schedules of LossScheduleHook."""
    nd = name.method.endswith('pp') or name.setting == 'ndrecipe'
    unwarmed = name.method.split('-')[0] in (
        'baseline',
        'kd',
        'sdkd',
        'hardkd',
        *FEATURE_METHODS,
        *ie_tables.METHODS,
    )
    if not nd and (unwarmed or name.data == 'imagenet'):
        return {}
    if name.data == 'imagenet':
        epochs = 5
    else:
        epochs = 8 if name.setting == 'short' else 20
    schedule = dict(type='WarmUp', epochs=epochs, origin=0 if nd else 1)
    losses = [*base_loss(name)] if name.is_pair else []
    if name.method == 'dkdpp' and name.data == 'imagenet':
        losses.append('logit.loss_nd')
    return {loss: schedule for loss in losses}


def recipe(name: Name) -> dict:
    """Rate, batch, length and steps of the schedule."""
    student = name.networks[-1]
    if 'deit-b' in name.networks:
        return dict(lr=8e-4, batch=2048, epochs=300, decay=0.3, steps=None)
    if name.by_ie:
        return ie_tables.RECIPE
    if name.data == 'imagenet':
        plan = dict(batch=512, epochs=100, decay=1e-4, steps=[30, 60, 90])
        return dict(lr=0.2, **plan)
    if name.setting == 'pad':
        plan = dict(batch=128, epochs=200, decay=1e-4, steps=[100, 150])
        return dict(lr=0.1, **plan)
    if name.by_rkd:
        steps, epochs = [60, 120, 160], 200
        if name.data == 'tinyimagenet':
            steps, epochs = [*steps, 200, 250], 300
        plan = dict(epochs=epochs, decay=5e-4, steps=steps, gamma=0.2)
        return dict(lr=0.1, batch=128, **plan)
    if name.setting == 'short':
        return dict(lr=0.1, batch=32, epochs=100, decay=5e-4, steps=None)
    if name.by_nd:
        rate, batch = (0.02 if student in MOBILE else 0.1), 128
    else:
        rate, batch = (0.01 if student in MOBILE else 0.05), 64
    plan = dict(epochs=240, decay=5e-4, steps=[150, 180, 210])
    return dict(lr=rate, batch=batch, **plan)
