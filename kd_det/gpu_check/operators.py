"""Compare MMCV's operators on a device with the CPU."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kd_det import random_state
from kd_det.gpu_check.losses import distance
from kd_det.gpu_check.rows import Row, judged

LIMIT = 1e-4  # relative to the largest entry, in float32


def check_operators(device: torch.device) -> Iterator[Row]:
    """Yield one row for the operators used by detectors."""
    # imported here: kd_det.registry provides the operators
    from mmcv import ops

    ours = ops.get_compiler_version().startswith('none')
    errors, without = {}, []
    for name, operator in _operators(ops).items():
        try:
            expected = operator(torch.device('cpu'))
        except RuntimeError:
            if ours:
                raise
            without.append(name)
            continue
        pairs = zip(operator(device), expected, strict=True)
        errors[name] = max(distance(*pair) for pair in pairs)
    row = judged(
        f'operators, {"on torchvision" if ours else "compiled"}', errors, LIMIT
    )
    if without:
        row.result += f'; MMCV has no CPU version of {", ".join(without)}'
    yield row


def _operators(ops) -> dict[str, Callable[[torch.device], list[Tensor]]]:
    """Return name -> function that runs the operator on a device."""
    draw = torch.Generator().manual_seed(0)
    feats = torch.randn(2, 8, 20, 24, generator=draw)
    corner = torch.rand(40, 2, generator=draw) * 120
    side = 10 + torch.rand(40, 2, generator=draw) * 60
    boxes = torch.cat([corner, corner + side], dim=1)
    scores = torch.rand(40, generator=draw)
    image = torch.arange(40)[:, None] % 2
    rois = torch.cat([image, boxes], dim=1)
    offset = torch.randn(2, 18, 20, 24, generator=draw)
    mask = torch.rand(2, 9, 20, 24, generator=draw)
    weight = torch.randn(6, 8, 3, 3, generator=draw)
    logits = torch.randn(30, 5, generator=draw)
    labels = torch.arange(30) % 6  # the last is background
    queries = torch.randn(48, 1, 16, generator=draw)
    points = torch.rand(1, 48, 2, 2, generator=draw)

    def attention(queries: Tensor, points: Tensor) -> Tensor:
        with random_state.isolated():
            random_state.seed_all(0)
            layer = ops.MultiScaleDeformableAttention(
                16, num_heads=2, num_levels=2, num_points=2, dropout=0
            )
            layer.init_weights()
        # its initial weights do not depend on the query
        torch.nn.init.eye_(layer.sampling_offsets.weight)
        shapes = torch.tensor([[6, 6], [3, 4]], device=queries.device)
        return layer.to(queries.device)(
            queries,
            value=queries,
            reference_points=points,
            spatial_shapes=shapes,
            level_start_index=shapes.new_tensor([0, 36]),
        )

    return dict(
        nms=_on(lambda b, s: ops.nms(b, s, 0.5), boxes, scores, graded=False),
        batched_nms=_on(
            lambda b, s, i: ops.batched_nms(b, s, i, dict(iou_threshold=0.5)),
            *(boxes, scores, image[:, 0]),
            graded=False,
        ),
        soft_nms=_on(
            lambda b, s: ops.soft_nms(b, s), boxes, scores, graded=False
        ),
        roi_align=_on(lambda x, r: ops.roi_align(x, r, 7, 0.1), feats, rois),
        roi_pool=_on(lambda x, r: ops.roi_pool(x, r, 7, 0.1), feats, rois),
        deform_conv=_on(
            lambda x, o, w: ops.deform_conv2d(x, o, w, 1, 1),
            *(feats, offset, weight),
        ),
        modulated_deform_conv=_on(
            lambda x, o, m, w: ops.modulated_deform_conv2d(
                x, o, m, w, None, 1, 1
            ),
            *(feats, offset, mask, weight),
        ),
        sigmoid_focal_loss=_on(
            lambda x, y: ops.sigmoid_focal_loss(x, y, 2.0, 0.25, None, 'none'),
            *(logits, labels.clamp(max=5)),
        ),
        softmax_focal_loss=_on(
            lambda x, y: ops.softmax_focal_loss(x, y, 2.0, 0.25, None, 'sum'),
            *(logits, labels.clamp(max=4)),
        ),
        deformable_attention=_on(attention, queries, points),
    )


def _on(
    operator: Callable, *inputs: Tensor, graded: bool = True
) -> Callable[[torch.device], list[Tensor]]:
    """Return a function for an operator's results and gradients, if any."""

    def run(device: torch.device) -> list[Tensor]:
        own = [x.detach().to(device, copy=True) for x in inputs]
        leaves = [x for x in own if graded and x.is_floating_point()]
        for leaf in leaves:
            leaf.requires_grad_()
        out = operator(*own)
        results = [*out] if isinstance(out, (tuple, list)) else [out]
        if graded:
            # with unequal weights, so that the gradient does not cancel
            ramp = torch.linspace(-1, 1, out.numel(), device=device)
            (out * ramp.view(out.shape)).sum().backward()
        results += [x.grad for x in leaves if x.grad is not None]
        return [r.detach().cpu().double() for r in results]

    return run
