"""Witness: a network's outputs, to compare a rewritten network with."""

from typing import NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from kd_det import random_state
from kd_det.distillers.levels import colours

FEATURES = 'extract_feat'
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
        running: The network, with ``extract_feat``; not changed.
    """

    def __init__(self, running) -> None:
        self._running = running
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
            self._calls = _record(self._running)
        with random_state.isolated(), torch.no_grad():
            changes = [
                (_change(call, other), call.part) for call in self._calls
            ]
        return max(changes)


def _change(call: Call, other) -> float:
    if call.part == FEATURES:
        run = other.extract_feat
    else:
        run = other.model.get_submodule(call.part)
    args, kwargs = _copied((call.args, call.kwargs))
    outputs = _tensors(run(*args, **kwargs))
    return max(map(_distance, outputs, call.outputs), default=0.0)


def _distance(ours: Tensor, theirs: Tensor) -> float:
    change = ((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)).item()
    return change if change == change else float('inf')


def _record(running) -> list[Call]:
    """Return the calls of features and heads for a probe image."""
    with random_state.isolated(), torch.no_grad():
        for side in SIDES[:-1]:
            try:
                return _run(running, side)
            except (AssertionError, RuntimeError, ValueError):
                continue  # a network for a fixed or large image size
        return _run(running, SIDES[-1])


def _run(running, side: int) -> list[Call]:
    model = running.model
    images = _images(model, side)
    feats = running.extract_feat(images)
    calls = [Call(FEATURES, (images,), {}, _tensors(_copied(feats)))]
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
    model.extract_feat = lambda *args, **kwargs: feats
    handles = _listen(model, calls)
    try:
        model(images, [sample], mode='tensor')
    finally:
        del model.extract_feat
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
