"""The page on heads: complete, and each head on it read or refused."""

import copy
import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS as MMDET
from mmdet.registry import TASK_UTILS
from mmengine.registry import init_default_scope
from tiny import NUM, build, losses_of

from kd_det.distillers import rehearsal
from kd_det.distillers.dense_head import probe_head
from kd_det.distillers.query_head import probe_queries
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_batch, tiny_detector, tiny_pair

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/user_guides/heads.md'
ROW = r'^\| `(\w+)` \| (read|refused|untested) \|(.*)\|$'
ROWS = {
    name: (how, why)
    for name, how, why in re.findall(ROW, PAGE.read_text(), re.M)
}
PLACES = (
    'mmdet.models.dense_heads',
    'mmdet.models.roi_heads',
    'mmdet.models.task_modules.samplers',
)


def shipped() -> set[str]:
    """Names of all heads and samplers of MMDetection."""
    importlib.import_module('mmdet.models')
    kinds = {**MMDET.module_dict, **TASK_UTILS.module_dict}
    return {
        name
        for name, kind in kinds.items()
        if kind.__module__.startswith(PLACES)
        and not re.search('mask_heads|shared_heads', kind.__module__)
        and re.search('Head$|Sampler$|Extractor$', name)
    }


def test_the_page_lists_all_that_mmdetection_ships():
    listed = re.findall(ROW, PAGE.read_text(), re.M)
    assert len(listed) == len(ROWS)
    assert {*ROWS} == shipped()


WITH_MASKS = SimpleNamespace(with_mask=True)
NORM = dict(norm_cfg=dict(type='GN', num_groups=4))
MASKS = dict(mask_head=dict(mask_feature_head=dict(in_channels=16)))
RETINA = 'retinanet/retinanet_r50_fpn_1x_coco'


def narrow(cfg, **head):
    """A dense head of 16 channels."""
    model = tiny_detector('retinanet', 18, NUM)
    model['bbox_head'].update(copy.deepcopy(head))
    return dict(model, cfg=f'mmdet::{cfg}.py')


def bare(cfg, **changes):
    """A narrow backbone before a neck and heads of the full width."""
    model = tiny_detector('retinanet', 18, NUM)
    own = dict(
        cfg=f'mmdet::{cfg}.py',
        num_classes=NUM,
        backbone=model['backbone'],
        neck=dict(in_channels=model['neck']['in_channels']),
    )
    return own | changes


def rtmdet_ins():
    model = tiny_detector('rtmdet', 18, NUM)
    del model['bbox_head']['exp_on_reg']
    return dict(model, cfg='mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py')


DENSE = {
    'ATSSHead': narrow('atss/atss_r50_fpn_1x_coco', **NORM),
    'BoxInstBboxHead': dict(
        narrow('boxinst/boxinst_r50_fpn_ms-90k_coco', **NORM), **MASKS
    ),
    'CondInstBboxHead': dict(
        narrow('condinst/condinst_r50_fpn_ms-poly-90k_coco_instance', **NORM),
        **MASKS,
    ),
    'DDODHead': narrow('ddod/ddod_r50_fpn_1x_coco', **NORM),
    'FCOSHead': narrow('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', **NORM),
    'FSAFHead': narrow('fsaf/fsaf_r50_fpn_1x_coco'),
    'FoveaHead': narrow('foveabox/fovea_r50_fpn_4xb4-1x_coco'),
    'GFLHead': narrow('gfl/gfl_r50_fpn_1x_coco', **NORM),
    'NASFCOSHead': narrow(
        'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco', **NORM
    ),
    'RTMDetInsSepBNHead': rtmdet_ins(),
    'RTMDetSepBNHead': tiny_detector('rtmdet', 18, NUM),
    'RepPointsHead': narrow(
        'reppoints/reppoints-moment_r50_fpn_1x_coco', point_feat_channels=16
    ),
    'RetinaHead': narrow(RETINA),
    'RetinaSepBNHead': narrow(RETINA, type='RetinaSepBNHead', num_ins=5),
    'YOLOFHead': bare(
        'yolof/yolof_r50-c5_8xb8-1x_coco',
        neck=dict(in_channels=64, out_channels=16, block_mid_channels=16),
        bbox_head=dict(in_channels=16),
    ),
    'YOLOXHead': dict(
        cfg='mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
        num_classes=NUM,
        data_preprocessor=dict(batch_augments=None),
        backbone=dict(widen_factor=0.125),
        neck=dict(in_channels=[32, 64, 128], out_channels=16),
        bbox_head=dict(in_channels=16, feat_channels=16),
    ),
}


@pytest.fixture
def lines(monkeypatch):
    told = []
    monkeypatch.setattr(
        rehearsal, 'print_log', lambda text, *_, **__: told.append(text)
    )
    return told


def named(how, *sections):
    text = PAGE.read_text()
    parts = re.split(r'^## (.+)$', text, flags=re.M)
    own = dict(zip(parts[1::2], parts[2::2]))
    found = re.findall(ROW, ''.join(own[title] for title in sections), re.M)
    return {name for name, state, _ in found if state == how}


def test_each_dense_head_that_is_read_is_tried():
    assert {*DENSE} == named('read', 'Dense heads')


@pytest.mark.parametrize('name', DENSE)
def test_dense_heads_that_are_read(tmp_path, name, lines):
    losses = dict(loss_kd=dict(type='DenseKDLoss'))
    model = build(
        tiny_pair(
            tmp_path,
            student=copy.deepcopy(DENSE[name]),
            teacher=copy.deepcopy(DENSE[name]),
            num_classes=NUM,
            distillers=dict(d=dict(type='DenseDistiller', losses=losses)),
        )
    )
    assert type(model.student.bbox_head).__name__ == name
    assert bool(lines) == (name == 'RTMDetInsSepBNHead')
    if name == 'BoxInstBboxHead':
        return  # its mask loss wants colours that a pipeline prepares
    masks = WITH_MASKS if 'Inst' in name or 'Ins' in name else model
    batch = tiny_batch(masks, size=(64, 64), num_classes=NUM)
    assert losses_of(model, batch)['d.loss_kd'].isfinite()


ROI = {
    'sabl/sabl-faster-rcnn_r50_fpn_1x_coco': 'SABLHead',
    'grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco': 'GridRoIHead',
    'ms_rcnn/ms-rcnn_r50_fpn_1x_coco': 'MaskScoringRoIHead',
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco': 'PointRendRoIHead',
    'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco': 'CombinedSampler',
    'groie/faste-rcnn_r50_fpn_groie_1x_coco': 'GenericRoIExtractor',
    'scnet/scnet_r50_fpn_1x_coco': 'SCNetRoIHead',
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco': 'Shared4Conv1FCBBoxHead',
}


@pytest.mark.parametrize('cfg', ROI)
def test_box_heads_that_are_read(tmp_path, cfg, lines):
    """A copy of the student trains on noise, and the distiller reads it."""
    student = bare(cfg)
    if 'libra' in cfg:  # a list, which is replaced as a whole
        fpn = dict(type='FPN', out_channels=256, num_outs=5, **student['neck'])
        bfp = dict(type='BFP', in_channels=256, num_levels=5, refine_level=2)
        student['neck'] = [fpn, bfp]
    if ROI[cfg] == 'Shared4Conv1FCBBoxHead':
        student['roi_head'] = dict(bbox_head=dict(type=ROI[cfg]))
    elif not re.search(
        'sabl|scnet', cfg
    ):  # which have no such layer, or three
        student['roi_head'] = dict(bbox_head=dict(fc_out_channels=32))
    linear = dict(student_embed=dict(type='LinearAdaptor'))
    family = 'cascade_rcnn' if 'scnet' in cfg else 'faster_rcnn'
    model = build(
        tiny_pair(
            tmp_path,
            student=student,
            teacher=family,
            num_classes=NUM,
            distiller=dict(
                losses=dict(
                    loss_kd=dict(type='KDLoss'),
                    loss_norm=dict(type='NormLoss'),
                ),
                connectors=linear,
            ),
        )
    )
    assert bool(lines) == ('scnet' in cfg)  # which cannot do without masks
    parts = {type(module).__name__ for module in model.student.modules()}
    parts.add(type(model.student.roi_head.bbox_sampler).__name__)
    assert ROI[cfg] in parts


WITHOUT_MAPS = {
    'CenterNetHead': 'centernet/centernet_r18_8xb16-crop512-140e_coco',
    'CentripetalHead': (
        'centripetalnet/'
        'centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco'
    ),
    'ConditionalDETRHead': (
        'conditional_detr/conditional-detr_r50_8xb2-50e_coco'
    ),
    'CornerHead': ('cornernet/cornernet_hourglass104_32xb3-210e-mstest_coco'),
    'DABDETRHead': 'dab_detr/dab-detr_r50_8xb2-50e_coco',
    'DDQDETRHead': 'ddq/ddq-detr-4scale_r50_8xb2-12e_coco',
    'DETRHead': 'detr/detr_r50_8xb2-150e_coco',
    'DINOHead': 'dino/dino-4scale_r50_8xb2-12e_coco',
    'DeformableDETRHead': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    'GARetinaHead': 'guided_anchoring/ga-retinanet_r50_fpn_1x_coco',
    'SABLRetinaHead': 'sabl/sabl-retinanet_r50_fpn_1x_coco',
}


@pytest.mark.parametrize('name', WITHOUT_MAPS)
def test_heads_without_class_maps(name):
    """Refused before a network is run: these have no weights here."""
    assert name not in DENSE
    init_default_scope('mmdet')
    spec = dict(cfg=f'mmdet::{WITHOUT_MAPS[name]}.py')
    with torch.device('meta'):
        model = MODELS.build(read_spec(spec, 'student')[0])
    assert type(model.bbox_head).__name__ == name
    with pytest.raises(UserError, match='has none'):
        probe_head(model, 'student')


def detr(cfg, family='detr'):
    return dict(tiny_detector(family, 18, NUM), cfg=f'mmdet::{cfg}.py')


FFN = dict(ffn_cfg=dict(feedforward_channels=16))
CONDITIONAL = 'conditional_detr/conditional-detr_r50_8xb2-50e_coco'
DDQ = 'ddq/ddq-detr-4scale_r50_8xb2-12e_coco'
QUERIES = {
    'ConditionalDETRHead': bare(  # its positions are 256 wide
        CONDITIONAL,
        num_queries=10,
        neck=dict(in_channels=[64]),
        encoder=dict(num_layers=1, layer_cfg=dict(FFN)),
        decoder=dict(num_layers=1, layer_cfg=dict(FFN)),
        test_cfg=dict(max_per_img=10),
    ),
    'DABDETRHead': detr('dab_detr/dab-detr_r50_8xb2-50e_coco'),
    'DETRHead': tiny_detector('detr', 18, NUM),
    'DINOHead': tiny_detector('dino', 18, NUM),
    'DeformableDETRHead': tiny_detector('deformable_detr', 18, NUM),
}


def pair_of_queries(folder, spec):
    losses = dict(loss_kd=dict(type='QueryKDLoss'))
    return build(
        tiny_pair(
            folder,
            student=copy.deepcopy(spec),
            teacher=copy.deepcopy(spec),
            distillers=dict(q=dict(type='QueryDistiller', losses=losses)),
        )
    )


def test_each_head_of_queries_that_is_read_is_tried():
    assert {*QUERIES} == named('read', 'Heads of queries')


@pytest.mark.parametrize('name', ['ConditionalDETRHead', 'DABDETRHead'])
def test_heads_of_queries_that_are_read(tmp_path, name, lines):
    """The others are in test_query.py."""
    model = pair_of_queries(tmp_path, QUERIES[name])
    assert type(model.student.bbox_head).__name__ == name and not lines
    batch = tiny_batch(model, size=(64, 64), num_classes=NUM)
    assert losses_of(model, batch)['q.loss_kd'].isfinite()


def test_heads_of_queries_that_are_refused(tmp_path):
    assert ROWS['DDQDETRHead'][0] == ROWS['GroundingDINOHead'][0] == 'refused'
    with pytest.raises(UserError, match='DDQDETRHead does not pass the logi'):
        pair_of_queries(tmp_path, detr(DDQ, 'dino'))
    head = MMDET.get('GroundingDINOHead')
    forward_transformer = bbox_head = object.__new__(head)
    network = SimpleNamespace(
        bbox_head=bbox_head, forward_transformer=forward_transformer
    )
    with pytest.raises(UserError, match='also needs memory_text and text_to'):
        probe_queries(network, 'student')


SOFTMAX = 'softmax with a background class'
MAPS = {
    'SSDHead': ('ssd/ssd300_coco', SOFTMAX),
    'YOLACTHead': ('yolact/yolact_r50_1xb8-55e_coco', SOFTMAX),
    'YOLOV3Head': ('yolo/yolov3_d53_8xb8-320-273e_coco', 'one map'),
}


@pytest.mark.parametrize('name', MAPS)
def test_heads_with_other_maps(name):
    cfg, message = MAPS[name]
    assert ROWS[name][0] == 'refused'
    init_default_scope('mmdet')
    spec = dict(cfg=f'mmdet::{cfg}.py', backbone=dict(init_cfg=None))
    model = MODELS.build(read_spec(spec, 'student')[0])
    with pytest.raises(UserError, match=message):
        probe_head(model, 'student')
