"""What holds of each function of kd_det.functional, as a table."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch

from kd_det import functional as F


class Case(NamedTuple):
    """One function, called as ``call(student, teacher, labels)``.

    Attributes:
        call: The function with its other arguments filled in.
        layout: Axes of the student's tensor, N first.
        other: Axes of the teacher's, if they differ; '' if it is not read.
        scalar: Whether it returns one number for the batch.
        least: Lower bound.
        same: Value for a student that equals its teacher.
        shift: Axes along which a constant added to the student is invisible.
        scale: Axes along which a factor of the student is invisible.
        labels: Whether it reads labels.
    """

    call: Callable
    layout: str = 'N K'
    other: str | None = None
    scalar: bool = False
    least: float = 0
    same: float | None = 0
    shift: tuple[int, ...] = ()
    scale: tuple[int, ...] = ()
    labels: bool = False


def noise(*shape, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@functools.cache
def _grid(shape, dtype, device):
    values = (noise(*shape) * 4).floor() + 0.5
    return (values / 4).to(device, dtype)


def grid(*shape, like):
    """Odd eighths, which every dtype has exactly; none is 0."""
    return _grid(shape, like.dtype, like.device)


def mean_rows(embed):
    """Six class means."""
    return grid(6, embed.shape[-1], like=embed)


def target(deltas):
    """The same deltas for every sample."""
    return grid(deltas.shape[-1], like=deltas).expand_as(deltas)


def some(maps):
    """A mask of positions, none of them in every third image."""
    inside = grid(1, 1, *maps.shape[2:], like=maps) > 0
    numbers = torch.arange(len(maps), device=maps.device)
    return inside & (numbers[:, None, None, None] % 3 < 2)


def areas(maps):
    """Areas of objects in the left half of each map."""
    found = maps.new_zeros(len(maps), *maps.shape[2:])
    found[..., : maps.shape[-1] // 2] = 3
    return found


def boxes(edges):
    """Edges as boxes that are not empty."""
    first, size = edges[..., :2], edges[..., 2:]
    return torch.cat([first, first + size.abs() + 1], -1)


MAPS = 'N C H W'
softmax = dict(shift=(1,))
unit = dict(scale=(1, 2, 3))
relations = dict(layout='N D', other='N E', scalar=True, shift=(0,))
CASES = {
    'kd_loss': Case(lambda s, t, y: F.kd_loss(s, t, 2.0), **softmax),
    'kd_loss, standardized': Case(
        lambda s, t, y: F.kd_loss(s, t, standardize=True),
        scale=(1,),
        **softmax,
    ),
    'dkd_loss': Case(F.dkd_loss, labels=True, **softmax),
    'nkd_loss': Case(F.nkd_loss, labels=True, same=None, **softmax),
    'nkd_loss, all classes': Case(
        lambda s, t, y: F.nkd_loss(s, t, y, mask_target=False),
        labels=True,
        same=None,
        **softmax,
    ),
    'dist_loss': Case(
        lambda s, t, y: F.dist_loss(s, t), scalar=True, same=None, **softmax
    ),
    'sigmoid_kd_loss': Case(lambda s, t, y: F.sigmoid_kd_loss(s, t, 2.0)),
    'sigmoid_kd_loss, focal': Case(
        lambda s, t, y: F.sigmoid_kd_loss(s, t, gamma=2.0)
    ),
    'crosskd_class_loss': Case(lambda s, t, y: F.crosskd_class_loss(s, t)),
    'crosskd_box_loss': Case(
        lambda s, t, y: F.crosskd_box_loss(s, t), 'N 4', same=None
    ),
    'crosskd_box_loss, boxes': Case(
        lambda s, t, y: F.crosskd_box_loss(boxes(s), boxes(t)), 'N 4'
    ),
    'query_box_loss': Case(
        lambda s, t, y: F.query_box_loss(s, t), 'N 4', same=None
    ),
    'teacher_bounded_loss': Case(
        lambda s, t, y: F.teacher_bounded_loss(s, t, target(s)), 'N E'
    ),
    'teacher_bounded_loss, margin': Case(
        lambda s, t, y: F.teacher_bounded_loss(s, t, target(s), 2.0),
        'N E',
        same=None,
    ),
    'ld_loss': Case(lambda s, t, y: F.ld_loss(s, t), 'N 4 K', shift=(2,)),
    'sdd_loss': Case(
        lambda s, t, y: F.sdd_loss(s, t, y, lambda *a: F.kd_loss(*a[:2])),
        'N K R',
        labels=True,
        **softmax,
    ),
    'feature_matching_loss': Case(
        lambda s, t, y: F.feature_matching_loss(s, t), 'N D'
    ),
    'softmax_regression_loss': Case(
        lambda s, t, y: F.softmax_regression_loss(s, t)
    ),
    'softmax_regression_loss, ce': Case(
        lambda s, t, y: F.softmax_regression_loss(s, t, 'ce'),
        same=None,
        **softmax,
    ),
    'softmax_regression_loss, kl': Case(
        lambda s, t, y: F.softmax_regression_loss(s, t, 'kl'), **softmax
    ),
    'softmax_regression_loss, bce': Case(
        lambda s, t, y: F.softmax_regression_loss(s, t, 'bce'), same=None
    ),
    'nd_loss': Case(
        lambda s, t, y: F.nd_loss(s, t, mean_rows(s), y),
        'N D',
        same=None,
        labels=True,
    ),
    'norm_loss': Case(lambda s, t, y: F.norm_loss(s, t), 'N D'),
    'sifn_loss': Case(
        lambda s, t, y: F.sifn_loss(s, t[:, 0], 2.0),
        'N D',
        other='N E',
        same=None,
    ),
    'fdr_cosine_loss': Case(
        lambda s, t, y: F.fdr_cosine_loss(s, mean_rows(s), y),
        'N D',
        other='',
        same=None,
        scale=(1,),
        labels=True,
    ),
    'fdr_infonce_loss': Case(
        lambda s, t, y: F.fdr_infonce_loss(s, mean_rows(s), y, 0.1),
        'N D',
        other='',
        same=None,
        scale=(1,),
        labels=True,
    ),
    'rkd_distance_loss': Case(
        lambda s, t, y: F.rkd_distance_loss(s, t), scale=(0, 1), **relations
    ),
    'rkd_angle_loss': Case(
        lambda s, t, y: F.rkd_angle_loss(s, t), scale=(0, 1), **relations
    ),
    'darkrank_loss': Case(
        lambda s, t, y: F.darkrank_loss(s, t), same=None, **relations
    ),
    'attention_transfer_loss': Case(
        lambda s, t, y: F.attention_transfer_loss(s, t),
        MAPS,
        'N D G V',
        **unit,
    ),
    'factor_transfer_loss': Case(
        lambda s, t, y: F.factor_transfer_loss(s, t), MAPS, **unit
    ),
    **{
        f'{name}, {p}': Case(
            lambda s, t, y, name=name, p=p: getattr(F, name)(s, t, p),
            MAPS,
            scalar=True,
            least=-2 if name == 'exploration_loss' else 0,
            same=int(name == 'exploration_loss' and p == 'cos'),
            **unit,
        )
        for name in ('inheritance_loss', 'exploration_loss')
        for p in (1, 2, 'cos')
    },
    'ofd_loss': Case(
        lambda s, t, y: F.ofd_loss(s, t, -grid(s.shape[1], like=s).abs()),
        MAPS,
    ),
    'hcl_loss': Case(lambda s, t, y: F.hcl_loss([s, s], [t, t]), MAPS),
    'pkd_loss': Case(
        lambda s, t, y: F.pkd_loss(s, t),
        MAPS,
        scalar=True,
        shift=(0, 2, 3),
        scale=(0, 2, 3),
    ),
    'cwd_loss': Case(lambda s, t, y: F.cwd_loss(s, t), MAPS, shift=(2, 3)),
    'cwd_loss, masked': Case(
        lambda s, t, y: F.cwd_loss(s, t, mask=some(s)), MAPS, shift=(2, 3)
    ),
    'mgd_loss': Case(lambda s, t, y: F.mgd_loss(s, t), MAPS),
    'fgd_focal_loss': Case(
        lambda s, t, y: F.fgd_focal_loss(s, t, areas(s)), MAPS
    ),
    'fgd_focal_loss, masked': Case(
        lambda s, t, y: F.fgd_focal_loss(s, t, areas(s), mask=some(s)), MAPS
    ),
    'fgd_attention_loss': Case(
        lambda s, t, y: F.fgd_attention_loss(s, t), MAPS
    ),
    'fgd_attention_loss, masked': Case(
        lambda s, t, y: F.fgd_attention_loss(s, t, mask=some(s)), MAPS
    ),
}
# Functions that are no losses; each has a test of its own.
OTHERS = {
    'class_centroids',
    'linear_cka',
    'ofd_margin',
    'query_costs',
    'recall_at_k',
    'region_pool',
    'sdd_weights',
}
FORMS = ('any', 'zeros', 'equal samples', 'one value', 'one large')


def tensor(layout: str, form: str, seed: int, drawn: dict):
    """A tensor of a form: random, or one at which formulas break."""
    known = dict(drawn['sizes'], **{'4': 4})
    values = noise(*(known[k] for k in layout.split()), seed=seed)
    if form == 'zeros':
        values *= 0
    elif form == 'equal samples' and len(values):
        values = values[:1].expand_as(values).clone()
    elif form == 'one value':
        values = torch.full_like(values, 0.7)
    elif form == 'one large' and len(values):
        values.view(-1)[0] = 1e3
    largest = torch.finfo(drawn['dtype']).max / 8
    values = (values * drawn.get('scale', 1)).clamp(-largest, largest)
    return values.to(drawn['dtype'])


def draw_case(case: Case, drawn: dict):
    """Student, teacher and labels."""
    seed, forms = drawn['seed'], drawn.get('forms', ('any', 'any'))
    student = tensor(case.layout, forms[0], seed, drawn)
    other = case.other or case.layout
    teacher = tensor(other, forms[1], seed + 1000, drawn)
    classes = student.shape[1] if 'K' in case.layout else 6
    labels = noise(len(student), seed=seed).abs().mul(9).long() % classes
    return student, teacher, labels
