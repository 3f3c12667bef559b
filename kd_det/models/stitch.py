"""Stitching: fit the layers of inherited parts that read the backbone."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn import functional as F

from kd_det.errors import UserError
from kd_det.models.teacher import FrozenTeacher, inside
from kd_det.taps import FeatureTap

RIDGE = 1e-3
LIMIT = 5120  # inputs of a layer; 512 channels with a 3 x 3 kernel are 4608
SHAPE = 'kernel_size', 'stride', 'padding', 'dilation', 'groups'


class RidgeRegression:
    r"""Ridge regression from batches of samples.

    .. math:: \min_{W, b} \sum_i \lVert W x_i + b - y_i \rVert^2
        + \lambda \lVert W \rVert^2

    where :math:`\lambda` is ``ridge`` times the mean squared input, summed
    over the samples. The bias is not penalised. Sums are in float64.

    Args:
        ridge: Relative strength of the penalty.
        bias: Whether to fit ``b``; otherwise it is 0.
    """

    def __init__(self, ridge: float = RIDGE, bias: bool = True) -> None:
        self.ridge = ridge
        self.bias = bias
        self.sums = None  # of x'x, x'y, y, y² and 1, where x may end in 1

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add samples: inputs ``(N, C)`` and targets ``(N, D)``."""
        x, y = x.double(), y.double()
        if self.bias:
            x = F.pad(x, (0, 1), value=1)
        count = y.new_tensor(len(y))
        new = [x.T @ x, x.T @ y, y.sum(0), y.square().sum(), count]
        old = self.sums or [torch.zeros_like(value) for value in new]
        self.sums = [a + b for a, b in zip(old, new)]

    def solve(self) -> tuple[Tensor, Tensor, float]:
        """Return ``W`` (D, C), ``b`` (D) and R², the share of the variance
        of the targets that the fit explains."""
        for value in self.sums:
            all_reduce(value)
        gram, cross, total, squares, count = self.sums
        inputs = len(gram) - self.bias
        penalty = self.ridge * gram.diagonal()[:inputs].mean()
        diagonal = penalty.clamp(min=1e-12).repeat(len(gram))
        diagonal[inputs:] = 0
        solution = torch.linalg.solve(gram + diagonal.diag(), cross)
        error = squares - 2 * (solution * cross).sum()
        error = error + (solution * (gram @ solution)).sum()
        variance = squares - total.square().sum() / count
        bias = solution[inputs] if self.bias else torch.zeros_like(total)
        return solution[:inputs].T, bias, float(1 - error / variance)


@dataclass
class Joint:
    """A layer that reads the backbone, in student and teacher."""

    name: str
    student: nn.Conv2d | nn.Linear
    teacher: nn.Conv2d | nn.Linear

    def __post_init__(self) -> None:
        self.fit = RidgeRegression(bias=self.student.bias is not None)

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add inputs of the student's layer and outputs of the teacher's."""
        if isinstance(self.student, nn.Conv2d):
            layer = self.student
            x = F.unfold(
                x,
                layer.kernel_size,
                layer.dilation,
                layer.padding,
                layer.stride,
            )
            x, y = x.transpose(1, 2), y.flatten(2).transpose(1, 2)
        if x.shape[:-1] != y.shape[:-1]:
            raise UserError(
                f'student.stitch: {self.name} has a different output size in '
                'the teacher; choose stages with the same strides in both '
                'backbones.'
            )
        self.fit.update(x.flatten(0, -2), y.flatten(0, -2))

    @torch.no_grad()
    def apply(self) -> float:
        """Write the weights into the student and return R² of the fit."""
        weight, bias, explained = self.fit.solve()
        if not (weight.isfinite().all() and bias.isfinite().all()):
            raise UserError(
                f'student.stitch: {self.name} has inputs or outputs that are '
                "not finite; check both networks' weights."
            )
        layer = self.student
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.copy_(bias)
        return explained


@torch.no_grad()
def stitch(
    student: nn.Module,
    teacher: FrozenTeacher,
    parts: tuple[str, ...],
    batches: Iterable[dict],
) -> dict[str, float]:
    """Fit each layer between the backbone and the inherited parts.

    Such a layer cannot be copied, since the teacher's reads different
    features. Its weights are fitted to the output of the teacher's layer on
    the same images, by :class:`RidgeRegression`.

    Args:
        student: The student, with ``parts`` already inherited.
        teacher: The teacher they come from.
        parts: Names of submodules.
        batches: Batches of the training set, from a data loader.

    Returns:
        Name of each layer -> R² of its fit.

    Raises:
        UserError: No layer reads the backbone, or one differs in more than its
            number of inputs.
    """
    modes = {module: module.training for module in student.modules()}
    student.eval()
    joints = None
    for data in batches:
        own = student.data_preprocessor(data, False)['inputs']
        theirs = teacher.model.data_preprocessor(data, False)['inputs']
        if joints is None:
            names = find_readers(student, parts, own)
            joints = find_joints(names, student, teacher)
        with teacher.exactly():
            look(joints, student, teacher, own, theirs)
    for module, mode in modes.items():
        module.training = mode
    return {joint.name: joint.apply() for joint in joints}


def find_joints(
    names: list[str], student: nn.Module, teacher: FrozenTeacher
) -> list[Joint]:
    """Pair up the student's and teacher's layers that read the backbone.

    Args:
        names: From :func:`find_readers`.
        student: The student.
        teacher: The teacher, built with ``keep`` of the inherited parts.

    Raises:
        UserError: A layer cannot be fitted.
    """
    return [_joint(name, student, teacher) for name in names]


def look(
    joints: list[Joint],
    student: nn.Module,
    teacher: FrozenTeacher,
    ours: Tensor,
    theirs: Tensor,
) -> None:
    """Add one batch of images to the fit of each layer.

    Args:
        joints: From :func:`find_joints`.
        student: The student, in eval mode.
        teacher: The teacher.
        ours: Images preprocessed for the student.
        theirs: The same images preprocessed for the teacher.

    Raises:
        UserError: A layer has a different output size in the teacher.
    """
    names = [joint.name for joint in joints]
    with (
        FeatureTap(student, {n: f'{n}:input' for n in names}) as reads,
        FeatureTap(teacher.model, {n: n for n in names}) as gives,
    ):
        _run(student, ours)
        _run(teacher.model, theirs)
    for joint in joints:
        ((x,),), (y,) = reads[joint.name], gives[joint.name]
        joint.update(x.float(), y.float())


def _run(network: nn.Module, inputs: Tensor) -> None:
    """Run a detector up to its heads, or a whole classifier."""
    if hasattr(network, 'with_bbox'):  # an MMDetection detector
        network.extract_feat(inputs)
    else:
        network(inputs, mode='tensor')


def find_readers(
    student: nn.Module, parts: tuple[str, ...], inputs: Tensor
) -> list[str]:
    """Return the layers of ``parts`` that read outputs of other parts.

    Args:
        student: The student, in eval mode.
        parts: Names of submodules.
        inputs: Images (N, 3, H, W) to run it on.

    Raises:
        UserError: No layer does.
    """
    outside, found = [], []

    def collect(module, args, output):
        outside.extend(_tensors(output))

    def watch(name):
        def hook(module, args):
            if any(args[0] is tensor for tensor in outside):
                found.append(name)

        return hook

    with ExitStack() as stack:
        for name, module in student.named_modules():
            if not name:
                continue
            if not inside(f'{name}.', parts):
                handle = module.register_forward_hook(collect)
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                handle = module.register_forward_pre_hook(watch(name))
            else:
                continue
            stack.enter_context(handle)
        _run(student, inputs)
    found = [*dict.fromkeys(found)]
    if not found:
        raise UserError(
            f'student.stitch=True, but no layer of {", ".join(parts)} reads '
            'the backbone; inherit the neck too, or remove stitch.'
        )
    return found


def _tensors(output) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = output.values()
    if isinstance(output, Iterable):
        return [t for item in output for t in _tensors(item)]
    return []


def _joint(name: str, student: nn.Module, teacher: FrozenTeacher) -> Joint:
    own = student.get_submodule(name)
    try:
        theirs = teacher.model.get_submodule(name)
    except AttributeError:
        theirs = None
    alike = (
        type(own) is type(theirs)
        and len(own.weight) == len(theirs.weight)
        and all(getattr(own, k, 0) == getattr(theirs, k, 0) for k in SHAPE)
    )
    if not alike or getattr(own, 'groups', 1) != 1:
        raise UserError(
            f'student.stitch: {name} is {own} in the student and {theirs} in '
            'the teacher; only the number of inputs may differ.'
        )
    if own.weight[0].numel() > LIMIT:
        raise UserError(
            f'student.stitch: {name} has {own.weight[0].numel()} inputs, but '
            f'at most {LIMIT} can be fitted; remove stitch.'
        )
    weight = teacher.kept.get(f'{name}.weight')
    if weight is None or not torch.equal(weight.cpu(), theirs.weight.cpu()):
        raise UserError(
            f'student.stitch: batch norm is folded into {name} of the '
            'teacher; remove teacher.fuse_conv_bn.'
        )
    return Joint(name, own, theirs)
