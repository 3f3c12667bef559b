"""Who may import whom: walked in the source, nothing is executed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'kd_det'
FILES = sorted(PACKAGE.rglob('*.py'))

# A module imports what stands below it, and its own package.
LAYERS = (
    {'errors', 'random_state', 'batch_norm', 'functional'},
    {
        'checks',
        'class_names',
        'config_errors',
        'files',
        'masks',
        'pickles',
        'progress',
        'shipped',
        'pip_weights',
    },
    {'compat'},
    {'config_file'},
    {'config_data'},
    {'registry', 'checkpoint', 'config'},
    {'datasets'},
    {'losses', 'connectors', 'taps', 'centroids', 'answer_cache'},
    {'distillers'},
    {'models'},
    {'evaluation', 'preflight'},
    {'precompute'},
    {'engine'},
    {'api', 'testing'},
    {'analysis'},
    {'benchmark', 'demo', 'doctor'},
    {'gpu_check'},
    {'cli'},
    {'__main__'},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# beside the standard library
HEAVY = {
    'mmdet': {'datasets', 'evaluation', 'testing', 'compat'},
    'mmpretrain': {'datasets', 'evaluation', 'testing', 'compat'},
    'mmrazor': {'compat'},
}


def imports(tree: ast.AST) -> set[str]:
    """The dotted names that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'imports are absolute'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def breaches(part: str, names: set[str]) -> list[str]:
    """What a module of kd_det.<part> must not import."""
    found = []
    for name in sorted(names):
        root, _, rest = name.partition('.')
        other = rest.partition('.')[0]
        if root == 'kd_det':
            if other in RANK and other != part and RANK[other] >= RANK[part]:
                found.append(name)
            if part == 'functional' and other != 'functional':
                found.append(name)
        elif part not in HEAVY.get(root, {part}):
            found.append(name)
        elif part == 'functional' and root not in (
            'torch',
            *sys.stdlib_module_names,
        ):
            found.append(name)
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def test_layers():
    found = {}
    for path in FILES:
        if path == PACKAGE / '__init__.py':
            continue  # see test_import_is_light
        part = part_of(path)
        assert part in RANK, f'enter {part} in LAYERS'
        names = breaches(part, imports(ast.parse(path.read_text())))
        if names:
            found[str(path.relative_to(PACKAGE))] = names
    assert found == {}


@pytest.mark.parametrize(
    ('part', 'line'),
    [
        ('functional', 'import numpy'),
        ('functional', 'from kd_det.errors import UserError'),
        ('losses', 'from kd_det.distillers import Distiller'),
        ('losses', 'def f():\n    import mmdet.models'),
        ('models', 'from kd_det import engine'),
        ('distillers', 'from mmpretrain.models import x'),
        ('engine', 'import mmrazor'),
        ('engine', 'from kd_det.api import launch'),
        ('preflight', 'from kd_det.precompute import centroids'),
        ('precompute', 'from kd_det.engine import hooks'),
        ('api', 'from kd_det.analysis.cka import MinibatchCKA'),
        ('taps', 'from kd_det.centroids import CentroidBank'),
    ],
)
def test_the_check_sees_a_breach(part, line):
    assert breaches(part, imports(ast.parse(line)))


def test_the_tools_use_no_framework():
    """They begin without one: what needs it is in the package."""
    for path in (PACKAGE.parent / 'tools').glob('*.py'):
        for name in imports(ast.parse(path.read_text())):
            assert name.split('.')[0] not in HEAVY


def test_import_is_light():
    code = (
        'import sys, kd_det; kd_det.__version__\n'
        "heavy = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'cv2'}\n"
        'assert not heavy & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_help_is_light():
    """What takes longest to import is imported by a command that runs."""
    code = (
        'import sys; from kd_det.cli import overview; overview()\n'
        "heavy = {'torch', 'mmengine', 'rich', 'importlib.metadata'}\n"
        'assert not heavy & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
