"""Parts of other packages: listed completely, and refused in a sentence."""

import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import ie_toy as toy
import mmdet.engine
import mmdet.registry
import mmdet.visualization
import mmengine.hooks
import mmengine.registry
import mmpretrain.engine
import mmpretrain.registry
import mmpretrain.visualization
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import HOOKS, LOOPS, init_default_scope
from tiny import build, build_student, pair_cfg

from kd_det.errors import UserError
from kd_det.preflight.parts import OF_ONE, REFUSED, check_parts

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/user_guides/other_parts.md'
PACKAGES = dict(mmengine=mmengine, mmdet=mmdet, mmpretrain=mmpretrain)
REGISTRIES = dict(
    Hooks='HOOKS',
    Constructors='OPTIM_WRAPPER_CONSTRUCTORS',
    Loops='LOOPS',
    Visualizers='VISUALIZERS',
)
ROW = r'^\| `(\w+)` \| (\w+) \| (works|refused|untested) \| (.+) \|$'
ROWS = re.findall(ROW, PAGE.read_text(), re.M)


def shipped() -> set[tuple[str, str]]:
    """Name and package of all that the registries hold of the packages."""
    for module in ('mmcv', 'mmdet.models', 'mmpretrain.models'):
        importlib.import_module(module)
    found = set()
    for package, module in PACKAGES.items():
        for registry in REGISTRIES.values():
            kinds = getattr(module.registry, registry).module_dict
            for name, kind in kinds.items():
                owner = kind.__module__.partition('.')[0]
                if owner in (*PACKAGES, 'mmcv'):
                    found.add((name, package))
    return found


def test_the_page_lists_all_that_the_packages_ship():
    listed = [row[:2] for row in ROWS]
    assert len(listed) == len({*listed})
    assert {*listed} == shipped()


def test_the_page_says_what_the_code_does():
    assert {name for name, _, how, _ in ROWS if how == 'refused'} == {*REFUSED}
    text = PAGE.read_text()
    peers = text[text.index('A `MutualModel` has') :].split('\n\n')[0]
    assert {*re.findall(r'`(\w+Hook)`', peers)} == {*OF_ONE}


def test_each_row_that_works_names_its_test():
    last = ''
    for name, _, how, why in ROWS:
        if how != 'works':
            continue
        named = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', why)
        if not named:
            assert why == 'the same test' and last, name
            named = [last]
        last = named[0]
        text = (ROOT / last[0]).read_text()
        assert f'def {last[1]}(' in text, name
        assert name in text, f'{last[0]} does not name {name}'


def runner(model, hooks=(), loop=None):
    return SimpleNamespace(
        model=model, hooks=list(hooks), _train_loop=None, _val_loop=loop
    )


def made(name):
    """Return a hook without its arguments: of its class alone."""
    kind = HOOKS.get(name)
    return kind.__new__(kind)


@pytest.fixture(scope='module')
def pair(teacher):
    return build(pair_cfg(teacher))


@pytest.fixture(scope='module')
def peers():
    logit = dict(
        type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
    )
    return toy.build(
        ConfigDict(
            _scope_='kd_det',
            type='MutualModel',
            peers=dict(a=toy.network(), b=toy.network()),
            distillers=dict(logit=logit),
        )
    )


def name_of(part: str) -> str:
    scopes = {name: package for name, package in shipped()}
    return f'{scopes[part]}.{part}'


@pytest.mark.parametrize('name', REFUSED)
def test_refused_in_one_sentence(pair, name):
    if name.endswith('Loop'):
        told = runner(pair, loop=dict(type=name_of(name)))
    else:
        told = runner(pair, [made(name_of(name))])
    with pytest.raises(UserError, match=f'^{name} does not work') as caught:
        check_parts(told)
    assert '\n' not in str(caught.value)


def test_refused_by_ancestry(pair):
    """A class derived from one that is refused is refused, too."""
    parent = HOOKS.get('mmdet.MeanTeacherHook')
    mine = type('MyTeacher', (parent,), {})()
    with pytest.raises(UserError, match='^MyTeacher does not work.*EMAHook'):
        check_parts(runner(pair, [mine]))
    loop = LOOPS.get('mmdet.TeacherStudentValLoop')
    with pytest.raises(UserError, match='^TeacherStudentValLoop does not'):
        check_parts(runner(pair, loop=dict(type=loop)))


@pytest.mark.parametrize('name', OF_ONE)
def test_refused_where_there_are_several_networks(pair, peers, name):
    hook = made(name_of(name))
    hook.schedule = {}
    with pytest.raises(UserError, match=f'^{name} changes .* has 2;'):
        check_parts(runner(peers, [hook]))
    check_parts(runner(pair, [hook]))


def test_a_plain_network_is_left_alone():
    init_default_scope('mmdet')
    model = build_student()
    check_parts(runner(model, [made('mmdet.MeanTeacherHook')]))
