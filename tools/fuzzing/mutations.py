"""Changes inside a container, so that it stays one that can be opened."""

import io
import json
import random
import zipfile
from collections.abc import Callable

Mutate = Callable[[bytes, int], bytes]
# What a JSON value becomes, where a hand or a converter has gone wrong.
ODD = (
    None,
    True,
    0,
    -1,
    1e300,
    10**400,
    float('nan'),
    float('inf'),
    '',
    '1',
    '../../etc/passwd',
    'a\0b',
    '\ud800',
    [],
    {},
    [[]],
    [1, 2, 3, 4],
    {'counts': 'a', 'size': [9, 9]},
)


def changed(data: bytes, limit: int, seed: int, mutate: Mutate) -> bytes:
    """Return other bytes: of an archive's entry, of a JSON value, or any.

    Args:
        data: A file.
        limit: Most bytes.
        seed: What the choice follows.
        mutate: The fuzzer's own change of bytes.
    """
    chance = random.Random(seed)
    for change in (_entry, _value):
        if chance.random() < 0.7:
            other = change(data, limit, chance, mutate)
            if other is not None and len(other) <= limit:
                return other
    return mutate(data, limit)


def _entry(data, limit, chance, mutate) -> bytes | None:
    """Change one file of a zip archive, whose checksums stay right."""
    if data[:2] != b'PK':
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001  damaged
        return None
    name = chance.choice([*files]) if files else 'a'
    action = chance.randrange(8)
    if action == 0:
        files.pop(name, None)
    elif action == 1:
        files[name + 'x'] = files.pop(name, b'')
    else:
        files[name] = mutate(files.get(name, b''), limit)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
    return buffer.getvalue()


def _value(data, limit, chance, mutate) -> bytes | None:
    """Replace, remove or repeat one value somewhere in a JSON text."""
    if data[:1] not in (b'{', b'['):
        return None
    try:
        table = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = [*_places(table)]
    if not places:
        return None
    holder, key = chance.choice(places)
    action = chance.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(ODD)
    return json.dumps(table).encode()


def _places(value):
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, child in pairs:
        yield value, key
        yield from _places(child)
