"""Names such as 0, 1, 2 are text wherever they are written."""

import json

import pytest
from image_folders import loader_cfg, write_tree
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny import other_annotations, pair_cfg, run_cfg, tiny_spec
from voc_toy import voc_leaf, write_voc

from kd_det.api import launch
from kd_det.api.pair import used_classes
from kd_det.class_names import plain_names
from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.preflight.data import check_data
from kd_det.testing import save_teacher

NUMBERS = tuple(range(7))
NAMES = tuple('0123456')


@pytest.fixture
def folder(shapes, tmp_path):
    """The shapes, whose classes are called 0 to 6."""

    def make(kind=str):
        path = tmp_path / f'data_{kind.__name__}'
        other_annotations(shapes, path, lambda table: None)
        for split in ('train', 'val'):
            file = path / f'annotations/instances_{split}.json'
            table = json.loads(file.read_text())
            for number, category in enumerate(table['categories']):
                category['name'] = kind(number)
            file.write_text(json.dumps(table))
        return path

    return make


def written(cfg, path):
    """Write a config whose classes stand at its top, if they do."""
    if 'classes' in cfg:
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'].dataset.pop('metainfo')
    cfg.dump(path)
    return str(path)


def check_text(cfg):
    for split in ('train', 'val', 'test'):
        leaf = cfg[f'{split}_dataloader'].dataset
        assert tuple(leaf.metainfo['classes']) == NAMES
    check_data(cfg, ('train', 'val'))


@pytest.mark.parametrize('suffix', ['.py', '.yaml', '.json'])
@pytest.mark.parametrize('names', [NUMBERS, NAMES])
@pytest.mark.parametrize('kind', [str, int])
def test_numbers_as_names(folder, tmp_path, suffix, names, kind):
    cfg = run_cfg({}, folder(kind), '', classes=names)
    cfg.model = pair_cfg(dict(tiny_spec(50), ckpt='x.pth'))
    path = tmp_path / f'run{suffix}'
    init_default_scope('mmdet')
    check_text(load_config(written(cfg, path)))


def test_numbers_in_an_option(folder, tmp_path):
    cfg = run_cfg({}, folder(), '')
    cfg.model = read_spec(tiny_spec(), 'student')[0]
    path = written(cfg, tmp_path / 'run.py')
    check_text(load_config(path, {'classes': [*NUMBERS]}))


def test_numbers_in_a_data_set(folder):
    cfg = run_cfg({}, folder(), '')
    cfg.model = read_spec(tiny_spec(), 'student')[0]
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.metainfo.classes = [*NUMBERS]
    check_text(load_config(cfg))


@pytest.mark.parametrize('kind, suffix', [(str, '.py'), (int, '.json')])
def test_a_pair_trains_on_them(folder, tmp_path, kind, suffix):
    """The teacher's checkpoint has numbers too, as plain MMDetection wrote."""
    teacher = save_teacher(tiny_spec(50), tmp_path / 'teacher.pth', NUMBERS)
    cfg = run_cfg(
        pair_cfg(teacher), folder(kind), tmp_path / 'run', classes=NUMBERS
    )
    runner = launch.train(
        launch.prepare(written(cfg, tmp_path / f'run{suffix}'))
    )
    assert runner.model.classes == runner.model.teacher.classes == NAMES
    assert runner.model.distill['roi'].match is None
    dataset = runner.train_dataloader.dataset
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert sum(len(info['instances']) for info in infos) == 39


def test_folders_called_by_numbers(tmp_path):
    names = ('0', '1', '10', '2')  # as folders are sorted
    write_tree(tmp_path / 'data/train', names)
    leaf = dict(
        type='mmpretrain.CustomDataset',
        data_root=str(tmp_path / 'data'),
        data_prefix='train',
    )
    for where in (
        dict(classes=(0, 1, 10, 2)),
        dict(metainfo=dict(classes=[0, 1, 10, 2])),
    ):
        cfg = loader_cfg(dict(leaf, **where))
        cfg.model = dict(type='X')
        check_data(load_config(cfg), ('train',))
    cfg = loader_cfg(dict(leaf, classes=(0, 1, 2, 10)))
    cfg.model = dict(type='X')
    with pytest.raises(UserError, match=r"write classes=\('0', '1', '10', '"):
        check_data(load_config(cfg), ('train',))


def test_voc_called_by_numbers(shapes, tmp_path):
    folder = write_voc(shapes, tmp_path / 'VOC2007')
    for path in (folder / 'Annotations').iterdir():
        text = path.read_text()
        for number, name in enumerate(('circle', 'square')):
            text = text.replace(f'>{name}<', f'>{number}<')
        path.write_text(text)
    init_default_scope('mmdet')
    cfg = loader_cfg(voc_leaf(folder, (0, 1)))
    cfg.model = dict(type='X')
    [report] = check_data(load_config(cfg), ('train',))
    assert report.facts['objects used'] > 0


def test_classes_that_a_file_uses(folder):
    path = folder(int) / 'annotations/instances_train.json'
    assert {*used_classes(path)} <= {*NAMES}


@pytest.mark.parametrize(
    'names, message',
    [
        (7, 'classes=7; a tuple of names in label order'),
        ({'a', 'b'}, 'a tuple of names in label order'),
        ({0: 'a'}, 'a tuple of names in label order'),
        ((True, False), 'which YAML makes of yes, no, on and off'),
        (('a', None), 'classes has None; write a name'),
        ((('a', 'b'),), 'write a name, as text'),
        (('a', 'b', 'a'), "classes has 'a' more than once"),
        ((1, '1'), "classes has '1' more than once"),
        ((), r'classes=\(\); write at least one name'),
        ([], r'classes=\[\]; write at least one name'),
    ],
)
def test_what_is_no_list_of_names(names, message):
    cfg = Config(dict(model=dict(type='X')))
    cfg.classes = names
    with pytest.raises(UserError, match=message):
        load_config(cfg)


def test_names_by_hand():
    assert plain_names('cat') == ('cat',)
    assert plain_names([0, 1.5, 'a']) == ('0', '1.5', 'a')
    assert plain_names(()) == ()
    with pytest.raises(UserError, match='teacher.classes=3'):
        plain_names(3, 'teacher.classes')
