"""Write the config of a pair after inspecting both detectors."""

import json
import os
import tempfile
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from kd_det.api.methods import Pair, Verdict, choose, presets
from kd_det.checkpoint import use_safe_loading
from kd_det.class_names import plain_names
from kd_det.config import load_config
from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError, counted, few
from kd_det.files import atomic_write, check_output
from kd_det.models.spec import read_spec
from kd_det.preflight.data import check_data
from kd_det.preflight.pretrained_weights import pretrained

BASE = 'kd_det::_base_'
FILE = 'annotations/instances_{}.json'
SPLITS = ('train', 'val')
WHOLE = ('train_cfg', 'optim_wrapper', 'val_evaluator')
REMOTE = ('http://', 'https://', 'pip://')
# hooks of a pair that are added to configs of other packages
KEPT = ('kd_det.RandomStateHook', 'kd_det.NonFiniteHook')
SAVER = 'kd_det.SafeCheckpointHook'


def new_pair(
    student: str,
    teacher: str,
    ckpt: str,
    data: str,
    out: str | Path,
    classes: tuple[str, ...] | None = None,
    method: str | None = None,
    force: bool = False,
) -> str:
    """Write the config of a pair, and print which methods fit it.

    Data and schedule are those of the student's config if they match the
    folder; otherwise ``coco_folder.py`` and 8 epochs.

    Args:
        student: Config of the student: a file, ``kd_det::NAME`` or
            ``mmdet::NAME``.
        teacher: Config of the teacher, likewise.
        ckpt: Teacher checkpoint: a file, URL or ``pip://NAME``.
        data: Folder in COCO layout.
        out: Config file to write.
        classes: Class names in label order; default: those with boxes in the
            training annotations.
        method: Name of a file in ``configs/_base_/methods``, with or without
            ``_roi`` or ``_dense``; default: stitched inheritance, or the next
            that fits.
        force: Whether to replace an existing ``out``.

    Returns:
        Name of the method.

    Raises:
        FileNotFoundError: A config, the checkpoint or the data is missing.
        UserError: They do not match, or ``out`` exists.
    """
    out, data = Path(out), str(data)
    _check_files(teacher, ckpt, data, out, force)
    init_default_scope('mmdet')
    use_safe_loading()
    whole = read_spec(dict(cfg=student), 'student')[1]
    own = _fits(whole, data)
    if isinstance(classes, str):
        classes = classes.split(',')
    if not classes:
        classes = used_classes(_annotations(whole, own, data))
    classes = plain_names(classes)
    pair = Pair(dict(cfg=student), dict(cfg=teacher, ckpt=ckpt), classes)
    found = presets()
    verdicts = {n: pair.judge(n, preset) for n, preset in found.items()}
    print(_report(pair, student, teacher, verdicts))
    chosen = choose(method, verdicts)
    preset = found[chosen.name]
    bases = [f'{BASE}/methods/{chosen.name}.py']
    if own:
        bases = [_beside(student, out, ''), *bases, f'{BASE}/distill_hooks.py']
    else:
        bases += [
            f'{BASE}/datasets/coco_folder.py',
            f'{BASE}/schedules/adamw_8e.py',
            f'{BASE}/distill_runtime.py',
        ]
    _write(
        [
            f'"""{chosen.name}: {_stem(teacher)} -> {_stem(student)}."""',
            '_base_ = [',
            *(f'    {base!r},' for base in bases),
            ']',
            f'data_root = {os.path.join(data, "")!r}',
            f'classes = {classes!r}',
            f'model = dict({"_delete_=True, " * own}_scope_={"kd_det"!r}, '
            f'type={"DistillModel"!r})',
            "model['teacher'] = "
            f'dict(cfg={_beside(teacher, out)!r}, ckpt={ckpt!r})',
            *_method(chosen, preset, _beside(student, out), out),
            *_hooks(whole if own else None, preset),
        ],
        out,
    )
    _print_notes(student, pair, preset, own)
    print(f'Method: {chosen.name}. Wrote {out}.')
    return chosen.name


def _check_files(
    teacher: str, ckpt: str, data: str, out: Path, force: bool
) -> None:
    """Raise unless inputs exist and the output can be written."""
    check_output(out)
    if out.suffix != '.py':
        raise UserError(f'The file {str(out)!r} does not end in .py.')
    if out.exists() and not force:
        raise UserError(
            f'The file {str(out)!r} exists; use another name, or --force to '
            'replace it.'
        )
    if not ckpt.startswith(REMOTE) and not Path(ckpt).expanduser().is_file():
        raise FileNotFoundError(
            f"The teacher's checkpoint {ckpt!r} does not exist; use a "
            f'checkpoint of {teacher!r}.'
        )
    if not Path(data).is_dir():
        raise FileNotFoundError(f'The data folder {data!r} does not exist.')


def _print_notes(student: str, pair: Pair, preset: Config, own: bool) -> None:
    """Print notes about unexpected settings."""
    if not own:
        print(
            f'The data and schedule of {student!r} are not for this folder: '
            'coco_folder.py (256x192 images) and adamw_8e.py are used '
            'instead.'
        )
    if preset.method.get('student', {}).get('stitch') and not (
        any(map(pretrained, pair.student.backbone.modules()))
        or getattr(pair.student.backbone, 'pretrained', None)
    ):
        print(
            "The student's backbone has no pretrained weights, so stitching "
            'will fit poorly.'
        )


def _annotations(whole: Config, own: bool, data: str) -> Path:
    """Return the path of the training annotations, or raise."""
    if own:
        return Path(data) / RunData(whole).train.leaves[0].cfg['ann_file']
    for split in SPLITS:
        if not (Path(data) / FILE.format(split)).is_file():
            raise UserError(
                f'The data folder {data!r} has no {FILE.format(split)}; a '
                'folder in COCO layout has '
                f'{" and ".join(map(FILE.format, SPLITS))}, and the images '
                'in train/ and val/.'
            )
    return Path(data) / FILE.format('train')


def used_classes(path: Path) -> tuple[str, ...]:
    """Return the classes with boxes, in the order of the file.

    Args:
        path: Annotation file.

    Raises:
        UserError: The file is not COCO JSON, or has no boxes.
    """
    try:
        table = json.loads(path.read_bytes())
        used = {entry['category_id'] for entry in table['annotations']}
        names = [c['name'] for c in table['categories'] if c['id'] in used]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'Annotation file {str(path)!r} is not COCO JSON ({error!r}).'
        ) from None
    if not names:
        raise UserError(f'Annotation file {str(path)!r} has no boxes.')
    return plain_names(names, f'"categories" of {str(path)!r}')


def _report(
    pair: Pair, student: str, teacher: str, verdicts: dict[str, Verdict]
) -> str:
    """Return the report on the networks and the methods that fit."""
    lines = [
        f'{side}: {type(network).__name__} of {cfg}, '
        f'{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M weights'
        for side, network, cfg in (
            ('Student', pair.student, student),
            ('Teacher', pair.teacher.model, teacher),
        )
    ]
    known = pair.teacher.classes
    absent = [name for name in pair.classes if known and name not in known]
    lines.append(
        f'Data: {counted(len(pair.classes), "class", "classes")}'
        + (f'; the teacher does not know {few(absent)}' if absent else '')
    )
    for fits, title in ((True, 'fit'), (False, 'do not fit')):
        names = {}  # methods with the same text
        for verdict in verdicts.values():
            if verdict.fits == fits:
                names.setdefault(verdict.text, []).append(verdict.name)
        lines += [f'Methods that {title}:'] * bool(names)
        lines += [f'  {", ".join(ns)}: {text}' for text, ns in names.items()]
    return '\n'.join(lines)


def _fits(whole: Config, data: str) -> bool:
    """Return whether a config's data and schedule match a folder."""
    found = RunData(whole)
    return all(key in whole for key in WHOLE) and all(
        split and (Path(data) / (leaf.cfg.get('ann_file') or '/')).is_file()
        for split in (found.train, found.val)
        for leaf in (split.leaves if split else [None])
    )


def _method(
    chosen: Verdict, preset: Config, student: str, out: Path
) -> list[str]:
    """Return the config lines that merge a preset into the model."""
    has = [key for key in ('student', 'distillers') if key in preset.method]
    take = {key: f'_base_.method.{key}' for key in has}
    take[has[-1]] = (
        f"_base_.pop('method').{has[-1]}"  # the last one removes it
    )
    own = f', **{take["student"]}' if 'student' in take else ''
    lines = [f"model['student'] = dict(cfg={student!r}{own})"]
    if 'distillers' in take:
        lines.append(f"model['distillers'] = {take['distillers']}")
    endings = dict(centroids='means.npz', auto_encoder='autoencoder.pth')
    for name, argument in chosen.files.items():
        file = f'{{{{ fileDirname }}}}/{out.stem}_{endings[argument]}'
        lines.append(f"model['distillers'].{name}.{argument} = {file!r}")
    return lines


def _hooks(own: Config | None, preset: Config) -> list[str]:
    """Return the config lines with the hooks of a pair.

    Args:
        own: The student's config, if the pair inherits from it.
        preset: Preset of the method.
    """
    method = "*_base_.pop('method_hooks'), " * ('method_hooks' in preset)
    if own is None:
        if not method:
            return []
        return [f'custom_hooks = [{method}*_base_.custom_hooks]']
    there = {str(hook['type']) for hook in own.get('custom_hooks') or ()}
    parts = "*_base_.pop('distill_hooks'), " + method
    if own.get('custom_hooks'):
        parts += '*_base_.custom_hooks, '
    parts += ''.join(
        f'dict(type={kind!r}), ' for kind in KEPT if kind not in there
    )
    lines = [f'custom_hooks = [{parts.removesuffix(", ")}]']
    hooks = own.get('default_hooks') or {}
    if hooks.get('checkpoint', {}).get('type') != SAVER:
        saver = f'dict(checkpoint=dict(type={SAVER!r}))'
        lines.append(f'default_hooks = {saver}')
    return lines


def _stem(config: str) -> str:
    return Path(config.rpartition('::')[2]).stem


def _beside(config: str, out: Path, folder: str = '{{ fileDirname }}/') -> str:
    """Return how to refer to a config from another config file."""
    if '::' in config or os.path.isabs(config):
        return config
    return folder + os.path.relpath(config, out.parent)


def _write(lines: list[str], out: Path) -> None:
    """Write the file after reading it and checking its data."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, since some of its paths are relative to that
    text = '\n'.join([*lines, ''])
    handle, draft = tempfile.mkstemp('.py', 'new_', out.parent, text=True)
    try:
        with os.fdopen(handle, 'w') as file:
            file.write(text)
        check_data(load_config(draft), SPLITS)
    finally:
        os.unlink(draft)
    with atomic_write(out) as file:
        file.write(text.encode())
