"""Hooks and loops of other packages that a pair has no use for."""

from collections.abc import Iterator

from mmengine.registry import LOOPS

from kd_det.errors import UserError
from kd_det.models import DistillModel, MutualModel
from kd_det.models.unwrap import unwrap

# Name of a class -> why a DistillModel cannot have it, and what to do.
REFUSED = {
    'MeanTeacherHook': (
        'it moves the weights of model.teacher, which a distilled pair keeps '
        'still; take it out, and average the student with EMAHook'
    ),
    'TeacherStudentValLoop': (
        'it tests model.teacher as well, which TeacherCheckHook does before '
        "a run; write val_cfg=dict(type='ValLoop')"
    ),
    'RetrievalValLoop': (
        'it shows the model images and texts, and a student sees images '
        "alone; write val_cfg=dict(type='ValLoop')"
    ),
    'PrepareProtoBeforeValLoopHook': (
        'it is for a retriever, which has no place in a pair; take it out, '
        "and measure an EmbeddingModel with metric 'kd_det.RecallAtK'"
    ),
    'DenseCLHook': (
        'it is for self-supervised training, whose images are lists of '
        'views, and a pair has one view; take it out'
    ),
    'SwAVHook': (
        'it is for self-supervised training, whose images are lists of '
        'views, and a pair has one view; take it out'
    ),
    'RFSearchHook': (
        'nothing in MMEngine calls its init_model, so that it searches '
        'nothing; take it out'
    ),
}
# What changes one network, where peers are several.
OF_ONE = (
    'SetAdaptiveMarginsHook',
    'SetEpochInfoHook',
    'SwitchRecipeHook',
    'SyncNormHook',
    'WarmupParamHook',
    'YOLOXModeSwitchHook',
)


def check_parts(runner) -> None:
    """Stop if a hook or loop finds no student in a pair, or no single one.

    All others take a ``DistillModel`` for its student, see ``StandIn``.

    Args:
        runner: Before its training; one of a plain network is left alone.

    Raises:
        UserError: Naming the part and why it is refused.
    """
    model = unwrap(runner.model)
    peers = isinstance(model, MutualModel)
    if not (peers or isinstance(model, DistillModel)):
        return
    for kind in _kinds(runner):
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
                    'and a MutualModel has '
                    f'{len(model.peers)}; take it out of custom_hooks.'
                )
    for hook in runner.hooks:
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
    """Stop before the run at mixed images that would stop it in the middle.

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
            f'{where} mixes images, which MMPretrain leaves out where labels '
            'are no scores; write student.data_preprocessor=dict('
            'to_onehot=True).'
        )
    for name, distiller in model.distill.items():
        for key, loss in distiller.losses.items():
            if loss.hard_labels:
                raise UserError(
                    f'distillers.{name}: {key} needs one class a sample, and '
                    f'{where} mixes images and their labels; use a loss '
                    'without labels, such as KDLoss, or take batch_augments '
                    'out of the schedule.'
                )
