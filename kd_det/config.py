"""Read configs, with overrides and the ``data_root``/``classes`` shorthand."""

import copy
import inspect
import os.path as osp
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.runner import Runner

from kd_det.class_names import make_plain
from kd_det.compat import coco_files, config_names, mmrazor
from kd_det.config_errors import CUSTOM_IMPORT, reason_of
from kd_det.errors import UserError, nearest
from kd_det.shipped import config_path

config_names.install()
coco_files.install()

# Top-level keys of a config besides the Runner's arguments.
TOP_KEYS = ('auto_scale_lr', 'classes', 'data_root', 'find_unused_parameters')
SPLITS = ('train', 'val', 'test')


def load_config(path: str | Config, options: dict | None = None) -> Config:
    """Read a config and propagate its ``data_root`` and ``classes``.

    A config may set ``data_root`` (a folder) and ``classes`` (names in label
    order) at its top level, or receive them through ``options``. They are then
    written into every data set and metric, and the number of classes into
    every head; settings that are not given are unchanged. A ``data_root`` that
    the options set for one split takes precedence there.

    Args:
        path: Config file, ``kd_det::NAME`` for a shipped one, or a config
            object, of which a copy is returned.
        options: Dotted overrides, e.g. ``{'optim_wrapper.lr': 0.1}``.

    Returns:
        The config, ready for a ``Runner``.

    Raises:
        FileNotFoundError: The config file or one of its bases does not exist.
        UserError: It is not a config, or has no model.
    """
    if isinstance(path, Config):
        cfg = copy.deepcopy(path)
        path = cfg.filename or 'config'
    else:
        path = config_path(path)
        cfg = _read(path)
    options = options or {}
    for key in options:
        _check_option(cfg, key, path)
    options = {k: _as_before(cfg, k, v) for k, v in options.items()}
    try:
        cfg.merge_from_dict(options)
    except (TypeError, KeyError) as error:
        raise UserError(
            f'--cfg-options do not fit config {path!r} ({error}).'
        ) from None
    if not isinstance(cfg.get('model'), dict):
        raise UserError(
            f'Config {path!r} has no model; use the config of a run, e.g. '
            "'kd_det::nd_frcnn_r101_r18.py'."
        )
    _make_names_plain(cfg)
    if mmrazor.is_named([*cfg.values()]):
        mmrazor.ensure_importable()
    preprocessor = cfg.get('data_preprocessor')
    learners = specs_that_train(cfg.model)
    if learners and preprocessor is not None:
        # MMPretrain's data configs set it at the top level
        cfg.pop('data_preprocessor')
        for spec in learners:
            spec['data_preprocessor'] = copy.deepcopy(preprocessor)
    _carry_data(cfg, options)
    return cfg


def _make_names_plain(cfg: Config) -> None:
    """Let class names be text wherever a config has them."""
    make_plain(cfg)
    make_plain(cfg.model, 'model.classes')
    for split in SPLITS:
        loader = cfg.get(f'{split}_dataloader')
        for leaf in leaf_datasets(loader['dataset']) if loader else ():
            place = f'{split}_dataloader.dataset'
            make_plain(leaf, f'{place}.classes')
            make_plain(leaf.get('metainfo'), f'{place}.metainfo.classes')


def _read(path: str) -> Config:
    """Read a config file, or explain the error."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no config {path!r}; use the path of a .py config, or '
            "one of kd_det, e.g. 'kd_det::nd_frcnn_r101_r18.py'."
        )
    try:
        cfg = Config.fromfile(path)
        [*cfg.values()]  # triggers the imports of lazy configs
        return cfg
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'Config {path!r} inherits from '
            f'{osp.relpath(error.filename or path)!r}, which does not exist; '
            'correct the path in _base_.'
        ) from None
    except UserError as error:  # a missing base kd_det::NAME
        raise UserError(f'Config {path!r}: {error}') from None
    except (Exception, SystemExit) as error:  # a config is a program
        if CUSTOM_IMPORT in str(error):
            raise  # explained by kd_det.preflight.explain
        raise UserError(
            f'Config {path!r} cannot be read ({reason_of(error, path)}); '
            'correct it, or use another .py config.'
        ) from None


def _carry_data(cfg: Config, options: dict) -> None:
    """Write folder and classes into all data sets of a config."""
    data_root, classes = cfg.get('data_root'), cfg.get('classes')
    if isinstance(classes, str):
        classes = (classes,)
    for split in SPLITS:
        loader = cfg.get(f'{split}_dataloader')
        if not loader:
            continue
        own = any(
            key.startswith(f'{split}_dataloader.')
            and key.endswith('.data_root')
            for key in options
        )
        for dataset in leaf_datasets(loader['dataset']):
            if data_root and not own:
                dataset['data_root'] = data_root
            if classes:
                metainfo = dataset.get('metainfo') or {}
                dataset['metainfo'] = dict(metainfo, classes=tuple(classes))
        if data_root or own:
            _point_metrics(cfg.get(f'{split}_evaluator'), dataset)
    if classes:
        _count_classes(cfg['model'], tuple(classes))
        set_num_classes(cfg.get('data_preprocessor') or {}, len(classes))


def _check_option(cfg: Config, key: str, path: str) -> None:
    """Raise for an option that nothing reads."""
    top = key.partition('.')[0]
    known = {*cfg, *inspect.signature(Runner).parameters, *TOP_KEYS}
    if top not in known:
        raise UserError(
            f'--cfg-options {key}: config {path!r} has no {top!r}, and '
            f'nothing reads it{nearest(top, sorted(known)) or "."}'
        )


def _as_before(cfg: Config, key: str, value: object) -> object:
    """Convert a list (``128,96``) to a tuple if it replaces one.

    Some types, such as ``Resize``, do not accept a list.
    """
    if not isinstance(value, list):
        return value
    old = cfg
    for part in key.split('.'):
        try:
            old = old[int(part) if isinstance(old, (list, tuple)) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            return value
    return tuple(value) if isinstance(old, tuple) else value


def leaf_datasets(dataset: dict) -> Iterator[dict]:
    """Yield the data sets inside wrappers such as RepeatDataset."""
    inner = dataset.get('dataset') or dataset.get('datasets')
    if inner is None:
        yield dataset
        return
    for child in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from leaf_datasets(child)


def _point_metrics(metrics: dict | list | None, dataset: dict) -> None:
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        if metric and 'ann_file' in metric:
            metric['ann_file'] = osp.join(
                dataset['data_root'], dataset.get('ann_file', '')
            )


def _count_classes(model: dict, classes: tuple[str, ...]) -> None:
    num_classes = len(classes)
    if 'student' in model or 'peers' in model:
        # networks are resolved when they are built; a teacher may have other
        # classes, which are stored in its checkpoint
        for spec in specs_that_train(model):
            spec['num_classes'] = num_classes
        model.setdefault('classes', classes)
    else:
        set_num_classes(model, num_classes)


def specs_that_train(model: dict) -> list[dict]:
    """Return the specs of a pair's student or of all peers, if any.

    Args:
        model: Config of any model.
    """
    specs = [model['student']] if 'student' in model else []
    if isinstance(model.get('peers'), dict):
        specs += model['peers'].values()
    return [spec for spec in specs if isinstance(spec, dict)]


def set_num_classes(model: dict, num_classes: int) -> None:
    """Set the number of classes in every head of a model config."""
    for key, value in model.items():
        if key == 'num_classes':
            model[key] = num_classes
        for child in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(child, dict):
                set_num_classes(child, num_classes)


def require_teacher(cfg: Config) -> None:
    """Raise a UserError unless the model of a config has a teacher."""
    if 'teacher' not in cfg.model:
        raise UserError(
            'The config has no teacher; use one whose model is a kd_det '
            "'DistillModel'."
        )


def set_seed(cfg: Config, seed: int) -> None:
    """Write the seed of a run into its config.

    Raises:
        UserError: It is negative or too large.
    """
    if not 0 <= seed < 2**32:
        raise UserError(
            f'--seed {seed}: an integer from 0 to {2**32 - 1} is accepted.'
        )
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
