"""Which names a config and its bases set and read; another value for some.

MMEngine executes a base before its child, so that what the base has made of
its own variable stays as it is when the child sets the variable. While a file
is read here, the class that MMEngine hands each file's syntax tree to is
replaced by one that takes notes, and puts given values in place of those of
plain assignments.
"""

import ast
import copy
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config, config

from kd_det.compat.config_names import files_being_read
from kd_det.compat.plain_yaml import plain_yaml

BASE = '_base_'
FOLDER = 'data_root'
# what MMEngine has made of '{{_base_.name.part}}' by then
PLACEHOLDER = re.compile(r'_(\w+?)(?:\.[\w.]+)?_[0-9a-f]{6}')
STANDS = {}  # while a file is read


@dataclass
class Source:
    """What one file of a config does with names of its top level.

    Attributes:
        path: The file.
        sets: Names that it sets or changes -> whether it does so by plain
            statements ``name = value``, for which another value can stand
            in.
        reads: Those of its own names and of its bases that it reads, but for
            what makes a new value of a name of the base's.
        renews: Names that it makes of the base's value.
        folders: What it writes for ``data_root`` in dicts, '' for what is no
            literal.
        heirs: The files that inherit from it, directly or not.
        inherits: Whether it has bases.
        is_dump: Whether it is as MMEngine writes a config: values by name.
    """

    path: str
    sets: dict[str, bool] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)
    renews: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    heirs: list[str] = field(default_factory=list)
    inherits: bool = False
    is_dump: bool = False


@dataclass
class Stand:
    """What stands in for the value of a name.

    Attributes:
        value: The value.
        files: In how many of a config's files, in their order.
    """

    value: object
    files: int


def read(
    path: str,
    stands: dict[str, Stand] | None = None,
    without: Collection[str] = (),
) -> tuple[Config, list[Source]]:
    """Read a config by MMEngine.

    Args:
        path: The file.
        stands: Name -> what stands in for the values that files assign.
        without: Files whose statements are left out, but for their bases.

    Returns:
        The config, and its files in the order in which they were executed,
        ``path`` last. A config that imports its bases stands alone there,
        and YAML and JSON are left out.
    """
    sources = []
    with _notes_into(sources, without), plain_yaml():
        STANDS.update(stands or {})
        cfg = Config.fromfile(path)
        [*cfg.values()]  # imports what a config with imports names
    if not sources and path.endswith('.py'):
        sources = [_notes_of(path, ast.parse(Path(path).read_text('utf-8')))]
    return cfg, sources


def value_of(name: str, end: str = '') -> object:
    """Return what stands in for a name; a file that is read calls it.

    Args:
        name: A name at its top level.
        end: What a text must end with: what the file assigns ends with '/',
            so that it may put the name of a file behind it.
    """
    value = copy.deepcopy(STANDS[name].value)
    if end and isinstance(value, str) and not value.endswith(end):
        return value + end
    return value


@contextmanager
def _notes_into(
    sources: list[Source], without: Collection[str]
) -> Iterator[None]:
    class Notes(config.RemoveAssignFromAST):
        def visit_Module(self, tree: ast.Module) -> ast.Module:
            path, *heirs = files_being_read()
            number = len(sources)
            sources.append(_notes_of(path, tree))
            sources[-1].heirs = heirs
            self.generic_visit(tree)
            tree.body = [
                _replaced(node, number)
                for node in tree.body
                if path not in without
            ]
            return ast.fix_missing_locations(tree)

    stock = config.RemoveAssignFromAST
    config.RemoveAssignFromAST = Notes
    try:
        yield
    finally:
        config.RemoveAssignFromAST = stock
        STANDS.clear()


def _replaced(node: ast.stmt, number: int) -> ast.stmt:
    name = _plain_name(node)
    if name in STANDS and number < STANDS[name].files:
        text = str(getattr(node.value, 'value', ''))
        end = '/' if text.endswith('/') else ''
        call = (
            f'__import__({__name__!r}, fromlist=["value_of"])'
            f'.value_of({name!r}, {end!r})'
        )
        value = ast.parse(call, mode='eval').body
        node.value = ast.copy_location(value, node.value)
    return node


def _notes_of(path: str, tree: ast.Module) -> Source:
    source, changing, loaded = Source(path), set(), set()
    for node in _statements(tree):
        for target in _targets(node):
            name, root = _variable(target)
            if name is None:
                continue
            plain = node in tree.body and name == _plain_name(node)
            source.sets[name] = plain and source.sets.get(name, True)
            renewed = [n for n in ast.walk(node) if _of_base(n) == name]
            if renewed and [*_targets(node)] != renewed:
                source.renews.add(name)
            changing |= {root, *renewed}
    source.inherits = source.sets.pop(BASE, None) is not None
    for node in ast.walk(tree):
        if isinstance(node, (ast.Dict, ast.keyword)):
            source.folders |= {*_folders_in(node)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            source.reads |= {*PLACEHOLDER.findall(node.value)}
        if node not in changing and _of_base(node):
            source.reads.add(_of_base(node))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            loaded.add(node)
    own = {node.id for node in loaded - changing}
    source.reads |= own & {*source.sets}
    names = [*map(_plain_name, tree.body)]
    source.is_dump = (
        not source.reads
        and not source.inherits
        and (None not in names and names == sorted(names))
    )
    return source


def _folders_in(node: ast.Dict | ast.keyword) -> Iterator[str]:
    pairs = [(node.arg, node.value)] if isinstance(node, ast.keyword) else ()
    for key, value in pairs or zip(node.keys, node.values):
        if getattr(key, 'value', key) == FOLDER:
            yield str(getattr(value, 'value', ''))


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of the file's own scope."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef, ast.expr)):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _statements(child)


def _targets(node: ast.stmt) -> Iterator[ast.expr]:
    """Yield what a statement assigns to, or calls a method of."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if isinstance(node.value.func, ast.Attribute):
            yield node.value.func.value  # of list.append, dict.update, …
    targets = getattr(node, 'targets', [getattr(node, 'target', None)])
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        for target in targets:
            yield from getattr(target, 'elts', [target])


def _variable(node: ast.AST) -> tuple[str | None, ast.AST]:
    """Return the variable in whose value an expression is, and its node."""
    while not isinstance(node, ast.Name) and not _of_base(node):
        node = getattr(node, 'value', None) or getattr(node, 'func', None)
        if node is None or not isinstance(node, ast.AST):
            return None, node
    return _of_base(node) or node.id, node


def _of_base(node: ast.AST) -> str | None:
    """Return ``name`` of ``_base_.name``, ``_base_['name']``, or None.

    And of ``_base_.get('name')`` and ``_base_.pop('name')``.
    """
    if isinstance(node, ast.Call) and node.args:
        inner, key = getattr(node.func, 'value', None), node.args[0]
    else:
        inner, key = getattr(node, 'value', None), getattr(node, 'slice', None)
    if getattr(inner, 'id', None) != BASE:
        return None
    return getattr(key, 'value', None) or getattr(node, 'attr', None)


def _plain_name(node: ast.stmt) -> str | None:
    """Return the name of ``name = value``, or None for other statements.

    Or of ``_base_.name = value``.
    """
    targets = [*_targets(node)]
    if len(targets) != 1 or isinstance(node, (ast.AugAssign, ast.Expr)):
        return None
    (target,) = targets
    name = isinstance(target, ast.Name) and target.id
    return name or _of_base(target)
