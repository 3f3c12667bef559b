"""A config's data_root and classes reach everything that needs them."""

import resource

import pytest
from mmengine.config import Config
from tiny import run_cfg, tiny_spec

from kd_det.config import load_config, set_num_classes
from kd_det.config_data import leaf_datasets
from kd_det.errors import UserError
from kd_det.models.spec import read_spec

HEADS = """
heads = dict(
    roi_head=dict(bbox_head=dict(num_classes=80)),
    panoptic=[dict(num_classes=80), dict(deeper=(dict(num_classes=80),))])
"""
DATA = """
loader = lambda split: dict(dataset=dict(
    type='CocoDataset', data_root='old/', ann_file=f'{split}.json',
    metainfo=dict(palette=[(1, 2, 3)])))
train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2,
    dataset=dict(type='ConcatDataset', datasets=[
        dict(type='CocoDataset', data_root='old/', ann_file='a.json'),
        dict(type='CocoDataset', data_root='old/', ann_file='b.json')])))
val_dataloader = loader('val')
test_dataloader = loader('test')
del loader
val_evaluator = [dict(type='CocoMetric', ann_file='old/val.json'),
                 dict(type='Other')]
test_evaluator = dict(type='CocoMetric', ann_file='old/test.json')
"""


def write(folder, text):
    path = folder / 'config.py'
    path.write_text(text)
    return str(path)


@pytest.fixture
def plain(tmp_path):
    return write(
        tmp_path, f'{HEADS}{DATA}model = dict(type="X", **heads)\ndel heads'
    )


def leaves(cfg):
    return [
        leaf
        for split in ('train', 'val', 'test')
        for leaf in leaf_datasets(cfg[f'{split}_dataloader'].dataset)
    ]


def test_what_is_not_set_stays(plain):
    assert load_config(plain).to_dict() == Config.fromfile(plain).to_dict()


def test_data_root(plain):
    cfg = load_config(plain, dict(data_root='new/'))
    assert [leaf.data_root for leaf in leaves(cfg)] == ['new/'] * 4
    assert cfg.val_evaluator[0].ann_file == 'new/val.json'
    assert 'ann_file' not in cfg.val_evaluator[1]
    assert cfg.test_evaluator.ann_file == 'new/test.json'
    assert 'metainfo' not in leaves(cfg)[0]


def test_data_root_of_one_split_wins_there(plain):
    key = 'test_dataloader.dataset.data_root'
    cfg = load_config(plain, {'data_root': 'new/', key: 'mine/'})
    assert [leaf.data_root for leaf in leaves(cfg)] == [*['new/'] * 3, 'mine/']
    assert cfg.val_evaluator[0].ann_file == 'new/val.json'
    assert cfg.test_evaluator.ann_file == 'mine/test.json'


@pytest.mark.parametrize('classes', [('a', 'b'), ['a', 'b']])
def test_classes(plain, classes):
    cfg = load_config(plain, dict(classes=classes))
    for leaf in leaves(cfg):
        assert leaf.metainfo.classes == ('a', 'b')
    assert leaves(cfg)[2].metainfo.palette == [(1, 2, 3)]
    first, second = cfg.model.panoptic
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    assert first.num_classes == second.deeper[0].num_classes == 2


def test_one_class_as_text(plain):
    cfg = load_config(plain, dict(classes='cell'))
    assert leaves(cfg)[0].metainfo.classes == ('cell',)
    assert cfg.model.roi_head.bbox_head.num_classes == 1


def test_set_in_the_file(tmp_path):
    text = f'{DATA}model = dict(type="X")\nclasses = ("a",)\ndata_root = "n"'
    cfg = load_config(write(tmp_path, text))
    assert leaves(cfg)[3].metainfo.classes == ('a',)
    assert leaves(cfg)[3].data_root == 'old/'  # it says so itself


def test_classes_of_a_pair(tmp_path):
    text = 'model = dict(student=dict(cfg="a"), teacher=dict(cfg="b"))'
    cfg = load_config(write(tmp_path, text), dict(classes=('x', 'y', 'z')))
    assert cfg.model.student == dict(cfg='a', num_classes=3)
    assert cfg.model.teacher == dict(cfg='b')  # its checkpoint counts
    assert cfg.model.classes == ('x', 'y', 'z')


def test_options(plain):
    cfg = load_config(plain, {'model.roi_head.depth': 3})
    assert cfg.model.roi_head.depth == 3
    assert cfg.model.roi_head.bbox_head.num_classes == 80


def test_an_option_keeps_the_tuple_that_it_replaces(tmp_path):
    """`128,96` is a list to MMEngine, and Resize takes none."""
    path = tmp_path / 'run.py'
    path.write_text(
        'model = dict(levels=[1, 2])\n'
        'test_pipeline = [dict(scale=(64, 48)), dict(size=3)]\n'
        'test_dataloader = dict(dataset=dict(pipeline=test_pipeline))'
    )
    options = {
        'test_pipeline.0.scale': [128, 96],
        'test_pipeline.1.size': [4, 5],
        'model.levels': [3, 4],
        'model.new.key': [5],
    }
    cfg = load_config(str(path), options)
    expected = [dict(scale=(128, 96)), dict(size=[4, 5])]
    assert cfg.test_pipeline == expected
    assert cfg.test_dataloader.dataset.pipeline == expected
    assert cfg.model == dict(levels=[3, 4], new=dict(key=[5]))


def test_set_num_classes_touches_nothing_else():
    model = dict(a=1, num_classes=4, b=[dict(num_classes=4, c=2), 3])
    others = dict(
        rpn_head=dict(num_classes=1),
        roi_head=dict(semantic_head=dict(num_classes=183)),
    )
    model |= others
    set_num_classes(model, 9)
    assert model == dict(
        a=1, num_classes=9, b=[dict(num_classes=9, c=2), 3], **others
    )


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no config 'nope"):
        load_config('nope.py')
    with pytest.raises(FileNotFoundError, match='There is no config'):
        load_config(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='absent.py'):
        load_config(write(tmp_path, "_base_ = './absent.py'"))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'never closed'),
        ('\nx = dict(type=absent)', "NameError in line 2: name 'absent'"),
        ('x = 1 / 0', 'ZeroDivisionError in line 1: division by zero'),
        ('from nopackage import x', "No module named 'nopackage'"),
        ('import sys\nsys.exit(3)', 'SystemExit in line 2: 3'),
        ("_base_ = 'config.py'", "'config.py' in _base_ and thus inherits"),
        ('_base_ = 5', '_base_ has 5; the path of a config, or a list'),
        ("_base_ = 'foo::a/x.py'", 'cannot be read .*foo'),
        ("_base_ = 'mmdet::nope'", 'cannot be read'),
        ("_base_ = 'nopackage::x.py'", 'cannot be read'),
        ('x = 1', 'has no model'),
        ('model = 5', 'has no model'),
    ],
)
def test_no_config_of_a_run(tmp_path, text, message):
    with pytest.raises(UserError, match=f'config.py.*{message}'):
        load_config(write(tmp_path, text))


def test_bases_in_a_circle(tmp_path):
    (tmp_path / 'other.py').write_text("_base_ = 'config.py'")
    path = write(tmp_path, "_base_ = 'other.py'")
    with pytest.raises(UserError, match="other.py' has 'config.py' in _base"):
        load_config(path)


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('config.yaml', 'a: [1\nb: }', 'ParserError: .*line 2'),
        ('config.json', '{"a": ', 'JSONDecodeError: .*line 1 column 7'),
        ('config.json', '[1]', 'AttributeError'),
    ],
)
def test_other_formats(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f'{name}.*cannot.*{message}') as found:
        load_config(str(tmp_path / name))
    assert '\n' not in str(found.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('\nx = absent', "NameError in line 2 of '.*base.py': name 'absent'"),
        ('\nx = (', "SyntaxError in line 2 of '.*base.py': '\\(' was never"),
    ],
)
def test_the_file_at_fault_is_named(tmp_path, text, message):
    (tmp_path / 'base.py').write_text(text)
    with pytest.raises(UserError, match=f'config.py.*{message}'):
        load_config(write(tmp_path, "\n\n_base_ = 'base.py'"))


def test_a_module_of_custom_imports_with_an_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'broken_parts.py').write_text('\nx = absent\n')
    config = write(tmp_path, "custom_imports = dict(imports=['broken_parts'])")
    message = "NameError in line 2 of '.*broken_parts.py'"
    with pytest.raises(UserError, match=message):
        load_config(config)


def test_options_that_do_not_fit(plain):
    message = "--cfg-options do not fit config '.*config.py'"
    for options in (
        {'val_evaluator.0.ann_file': dict(a=1)},
        {'model.panoptic.7.num_classes': 3},
    ):
        with pytest.raises(UserError, match=message):
            load_config(plain, options)


def test_no_python(tmp_path):
    (tmp_path / 'config.txt').write_text('model = dict()')
    with pytest.raises(UserError, match='config.txt.*cannot be read'):
        load_config(str(tmp_path / 'config.txt'))


def test_an_option_that_nothing_reads(plain):
    message = "no 'data_rot' that anything reads; did you mean 'data_root'"
    with pytest.raises(UserError, match=message):
        load_config(plain, {'data_rot': 'x'})
    cfg = load_config(plain, {'load_from': 'x.pth', 'resume': True})
    assert cfg.load_from == 'x.pth'


YAML = """
_base_: {base}
train_dataloader:
  dataset:
    pipeline:
      - {{type: LoadImageFromFile}}
      - {{type: LoadAnnotations, with_bbox: true}}
      - {{type: RandomChoiceResize, scales: [[64, 48], [80, 64]]}}
      - {{type: PackDetInputs}}
"""


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
def test_sizes_in_yaml_and_json(tmp_path, suffix):
    """They have no tuples, and transforms take nothing else."""
    base = tmp_path / f'base{suffix}'
    cfg = run_cfg(read_spec(tiny_spec(), 'student')[0], tmp_path, '')
    cfg.val_dataloader.dataset.pipeline[1].scale = [64, 64]
    cfg.dump(base)
    child = tmp_path / 'child.yaml'
    child.write_text(YAML.format(base=base))
    found = load_config(str(child))
    step = found.train_dataloader.dataset.pipeline[2]
    assert step.scales == [(64, 48), (80, 64)]
    assert found.val_dataloader.dataset.pipeline[1].scale == (64, 64)
    assert found.model.neck.in_channels == list(found.model.neck.in_channels)


def test_no_room_for_the_copy_that_is_read(tmp_path):
    """MMEngine copies a config before it executes it."""
    path = tmp_path / 'a.py'
    path.write_text("model = dict(type='X')")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        with pytest.raises(UserError) as caught:
            load_config(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    text = str(caught.value)
    assert text.startswith('No space left to read config') and 'TMPDIR' in text
    load_config(str(path))
