"""The command line: ``kd_det COMMAND``, one module per command."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import kd_det
from kd_det.errors import UserError, nearest

# In the order of ``kd_det --help``. The module of a command has its name,
# with ``_`` for ``-``: its docstring is the help, ``add_arguments(parser)``
# and ``run(args)`` do the rest. It imports torch inside ``run`` only.
COMMANDS = (
    'train',
    'test',
    'export',
    'calibrate',
    'centroids',
    'autoencoder',
    'self-distill',
    'compare',
    'analyze',
    'analyze-embeddings',
    'demo',
    'env',
    'check-gpu',
)


def main(
    command: str | None = None, argv: Sequence[str] | None = None
) -> None:
    """Run a command; exit with 2 and one sentence if the user can fix it.

    Args:
        command: One of ``COMMANDS``; the first argument without it.
        argv: The arguments that follow; those of the process without it.
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
        UserError: There is no such command.
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
        f'  {command:{width}}  {module_of(command).__doc__.splitlines()[0]}'
        for command in COMMANDS
    ]
    return '\n'.join(
        [
            'usage: kd_det COMMAND ...',
            '',
            kd_det.__doc__,
            '',
            'commands:',
            *lines,
            '',
            '`kd_det COMMAND --help` lists the arguments of a command, '
            '`kd_det --version`',
            'prints the version.',
        ]
    )


def run_tool(main: Callable[[], object]) -> None:
    """Call ``main``; print a user's error as one sentence and exit with 2.

    As with ``python -m``, modules of the working directory can be imported:
    ``custom_imports`` names them.
    """
    sys.path.insert(0, os.getcwd())
    try:
        main()
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


def _sentence_of(error: Exception) -> str | None:
    try:
        from kd_det.engine.sentences import sentence_of
    except Exception:  # whatever a broken library raises at its import
        return (
            'The libraries that kd_det needs cannot be imported '
            f'({type(error).__name__}: {error}); `kd_det env` names the fix.'
        )
    return sentence_of(error)


def _report(error: object) -> int:
    print(f'error: {error}', file=sys.stderr)
    return 2
