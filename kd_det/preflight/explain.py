"""Explain errors of other packages that a user can fix."""

import linecache
import re
import traceback
from types import FrameType

from kd_det.errors import nearest
from kd_det.files import FULL
from kd_det.registry import HOOKS, MODELS

# Packages whose parts a config names; an error in other code is a bug.
PACKAGES = {
    'mmcv',
    'mmdet',
    'mmengine',
    'mmpretrain',
    'mmrazor',
    'timm',
    'torch',
    'torchvision',
}
# What their constructors raise for a value that they do not accept.
REFUSALS = (AssertionError, KeyError, RuntimeError, TypeError, ValueError)


def sentence_of(error: Exception) -> str | None:
    """Return a sentence on how to fix an error, or None for a bug.

    Args:
        error: The caught error, with its traceback.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f'No space left on the disk{_file_of(error)}; free some space, '
            'and start again, with --resume if there is a checkpoint.'
        )
    image = _unreadable_image(error, [frame for frame, _ in frames])
    if image:
        return (
            f'{image} cannot be read, since it is not an image or damaged; '
            'copy it again, or remove it from the data set.'
        )
    channels = _channels(error, [frame for frame, _ in frames])
    if channels:
        return channels
    custom = _custom_import(error)
    if custom:
        return custom
    tracker = _missing_tracker(error, [frame for frame, _ in frames])
    if tracker:
        return tracker
    if not isinstance(error, REFUSALS):
        return None
    text = str(error.args[0]) if error.args else ''
    unknown = re.match(r'(\S+) is not in the (.+?) registry', text)
    if unknown:
        kind, where = unknown.groups()
        names = [*MODELS.module_dict, *HOOKS.module_dict]
        hint = nearest(kind.removeprefix('kd_det.'), names)
        return (
            f'The config has the type {kind!r}, which is not in the {where} '
            "registry; correct the name, or add its scope (type='kd_det.…' "
            f"or _scope_='kd_det'){hint or '.'}"
        )
    builds = [
        index
        for index, (frame, _) in enumerate(frames)
        if frame.f_code.co_name == 'build_from_cfg'
    ]
    if not builds:
        return None
    inside = frames[builds[-1] + 1 :]
    if not inside:  # raised by the call itself
        return (
            f'The config does not fit a type it names ({text}); correct the '
            'key, or remove it.'
            if '__init__()' in text
            else None
        )
    if not all(_package(frame) in PACKAGES for frame, _ in inside):
        return None
    found = frames[builds[-1]][0].f_locals
    frame, line = inside[-1]
    path = frame.f_code.co_filename
    reason = ' '.join(text.split()) or linecache.getline(path, line).strip()
    return (
        f'The config has a {found["obj_cls"].__name__} that cannot be built '
        f'with {_short_arguments(found["args"])} ({type(error).__name__} in '
        f'{frame.f_globals["__name__"]}, line {line}: {reason[:200]}); '
        'correct the value.'
    )


def _file_of(error: OSError) -> str:
    return f' for {error.filename!r}' if error.filename else ''


def _channels(error: Exception, frames: list[FrameType]) -> str | None:
    """Return a fix for a mismatch of greyscale and colour images."""
    text = str(error)
    named = re.search(r'to have (\d+) channels, but got (\d+)', text)
    shape = re.search(r'torch\.Size\(\[(\d+), ', text)
    taken, given = (
        named.groups() if named else ('3', shape[1] if shape else '1')
    )
    in_conv = bool(named) and {taken, given} <= {'1', '3', '4'}
    in_preprocessor = any(
        'preprocessor' in frame.f_globals.get('__name__', '')
        for frame in frames
    ) and bool(re.search('dimension 0 with size 1|should in shape of', text))
    if not (in_conv or in_preprocessor):
        return None
    kind = 'grayscale' if taken == '1' else 'color'
    return (
        f'The images that the pipeline loads have {given} '
        f'channel{"" if given == "1" else "s"}, but the network takes '
        f'{taken}; write LoadImageFromFile(color_type={kind!r}) in every '
        f'pipeline, or in_channels={given} of the backbone and as many means '
        'in its data_preprocessor.'
    )


def _custom_import(error: Exception) -> str | None:
    if not str(error).startswith('Failed to import custom modules'):
        return None
    named = error.__cause__  # MMEngine names the module, Python the reason
    reason = named.__context__
    module = str(named).removeprefix('Failed to import ')
    return (
        f'custom_imports of the config names {module!r}, which cannot be '
        f'imported ({reason}); correct the name, or start the tool in the '
        'folder that contains the package.'
    )


def _missing_tracker(error: Exception, frames: list[FrameType]) -> str | None:
    if not isinstance(error, ImportError) or not frames:
        return None
    where = frames[-1]
    if where.f_globals.get('__name__') != 'mmengine.visualization.vis_backend':
        return None
    kind = type(where.f_locals['self']).__name__
    name = getattr(error.__context__, 'name', None)
    return (
        f'vis_backends of the config has a {kind}, which needs the package '
        f'{name!r}; install it, or take the backend out.'
    )


def _package(frame: FrameType) -> str:
    return frame.f_globals.get('__name__', '').partition('.')[0]


def _short_arguments(arguments: dict) -> str:
    """Return the arguments that are short enough for a sentence."""
    short = [
        f'{name}={value!r}'
        for name, value in arguments.items()
        if isinstance(value, (str, int, float, list, tuple))
        and len(repr(value)) < 40
    ]
    return ', '.join(short) or 'its arguments'


def _unreadable_image(error: Exception, frames: list[FrameType]) -> str | None:
    # a worker process sends only the error's text and its traceback
    said = r'^(?:AssertionError: )?failed to load image: (.+)'
    named = re.search(said, str(error), re.M)
    if named and isinstance(error, AssertionError):
        return f'The image {named[1]!r}'
    if 'imfrombytes' in [frame.f_code.co_name for frame in frames]:
        paths = [frame.f_locals.get('filename') for frame in frames]
        return f'The image {next(filter(None, paths), None)!r}'
    if 'DataLoader worker' in str(error) and 'in imfrombytes' in str(error):
        return 'An image (`find data -type f -size 0` lists empty files)'
    return None
