"""Do the heads have as many classes as the data?"""

from mmengine.runner import Runner

from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError, few
from kd_det.models.unwrap import unwrap


def check_heads(runner: Runner) -> None:
    """Stop if a head that trains has another number of classes than the data.

    Labels beyond those of a one-stage head would be trained as background.

    Args:
        runner: Runner before training.

    Raises:
        UserError: Naming the first such head.
    """
    classes = RunData.of(runner).train.classes
    model = unwrap(runner.model)
    model = getattr(model, 'student', model)
    if not classes or hasattr(model, 'language_model'):  # it is told by text
        return
    for name, module in model.named_modules():
        count = getattr(module, 'num_classes', None)
        if not isinstance(count, int) or not _is_of_classes(name, module):
            continue
        if count != len(classes):
            raise UserError(
                f'{name} ({type(module).__name__}) has '
                f'num_classes={count}, and the training data have '
                f'{len(classes)} classes ({few(classes)}); write classes=(…) '
                'at the top of the config, which both follow.'
            )


def _is_of_classes(name: str, module) -> bool:
    """Return whether a module is a head of the classes of objects."""
    kind = type(module).__name__
    if not kind.endswith('Head') or 'RPN' in kind or 'rpn' in name:
        return False
    return 'semantic' not in f'{name}{kind}'.lower()
