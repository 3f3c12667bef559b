"""Hooks and loops of other packages that do not work with a pair."""

from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.registry import LOOPS

from kd_det.errors import UserError
from kd_det.models import DistillModel, MutualModel
from kd_det.models.unwrap import unwrap

# Class name -> why it does not work with a DistillModel, and the fix.
REFUSED = {
    'MeanTeacherHook': (
        'it updates the weights of model.teacher, which is frozen in a '
        'distilled pair; take it out, and average the student with EMAHook'
    ),
    'TeacherStudentValLoop': (
        'it also tests model.teacher, which TeacherCheckHook does before a '
        "run; write val_cfg=dict(type='ValLoop')"
    ),
    'RetrievalValLoop': (
        'it passes images and texts to the model, but a student takes only '
        "images; write val_cfg=dict(type='ValLoop')"
    ),
    'PrepareProtoBeforeValLoopHook': (
        'it is for a retriever, which a pair does not support; take it out, '
        "and evaluate an EmbeddingModel with the metric 'kd_det.RecallAtK'"
    ),
    'DenseCLHook': (
        'it is for self-supervised training, whose images are lists of '
        'views, but a pair takes one view; take it out'
    ),
    'SwAVHook': (
        'it is for self-supervised training, whose images are lists of '
        'views, but a pair takes one view; take it out'
    ),
    'RFSearchHook': (
        'nothing in MMEngine calls its init_model, so it searches nothing; '
        'take it out'
    ),
}
# Hooks that change a single network, which do not work with peers.
OF_ONE = (
    'SetAdaptiveMarginsHook',
    'SetEpochInfoHook',
    'SwitchRecipeHook',
    'SyncNormHook',
    'WarmupParamHook',
    'YOLOXModeSwitchHook',
)


def check_parts(runner, hooks: Sequence[Hook] = ()) -> None:
    """Raise if a hook or loop does not work with a pair or with peers.

    All others treat a ``DistillModel`` as its student, see ``StandIn``.

    Args:
        runner: The runner, before training; a plain network is not checked.
        hooks: Hooks to check beside its own.

    Raises:
        UserError: A part does not work, with the reason.
    """
    model = unwrap(runner.model)
    peers = isinstance(model, MutualModel)
    if not (peers or isinstance(model, DistillModel)):
        return
    for kind in [*_kinds(runner), *map(type, hooks)]:
        names = [base.__name__ for base in kind.__mro__]
        for name in names:
            if name in REFUSED:
                raise UserError(
                    f'{names[0]} does not work with a {type(model).__name__}: '
                    f'{REFUSED[name]}.'
                )
            if peers and name in OF_ONE:
                raise UserError(
                    f'{names[0]} changes runner.model as a single network, '
                    f'but a MutualModel has {len(model.peers)}; take it out '
                    'of custom_hooks.'
                )
    for hook in [*runner.hooks, *hooks]:
        if any(k.__name__ == 'SwitchRecipeHook' for k in type(hook).__mro__):
            _check_recipes(hook, model)


def _kinds(runner) -> Iterator[type]:
    yield from map(type, runner.hooks)
    for loop in (runner._train_loop, runner._val_loop):
        if not isinstance(loop, dict):
            yield type(loop)
        elif isinstance(loop.get('type'), str):
            yield LOOPS.get(loop['type'])
        elif 'type' in loop:
            yield loop['type']


def _check_recipes(hook, model: DistillModel) -> None:
    """Raise if scheduled image mixing would stop the run later.

    Args:
        hook: A ``SwitchRecipeHook``.
        model: The pair.
    """
    epochs = [e for e, r in hook.schedule.items() if r.get('batch_augments')]
    if not epochs:
        return
    where = f'SwitchRecipeHook from epoch {epochs[0]} on'
    model.data_preprocessor.check_mixing(True, where)
    if not getattr(model.data_preprocessor, 'to_onehot', True):
        raise UserError(
            f'{where} mixes images, which MMPretrain skips unless labels are '
            'scores; write student.data_preprocessor=dict(to_onehot=True).'
        )
    for name, distiller in model.distill.items():
        for key, loss in distiller.losses.items():
            if loss.hard_labels:
                raise UserError(
                    f'distillers.{name}: {key} needs one class per sample, '
                    f'but {where} mixes images and their labels; use a loss '
                    'without labels, such as KDLoss, or remove '
                    'batch_augments from the schedule.'
                )
