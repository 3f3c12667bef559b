"""Metric and few-shot learning.

{method}_{teacher-dims}_{student-dims}_{data}, and
{method}_{teacher}_{student}_5w{shots}s_{data}.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config_rules.text import HERE, config, pair, trained
from kd_det.errors import UserError

# in the order of the README
METHODS = dict(
    triplet='by triplets',
    protonet='by prototypes',
    fitnet='FitNet',
    at='AT',
    darkrank='DarkRank',
    rkdd='RKD-D',
    rkda='RKD-A',
    rkdda='RKD-DA',
)
_WITH_TRIPLETS = ('fitnet', 'at', 'darkrank')


def ordered(keys: list[str], family: dict) -> list[str]:
    """Sort rows as on all pages: by method.

    Raises:
        UserError: A row has an unknown method.
    """
    known = [*METHODS]
    for key in keys:
        if key.split('_')[0] not in known:
            raise UserError(
                f'The row {key!r} has no method; known are {", ".join(known)}.'
            )
    return sorted(keys, key=lambda key: known.index(key.split('_')[0]))


@dataclass
class Rules:
    """The files of one row; arguments as of those of classifiers."""

    folder: Path
    family: dict
    table: dict
    name: str
    remark: str = ''

    def __post_init__(self) -> None:
        self.method, *words, self.data = self.name.split('_')
        few = words[-1].startswith('5w')
        self.episode = words.pop() if few else ''
        self.networks = words

    def files(self) -> dict[str, Callable[[], str]]:
        """Return path in the folder -> what makes its text, unformatted."""
        if self.method == self.family['alone']:
            return {f'{self.name}.py': self._alone}
        return {f'{self.name}.py': self._leaf, self._pair_path(): self._pair}

    def title(self) -> str:
        """Return the title of the table of this row."""
        networks = self.table['configs'].split('_')[1:3]
        return f'{" -> ".join(map(self._shown, networks))}, {self._where()}'

    def _shown(self, network: str, template: str = ' ({})') -> str:
        word, _, dims = network.partition('-')
        width = template.format(dims) if dims else ''
        return f'{self.family["networks"][word]}{width}'

    def _where(self) -> str:
        shots = self.episode[2:3]
        shown = self.family['data'][self.data]['title']
        if not shots:
            return shown
        return f'{shown}, {shots} shot{"s" * (shots != "1")}'

    def _bases(self, which: str) -> list[str]:
        """Return the data and the recipe of one network or of a pair."""
        named = self.family['data'][self.data][which].split()
        return [f'{name.replace("*", self.episode)}.py' for name in named]

    def _alone(self) -> str:
        word, _, dims = self.networks[0].partition('-')
        how = METHODS[self.method]
        shown = self._shown(self.networks[0], ' with {} dimensions')
        line = f"model = dict(embed_dims={dims}, **_base_.pop('method'))"
        bases = [f'{word}.py', 'triplet.py', *self._bases('single')]
        if self.episode:
            line = f'model = dict(loss=dict(shots={self.episode[2]}))'
            bases = [f'{word}_{self.data}.py', *self._bases('single')]
        bases = [f'_base_/{base}' for base in bases]
        return config(f'{shown} {how} on {self._where()}.', bases, line)

    def _leaf(self) -> str:
        dims = self.networks[1].partition('-')[2]
        lines = ["model = _base_.pop('method')"]
        if self.method in _WITH_TRIPLETS and dims:
            lines.append(f'model.student.embed_dims = {dims}')
        elif dims:
            student = f'student=dict(embed_dims={dims})'
            lines = [f"model = dict({student}, **_base_.pop('method'))"]
        shown = ' -> '.join(map(self._shown, self.networks))
        return config(
            f'{METHODS[self.method]}: {shown} on {self._where()}.',
            [f'_base_/{self.method}.py', self._pair_path()],
            *lines,
        )

    def _pair_path(self) -> str:
        word = self.networks[1].partition('-')[0]
        words = filter(None, (word, self.episode, self.data))
        return f'_base_/{"_".join(words)}.py'

    def _pair(self) -> str:
        alone, (teacher, student) = self.family['alone'], self.networks
        rest = '_'.join(filter(None, (self.episode, self.data)))
        word = student.partition('-')[0]
        cfg = f'{HERE}/{word}.py'
        if self.episode:
            cfg = f'{HERE}/../{alone}_{word}_{rest}.py'
        epochs = self.family['data'][self.data]['epochs']
        return config(
            f'{self._shown(teacher)} -> {self._shown(word)} on '
            f'{self._where()}, without a method.',
            [f'./{base}' for base in self._bases('pair')],
            pair(trained(f'{alone}_{teacher}_{rest}', epochs), cfg),
            remark=self.family.get('remark', ''),
        )
