"""Tiny MMDetection detectors of every supported family."""

import copy
from collections.abc import Callable

from kd_det.errors import UserError, nearest

BASE = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
WIDTH = 16  # channels of the pyramid and all heads
STAGES = (
    '0',
    '1',
    '2',
)  # stages of a cascade, as keys that are merged into a list


def tiny_detector(
    family: str = 'faster_rcnn',
    depth: int = 18,
    num_classes: int = 6,
    base_channels: int = 8,
) -> dict:
    """Return the spec of a tiny detector.

    It is MMDetection's config of that family with a narrow backbone, 16
    channels in the pyramid and heads, few layers and few proposals. Module
    names and the number of levels are those of the full-size network. Nothing
    is pretrained, and batch norm is in eval mode as in the full-size network.

    Args:
        family: One of ``FAMILIES``.
        depth: Depth of the ResNet; from 50 on its feature maps have four times
            the channels. RTMDet's CSPNeXt has twice the channels at the same
            depth.
        num_classes: Number of classes, without background.
        base_channels: Channels of the first stage, a multiple of 8.

    Returns:
        ``dict(cfg=..., **overrides)`` for ``DistillModel``.

    Raises:
        UserError: The family is unknown.
    """
    if family not in FAMILIES:
        raise UserError(
            f'family={family!r} is not a tiny detector; accepted are '
            f'{", ".join(FAMILIES)}{nearest(str(family), FAMILIES)}'
        )
    return dict(
        FAMILIES[family](depth, base_channels), num_classes=num_classes
    )


def tiny_faster_rcnn(
    depth: int = 18,
    num_classes: int = 6,
    base_channels: int = 8,
    num_rois: int = 16,
) -> dict:
    """Return the spec of a tiny Faster R-CNN.

    Args:
        depth: Depth of the ResNet.
        num_classes: Number of classes, without background.
        base_channels: Channels of the first stage.
        num_rois: Sampled RoIs per image.

    Returns:
        ``dict(cfg=..., **overrides)`` for ``DistillModel``.
    """
    spec = tiny_detector('faster_rcnn', depth, num_classes, base_channels)
    spec['train_cfg']['rcnn']['sampler']['num'] = num_rois
    return spec


def _resnet(depth: int, base_channels: int) -> dict:
    """Return backbone and neck with matching channels."""
    expansion = 1 if depth < 50 else 4
    stages = [base_channels * expansion * 2**i for i in range(4)]
    return dict(
        backbone=dict(
            depth=depth,
            base_channels=base_channels,
            frozen_stages=-1,
            norm_eval=True,
            init_cfg=None,
        ),
        neck=dict(in_channels=stages, out_channels=WIDTH),
    )


def _two_stage(depth: int, base_channels: int) -> dict:
    return dict(
        _resnet(depth, base_channels),
        rpn_head=dict(in_channels=WIDTH, feat_channels=WIDTH),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=WIDTH), bbox_head=_box_head()
        ),
        train_cfg=dict(
            rpn_proposal=dict(nms_pre=100, max_per_img=50),
            rcnn=dict(sampler=dict(num=16)),
        ),
        test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50)),
    )


def _box_head() -> dict:
    return dict(in_channels=WIDTH, fc_out_channels=2 * WIDTH)


def _faster_rcnn(depth: int, base_channels: int) -> dict:
    return dict(_two_stage(depth, base_channels), cfg=BASE)


def _cascade_rcnn(depth: int, base_channels: int) -> dict:
    spec = _two_stage(depth, base_channels)
    rcnn = spec['train_cfg']['rcnn']
    spec['train_cfg']['rcnn'] = {
        stage: copy.deepcopy(rcnn) for stage in STAGES
    }
    heads = {stage: _box_head() for stage in STAGES}
    spec['roi_head']['bbox_head'] = heads
    return dict(
        spec, cfg='mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
    )


def _mask_rcnn(depth: int, base_channels: int) -> dict:
    spec = _two_stage(depth, base_channels)
    spec['roi_head'].update(
        mask_roi_extractor=dict(out_channels=WIDTH),
        mask_head=dict(
            num_convs=1, in_channels=WIDTH, conv_out_channels=WIDTH
        ),
    )
    return dict(spec, cfg='mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')


def _double_head(depth: int, base_channels: int) -> dict:
    spec = _two_stage(depth, base_channels)
    spec['roi_head']['bbox_head'].update(
        num_convs=1, conv_out_channels=2 * WIDTH
    )
    return dict(
        spec, cfg='mmdet::double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py'
    )


def _dense(cfg: str, **head) -> Callable[[int, int], dict]:
    """Return the function for a family of one-stage detectors."""

    def spec(depth: int, base_channels: int) -> dict:
        return dict(
            _resnet(depth, base_channels),
            cfg=cfg,
            bbox_head=dict(
                in_channels=WIDTH,
                feat_channels=WIDTH,
                stacked_convs=2,
                **copy.deepcopy(head),
            ),
        )

    return spec


def _rtmdet(depth: int, base_channels: int) -> dict:
    width = base_channels * (1 if depth < 50 else 2)

    def norm() -> dict:  # SyncBN does not support several CPU processes
        return dict(type='BN')

    return dict(
        cfg='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        # CSPNeXt has 64 channels at factor 1 and doubles them in each stage
        backbone=dict(widen_factor=width / 64, init_cfg=None, norm_cfg=norm()),
        neck=dict(
            in_channels=[4 * width, 8 * width, 16 * width],
            out_channels=WIDTH,
            norm_cfg=norm(),
        ),
        # exp_on_reg as in the large versions: otherwise the boxes of random
        # weights are empty, and the box loss is 0
        bbox_head=dict(
            in_channels=WIDTH,
            feat_channels=WIDTH,
            norm_cfg=norm(),
            exp_on_reg=True,
        ),
    )


def _detr(depth: int, base_channels: int) -> dict:
    spec = _resnet(depth, base_channels)
    last = spec['neck']['in_channels'][-1:]
    attention = dict(embed_dims=WIDTH, num_heads=2)
    ffn = dict(embed_dims=WIDTH, feedforward_channels=2 * WIDTH)
    encoder = dict(self_attn_cfg=attention, ffn_cfg=ffn)
    decoder = copy.deepcopy(dict(encoder, cross_attn_cfg=dict(attention)))
    return dict(
        spec,
        cfg='mmdet::detr/detr_r50_8xb2-150e_coco.py',
        num_queries=10,
        neck=dict(in_channels=last, out_channels=WIDTH),
        encoder=dict(num_layers=2, layer_cfg=encoder),
        decoder=dict(num_layers=2, layer_cfg=decoder),
        positional_encoding=dict(num_feats=WIDTH // 2),
        bbox_head=dict(embed_dims=WIDTH),
        test_cfg=dict(max_per_img=10),
    )


def _deformable(cfg: str) -> Callable[[int, int], dict]:
    """Return the function for a family with deformable attention."""

    def attention() -> dict:
        return dict(embed_dims=WIDTH, num_heads=2)

    def layer() -> dict:
        return dict(
            self_attn_cfg=attention(),
            ffn_cfg=dict(embed_dims=WIDTH, feedforward_channels=2 * WIDTH),
        )

    def spec(depth: int, base_channels: int) -> dict:
        resnet = _resnet(depth, base_channels)
        return dict(
            resnet,
            cfg=cfg,
            num_queries=10,
            neck=dict(
                in_channels=resnet['neck']['in_channels'][1:],
                out_channels=WIDTH,
                norm_cfg=dict(GROUPS),
            ),
            encoder=dict(num_layers=1, layer_cfg=layer()),
            decoder=dict(
                num_layers=2,
                layer_cfg=dict(layer(), cross_attn_cfg=attention()),
            ),
            positional_encoding=dict(num_feats=WIDTH // 2),
            bbox_head=dict(embed_dims=WIDTH),
            test_cfg=dict(max_per_img=10),
        )

    return spec


GROUPS = dict(type='GN', num_groups=4)  # the original heads use 32

#: Family name -> function that returns its spec.
FAMILIES: dict[str, Callable[[int, int], dict]] = {
    'faster_rcnn': _faster_rcnn,
    'cascade_rcnn': _cascade_rcnn,
    'mask_rcnn': _mask_rcnn,
    'double_head': _double_head,
    'retinanet': _dense('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'),
    'fcos': _dense(
        'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', norm_cfg=GROUPS
    ),
    'atss': _dense('mmdet::atss/atss_r50_fpn_1x_coco.py', norm_cfg=GROUPS),
    'gfl': _dense('mmdet::gfl/gfl_r50_fpn_1x_coco.py', norm_cfg=GROUPS),
    'rtmdet': _rtmdet,
    'detr': _detr,
    'deformable_detr': _deformable(
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
    ),
    'dino': _deformable('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'),
}
