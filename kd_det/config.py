"""Read configs, with overrides and the ``data_root``/``classes`` shorthand."""

import copy
import os.path as osp
import tempfile

from mmengine.config import Config

from kd_det.class_names import make_plain
from kd_det.compat import coco_files, mmrazor
from kd_det.config_data import (
    SPLITS,
    carry_classes,
    carry_folder,
    follow,
    has_strays,
    leaves_of,
)
from kd_det.config_errors import CUSTOM_IMPORT, reason_of
from kd_det.config_file import KNOWN, ConfigFile, advice
from kd_det.errors import UserError
from kd_det.files import FULL
from kd_det.shipped import config_path

coco_files.install()

# their classes are not those of the objects: one, or those of the stuff
OTHER_HEADS = ('rpn_head', 'semantic_head')


def load_config(path: str | Config, options: dict | None = None) -> Config:
    """Read a config and propagate its ``data_root`` and ``classes``.

    A config may set ``data_root`` (a folder) and ``classes`` (names in label
    order) at its top level, or receive them through ``options``. They are then
    written into every data set that has none of its own, and the number of
    classes into every head; settings that are not given are unchanged. A
    variable of a base that the config or the options set takes effect in the
    base.

    Args:
        path: Config file, ``kd_det::NAME`` for a shipped one, or a config
            object, of which a copy is returned.
        options: Dotted overrides, e.g. ``{'optim_wrapper.lr': 0.1}``.

    Returns:
        The config, ready for a ``Runner``.

    Raises:
        FileNotFoundError: The config file or one of its bases does not exist.
        UserError: It is not a config, or has no model; a name or a value in
            it or in the options would be without effect.
    """
    if isinstance(path, Config):
        file, before = None, copy.deepcopy(path)
        path = before.filename or 'config'
    else:
        path = config_path(path)
        file = _read(path)
        before = file.cfg
    cfg, options = _with_options(before, options or {}, file, path)
    if not isinstance(cfg.get('model'), dict):
        raise UserError(
            f'Config {path!r} has no model; use the config of a run, e.g. '
            "'kd_det::nd_frcnn_r101_r18.py'."
        )
    _make_names_plain(cfg)
    if not path.endswith('.py'):
        _make_tuples(cfg)
    if mmrazor.is_named([*cfg.values()]):
        mmrazor.ensure_importable()
    _carry_preprocessor(cfg, file)
    options |= {} if file else _set_since_read(cfg)
    carry_folder(cfg, before, options, file)
    follow(cfg, before)
    for earlier in file.history() if file and has_strays(cfg) else ():
        follow(cfg, earlier)
    classes = carry_classes(cfg, before, options, file)
    if classes:
        _count_classes(cfg['model'], classes)
        set_num_classes(cfg.get('data_preprocessor') or {}, len(classes))
    return cfg


def _set_since_read(cfg: Config) -> dict:
    """Return the folder and the classes that are no longer those of a file.

    Args:
        cfg: A config object, whose file may be gone.
    """
    try:
        read = ConfigFile(cfg.filename).cfg
    except Exception:  # noqa: BLE001  it is not read again to be used
        return {}
    return {
        name: cfg[name]
        for name in ('data_root', 'classes')
        if cfg.get(name) and cfg[name] != read.get(name)
    }


def _make_names_plain(cfg: Config) -> None:
    """Let class names be text wherever a config has them."""
    make_plain(cfg)
    make_plain(cfg.model, 'model.classes')
    for split in SPLITS:
        for leaf in leaves_of(cfg, split):
            place = f'{split}_dataloader.dataset'
            make_plain(leaf, f'{place}.classes')
            make_plain(leaf.get('metainfo'), f'{place}.metainfo.classes')


def _make_tuples(cfg: Config) -> None:
    """Give transforms the tuples that YAML and JSON do not have."""
    for split in SPLITS:
        if cfg.get(f'{split}_dataloader'):
            loader = cfg[f'{split}_dataloader']
            loader['dataset'] = _with_tuples(loader['dataset'])


def _with_tuples(value: object) -> object:
    """Return a value whose lists of numbers are tuples."""
    if isinstance(value, dict):
        return type(value)({k: _with_tuples(v) for k, v in value.items()})
    if not isinstance(value, list):
        return value
    items = [_with_tuples(item) for item in value]
    numbers = all(isinstance(item, (int, float)) for item in items)
    return tuple(items) if items and numbers else items


def _with_options(
    before: Config, options: dict, file: ConfigFile | None, path: str
) -> tuple[Config, dict]:
    """Return a config with the options, and these as they were taken."""
    known = file.takes() if file else KNOWN
    for key in options:
        top = key.partition('.')[0]
        if top not in known:
            raise UserError(
                f'--cfg-options {key}: config {path!r} has no {top!r} that '
                f'anything reads{advice(top, known) or "."}'
            )
    options = {k: _as_before(before, k, v) for k, v in options.items()}
    cfg = copy.deepcopy(before)
    try:
        cfg.merge_from_dict(copy.deepcopy(options))
        if file:
            cfg = file.with_values(cfg, [k.partition('.')[0] for k in options])
            cfg.merge_from_dict(copy.deepcopy(options))
    except (TypeError, KeyError) as error:
        raise UserError(
            f'--cfg-options do not fit config {path!r} ({error}).'
        ) from None
    return cfg, options


def _carry_preprocessor(cfg: Config, file: ConfigFile | None) -> None:
    """Give the top-level one, of MMPretrain's data bases, to what trains."""
    preprocessor = cfg.get('data_preprocessor')
    if preprocessor is None:
        return
    learners = specs_that_train(cfg.model)
    if learners:
        cfg.pop('data_preprocessor')
    elif (
        file
        and file.writer('data_preprocessor')
        and (cfg.model.get('data_preprocessor', preprocessor) != preprocessor)
    ):
        raise UserError(
            'The config sets data_preprocessor at its top level, and its '
            'model has one of its own, which wins; write model=dict('
            'data_preprocessor=…).'
        )
    for spec in learners:
        own = spec.get('data_preprocessor') or {}
        if own.get('type', preprocessor.get('type')) == preprocessor.get(
            'type'
        ):
            spec['data_preprocessor'] = Config._merge_a_into_b(
                copy.deepcopy(own), copy.deepcopy(preprocessor)
            )


def _read(path: str) -> ConfigFile:
    """Read a config file, or explain the error."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no config {path!r}; use the path of a .py config, or '
            "one of kd_det, e.g. 'kd_det::nd_frcnn_r101_r18.py'."
        )
    try:
        return ConfigFile(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'Config {path!r} inherits from '
            f'{osp.relpath(error.filename or path)!r}, which does not exist; '
            'correct the path in _base_.'
        ) from None
    except UserError as error:  # a base kd_det::NAME that is not there
        raise UserError(f'Config {path!r}: {error}') from None
    except (Exception, SystemExit) as error:  # a config is a program
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(
                f'No space left to read config {path!r}, of which MMEngine '
                f'makes a copy in {tempfile.gettempdir()!r} '
                f'({error.strerror}); free some space, raise the limit on '
                'the size of files, or set TMPDIR to another folder.'
            ) from None
        if CUSTOM_IMPORT in str(error):
            raise  # kd_det.preflight.explain explains it
        raise UserError(
            f'Config {path!r} cannot be read ({reason_of(error, path)}); '
            'correct it, or give another .py config.'
        ) from None


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
    """Set the number of classes in every head of a model config.

    But not in ``OTHER_HEADS``.
    """
    for key, value in model.items():
        if key in OTHER_HEADS:
            continue
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
