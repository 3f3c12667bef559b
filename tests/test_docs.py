"""What README and docs say is run, parsed and followed here."""

import argparse
import ast
import functools
import inspect
import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch.distributed.run import get_args_parser

import kd_det.distillers
import kd_det.functional
import kd_det.losses
from kd_det.api.export import export_student
from kd_det.config import load_config
from kd_det.datasets import SHAPES_CLASSES
from kd_det.demo.results import table
from kd_det.engine import hooks
from kd_det.engine.schedules import SCHEDULES
from kd_det.losses import DistillLoss
from kd_det.models.spec import BEGINS, read_spec
from kd_det.registry import HOOKS, METRICS, MODELS
from kd_det.testing import save_teacher, tiny_faster_rcnn, tiny_run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted(p for p in DOCS.rglob('*.md') if '_build' not in p.parts),
]
MAKEFILE = (ROOT / 'Makefile').read_text()

read = functools.cache(load_config)  # for what changes nothing in it


def each(pages: list[Path]):
    return pytest.mark.parametrize(
        'page', pages, ids=lambda page: str(page.relative_to(ROOT))
    )


each_page = each(PAGES)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    fence = rf'^```{language}\n(.*?)^```$'
    return re.findall(fence, page.read_text(), re.M | re.S)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.M | re.S)


def section(page: Path, title: str) -> str:
    """The text under a heading of the second level."""
    parts = re.split(r'^## (.+)$', page.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))[title]


def config_name(block: str) -> str | None:
    """The file that a config block names in its first line."""
    match = re.match(r'# (\S+\.py)\n', block)
    return match and match[1]


@pytest.fixture(scope='module')
def exported(tmp_path_factory, shapes):
    """What export_student.py wrote of a small detector."""
    folder = tmp_path_factory.mktemp('exported')
    spec = tiny_faster_rcnn(num_classes=len(SHAPES_CLASSES))
    ckpt = save_teacher(spec, folder / 'trained.pth', SHAPES_CLASSES)['ckpt']
    model, _ = read_spec(spec, 'student')
    cfg = tiny_run(model, shapes, folder, SHAPES_CLASSES)
    export_student(cfg, ckpt, folder, num_images=1)
    return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory, shapes, exported):
    """The root of the repository with all config files of the pages."""
    root = tmp_path_factory.mktemp('root')
    shutil.copytree(ROOT / 'configs', root / 'configs')
    (root / 'tools').symlink_to(ROOT / 'tools')
    (root / 'exported').symlink_to(exported)
    for name in ('data', 'mine'):
        (root / name).mkdir()
    for name in ('shapes', 'fruit'):
        (root / 'data' / name).symlink_to(shapes)
    for page in PAGES:
        for block in blocks(page, 'python'):
            name = config_name(block)
            if name:
                same = not (root / name).exists() or (
                    block == (root / name).read_text()
                )
                assert same, f'{page} has another {name}'
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text(block)
    return root


@pytest.fixture
def desk(folder, monkeypatch):
    """Where a reader sits: commands and snippets are run there."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)  # as the tools have it


# test_detection_configs.py trains the examples of that page
@each([page for page in PAGES if page.stem != 'new_backbone'])
def test_python(page, desk):
    namespace = {'__name__': 'page'}
    for block in blocks(page, 'python'):
        name = config_name(block)
        if name and '_base_' in block:
            check_config(read(name))
        elif not name:  # else a module that others import
            assert '_base_' not in block, 'name the file of this config'
            exec(compile(block, str(page), 'exec'), namespace)


def check_config(cfg: Config) -> None:
    """What a config names must exist and fit, short of the weights."""
    for hook in cfg.get('custom_hooks', []):
        HOOKS.build(hook)
    if 'student' not in cfg.model:
        check_network(str(cfg.model))
        return
    check_network(str(cfg.model.student))
    check_network(str(cfg.model.teacher))
    for distiller in cfg.model.get('distillers', {}).values():
        MODELS.build(dict(distiller, _scope_='kd_det'))


@functools.cache
def check_network(text: str) -> None:
    how = {'ckpt', 'keys', 'entry', 'trust_pickle', 'dtype'}
    how |= {'channels_last', 'fuse_conv_bn', *BEGINS}
    spec = {k: v for k, v in ast.literal_eval(text).items() if k not in how}
    try:
        with torch.device('meta'):  # weights without memory
            MODELS.build(read_spec(spec, 'network')[0])
    except RuntimeError:  # mmpretrain's ResNet takes numbers out of tensors
        MODELS.build(read_spec(spec, 'network')[0])


def commands(page: Path) -> Iterator[list[str]]:
    for language in ('console', 'bash', 'sh'):
        for block in blocks(page, language):
            values = {}
            for line in block.replace('\\\n', ' ').splitlines():
                loop = re.fullmatch(r' *for (\w+) in (.+); do', line)
                if loop:  # its body is looked at once, with the last value
                    values[loop[1]] = loop[2].split()[-1]
                elif line.strip() not in ('', 'done'):
                    for name, value in values.items():
                        line = line.replace(f'${{{name}}}', value)
                        line = line.replace(f'${name}', value)
                    yield shlex.split(line, comments=True)


@each_page
def test_commands(page, desk, monkeypatch):
    for words in commands(page):
        check_command(words, monkeypatch)


def check_command(words: list[str], monkeypatch) -> None:
    match words:
        case ['make', *rest]:
            targets = [word for word in rest if '=' not in word]
            for word in rest:
                name = word.partition('=')[0]
                wanted = rf'^{name}:' if name in targets else rf'\b{name}\b'
                assert re.search(wanted, MAKEFILE, re.M), word
        case ['source', '.venv/bin/activate']:
            pass  # `make setup` makes it; VENV's default is held below
        case ['pip', 'install', '.']:
            assert (ROOT / 'setup.py').is_file()
        case ['kd_det', 'env' | '--help']:
            pass  # tests/test_cli.py
        case [value, *rest] if re.match('[A-Z_]+=', value):
            check_command(rest, monkeypatch)
        case ['pip', 'install', 'tensorboard' | 'mlflow']:
            pass  # tests/test_other_parts/test_trackers.py
        case ['tensorboard', '--logdir', _]:
            pass
        case ['mlflow', 'ui', '--backend-store-uri', _]:
            pass
        case ['pip', 'install', '-r', file]:
            assert (ROOT / file).is_file()
        case ['pip', 'install', name] if name.startswith('kd_det['):
            extra = name.removeprefix('kd_det[').removesuffix(']')
            assert f"'{extra}': " in (ROOT / 'setup.py').read_text()
        case ['python', '-m', 'sphinx', '-W', source, _]:
            assert (ROOT / source / 'conf.py').is_file()
        case ['torchrun', *rest]:
            args = get_args_parser().parse_args(rest)
            rest = args.training_script_args
            tool = args.training_script
            if args.module:
                assert tool == 'kd_det'
                tool = COMMAND
            check_tool(tool, rest, monkeypatch)
        case ['python', tool, *rest]:
            check_tool(tool, rest, monkeypatch)
        case ['kd_det', *rest]:
            check_tool(COMMAND, rest, monkeypatch)
        case _:
            pytest.fail(f'no check knows the command {shlex.join(words)}')


COMMAND = str(ROOT / 'kd_det/__main__.py')


class Parsed(Exception):
    """Carries a tool's parser and what it made of the arguments."""


def parse(tool: str, arguments: list[str], monkeypatch) -> tuple:
    """Run a tool until it has parsed its arguments."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser, args=None, namespace=None):
        raise Parsed(parser, parse_args(parser, args, namespace))

    with monkeypatch.context() as patch, pytest.raises(Parsed) as caught:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(sys, 'argv', [tool, *arguments])
        runpy.run_path(tool, run_name='__main__')
    return caught.value.args


def check_tool(tool: str, arguments: list[str], monkeypatch) -> None:
    assert tool == COMMAND or tool.startswith('tools/')
    _, args = parse(tool, arguments, monkeypatch)
    if not {'config', 'configs'} & {*vars(args)}:
        return
    for config in args.configs if 'configs' in args else [args.config]:
        cfg = read(config)
        if args.cfg_options:
            load_config(config, args.cfg_options)
        for option in args.cfg_options or {}:
            check_option(cfg, option)


def check_option(cfg: Config, option: str) -> None:
    """A key of --cfg-options must be there, or be an argument of its part."""
    *path, last = option.split('.')
    node = cfg
    if path == ['model', 'teacher']:
        assert last in ('ckpt', 'keys', 'dtype', *SWITCHES), option
        return
    if option.startswith('model.student.'):
        node, path = read_spec(cfg.model.student, 'student')[0], path[2:]
    for key in path:
        node = node[int(key) if isinstance(node, list) else key]
    if last not in node:
        known = BaseDataset if path[-1] == 'dataset' else None
        kind = node['type']
        known = known or HOOKS.get(kind) or METRICS.get(f'mmdet.{kind}')
        known = known or MODELS.get(kind)
        assert last in inspect.signature(known).parameters, option


SWITCHES = ('fuse_conv_bn', 'channels_last')  # of the teacher
NEEDED = {  # positional arguments
    'train': ['config'],
    'test': ['config', 'checkpoint'],
    'export_student': ['config', 'checkpoint', 'folder'],
    'compute_centroids': ['config'],
    'make_shapes': [],
    'demo': [],
    'benchmark_losses': [],
    'benchmark_rkd': [],
    'benchmark_recall': [],
    'benchmark_evaluation': [],
    'self_distill': ['config'],
    'analyze_embeddings': ['config', 'checkpoint'],
    'analyze_features': ['config', 'checkpoint'],
    'train_autoencoder': ['config'],
}


@pytest.mark.parametrize('tool', NEEDED)
def test_every_option_of_a_tool_is_documented(tool, monkeypatch):
    pages = {
        'compute_centroids': 'user_guides/centroids.md',
        'make_shapes': 'user_guides/data.md',
        'demo': 'get_started.md',
        'benchmark_losses': 'notes/benchmarks.md',
        'benchmark_rkd': 'notes/benchmarks.md',
        'benchmark_recall': 'notes/benchmarks.md',
        'benchmark_evaluation': 'notes/benchmarks.md',
        'self_distill': 'user_guides/stages.md',
        'analyze_embeddings': 'user_guides/metric_learning.md',
        'analyze_features': 'user_guides/analyze_features.md',
    }
    general = 'user_guides/train_and_test.md'  # has what all tools have
    files = {general, pages.get(tool, general)}
    text = ''.join((DOCS / file).read_text() for file in files)
    parser, _ = parse(f'{ROOT}/tools/{tool}.py', NEEDED[tool], monkeypatch)
    for action in parser._actions:
        for option in action.option_strings:
            assert option in ('-h', '--help') or option in text, option


def test_links():
    wrong = {str(p.relative_to(ROOT)): [*broken_links(p)] for p in PAGES}
    assert {name: links for name, links in wrong.items() if links} == {}


def broken_links(page: Path) -> Iterator[str]:
    """Links to no file, or to no heading of it."""
    text = prose(page)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if target.startswith(('https://', 'http://')):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path) if path else page
        if not file.exists():
            yield target
        elif anchor:
            titles = re.findall(r'^#+ (.+)$', prose(file), re.M)
            slugs = [
                re.sub(r'[^\w -]', '', title).lower().replace(' ', '-')
                for title in titles
            ]
            if anchor not in slugs:
                yield target


def test_files_named_exist():
    named = r'`((?:configs|docs|kd_det|tests|tools)/[\w./-]+)(?:::(\w+))?`'
    for page in PAGES:
        for path, test in re.findall(named, prose(page)):
            assert (ROOT / path).exists(), (page, path)
            if test:
                assert f'def {test}(' in (ROOT / path).read_text(), (
                    page,
                    test,
                )


def test_every_page_is_in_the_contents():
    entries = set()
    for block in blocks(DOCS / 'index.md', '{toctree}'):
        lines = block.splitlines()
        entries |= {line for line in lines if line and line[0] != ':'}
    pages = {
        str(p.relative_to(DOCS).with_suffix(''))
        for p in PAGES
        if DOCS in p.parents
    }
    assert pages == entries | {'index'}


def test_every_option_of_a_hook_is_documented():
    for name in hooks.__all__:
        text = section(DOCS / 'user_guides/hooks.md', name)
        hook = getattr(hooks, name)
        if '__init__' not in vars(hook):
            continue  # the options are MMEngine's
        parameters = list(inspect.signature(hook).parameters.values())
        assert parameters or 'No options.' in text, name
        for parameter in parameters:
            row = f'| `{parameter.name}` |'
            if parameter.default is not parameter.empty:
                default = repr(parameter.default)
                if type(parameter.default) not in (int, float):
                    default = f'`{default}`'
                row += f' {default} |'
            assert row in text, name


def test_every_schedule_is_documented():
    text = section(DOCS / 'user_guides/hooks.md', 'LossScheduleHook')
    for name, schedule in SCHEDULES.module_dict.items():
        (row,) = re.findall(rf'^\| `{name}` \|.*$', text, re.M)
        for parameter in inspect.signature(schedule).parameters.values():
            default = ''
            if parameter.default is not parameter.empty:
                default = f'={parameter.default}'
            assert f'`{parameter.name}{default}`' in row, name


# `MMRazorLoss` is made of a config of mmrazor's, see mmrazor.md
BASES = (
    'DistillLoss',
    'LogitLoss',
    'RelationalLoss',
    'MMRazorLoss',
    'Distiller',
)


def public(module, base: type) -> list[type]:
    """The classes of a package that are for configs."""
    found = [getattr(module, name) for name in module.__all__]
    kinds = [kind for kind in found if inspect.isclass(kind)]
    return [
        kind
        for kind in kinds
        if issubclass(kind, base) and kind.__name__ not in BASES
    ]


def rows(first: str) -> str:
    """The rows of config.md's tables that begin with a name."""
    text = (DOCS / 'user_guides/config.md').read_text()
    names = rf'(?:`\w+`, )*`{first}`(?:, `\w+`)*'
    # a row without a first cell goes on with the one above
    row = rf'^\| {names} \|.*\n(?:\|  ?\|.*\n)*'
    return ''.join(re.findall(row, text, re.M))


def test_every_argument_of_a_loss_is_documented():
    for kind in public(kd_det.losses, DistillLoss):
        row = rows(kind.__name__)
        assert row, kind
        for name in inspect.signature(kind).parameters:
            assert name == 'loss_weight' or f'`{name}`' in row, (kind, name)


def test_every_field_and_argument_of_a_distiller_is_documented():
    for kind in public(kd_det.distillers, kd_det.distillers.Distiller):
        fields = rows(kind.__name__)
        for name in kind.provides:
            assert f'`{name}`' in fields, (kind, name)
        for name in inspect.signature(kind).parameters:
            assert rows(name), (kind, name)


def test_readme_shows_what_the_demo_wrote():
    text = PAGES[0].read_text()
    assert '](docs/images/demo.png)' in text
    results = json.loads((DOCS / 'results/demo.json').read_text())
    _, shown, _ = text.split('<!-- demo table -->')
    assert shown.strip() == table(results)


def test_readme_variables_are_those_of_the_makefile():
    table = section(PAGES[0], 'Requirements and installation')
    rows = set(re.findall(r'^\| `([A-Z_]+)` \|', table, re.M))
    listed = re.findall(r"^\t@echo '  ([A-Z_]+) ", MAKEFILE, re.M)
    assert rows == set(listed)
    assert 'VENV := $(or $(VENV),.venv)\n' in MAKEFILE
