"""Logits of RoI cells, for SDD on box heads."""

import inspect

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from kd_det.batch_norm import statistics_kept
from kd_det.errors import UserError
from kd_det.functional import region_pool

# Ways to compute the box head's input for a cell; see RoIDistiller.
CELLS = ('align', 'pool', 'gap')


def check_cells(cells: str, heads: dict[str, nn.Module]) -> None:
    """Raise if the box heads do not support a way of computing cells.

    Args:
        cells: One of ``CELLS``.
        heads: ``'student'``, ``'teacher'`` -> box head.
    """
    for side, head in heads.items():
        inputs = inspect.signature(head.forward).parameters.values()
        needed = [p.name for p in inputs if p.default is p.empty]
        if len(needed) > 1:
            raise UserError(
                f"RoIDistiller: the {side}'s {type(head).__name__} needs "
                f'{" and ".join(needed)}, and a cell gives only one input; '
                'use losses without regional logits, such as KDLoss.'
            )
        pooled = getattr(head, 'with_avg_pool', False)
        if (cells == 'gap') == pooled:
            continue
        fits = "'gap'" if pooled else "'align' or 'pool'"
        raise UserError(
            f"RoIDistiller: cells={cells!r} does not fit the {side}'s "
            f'{type(head).__name__}, which '
            f'{"ends" if pooled else "does not end"} in global average '
            f'pooling; use cells={fits}, and the same kind of head in both '
            'networks.'
        )


def cells_of_rois(
    cells: str,
    scales: tuple[int, ...],
    roi_head: nn.Module,
    parts: tuple[nn.Module, nn.Module],
    feats: tuple[Tensor, ...],
    rois: Tensor,
    foreground: Tensor,
    logits: Tensor,
    maps: Tensor | None,
) -> Tensor:
    """Return the class logits of RoIs and of the cells of foreground RoIs.

    Args:
        cells: Way to compute cells, one of ``CELLS``.
        scales: Grid sizes; the first is 1.
        roi_head: RoI head of the network.
        parts: RoI extractor and box head to use.
        feats: Feature maps of the network.
        rois: RoIs (N, 5).
        foreground: Mask of foreground RoIs, (N,).
        logits: Logits of the whole RoIs, (N, K), the first region.
        maps: Input of the head's pooling with ``cells='gap'``, (N, C, H, W).

    Returns:
        Logits (N, K, R), cells row by row; 0 for cells of background RoIs.
    """
    if cells == 'gap':
        fine = region_pool(maps, scales).transpose(1, 2)[:, 1:]
        fine = parts[1].fc_cls(fine).transpose(1, 2)
        fine = torch.where(foreground[:, None, None], fine, 0.0)
        return torch.cat([logits[..., None], fine], dim=2)
    rows = foreground.nonzero()[:, 0]
    regions = [logits[..., None]]
    for scale in scales[1:]:
        own = _through_head(cells, scale, roi_head, parts, feats, rois[rows])
        every = own.new_zeros(len(rois), *own.shape[1:])
        regions.append(every.index_copy(0, rows, own))
    return torch.cat(regions, dim=2)


def _through_head(
    cells: str,
    scale: int,
    roi_head: nn.Module,
    parts: tuple[nn.Module, nn.Module],
    feats: tuple[Tensor, ...],
    rois: Tensor,
) -> Tensor:
    extractor, head = parts
    fine = scale if cells == 'align' else 1
    maps = _extract(extractor, feats, rois, fine)
    if cells == 'align':
        # (N, C, s h, s w) -> (N s s, C, h, w)
        maps = maps.unflatten(2, (scale, -1)).unflatten(4, (scale, -1))
        maps = maps.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    else:
        size = maps.shape[2:]
        maps = adaptive_avg_pool2d(maps, scale).flatten(2).transpose(1, 2)
        maps = maps.flatten(0, 1)[..., None, None].expand(-1, -1, *size)
    with statistics_kept(roi_head):
        if roi_head.with_shared_head:
            maps = roi_head.shared_head(maps)
        logits = head(maps)[0]
    shape = len(rois), scale**2, logits.shape[1]
    return logits.reshape(shape).transpose(1, 2)


def _extract(
    extractor: nn.Module, feats: tuple[Tensor, ...], rois: Tensor, times: int
) -> Tensor:
    """Return RoI features with ``times`` the number of bins per side.

    The pyramid level is that of the whole RoI, not of its parts.
    """
    sizes = [layer.output_size for layer in extractor.roi_layers]
    try:
        for layer, size in zip(extractor.roi_layers, sizes):
            layer.output_size = tuple(side * times for side in size)
        return extractor(feats[: extractor.num_inputs], rois)
    finally:
        for layer, size in zip(extractor.roi_layers, sizes):
            layer.output_size = size
