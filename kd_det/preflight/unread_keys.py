"""Find misspelt keys in the parts of a config that nobody builds.

MMDetection and MMEngine read these dicts key by key and ignore the others,
unlike the arguments of a type, of which an unknown one is an error.
"""

import difflib
from collections.abc import Iterator
from os.path import commonprefix

from mmengine.config import Config

from kd_det.config import specs_that_train
from kd_det.errors import UserError
from kd_det.models.spec import read_spec

# what MMDetection 3 and MMPretrain read of train_cfg and test_cfg
OF_NETWORKS = frozenset(
    """
    add_gt_as_proposals allowed_border alpha assigner async_sleep_interval
    augments beta beta_topk bias binary_input box_format carl center_radius
    center_ratio chunked_size class_agnostic cls_pseudo_thr conf_thr
    corner_topk debug distance_threshold dynamic dynamic_rcnn eps
    filter_low_score filter_thr floor_fraction floor_thr fp16 freeze_teacher
    ga_assigner ga_sampler gt_max_assign_all ignore_iof_thr ignore_ratio
    importance_sample_ratio init initial_assigner initial_beta initial_epoch
    initial_iou instance_on iou_calculator iou_mode iou_thr iou_threshold
    iou_topk isr jitter_scale jitter_times k kernel local_maximum_kernel
    mask_overlap mask_size mask_thr mask_thr_binary match_costs
    match_low_quality max_num max_num_grid max_per_image max_per_img
    max_text_len method min_bbox_size min_pos_iof min_pos_iou
    min_pseudo_bbox_wh neg_ignore_thr neg_iou_thr neg_pos_ratio neg_pos_ub
    neg_sampler neg_scale nms nms_across_levels nms_cfg nms_post nms_pre
    nms_thr num num_bins num_classes num_points object_mask_thr
    oversample_ratio panoptic panoptic_on perm_range perm_repeat_gt_cfg
    pos_fraction pos_ignore_thr pos_iou_thr pos_num pos_radius pos_sampler
    pos_scale pos_weight pred_act prob probs pseudo_label_initial_score_thr
    rcnn refine reg_assigner reg_pseudo_thr rpn rpn_proposal rpn_pseudo_thr
    sampler scale scale_factor score_thr score_voting semantic_on sigma
    smoothl1_beta stuff_area_limit subdivision_num_points subdivision_steps
    sup_weight top_k topk type unsup_weight update_iter_interval
    upsample_kernel use_sigmoid weight
    """.split()
)
# what MMCV's NMS takes besides; an unknown key fails in the validation only
OF_NMS = OF_NETWORKS | {'min_score', 'offset', 'score_threshold', 'split_thr'}
OF_DATA = dict(
    filter_cfg=frozenset(['filter_empty_gt', 'min_size', 'bbox_min_size']),
    metainfo=frozenset(['classes', 'palette', 'dataset_type', 'task_name']),
)
ENV = frozenset(
    ['cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit', 'seed']
)


def check_unread(cfg: Config) -> None:
    """Raise if a key that nothing reads looks like one that is read.

    Args:
        cfg: The run's config; one with ``custom_imports`` may read any key.

    Raises:
        UserError: Naming the first such key.
    """
    if cfg.get('custom_imports'):
        return
    for spec in specs_that_train(cfg.model) or [cfg.model]:
        network = read_spec(spec, 'student')[0]
        for key in ('train_cfg', 'test_cfg'):
            _check(network.get(key), key, OF_NETWORKS)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        place = f'{split}_dataloader.dataset'
        for where, part in _parts(loader.get('dataset'), place):
            for key, known in OF_DATA.items():
                _check_keys(part.get(key), f'{where}.{key}', known)
    _check_keys(cfg.get('env_cfg'), 'env_cfg', ENV)


def _parts(dataset: object, place: str) -> Iterator[tuple[str, dict]]:
    """Yield a data set and those inside it, each with its place."""
    if isinstance(dataset, (list, tuple)):
        for index, part in enumerate(dataset):
            yield from _parts(part, f'{place}.{index}')
    elif isinstance(dataset, dict):
        yield place, dataset
        for key in ('dataset', 'datasets'):
            yield from _parts(dataset.get(key), f'{place}.{key}')


def _check(cfg: object, place: str, known: frozenset[str]) -> None:
    """Check a dict and those inside it, but for what is built of a type."""
    if isinstance(cfg, (list, tuple)):
        for index, part in enumerate(cfg):
            _check(part, f'{place}.{index}', known)
    elif isinstance(cfg, dict):
        if place.rpartition('.')[2].startswith('nms'):
            known = OF_NMS
        elif 'type' in cfg:
            return
        _check_keys(cfg, place, known)
        for key, part in cfg.items():
            _check(part, f'{place}.{key}', known)


def _check_keys(cfg: object, place: str, known: frozenset[str]) -> None:
    for key in cfg if isinstance(cfg, dict) else ():
        if key in known or not isinstance(key, str) or key.startswith('_'):
            continue
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.7)
        if near:
            meant = max(near, key=lambda name: len(commonprefix([key, name])))
            raise UserError(
                f'{place}.{key}={cfg[key]!r}: nothing reads {key!r}; write '
                f'{meant!r}, or remove it.'
            )
