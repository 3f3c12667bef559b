"""A detection config is what its name says, builds, and trains a step."""

import copy
import functools
import json
import re
import shutil
import tempfile
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from configs_toy import network_of, quarter, teacher_kept
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from kd_det.centroids import CentroidBank
from kd_det.config import load_config
from kd_det.config_data import leaf_datasets
from kd_det.datasets import SHAPES_CLASSES, make_shapes
from kd_det.models.spec import read_spec
from kd_det.registry import HOOKS, MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
PAGE = ROOT / 'docs/user_guides/new_backbone.md'
FOLDERS = ('.', 'demo', 'detection')
FILES = [p for name in FOLDERS for p in sorted((CONFIGS / name).glob('*.py'))]

# for tests that change nothing in it
read = functools.cache(load_config)
published = functools.cache(lambda name: get_config(name, pretrained=True))

# The grammar: {method}_{detector}_{teacher}_{student}[_{setting}][_{data}].
# A baseline has one network. A new word is entered here with its meaning.
METHODS = {
    'baseline': set(),
    'inheritkd': {'KDLoss'},
    'inheritpkd': {'PKDLoss'},
    'inherit': set(),  # the teacher's weights to begin with, no loss
    'stitch': set(),  # the same, with the layers between fitted
    'stitchkd': {'KDLoss'},
    'kd': {'KDLoss'},
    'nd': {'NDLoss', 'KDLoss'},
    'ndadaptor': {'NDLoss', 'KDLoss'},
    'srrl': {'FeatureMatchingLoss', 'SoftmaxRegressionLoss'},
    'rkd': {'RKDDistanceLoss', 'RKDAngleLoss'},
    'rkdmaps': {'MapRelationLoss'},
    'dkd': {'DKDLoss'},
    'dkdpp': {'DKDLoss', 'NDLoss'},
    'reviewkd': {'ReviewKDLoss'},
    'reviewkdpp': {'ReviewKDLoss', 'NDLoss'},
    'pkd': {'PKDLoss'},
    'crosskd': {'CrossKDClassLoss', 'CrossKDBoxLoss', 'CrossKDEdgeLoss'},
    'bckd': {'BCKDClassLoss', 'BCKDBoxLoss'},
    'maskkd': {'KDLoss', 'MaskKDLoss'},
    'bounded': {'KDLoss', 'TeacherBoundedLoss'},
    'cwd': {'CWDLoss'},
    'mgd': {'MGDLoss'},
    'fgd': {'FGDFocalLoss', 'FGDAttentionLoss', 'FGDGlobalLoss'},
    'sddkd': {'SDDLoss'},
    'ld': {'LDLoss', 'DenseKDLoss'},
    'iekd': {'InheritanceLoss', 'ExplorationLoss'},
    'ieod': {'InheritMapLoss', 'ExploreMapLoss'},
}
BY_FACTORS = {'iekd', 'ieod'}
# A one-stage detector's own form of KD, and that of one with queries.
DENSE_KD = {'KDLoss': {'DenseKDLoss'}}
QUERY_KD = {'KDLoss': {'QueryKDLoss', 'QueryBoxLoss'}}
DETECTORS = {
    'frcnn': 'FasterRCNN',
    'mrcnn': 'MaskRCNN',
    'retinanet': 'RetinaNet',
    'gfl': 'GFL',
    'ssd300': 'SingleStageDetector',
    'yolox': 'YOLOX',
    'dino': 'DINO',
}
BOX_HEADS = ('frcnn', 'mrcnn')
NETWORKS = {
    'r18': dict(type='ResNet', depth=18),
    'r18half': dict(type='ResNet', depth=18, base_channels=32),
    'r34': dict(type='ResNet', depth=34),
    'r50': dict(type='ResNet', depth=50),
    'r101': dict(type='ResNet', depth=101),
    'x50': dict(type='ResNeXt', depth=50, groups=32, base_width=4),
    'mv2': dict(type='MobileNetV2'),
    'swint': dict(type='SwinTransformer'),
    'shufflenetv2': dict(type='mmpretrain.ShuffleNetV2'),
    'pvtv2b0': dict(type='PyramidVisionTransformerV2', embed_dims=32),
    'convnextt': dict(type='mmpretrain.ConvNeXt', arch='tiny'),
    'lite0': dict(
        type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0'
    ),
    'lite2': dict(
        type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite2'
    ),
    'nano': dict(type='CSPDarknet', widen_factor=0.25),
    'pico': dict(type='CSPDarknet', widen_factor=0.125),
    'edgenext': dict(
        type='mmpretrain.TIMMBackbone', model_name='edgenext_small.usi_in1k'
    ),
}
# width of their towers, and the files of public weights
TOWERS = dict(nano=64, pico=32)
PUBLIC = dict(nano='data/teachers/yolox_nano_coco.pth')
# what stands for ND in its ablation: norm and direction
PARTS = {
    'norm': {'SIFNLoss'},
    'dir': {'FDRCosineLoss'},
    'normdir': {'SIFNLoss', 'FDRCosineLoss'},
}
SLIM = {'slim', 'demo'}  # 256 wide; the demo's train for minutes
SHARED = SLIM | {'ms'}  # with the network alone; ms: several image scales
SETTINGS = SHARED | {'nokd', *PARTS}
DATA = {'coco', 'voc', 'bccd', 'cards', 'shapes', 'folder', 'vocfolder'}


class Name(NamedTuple):
    """The words of a config's name."""

    method: str
    detector: str
    networks: tuple[str, ...]
    settings: frozenset[str]
    data: str

    @property
    def size(self) -> str:
        return ''.join(f'_{word}' for word in self.settings & SLIM)

    def control(self, network: str) -> str:
        """The name of this network trained alone."""
        data = '' if self.data == 'coco' else f'_{self.data}'
        words = ''.join(f'_{word}' for word in self.settings & SHARED)
        return f'baseline_{self.detector}_{network}{words}{data}'


def parse(name: str) -> Name:
    method, detector, *rest = name.split('_')
    assert method in METHODS, f'{name}: enter {method!r} in METHODS'
    assert detector in DETECTORS, f'{name}: enter {detector!r} in DETECTORS'
    networks = tuple(takewhile(lambda word: word in NETWORKS, rest))
    rest = rest[len(networks) :]
    data = rest.pop() if rest and rest[-1] in DATA else 'coco'
    assert len(rest) <= 1, f'{name}: {rest} are neither setting nor data'
    settings = frozenset(rest[0].split('-') if rest else ())
    assert settings <= SETTINGS, f'{name}: enter {rest[0]!r} in SETTINGS'
    count = 1 if method == 'baseline' else 2
    assert len(networks) == count, f'{name}: networks are {networks}'
    return Name(method, detector, networks, settings, data)


HOW_IT_RUNS = ('ckpt', 'fuse_conv_bn', 'channels_last', 'dtype')


def teacher_of(cfg: Config) -> dict:
    """The teacher's spec, with the classes that a checkpoint would name."""
    spec = {k: v for k, v in cfg.model.teacher.items() if k not in HOW_IT_RUNS}
    if cfg.model.get('classes'):
        spec['num_classes'] = len(cfg.model.classes)
    return spec


def is_pair(cfg: Config) -> bool:
    return cfg.model.type == 'DistillModel'


def networks_of(cfg: Config) -> list[dict]:
    """The full model configs, teacher first; not to be changed."""
    if not is_pair(cfg):
        return [cfg.model]
    return [
        network_of(teacher_of(cfg), 'teacher'),
        network_of(cfg.model.student, 'student'),
    ]


def check_content(cfg: Config, name: Name) -> None:
    models = networks_of(cfg)
    assert is_pair(cfg) == (name.method != 'baseline')
    width = 256 if name.size else 1024
    for word, model in zip(name.networks, models, strict=True):
        assert model.type == DETECTORS[name.detector]
        facts = NETWORKS[word]
        assert {key: model.backbone.get(key) for key in facts} == facts
        if name.detector in BOX_HEADS:
            assert model.roi_head.bbox_head.fc_out_channels == width
        elif name.detector == 'ssd300':
            assert model.bbox_head.type == 'SSDHead'
            assert model.bbox_head.num_classes == 20
        elif name.detector == 'dino':
            assert model.bbox_head.embed_dims == width // 4
        else:
            towers = 32 if 'demo' in name.settings else width // 4
            towers = TOWERS.get(word, towers)
            assert model.bbox_head.feat_channels == towers
    losses = set()
    distillers = cfg.model.distillers.values() if is_pair(cfg) else ()
    for distiller in distillers:
        own = {loss.type for loss in distiller.losses.values()}
        losses |= own
        if own & {'NDLoss', 'FDRCosineLoss'}:
            bank = f'{name.detector}_{name.networks[0]}{name.size}'
            assert distiller.centroids == (
                f'data/centroids/{bank}_{name.data}.npz'
            )
        if 'InheritanceLoss' in own:
            coder = (
                f'{name.detector}_{name.networks[0]}{name.size}_{name.data}'
            )
            assert distiller.auto_encoder == f'data/auto_encoders/{coder}.pth'
    inherits = is_pair(cfg) and bool(cfg.model.student.get('inherit'))
    assert inherits == name.method.startswith(('inherit', 'stitch'))
    removed = {'KDLoss'} if 'nokd' in name.settings else set()
    wanted = METHODS[name.method]
    for word in name.settings & {*PARTS}:
        wanted = wanted - {'NDLoss'} | PARTS[word]
    if name.detector not in BOX_HEADS:
        own = QUERY_KD if name.detector == 'dino' else DENSE_KD
        wanted = set().union(*(own.get(loss, {loss}) for loss in wanted))
    assert losses == wanted - removed
    folder = name.data.replace('vocfolder', 'voc_folder')
    assert cfg.data_root == f'data/{folder}/'
    for split in ('train', 'val', 'test'):
        for dataset in leaf_datasets(cfg[f'{split}_dataloader'].dataset):
            assert dataset.data_root == cfg.data_root
    if name.data == 'coco':
        assert cfg.train_cfg.max_epochs == 12  # 1x goes without saying


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_config_is_what_its_name_says(path):
    name, cfg = parse(path.stem), read(str(path))
    check_content(cfg, name)
    check_hooks(cfg, name)
    if is_pair(cfg):
        check_control(path, cfg, name)
        check_teacher(cfg, name)
    first = path.read_text().splitlines()[0]
    assert re.match(r'"""\w.*\.("""$|$)', first), 'needs a docstring'


def check_control(path: Path, cfg: Config, name: Name) -> None:
    """The control is the student, and shares all else with the pair."""
    control = path.with_name(f'{name.control(name.networks[1])}.py')
    if not control.exists():  # the front door has it
        control = CONFIGS / control.name
    alone = read(str(control))
    assert networks_of(cfg)[1] == alone.model
    own = ('model', 'custom_hooks')
    rest, rest_alone = (
        {key: value for key, value in c.items() if key not in own}
        for c in (cfg, alone)
    )
    assert rest == rest_alone


def check_teacher(cfg: Config, name: Name) -> None:
    """The teacher's checkpoint is one of the teacher's config."""
    source, ckpt = cfg.model.teacher.cfg, cfg.model.teacher.ckpt
    if '::' in source:
        assert published(source).model_path == ckpt
        return
    alone = read(source)
    assert Path(source).stem == name.control(name.networks[0])
    assert networks_of(cfg)[0] == alone.model
    last = alone.train_cfg.max_epochs
    own = f'work_dirs/{Path(source).stem}/epoch_{last}.pth'
    assert ckpt == PUBLIC.get(name.networks[0], own)


def check_hooks(cfg: Config, name: Name) -> None:
    hooks = [HOOKS.build(hook) for hook in cfg.custom_hooks]
    types = [type(hook).__name__ for hook in hooks]
    assert {'RandomStateHook', 'NonFiniteHook'} <= set(types)
    of_pairs = ['TeacherCheckHook', 'CentroidHook', 'FeatureNormHook']
    if name.method in BY_FACTORS:
        of_factors = ['TeacherCheckHook', 'AutoEncoderHook']
        assert types[:3] == [*of_factors, 'FactorCosineHook']
    elif is_pair(cfg):
        assert types[:3] == of_pairs
        assert 'StitchHook' in types
    else:
        assert not set(types) & set(of_pairs)
    saver = HOOKS.build(cfg.default_hooks.checkpoint)
    assert type(saver).__name__ == 'SafeCheckpointHook'


def test_grammar_refuses_what_it_does_not_know():
    for wrong in (
        'xx_frcnn_r50_r18',
        'nd_yolo_r50_r18',
        'nd_frcnn_r50',
        'baseline_frcnn_r50_r18',
        'nd_frcnn_r50_r18_fast',
        'nd_frcnn_r50_r18_bccd_slim',
    ):
        with pytest.raises(AssertionError):
            parse(wrong)


@pytest.mark.parametrize('name', ['r18', 'r50', 'detection/r34'])
def test_torchvision_weights_fit_the_backbone(name):
    folder, _, network = name.rpartition('/')
    cfg = read(str(CONFIGS / folder / f'baseline_frcnn_{network}.py'))
    check_torchvision(cfg.model.backbone)


def check_torchvision(backbone: dict) -> None:
    import torchvision

    scheme, _, name = backbone.init_cfg.checkpoint.partition('://')
    assert scheme == 'torchvision'
    with torch.device('meta'):  # shapes alone
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
        ours = MODELS.build(dict(backbone, _scope_='mmdet')).state_dict()
    left = {'fc.weight', 'fc.bias'}
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in theirs.items() if k not in left
    }


# What the issue of new backbones promises, beside r18, r50 at the front door.
STUDENTS = ('r34', 'mv2', 'shufflenetv2', 'swint', 'convnextt', 'edgenext')
CHILDREN = [CONFIGS / f'detection/nd_frcnn_r101_{w}.py' for w in STUDENTS]


def own_lines(path: Path) -> int:
    """Count the lines of a config beside its docstring."""
    code = re.sub(r'^""".*?"""', '', path.read_text(), flags=re.S)
    return len([line for line in code.splitlines() if line.strip()])


@pytest.mark.parametrize('path', CHILDREN, ids=lambda path: path.stem)
def test_another_student_takes_eight_lines(path):
    control = path.with_name(f'baseline_frcnn_{path.stem.split("_")[-1]}.py')
    assert own_lines(path) <= 8
    if control.exists():
        assert own_lines(control) <= 8
    fronts = [f'nd_frcnn_r101_{word}.py' for word in ('r18', 'r50')]
    allowed = {'student', 'optim_wrapper', 'find_unused_parameters'}
    assert any(
        differing(read(str(path)), read(str(CONFIGS / front))) <= allowed
        for front in fronts
    )


def differing(cfg: Config, other: Config) -> set[str]:
    """The keys, of the model too, that two configs have not alike."""
    levels = (cfg, other), (cfg.model, other.model)
    return {
        key
        for ours, theirs in levels
        for key in {*ours} | {*theirs}
        if key != 'model' and ours.get(key) != theirs.get(key)
    }


@pytest.mark.parametrize(
    'network, source',
    [
        ('shufflenetv2', 'mmpretrain/.mim/configs/shufflenet_v2/metafile.yml'),
        (
            'swint',
            'mmdet/.mim/configs/swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py',
        ),
        (
            'convnextt',
            'mmdet/.mim/configs/convnext/'
            'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
        ),
    ],
)
def test_weights_are_published(network, source):
    cfg = read(str(CONFIGS / f'detection/baseline_frcnn_{network}.py'))
    package, _, file = source.partition('/')
    metafile = Path(find_spec(package).origin).parent.joinpath(file)
    address = cfg.model.backbone.init_cfg.checkpoint
    assert address in metafile.read_text().replace("'", ' ').split()


def test_timm_weights_expect_the_images_of_the_student():
    timm = pytest.importorskip('timm')
    model = read(str(CONFIGS / 'detection/baseline_frcnn_edgenext.py')).model
    facts = timm.get_pretrained_cfg(model.backbone.model_name)
    for name in ('mean', 'std'):
        ours = np.array(model.data_preprocessor[name]) / 255
        assert np.allclose(ours, getattr(facts, name), atol=1e-3)
    assert model.data_preprocessor.bgr_to_rgb


class Supplies:
    """Images, weights and class means for every config, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_root = f'{folder}/shapes/'
        make_shapes(self.data_root, num_train=2, num_val=1, image_size=64)
        # the same once more as COCO 2017: its file names, its class names
        annotations = folder / 'shapes/annotations'
        content = json.loads(
            (annotations / 'instances_train.json').read_text()
        )
        coco = ('person', 'car', 'dog', 'cat', 'chair', 'book', 'bird')
        for category, name in zip(content['categories'], coco, strict=True):
            category['name'] = name
        for note in content['annotations']:  # for detectors with masks
            x, y, w, h = note['bbox']
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            note['segmentation'] = [corners]
        coco_file = annotations / 'instances_train2017.json'
        coco_file.write_text(json.dumps(content))
        (folder / 'shapes/train2017').symlink_to('train')
        self.checkpoints: dict[str, str] = {}

    def checkpoint(self, cfg: Config) -> str:
        """Weights, drawn at random, of a config's teacher."""
        model_cfg, _ = read_spec(teacher_of(cfg), 'teacher')
        key = str(model_cfg)
        if key not in self.checkpoints:
            path = f'{self.folder}/teacher{len(self.checkpoints)}.pth'
            model = MODELS.build(model_cfg)
            meta = dict(dataset_meta=dict(classes=cfg.model.get('classes')))
            state = model.state_dict()
            torch.save(dict(meta=meta, state_dict=state), path)
            self.checkpoints[key] = path
        return self.checkpoints[key]

    def bank(self, rows: int, width: int) -> str:
        """Class means, drawn at random."""
        path = f'{self.folder}/bank_{rows}_{width}.npz'
        means = np.random.default_rng(0).random((rows, width), np.float32)
        names = tuple(f'class {row}' for row in range(rows))
        CentroidBank(means, np.ones(rows, np.int64), names).save(path)
        return path

    def voc(self) -> str:
        """The training images once more, in the folders of Pascal VOC."""
        root = self.folder / 'voc'
        content = json.loads(
            (
                self.folder / 'shapes/annotations/instances_train.json'
            ).read_text()
        )
        for year in (2007, 2012):
            folder = root / f'VOC{year}'
            for name in ('ImageSets/Main', 'Annotations'):
                (folder / name).mkdir(parents=True, exist_ok=True)
            images = folder / 'JPEGImages'
            images.mkdir(exist_ok=True)
            stems = []
            for image in content['images']:
                source = self.folder / 'shapes/train' / image['file_name']
                stems.append(source.stem)
                shutil.copy(source, images / f'{source.stem}.jpg')
                boxes = [
                    note['bbox']
                    for note in content['annotations']
                    if note['image_id'] == image['id']
                ]
                (folder / f'Annotations/{source.stem}.xml').write_text(
                    voc_annotation(image['width'], image['height'], boxes)
                )
            for split in ('trainval', 'test'):
                listed = folder / f'ImageSets/Main/{split}.txt'
                listed.write_text('\n'.join(stems))
        return f'{root}/'

    def load(self, path: Path, slim: bool) -> Config:
        """Read a config with what is not there replaced."""
        options = dict(data_root=self.data_root)
        of_voc = parse(path.stem).data.startswith('voc')
        if of_voc:
            options['data_root'] = self.voc()
        if path in SSD:
            loader = dict(batch_size=2, num_workers=0)
            loader['persistent_workers'] = False
            options |= {f'train_dataloader.{k}': v for k, v in loader.items()}
        elif slim:
            options['classes'] = ('cat',) if of_voc else SHAPES_CLASSES
            options['train_dataloader.dataset.pipeline.2.scale'] = (96, 96)
        else:  # small images of few boxes; else all but the widths is as is
            # an adaptor's batch norm needs two cells of the coarsest level
            side = 256 if path.stem.startswith('srrl_') else 128
            loader = dict(batch_size=1, num_workers=0)
            loader['persistent_workers'] = False
            if '_ms' in path.stem:
                loader['dataset.pipeline.2.scales'] = [(side, side)]
            else:
                loader['dataset.pipeline.2.scale'] = (side, side)
            options |= {f'train_dataloader.{k}': v for k, v in loader.items()}
        cfg = load_config(str(path), options)
        sides = ['model']
        if is_pair(cfg):
            sides = ['model.teacher', 'model.student']
        if not slim:
            for side, model in zip(sides, networks_of(cfg), strict=True):
                cfg.merge_from_dict({side: narrowing(model)})
        side = sides[-1]
        absent = {f'{side}.backbone.init_cfg': None}
        if not slim and '_frcnn_' in path.stem:
            absent[f'{side}.train_cfg.rcnn.sampler.num'] = 32
        if networks_of(cfg)[-1].backbone.get('pretrained'):
            pytest.importorskip('timm')
            del absent[f'{side}.backbone.init_cfg']
            absent[f'{side}.backbone.pretrained'] = False
        if is_pair(cfg):
            absent['model.teacher.ckpt'] = self.checkpoint(cfg)
            for name, distiller in cfg.model.distillers.items():
                if 'loss_bounded' in distiller.losses:
                    # an untrained teacher is no bound
                    key = f'model.distillers.{name}.losses.loss_bounded.margin'
                    absent[key] = 100.0
                if distiller.get('centroids'):
                    rows = len(SHAPES_CLASSES) if slim else 80
                    width = 64
                    if distiller.type == 'RoIDistiller':
                        rows += 1  # the background
                        width = 256
                    bank = self.bank(rows, width)
                    absent[f'model.distillers.{name}.centroids'] = bank
        cfg.merge_from_dict(absent)
        return cfg


# A quarter of every width makes a step of a large network cheap, while the
# parts have to fit as before; `check_content` has seen the whole widths.
BACKBONES = {
    'ResNet': dict(base_channels=16),
    'ResNeXt': dict(base_channels=16, base_width=1),
    'SwinTransformer': dict(embed_dims=24),
    'PyramidVisionTransformerV2': dict(embed_dims=8),
    'mmpretrain.ConvNeXt': dict(
        arch=dict(
            _delete_=True, depths=[3, 3, 9, 3], channels=[24, 48, 96, 192]
        )
    ),
}


def narrowing(model: dict) -> dict:
    """What to merge into a model so that it has a quarter of its widths."""
    parts = quarter(model)
    parts['backbone'] = copy.deepcopy(BACKBONES.get(model.backbone.type, {}))
    if not parts['backbone']:  # these keep their width
        del parts['neck']['in_channels']
    return parts


def voc_annotation(width: int, height: int, boxes: list) -> str:
    """An XML with cats; a box is x, y, width, height."""
    objects = ''.join(
        f'<object><name>cat</name><difficult>0</difficult><bndbox>'
        f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>'
        f'<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>'
        for x, y, w, h in boxes
    )
    return (
        f'<annotation><size><width>{width}</width><height>{height}</height>'
        f'<depth>3</depth></size>{objects}</annotation>'
    )


@pytest.fixture(scope='module')
def supplies():
    # not pytest's folder, which keeps the weights of three sessions
    with tempfile.TemporaryDirectory() as folder, teacher_kept():
        yield Supplies(Path(folder))


def check_step(cfg: Config) -> None:
    """Train one step as the config says and look at what it did."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    for distiller in getattr(model, 'distill', {}).values():
        if getattr(distiller, 'auto_encoder_file', None):
            distiller.set_auto_encoder(distiller.new_auto_encoder())
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        batch = next(iter(loader))
    inherited = getattr(model, 'inheritance', None)
    if inherited is not None and inherited.unstitched:
        inherited.stitch(model.student, [batch])
    before = {key: value.clone() for key, value in model.named_parameters()}
    # connectors too, which stand under `distill`
    parts = {key.removeprefix('student.').partition('.')[0] for key in before}
    idle = set()  # what no gradient reaches
    for key, value in model.named_parameters():
        if value.requires_grad:
            idle.add(key)
            value.register_hook(lambda _, key=key: idle.discard(key))
    logs = model.train_step(batch, optim_wrapper)
    task = {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'}
    if 'rpn_head' not in parts:
        task = {'loss_cls', 'loss_bbox'}
    assert task <= set(logs)
    distillers = cfg.model.distillers if is_pair(cfg) else {}
    wanted = {
        f'{name}.{loss}'
        for name, distiller in distillers.items()
        for loss in distiller.losses
    }
    # the losses of DINO's decoder layers have dots, too
    assert {k for k in logs if k.partition('.')[0] in distillers} == wanted
    for key, value in logs.items():
        assert torch.isfinite(value).all(), key
    for key in wanted:
        # what explores is to differ: its loss is the negative of a distance
        negative = key.endswith('loss_exp') and 'p' not in losses_at(cfg, key)
        assert (logs[key] < 0) if negative else (logs[key] > 0), key
    moved = set()
    for key, value in model.named_parameters():
        assert torch.isfinite(value).all(), key
        if not torch.equal(value, before[key]):
            moved.add(key.removeprefix('student.').partition('.')[0])
    assert moved == parts
    assert bool(idle) == cfg.get('find_unused_parameters', False), idle


def losses_at(cfg: Config, key: str) -> dict:
    distiller, _, loss = key.partition('.')
    return cfg.model.distillers[distiller].losses[loss]


SSD = [path for path in FILES if '_ssd300_' in path.stem]


def stepped() -> list[Path]:
    """The configs that train a step.

    Together they have each method with each detector, slim where there is
    such a config, since the file of a method is the same in both sizes, each
    pair of networks in both sizes, and each detector that reads VOC's files; a
    student takes its control's step in the pair, so that one control of each
    detector is enough.
    """
    chosen = []
    seen = set()
    for path in sorted(FILES, key=lambda p: not parse(p.stem).size):
        name = parse(path.stem)
        new = {(name.method, name.detector)}
        if name.method != 'baseline':
            new |= {(name.networks, bool(name.size), name.detector)}
            new |= {(name.detector, name.data.startswith('voc'))}
            new |= {name.settings - {'slim'}}
        elif path.parent != CONFIGS:
            continue
        if new - seen:
            chosen.append(path)
            seen |= new
    # one teacher's pairs after one another, see teacher_kept
    return sorted(chosen, key=lambda p: (*parse(p.stem)[1:3], p.parent.name))


@pytest.mark.parametrize('path', stepped(), ids=lambda path: path.stem)
def test_trains_a_step(path, supplies):
    name = parse(path.stem)
    slim = bool(name.size) or name.data == 'folder'
    check_step(supplies.load(path, slim))


SNIPPETS = {
    match[1]: match[2]
    for match in re.finditer(
        r'```python\n# configs/(\w+)\.py\n(.*?)```', PAGE.read_text(), re.S
    )
}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """A copy of the configs in which a reader has followed the page."""
    folder = tmp_path_factory.mktemp('page') / 'configs'
    shutil.copytree(CONFIGS, folder)
    for name, text in SNIPPETS.items():
        assert len(text.splitlines()) <= 8
        (folder / f'{name}.py').write_text(text)
    return folder


def test_page_has_its_examples():
    assert set(SNIPPETS) == {
        'nd_frcnn_r101_x50',
        'nd_frcnn_r101_pvtv2b0',
        'baseline_frcnn_x50',
    }
    assert PAGE.read_text().count('# configs/') == len(SNIPPETS)


def test_page_counts_the_parameters():
    row = r'^\| `(\w+)` .*\| ([\d.]+) M \|$'
    rows = dict(re.findall(row, PAGE.read_text(), re.M))
    assert set(rows) == {'r18', 'r50', *STUDENTS}
    for word, millions in rows.items():
        (file,) = CONFIGS.glob(f'**/baseline_frcnn_{word}.py')
        model = copy.deepcopy(read(str(file)).model)
        if model.backbone.get('pretrained'):
            pytest.importorskip('timm')
            model.backbone.pretrained = False
        parameters = MODELS.build(model).parameters()
        count = sum(value.numel() for value in parameters)
        assert f'{count / 1e6:.1f}' == millions, word


@pytest.mark.parametrize('name', SNIPPETS)
def test_page_example(name, written, supplies):
    path = written / f'{name}.py'
    check_content(load_config(str(path)), parse(name))
    check_step(supplies.load(path, slim=False))


def test_page_control_is_its_student(written):
    pair = load_config(str(written / 'nd_frcnn_r101_x50.py'))
    alone = load_config(str(written / 'baseline_frcnn_x50.py'))
    assert networks_of(pair)[1] == alone.model
    check_torchvision(alone.model.backbone)
