"""Let MMEngine read YAML configs without executing what is in them."""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from mmengine.fileio.handlers import yaml_handler

MOST = 10**6  # values, where an anchor counts each time that it is used


class PlainLoader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """YAML's safe loader, with the tuples that MMEngine writes."""

    def construct_document(self, node: yaml.Node) -> object:
        """Build the value of a document."""
        if _count(node, {}) > MOST:
            raise yaml.YAMLError(
                f'its anchors stand for more than {MOST:,} values'
            )
        return super().construct_document(node)


def _tuple(loader: PlainLoader, node: yaml.SequenceNode) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))


PlainLoader.add_constructor('tag:yaml.org,2002:python/tuple', _tuple)


@contextmanager
def plain_yaml() -> Iterator[None]:
    """Let MMEngine use :class:`PlainLoader` while configs are read."""
    stock = yaml_handler.Loader
    yaml_handler.Loader = PlainLoader
    try:
        yield
    finally:
        yaml_handler.Loader = stock


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values that a node stands for."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # of a node inside itself
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]
