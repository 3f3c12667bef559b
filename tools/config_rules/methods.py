"""The words of the names of classifiers, and what their numbers are."""

from kd_det.errors import UserError, nearest

_KD, _DKD, _DIST, _ND = (
    f'logit.losses.loss_{word}' for word in ('kd', 'dkd', 'dist', 'nd')
)
_SDD, _REVIEWKD = 'logit.losses.loss_sdd', 'feats.losses.loss_reviewkd'
# what the numbers that a table has for a method are in its config
WEIGHTS = dict(
    dkd=(f'{_DKD}.beta',),
    reviewkd=(f'{_REVIEWKD}.loss_weight',),
    sddkd=(f'{_SDD}.base.beta',),
    sdnkd=(f'{_SDD}.base.gamma',),
    kdpp=(f'{_KD}.loss_weight', f'{_ND}.loss_weight'),
    dkdpp=(f'{_DKD}.alpha', f'{_DKD}.beta', f'{_ND}.loss_weight'),
    distpp=(f'{_DIST}.loss_weight', f'{_ND}.loss_weight'),
    reviewkdpp=(f'{_REVIEWKD}.loss_weight', f'{_ND}.loss_weight'),
)
BETA = ('dkd', 'sddkd', 'sdnkd')  # share one number of the pair
CODERS = dict(ft='paraphrasers', iekd='auto_encoders')
ALONE = ('baseline', 'probe')  # one network
PEERS = ('dml', 'iedml')
SLOWED = ('kd',)  # its gradient is several times the cross-entropy's
RELATED = dict(rkdd='d', rkda='a')  # the losses of RKD, where not both
CLIPPED = ('sdkd', 'sddkd', 'sdnkd')  # by SDD's trainer, at 40
# methods and settings in the order of the pages
METHODS = (
    'baseline probe kd hardkd dkd nkd dist reviewkd kdpp hardkdpp dkdpp '
    'distpp reviewkdpp sdkd sddkd sdnkd srrl kd-srrl at-srrl rkd rkdd rkda '
    'kd-rkd fitnet fitnet-rkd at at-rkd ft ofd iekd ieat ieod dml iedml'
).split()
RECIPES = dict(
    nd=", by ND's recipe",
    rkd=', by the recipe of RKD',
    ie=', by the recipe of IE-KD',
)
TITLES = dict(
    hardkd='Hard KD',
    reviewkd='ReviewKD',
    fitnet='FitNet',
    rkdd='RKD-D',
    rkda='RKD-A',
    **{f'sd{word}': f'SD-{word.upper()}' for word in ('kd', 'dkd', 'nkd')},
    **{
        f'ie{word}': f'IE-{word.upper()}' for word in ('kd', 'at', 'od', 'dml')
    },
)


def settings(family: dict) -> list[str]:
    """Return the settings that a name may have, '' for none, in order."""
    recipes = [f'{recipe}recipe' for recipe in RECIPES]
    ablations = family.get('ablations', '').split()
    return ['', *ablations, 'pad', *recipes, 'short']


def ordered(keys: list[str], family: dict) -> list[str]:
    """Sort rows as on all pages: by setting, then by method or network.

    Raises:
        UserError: A row has an unknown word.
    """
    firsts, lasts = [*METHODS, *family['networks']], settings(family)

    def place(key: str) -> tuple[int, int]:
        first, _, last = key.partition('_')
        for word, known in ((first, firsts), (last, lasts)):
            if word not in known:
                raise UserError(
                    f'The row {key!r} has {word!r}'
                    f'{nearest(word, known)}; known are '
                    f'{", ".join(filter(None, known))}.'
                )
        return lasts.index(last), firsts.index(first)

    return sorted(keys, key=place)


def method_title(method: str) -> str:
    words = method.removesuffix('pp').split('-')
    shown = ' and '.join(TITLES.get(word, word.upper()) for word in words)
    return shown + '++' * method.endswith('pp')
