"""The command line: ``kd_det COMMAND``, one module per command."""

import argparse
import importlib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TextIO

import kd_det
from kd_det.errors import UserError, nearest

# In the order of ``kd_det --help``. Each command is implemented in the module
# of the same name, with ``_`` instead of ``-``: its docstring is the help
# text, and it defines ``add_arguments(parser)`` and ``run(args)``. torch is
# imported inside ``run`` only.
COMMANDS = (
    'distill',
    'new',
    'doctor',
    'train',
    'test',
    'export',
    'benchmark',
    'calibrate',
    'centroids',
    'cache',
    'autoencoder',
    'self-distill',
    'compare',
    'report',
    'analyze',
    'analyze-embeddings',
    'demo',
    'env',
    'check-gpu',
)


def main(
    command: str | None = None, argv: Sequence[str] | None = None
) -> None:
    """Run a command; print user errors in one sentence and exit with 2.

    Args:
        command: One of ``COMMANDS``; default: the first argument.
        argv: The remaining arguments; default: those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    run_tool(lambda: _main(command, words))


def _main(command: str | None, words: list[str]) -> None:
    prog = None  # the file in tools/
    if command is None:
        if not words or words[0] in ('-h', '--help'):
            print(overview())
            return
        if words[0] == '--version':
            print(kd_det.__version__)
            return
        command = words.pop(0)
        prog = f'kd_det {command}'
    module = module_of(command)
    parser = argparse.ArgumentParser(prog=prog, description=module.__doc__)
    module.add_arguments(parser)
    module.run(parser.parse_args(words))


def module_of(command: str) -> ModuleType:
    """Return the module of a command.

    Raises:
        UserError: The command is unknown.
    """
    if command not in COMMANDS:
        raise UserError(
            f'There is no command {command!r}; accepted are '
            f'{", ".join(COMMANDS)}{nearest(command, COMMANDS) or "."}'
        )
    name = command.replace('-', '_')
    return importlib.import_module(f'{__name__}.{name}')


def overview() -> str:
    """Return the text of ``kd_det --help``."""
    width = max(map(len, COMMANDS))
    lines = [
        f'  {command:{width}}  {_summary(module_of(command))}'.rstrip()
        for command in COMMANDS
    ]
    return '\n'.join(
        [
            'usage: kd_det COMMAND ...',
            '',
            _summary(kd_det),
            '',
            'commands:',
            *lines,
            '',
            '`kd_det COMMAND --help` lists the arguments of a command, '
            '`kd_det --version`',
            'prints the version.',
        ]
    )


def _summary(module: ModuleType) -> str:
    # `python -OO` removes docstrings
    return (module.__doc__ or '').partition('\n')[0]


def run_tool(main: Callable[[], object]) -> None:
    """Call ``main``; print user errors in one sentence and exit with 2.

    As with ``python -m``, modules in the current directory can be imported,
    for ``custom_imports``. If the output pipe is closed (``| head``), the rest
    of the output is dropped and the exit code is that of a shell.
    """
    try:
        try:
            _run(main)
        finally:
            if sys.stdout is not None:  # closed by `>&-`
                sys.stdout.flush()
    except BrokenPipeError:
        if not _has_no_reader(sys.stdout):  # another pipe was closed
            raise
        # Python flushes again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _run(main: Callable[[], object]) -> None:
    try:
        sys.path.insert(0, _working_directory())
        main()
    except BrokenPipeError:
        raise
    except (UserError, FileNotFoundError) as error:
        sys.exit(_report(error))
    except Exception as error:
        sentence = _sentence_of(error)
        if sentence is None:
            raise
        sys.exit(_report(sentence))
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)  # as shells do


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise UserError(
            'The working directory has been deleted; change to another.'
        ) from None


def _has_no_reader(file: TextIO) -> bool:
    poll = select.poll()
    poll.register(file.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _sentence_of(error: Exception) -> str | None:
    try:
        from kd_det.preflight.explain import sentence_of
    except Exception:  # broken libraries raise anything on import
        return (
            'The libraries that kd_det needs cannot be imported '
            f'({type(error).__name__}: {error}); `kd_det env` shows the fix.'
        )
    return sentence_of(error)


def _report(error: object) -> int:
    print(f'error: {error}', file=sys.stderr)
    return 2
