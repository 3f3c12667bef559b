"""The text of a config: a docstring, the bases, and lines."""

from pathlib import Path

from kd_det.errors import UserError

HERE = '{{ fileDirname }}'


def config_name(pattern: str, key: str) -> str:
    """Return the name of the config of a row.

    Args:
        pattern: What replaces its ``*`` is a network, or, if it begins with
            that, a method.
        key: The network or the method, and perhaps a setting: it stands
            before the data, and a method of one network has no teacher.
    """
    if not pattern.startswith('*'):
        return pattern.replace('*', key)
    method, _, setting = key.partition('_')
    networks, _, data = pattern[2:].rpartition('_')
    if method in ('triplet', 'protonet'):
        networks = networks.partition('_')[2]
    return '_'.join(filter(None, (method, networks, setting, data)))


def config(doc: str, bases: list[str], *lines: str, remark: str = '') -> str:
    """Return a config, not yet formatted.

    Args:
        doc: The docstring's first line.
        bases: What it inherits, relative to its own folder.
        lines: Python below the bases.
        remark: A second paragraph of the docstring.
    """
    tail = f'\n\n{remark}\n' if remark else ''
    inherited = bases if len(bases) > 1 else bases[0]
    return '\n'.join(
        [f'"""{doc}{tail}"""', '', f'_base_ = {inherited!r}', *lines, '']
    )


def pair(teacher: str, student: str, rest: str = '') -> str:
    """Return the line of a pair without a method.

    Args:
        teacher: What is in its ``dict``.
        student: The path of its config.
        rest: Further keys of the model.
    """
    return (
        f"model = dict(_scope_='kd_det', type='DistillModel', "
        f"teacher=dict({teacher}), student=dict(cfg='{student}'),{rest})"
    )


def trained(name: str, epochs: str) -> str:
    """Return what is in the dict of a teacher that a config here trains."""
    return (
        f"cfg='{HERE}/../{name}.py', "
        f"ckpt='work_dirs/{name}/epoch_{epochs}.pth',"
    )


def find(folder: Path, *names: str) -> str:
    """Return the first base that is there, in this family or in CIFAR's.

    Raises:
        UserError: There is none.
    """
    for place in ('_base_', '../cifar/_base_'):
        for name in names:
            if (folder / place / f'{name}.py').exists():
                return f'{place}/{name}.py'
    raise UserError(
        f'{str(folder / "_base_")!r} has no {names[-1]}.py; write it, or mend '
        f'the name in {str(folder / "table.yml")!r}.'
    )
