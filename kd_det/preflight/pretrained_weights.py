"""Check that pretrained weights fit their network."""

from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from kd_det.errors import UserError, counted, few
from kd_det.models.unwrap import unwrap


def check_pretrained(runner) -> None:
    """Raise if an ``init_cfg`` of type ``Pretrained`` does not fit.

    MMEngine copies the weights that fit and continues. Here a file with a
    weight of a different shape, or without any of the module's weights, stops
    the run; other missing weights are named in a warning, since a module may
    have layers that the pretrained one lacks.

    Args:
        runner: The runner, before training.

    Raises:
        UserError: The weights do not fit; the file, the module and the first
            mismatch are named.
    """
    if runner.cfg.get('load_from') or runner.cfg.get('resume'):
        return
    model = unwrap(runner.model)
    for name, module in getattr(model, 'student', model).named_modules():
        for cfg in pretrained(module):
            missing = _misfits(name or 'model', module, cfg)
            if missing:
                runner.logger.warning(missing)


def pretrained(module: nn.Module) -> list[dict]:
    """Return the entries of a module's ``init_cfg`` that load a file."""
    init = getattr(module, 'init_cfg', None)
    init = init if isinstance(init, (list, tuple)) else [init]
    return [cfg for cfg in init if cfg and cfg.get('type') == 'Pretrained']


def _misfits(name: str, module: nn.Module, cfg: dict) -> str:
    """Return a warning about weights that the file lacks, or ''."""
    source = cfg['checkpoint']
    state = _weights(source)
    prefix = cfg.get('prefix') or ''
    prefix += '.' if prefix and not prefix.endswith('.') else ''
    own = get_state_dict(module)
    absent = [key for key in own if prefix + key not in state]
    where = f'{name}.init_cfg: the weights {source!r}'
    if len(absent) == len(own):
        first = next(iter(own))
        raise UserError(
            f'{where} have none of the {len(own)} weights of '
            f'{type(module).__name__} (such as {prefix + first!r}); give a '
            'file of this network, with the prefix of its keys.'
        )
    for key, value in own.items():
        theirs = state.get(prefix + key)
        if theirs is not None and theirs.shape != value.shape:
            raise UserError(
                f'{where} do not fit {type(module).__name__}: {key!r} is '
                f'{tuple(theirs.shape)} in the file and {tuple(value.shape)} '
                'in the network; give the weights of this network.'
            )
    absent = [key for key in absent if 'num_batches_tracked' not in key]
    if not absent:
        return ''
    return (
        f'{where} lack {counted(len(absent), "weight")} of '
        f'{type(module).__name__} ({few(absent, 3)}), which are initialised '
        'randomly.'
    )


def check_load_from(runner) -> None:
    """Raise if ``load_from`` has no weight of the network.

    MMEngine would start from random weights.

    Args:
        runner: The runner, before training.
    """
    path = runner.cfg.get('load_from')
    if not path or runner.cfg.get('resume'):
        return
    model = unwrap(runner.model)
    state = _weights(path)
    own = get_state_dict(model)
    shapes = {key: getattr(value, 'shape', None) for key, value in own.items()}
    if not any(
        # counters have no shape, and are alike in any network
        getattr(value, 'shape', None) and value.shape == shapes.get(key)
        for key, value in state.items()
    ):
        raise UserError(
            f'load_from={path!r} has none of the {len(own)} weights of the '
            f'network (such as {next(iter(own))!r}); its keys are like '
            f'{next(iter(state), None)!r}. Give a checkpoint of this network.'
        )


def _weights(source: str) -> dict:
    """Return the weights of a file, as MMEngine reads it."""
    state = CheckpointLoader.load_checkpoint(source, map_location='cpu')
    return {
        key.removeprefix('module.'): value
        for key, value in state.get('state_dict', state).items()
    }
