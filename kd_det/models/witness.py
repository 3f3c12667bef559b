"""Witness: a network's outputs, to compare a rewritten network with."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from kd_det import random_state
from kd_det.distillers.levels import colours
from kd_det.taps import FeatureTap

FEATURES = 'extract_feat'
BOX_HEAD = 'roi_head.bbox_head'  # distillers run it in half precision, too
SIDES = 128, 224, 320, 384, 512  # of the probe, in pixels


class Call(NamedTuple):
    """A call of a part: its inputs and outputs."""

    part: str
    args: tuple
    kwargs: dict
    outputs: list[Tensor]


class Witness:
    """The outputs of a network's features and heads for a probe image.

    The probe is a synthetic image, preprocessed by the network. Heads are
    compared on the original network's features, so that the effect of score
    changes on box selection does not matter.

    Args:
        running: A ``Running`` network; not changed.
        points: Name -> tap point in its backbone or neck; what is recorded
            there is compared, too.
    """

    def __init__(self, running, points: dict[str, str]) -> None:
        self._running = running
        self._points = points
        self._calls: list[Call] | None = None

    def compare(self, other) -> tuple[float, str]:
        """Return the largest change of an output, and its part.

        Args:
            other: A rewritten network.

        Returns:
            The norm of the change divided by that of the output (infinity for
            non-finite values), and the part's name.
        """
        if self._calls is None:
            self._calls = _record(self._running, self._points)
        with random_state.isolated(), torch.no_grad():
            changes = []
            for call in self._calls:
                changes += _changes(call, other, self._points)
        return max(changes)


def _changes(call: Call, other, points: dict) -> list[tuple[float, str]]:
    args, kwargs = _copied((call.args, call.kwargs))
    if call.part == FEATURES:
        feats, records = _look(other, *args, points)
        ends = [(feats, FEATURES), *zip(records.values(), points.values())]
        outputs = [(t, part) for end, part in ends for t in _tensors(end)]
    else:
        run = other.model.get_submodule(call.part)
        half = f'{call.part}.'.startswith(f'{BOX_HEAD}.')
        with other.precision() if half else nullcontext():
            made = run(*args, **kwargs)
        outputs = [(t, call.part) for t in _tensors(made)]
    return [
        (_distance(ours.to(theirs.dtype), theirs), part)
        for (ours, part), theirs in zip(outputs, call.outputs, strict=True)
    ]


def _look(running, images: Tensor, points: dict) -> tuple[tuple, dict]:
    """Return the features of images, and the records of taps."""
    with FeatureTap(running.model, points) as records:
        feats = running.extract_feat(images)
    return feats, records


def _distance(ours: Tensor, theirs: Tensor) -> float:
    change = ((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)).item()
    return change if change == change else float('inf')


def _record(running, points: dict) -> list[Call]:
    """Return the calls of features and heads for a probe image."""
    with random_state.isolated(), torch.no_grad():
        for side in SIDES[:-1]:
            try:
                return _run(running, points, side)
            except (AssertionError, RuntimeError, ValueError):
                continue  # a network for a fixed or large image size
        return _run(running, points, SIDES[-1])


def _run(running, points: dict, side: int) -> list[Call]:
    model = running.model
    images = _images(model, side)
    feats, records = _look(running, images, points)
    outputs = _tensors(_copied((feats, [*records.values()])))
    calls = [Call(FEATURES, (images,), {}, outputs)]
    shape = tuple(images.shape[2:])
    sample = BaseDataElement(
        metainfo=dict(
            img_shape=shape,
            ori_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
    # only the heads
    own = vars(model).pop('extract_feat', None)
    model.extract_feat = lambda *args, **kwargs: feats
    handles = _listen(model, calls)
    try:
        model(images, [sample], mode='tensor')
    finally:
        del model.extract_feat
        if own is not None:
            model.extract_feat = own
        for handle in handles:
            handle.remove()
    return calls


def _listen(model: nn.Module, calls: list[Call]) -> list:
    """Record the outermost calls of a network's parts."""
    opened = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        opened.append(None if opened else _copied((args, kwargs)))

    def leave(name: str, args: tuple, kwargs: dict, output) -> None:
        given = opened.pop()
        if given is not None:
            calls.append(Call(name, *given, _tensors(_copied(output))))

    handles = []
    for name, module in model.named_modules():
        if module is model:
            continue
        handles += [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(
                lambda _, *seen, name=name: leave(name, *seen),
                with_kwargs=True,
            ),
        ]
    return handles


def _images(model: nn.Module, side: int) -> Tensor:
    """Return a synthetic image, preprocessed by the network."""
    torch.manual_seed(0)
    coarse = torch.rand(1, colours(model), side // 8, side // 8)
    image = nn.functional.interpolate(coarse, (side, side), mode='bilinear')
    image = (image[0] * 255).to(torch.uint8)
    batch = dict(inputs=[image], data_samples=None)
    return model.data_preprocessor(batch, False)['inputs']


def _copied(tree):
    return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, tree)


def _tensors(tree) -> list[Tensor]:
    return [
        leaf
        for leaf in tree_leaves(tree)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]
