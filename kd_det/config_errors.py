"""Describes errors in config files and their location."""

import os.path as osp
import traceback

# MMEngine's functions that read a file; ``filename`` is its path.
READERS = ('_file2dict', '_parse_lazy_import')
CUSTOM_IMPORT = 'Failed to import custom modules'


def reason_of(error: BaseException, path: str) -> str:
    """Return type, location and message of an error, for a message.

    Args:
        error: Error raised while reading a config, with traceback.
        path: The config file; a file name is only added for lines of other
            files, such as bases.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    calls = [frame.f_code.co_name for frame, _ in frames]
    read = [
        frame.f_locals.get('filename')
        for frame, _ in frames
        if frame.f_code.co_name in READERS
    ]
    file = osp.abspath(read[-1] if read else path)
    lines = [n for frame, n in frames if frame.f_code.co_filename == file]
    text = str(error)
    if isinstance(error, SyntaxError):  # MMEngine wraps Python's
        own = error.__context__ or error
        lines, text = [own.lineno] if own.lineno else [], own.msg
    elif 'import_modules_from_strings' in calls:  # the module's own error
        file = frames[-1][0].f_code.co_filename
        lines = [frames[-1][1]]
    place = f' in line {lines[-1]}' if lines else ''
    if file != osp.abspath(path):
        place += f' of {file!r}' if lines else f' in {file!r}'
    return f'{type(error).__name__}{place}: {" ".join(text.split())}'
