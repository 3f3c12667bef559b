"""Whose folder and classes win: the config's, the option's, the data set's."""

import textwrap

import pytest
from mmengine.config import Config

from kd_det.config import load_config
from kd_det.config_data import leaves_of
from kd_det.errors import UserError

FOLDER = "_base_ = 'kd_det::_base_/datasets/coco_folder.py'\n"
MODEL = "model = dict(type='X', num_classes=80)\n"
LITERAL = """
train_dataloader = dict(dataset=dict(
    type='CocoDataset', data_root='old/', ann_file='train.json'))
val_dataloader = dict(dataset=dict(
    type='CocoDataset', data_root='old/', ann_file='val.json'))
val_evaluator = dict(type='CocoMetric', ann_file='old/val.json')
"""
TWO = """
leaf = _base_.train_dataloader.dataset
train_dataloader = dict(dataset=dict(
    _delete_=True, type='RepeatDataset', times=2,
    dataset=dict(type='ConcatDataset', datasets=[
        dict(leaf, data_root='a/'), dict(leaf, data_root='b/')])))
del leaf
"""


@pytest.fixture
def read(tmp_path):
    """Write files, the last one the config, and read it."""

    def run(*texts, options=None, **named):
        for name, text in {**named, 'run': ''.join(texts)}.items():
            path = tmp_path / f'{name}.py'
            path.write_text(textwrap.dedent(text))
        return load_config(str(path), options)

    return run


def folders(cfg):
    return [
        leaf.get('data_root')
        for split in ('train', 'val')
        for leaf in leaves_of(cfg, split)
    ]


def refused(read, message, *texts, **kwargs):
    with pytest.raises(UserError, match=message) as caught:
        read(*texts, **kwargs)
    assert '\n' not in str(caught.value)


def test_a_folder_for_all(read):
    cfg = read(FOLDER, MODEL, "data_root = 'new/'")
    assert folders(cfg) == ['new/'] * 2
    path = 'new/annotations/instances_val.json'
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == path


@pytest.mark.parametrize('options', [None, dict(data_root='new')])
def test_a_folder_without_a_slash(read, options):
    text = '' if options else "data_root = 'new'"
    cfg = read(FOLDER, MODEL, text, options=options)
    assert folders(cfg) == ['new'] * 2
    assert cfg.val_evaluator.ann_file == 'new/annotations/instances_val.json'


@pytest.mark.parametrize('root', ["data_root = 'a/'", ''])
def test_two_folders_of_a_training_set(read, root):
    cfg = read(FOLDER, MODEL, root, TWO)
    first = 'a/' if root else 'data/folder/'
    assert folders(cfg) == ['a/', 'b/', first]


def test_two_folders_and_an_option(read):
    cfg = read(FOLDER, MODEL, TWO, options=dict(data_root='c/'))
    assert folders(cfg) == ['a/', 'b/', 'c/']


def test_a_config_of_mmdetection_that_names_its_folders(read):
    text = """
    _base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
    train_dataloader = dict(
        dataset=dict(data_root='data/balloon/', ann_file='t.json'))
    val_dataloader = dict(
        dataset=dict(data_root='data/balloon/', ann_file='v.json'))
    test_dataloader = val_dataloader
    val_evaluator = dict(ann_file='data/balloon/v.json')
    """
    cfg = read(text)
    assert folders(cfg) == ['data/balloon/'] * 2
    assert cfg.val_evaluator.ann_file == 'data/balloon/v.json'


def test_no_folder_beside_one_of_mmdetection(read):
    """Its 'data/coco/' is not what the user wrote."""
    text = """
    _base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
    train_dataloader = dict(dataset=dict(
        _delete_=True, type='CocoDataset', ann_file='mine/t.json'))
    """
    assert folders(read(text)) == [None, 'data/coco/']


def test_a_data_set_wins_over_the_config_that_names_it(read):
    cfg = read(MODEL, LITERAL, "data_root = 'new/'")
    assert folders(cfg) == ['old/'] * 2
    assert cfg.val_evaluator.ann_file == 'old/val.json'


@pytest.mark.parametrize(
    ('text', 'options'),
    [("data_root = 'new/'", None), ('', dict(data_root='new/'))],
)
def test_one_folder_of_a_base_is_replaced(read, text, options):
    base = f"_base_ = './base.py'\n{text}"
    cfg = read(base, options=options, base=MODEL + LITERAL)
    assert folders(cfg) == ['new/'] * 2
    assert cfg.val_evaluator.ann_file == 'new/val.json'
    cfg = read(
        "_base_ = './middle.py'",
        options=options,
        middle=base,
        base=MODEL + LITERAL,
    )
    assert folders(cfg) == ['new/'] * 2
    assert cfg.val_evaluator.ann_file == 'new/val.json'


def test_but_not_where_it_is_written_again(read):
    text = """
    _base_ = './base.py'
    data_root = 'new/'
    val_dataloader = dict(dataset=dict(data_root='old/'))
    """
    message = "'new/' stands beside a data set with data_root='old/'"
    refused(read, message, text, base=MODEL + LITERAL)
    cfg = read(text.replace('old', 'own'), base=MODEL + LITERAL)
    assert folders(cfg) == ['new/', 'own/']
    options = {
        'data_root': 'new/',
        'val_dataloader.dataset.data_root': 'old/',
    }
    cfg = read(MODEL, LITERAL, options=options)
    assert folders(cfg) == ['new/', 'old/']


@pytest.mark.parametrize(
    ('text', 'options'),
    [("data_root = 'c/'", None), ('', dict(data_root='c/'))],
)
def test_a_folder_that_no_data_set_takes(read, text, options):
    literal = LITERAL.replace('old/', 'a/', 1)
    message = r"data_root='c/' changes nothing, .*\(a/, old/\); write it there"
    base = f"_base_ = './base.py'\n{text}"
    refused(read, message, base, options=options, base=MODEL + literal)


def test_a_folder_for_data_sets_without_one(read):
    text = LITERAL.replace("data_root='old/', ", '')
    cfg = read(MODEL, text, "data_root = 'new/'")
    assert folders(cfg) == ['new/'] * 2
    assert folders(read(MODEL, text)) == [None] * 2


def test_a_written_config_moves_with_its_data(read, tmp_path):
    read(FOLDER, MODEL, "data_root = 'new/'\nclasses = ('x',)").dump(
        tmp_path / 'dump.py'
    )
    options = dict(data_root='other/', classes=('y', 'z'))
    cfg = load_config(str(tmp_path / 'dump.py'), options)
    assert folders(cfg) == ['other/'] * 2
    path = 'other/annotations/instances_val.json'
    assert cfg.test_evaluator.ann_file == path
    assert cfg.train_dataloader.dataset.metainfo.classes == ('y', 'z')
    assert cfg.model.num_classes == 2


@pytest.mark.parametrize(
    ('text', 'options'),
    [
        ("val_dataloader = dict(dataset=dict(ann_file='more.json'))", None),
        ('', {'val_dataloader.dataset.ann_file': 'more.json'}),
    ],
)
def test_a_metric_follows_its_data_set(read, text, options):
    cfg = read(FOLDER, MODEL, text, options=options)
    assert cfg.val_evaluator.ann_file == 'data/folder/more.json'
    middle = FOLDER + MODEL + text
    cfg = read("_base_ = './middle.py'", options=options, middle=middle)
    assert cfg.val_evaluator.ann_file == 'data/folder/more.json'
    own = "val_evaluator = dict(ann_file='mine.json')"
    cfg = read(FOLDER, MODEL, text, '\n', own)
    assert cfg.val_evaluator.ann_file == 'mine.json'


def test_metrics_of_two_data_sets(read):
    text = (
        TWO.replace('train', 'val')
        + """
val_evaluator = dict(
    _delete_=True, type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'],
    metrics=[dict(type='CocoMetric', ann_file=f'{folder}/val.json')
             for folder in 'ab'])
"""
    )
    cfg = read(FOLDER, MODEL, text)
    files = [metric.ann_file for metric in cfg.val_evaluator.metrics]
    assert files == ['a/val.json', 'b/val.json']


def test_classes_of_a_base_are_replaced(read):
    own = "metainfo=dict(classes=('a', 'b'), palette=[1]), ann_file"
    base = MODEL + LITERAL.replace('ann_file', own, 2)
    assert len(read(base).train_dataloader.dataset.metainfo) == 2
    for text, options in (
        ("classes = ('x', 'y')", None),
        ('', dict(classes=['x', 'y'])),
    ):
        cfg = read("_base_ = './base.py'\n", text, options=options, base=base)
        metainfo = cfg.train_dataloader.dataset.metainfo
        assert metainfo == dict(classes=('x', 'y'), palette=[1])
        assert cfg.model.num_classes == 2


def test_classes_that_a_data_set_contradicts(read):
    text = """
    classes = ('x', 'y')
    train_dataloader = dict(dataset=dict(metainfo=dict(classes=('y', 'x'))))
    """
    message = r'train .* own \(y, x\) and the config has classes=\(x, y\); le'
    refused(read, message, FOLDER, MODEL, textwrap.dedent(text))
    first = (
        "val_dataloader = dict(dataset=dict(metainfo=dict(classes=('a',))))"
    )
    second = first.replace('val', 'train').replace("'a'", "'b'")
    refused(
        read,
        r'train .* own \(b\) and the config has classes=\(c\)',
        "_base_ = './base.py'",
        options=dict(classes=['c']),
        base=f'{FOLDER}{MODEL}{first}\n{second}',
    )


def test_classes_of_all_data_sets_beside_those_of_a_config(read, tmp_path):
    """Of a base that the package ships, and of a config without bases."""
    own = ''.join(
        f"{split}_dataloader = dict(dataset=dict(type='CocoDataset',"
        " ann_file='a.json', metainfo=dict(classes=('a', 'b'))))\n"
        for split in ('train', 'val', 'test')
    )
    message = r'own \(a, b\) and the config has classes=\(.*\); leave'
    base = "_base_ = 'kd_det::_base_/datasets/bccd.py'\n"
    refused(read, message, base, MODEL, own)
    cfg = Config.fromstring(f"{MODEL}classes = ('b', 'a')\n{own}", '.py')
    for name in ('run.yaml', 'run.json'):
        cfg.dump(tmp_path / name)
        with pytest.raises(UserError, match=message):
            load_config(str(tmp_path / name))
    with pytest.raises(UserError, match=message):
        load_config(Config(cfg.to_dict()))


def test_a_preprocessor_beside_the_models_own(read):
    model = "model = dict(type='X', data_preprocessor=dict(mean=[1]))\n"
    own = 'data_preprocessor = dict(mean=[2])'
    refused(read, 'model has one of its own, which wins', model, own)
    read(MODEL, own)  # MMEngine gives it to a model without one


def test_the_preprocessor_of_a_student(read):
    """What it says itself wins over the one for all at the top."""
    student = "dict(cfg='a', data_preprocessor=dict(mean=[1]))"
    cfg = read(
        f"model = dict(student={student}, teacher=dict(cfg='b'))\n",
        'data_preprocessor = dict(mean=[2], std=[3])',
    )
    assert cfg.model.student.data_preprocessor == dict(mean=[1], std=[3])
    assert 'data_preprocessor' not in cfg


def test_a_config_that_was_changed_in_python(read, tmp_path):
    """Its folder and classes reach the data, as options would."""
    read(MODEL, LITERAL, "data_root = 'x/'\nclasses = ('a',)")
    cfg = Config.fromfile(str(tmp_path / 'run.py'))
    assert folders(load_config(cfg)) == ['old/'] * 2
    cfg.data_root = 'new/'
    cfg.classes = ('b', 'c')
    cfg = load_config(cfg)
    assert folders(cfg) == ['new/'] * 2
    assert cfg.val_evaluator.ann_file == 'new/val.json'
    assert cfg.train_dataloader.dataset.metainfo.classes == ('b', 'c')
    assert cfg.model.num_classes == 2
    again = load_config(cfg)
    assert again.to_dict() == cfg.to_dict()
    cfg.classes = ('d',)
    metainfo = load_config(cfg).val_dataloader.dataset.metainfo
    assert metainfo.classes == ('d',)


def test_options_of_several_parts(read):
    cfg = read(
        FOLDER,
        MODEL,
        options={
            'train_pipeline.2.scale': [96, 64],
            'dataset_type': 'CityscapesDataset',
            'test_dataloader.dataset.type': 'DeepFashionDataset',
        },
    )
    train, val, test = (
        cfg[f'{split}_dataloader'].dataset
        for split in ('train', 'val', 'test')
    )
    assert train.pipeline[2].scale == (96, 64)
    assert val.pipeline[1].scale == (256, 192)
    kinds = ['Cityscapes', 'Cityscapes', 'DeepFashion']
    assert [s.type for s in (train, val, test)] == [
        f'{k}Dataset' for k in kinds
    ]
