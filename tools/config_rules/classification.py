"""Classifiers: {method}_{teacher}_{student}[_{setting}]_{data}."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config_rules.methods import (
    ALONE,
    BETA,
    CLIPPED,
    CODERS,
    PEERS,
    RECIPES,
    RELATED,
    SLOWED,
    WEIGHTS,
    method_title,
    ordered,
    settings,
)
from config_rules.text import HERE, config, find, pair, trained
from kd_det.errors import UserError

__all__ = ['Rules', 'ordered']


@dataclass
class Rules:
    """The files of one row.

    Args:
        folder: Of the family.
        family: All of its table.
        table: The part of it with the row.
        name: Of the config.
        remark: A second paragraph of its docstring.
    """

    folder: Path
    family: dict
    table: dict
    name: str
    remark: str = ''

    def __post_init__(self) -> None:
        self.method, *words, self.data = self.name.split('_')
        known = self.family['networks']
        self.networks = [word for word in words if word in known]
        self.setting = ''.join(words[len(self.networks) :])
        count = 1 if self.method in ALONE else 2
        right = len(self.networks) == count
        if not right or self.setting not in settings(self.family):
            raise UserError(
                f'{self.name!r} is no name of a config: it needs a method, '
                f'{count} of the networks {", ".join(known)}, perhaps a '
                'setting, and the data.'
            )
        recipes = self.family.get('recipes', {}).items()
        own = [word for word, names in recipes if self.method in names.split()]
        self.has_means = own == ['nd']
        # what the files of the recipe are called by
        self.recipe = self.setting.removesuffix('recipe') or ''.join(own)
        several = len(self.family['data']) > 1
        self.suffix = f'_{self.data}' if several else ''

    def files(self) -> dict[str, Callable[[], str]]:
        """Return path in the folder -> what makes its text, unformatted."""
        name = f'{self.name}.py'
        ablations = self.family.get('ablations', '').split()
        if self.setting in ablations or self.method == 'probe':
            return {}
        if self.method == 'baseline':
            return {name: self._alone}
        if self.method in PEERS:
            return {name: self._peers}
        if self.setting == 'ndrecipe':
            return {name: self._without_nd}
        return {name: self._leaf, self._pair_path(): self._pair}

    def title(self) -> str:
        """Return the title of the table of this row."""
        alone = self.method == 'baseline'
        what = 'Networks alone' if alone else self._shown()
        return f'{what}, {self.family["data"][self.data]["title"]}'

    def _shown(self, between: str = ' -> ') -> str:
        known = self.family['networks']
        return between.join(known[name]['title'] for name in self.networks)

    def _where(self, recipe: str) -> str:
        few = '480 images of ' if recipe == 'short' else ''
        shown = self.family['data'][self.data]['title']
        return f'{few}{shown}{RECIPES.get(recipe, "")}'

    def _doc(self, between: str = ' -> ') -> str:
        where = self._where(self.setting.removesuffix('recipe'))
        method = method_title(self.method)
        return f'{method}: {self._shown(between)} on {where}.'

    def _recipe_file(self) -> str:
        mobile = self.networks[-1] in self.family.get('mobile', '').split()
        words = ('recipe', self.recipe, 'mobile' * mobile)
        return f'{"_".join(filter(None, words))}{self.suffix}.py'

    def _control(self, network: str) -> str:
        """Return the name of a network trained alone by the same recipe."""
        setting = self.recipe + 'recipe' * (self.recipe in RECIPES)
        words = ('baseline', network, setting, self.data)
        return '_'.join(filter(None, words))

    # ---- configs ----

    def _alone(self) -> str:
        (name,) = self.networks
        network = self.family['networks'][name]
        settings = self.family.get('settings', {}).get(self.setting, {})
        parts = []
        for part in ('backbone', 'head'):
            sources = (network, self.family['data'][self.data], settings)
            inner = ', '.join(s[part] for s in sources if part in s)
            parts += [f'{part}=dict({inner})'] if inner else []
        pad = ' with zero-padded shortcuts' * (self.setting == 'pad')
        return config(
            f'{self._shown()}{pad} alone on {self._where(self.recipe)}.',
            [
                find(self.folder, network['base']),
                f'_base_/{self._recipe_file()}',
            ],
            *([f'model = dict({", ".join(parts)})'] if parts else []),
        )

    def _leaf(self) -> str:
        lines = ["model = _base_.pop('method')"]
        found = {**self._weights(), **self._taps(), **self._normalised()}
        for key, value in found.items():
            lines.append(f'model.distillers.{key} = ({value})')
        if self.method in CLIPPED and self.recipe != 'short':
            lines.append('optim_wrapper = dict(clip_grad=dict(max_norm=40.0))')
        if self.method in SLOWED and self.recipe == 'short':
            lines.append('optim_wrapper = dict(optimizer=dict(lr=0.025))')
        bases = [self._method_path(), self._pair_path()]
        return config(self._doc(), bases, *lines, remark=self.remark)

    def _method_path(self) -> str:
        variant = self.family.get('variant', self.recipe)
        return find(self.folder, f'{self.method}_{variant}', self.method)

    def _weights(self) -> dict[str, str]:
        weights, found = self.table.get('weights', {}), {}
        if self.method in weights.get('scales', '').split():
            found['logit.scales'] = '1, 2'
        if self.method in WEIGHTS:
            shared = 'beta' if self.method in BETA else self.method
            keys = WEIGHTS[self.method]
            values = weights.get(shared, '').split('/')
            if len(values) != len(keys) or not all(values):
                raise UserError(
                    f'{self.table["configs"]!r} needs weights of {shared!r}, '
                    f'a number for each of {", ".join(keys)}, such as '
                    f'{"/".join(["1.0"] * len(keys))}; got '
                    f'{weights.get(shared)!r}.'
                )
            found |= zip(keys, values)
        if self.method in CODERS:
            path = f'data/{CODERS[self.method]}/{self._teacher()[1]}.pth'
            found['factor.auto_encoder'] = repr(path)
        return found

    def _normalised(self) -> dict[str, str]:
        """Return what makes RKD pull less hard in a short run."""
        last = self.method.split('-')[-1]
        if self.recipe != 'short' or not last.startswith('rkd'):
            return {}
        return {
            f'logit.losses.loss_rkd_{loss}.normalize': 'True'
            for loss in RELATED.get(last, 'da')
        }

    def _taps(self) -> dict[str, str]:
        """Return where the maps are of networks unlike those of the bases."""
        method, found = self.method.removesuffix('pp').split('-')[0], {}
        for side, name in zip(('student', 'teacher'), self.networks[::-1]):
            network = self.family['networks'][name]
            points = network.get('stages', '').split()
            if not points or method not in ('reviewkd', 'at', 'fitnet'):
                continue
            if method == 'reviewkd':
                last = network.get('before', '') if side == 'teacher' else ''
                points = [*(f'{point}{last}' for point in points), 'neck']
            if method == 'fitnet':
                points = points[1:2]
            listed = ''.join(f'{point!r},' for point in points)
            found[f'feats.taps.{side}'] = f'[{listed}]'
            if 'mid_channels' in network:
                key = 'feats.connectors.student_feats.mid_channels'
                found[key] = network['mid_channels']
        return found

    def _without_nd(self) -> str:
        """Return the child of the config with ND that takes it out."""
        whole = self.name.replace('_', 'pp_', 1).replace('_ndrecipe', '')
        gone = ['.centroids', '.losses.loss_nd']
        if 'adaptor' in self.table:
            gone.insert(1, '.connectors')
        if self.method == 'reviewkd':
            gone = ['']  # ND is all that it has on logits
        return config(
            f'{method_title(self.method)}, the ablation of `{whole}.py`.',
            [f'./{whole}.py'],
            "model = _base_.pop('model')",
            *(f'del model.distillers.logit{key}' for key in gone),
        )

    def _peers(self) -> str:
        names = self.networks[::-1]
        keys = names if len({*names}) == 2 else ('one', 'two')
        peers = ''.join(
            f"{key}=dict(cfg='{HERE}/{self._control(name)}.py'),"
            for key, name in zip(keys, names)
        )
        constructor = 'kd_det.PeerOptimWrapperConstructor'
        return config(
            self._doc(' and '),
            [self._method_path(), f'_base_/{self._recipe_file()}'],
            "model = _base_.pop('method')",
            f'model.peers = dict({peers})',
            f'optim_wrapper = dict(constructor={constructor!r})',
        )

    # ---- the base of a pair ----

    def _pair_path(self) -> str:
        means = 'nd' * (self.has_means and self.recipe != 'nd')
        words = filter(None, (*self.networks, means, self.recipe))
        return f'_base_/{"_".join(words)}{self.suffix}.py'

    def _teacher(self) -> tuple[str, str]:
        """Return what is in its dict, and the name of what is made of it."""
        name = self.networks[0]
        data = self.family['data'][self.data]
        network = self.family['networks'][name]
        if 'cfg' in network:  # of a package
            found = f"cfg='{network['cfg']}', ckpt='{network['ckpt']}',"
            return found, f'{name}_{self.data}'
        if 'keys' in network:  # a public file
            stem = f'{name}_{self.data}'
            return (
                f"cfg='{HERE}/../baseline_{stem}.py', "
                f"ckpt='{network['ckpt']}', keys='{network['keys']}',"
            ), stem
        if 'teacher' in data:  # a public file of each network
            stem = f'{name}_{data["teacher"]}_{self.data}'
            settings = self.family.get('settings', {}).get(self.setting, {})
            return (
                f"cfg='{HERE}/../baseline_{stem}.py', "
                f"ckpt='{network['ckpt']}', keys='{data['keys']}',"
                f'{settings.get("teacher", "")}'
            ), stem
        setting = self.setting if self.recipe == 'rkd' else ''
        stem = '_'.join(filter(None, (name, setting, self.data)))
        epochs = '200' if setting else data['epochs']
        return trained(f'baseline_{stem}', epochs), stem

    def _pair(self) -> str:
        teacher, stem = self._teacher()
        distillers = ''
        if self.has_means:
            adaptor = "student_embed=dict(type='EmbeddingAdaptor')"
            adaptor *= 'adaptor' in self.table
            inner = f"centroids='data/centroids/{stem}.npz',"
            inner += f'connectors=dict({adaptor}),' if adaptor else ''
            distillers = f'distillers=dict(logit=dict({inner}))'
        where = self._where(self.recipe)
        if self.recipe not in RECIPES:
            where += ', for ND' if self.has_means else ', without a method'
        data = self.family['data'][self.data]
        remark = self.family['networks'][self.networks[0]].get('remark', '')
        return config(
            f'{self._shown()} on {where}.',
            [f'./{self._recipe_file()}'],
            pair(
                teacher,
                f'{HERE}/../{self._control(self.networks[-1])}.py',
                distillers,
            ),
            remark=data.get('remark', remark),
        )
