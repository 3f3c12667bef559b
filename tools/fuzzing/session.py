"""One process that fuzzes one reader; started by tools/fuzz.py."""

import json
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType

import atheris

with atheris.instrument_imports(include=['kd_det', 'safetensors']):
    from fuzzing.mutations import changed
    from fuzzing.readers import READERS, outcome, prepare
    from fuzzing.seeds import WORDS, seeds
    from kd_det.errors import UserError

# Modules of large packages whose branches guide the search, too.
TRACED = (
    'json.decoder',
    'mmdet.datasets.coco',
    'mmdet.datasets.xml_style',
    'numpy.lib._format_impl',
    'pickle',
    'pycocotools.coco',
    'torch._weights_only_unpickler',
    'torch.serialization',
    'zipfile',
)
LARGEST = 2**14  # bytes of a file


class Session:
    """Counts what a reader does with each input.

    Args:
        reader: Its name.
        kept: Folder for the inputs of findings.
    """

    def __init__(self, reader: str, kept: Path) -> None:
        self.reader = reader
        self.kept = kept
        self.counts: Counter = Counter()
        self.findings: dict[str, str] = {}
        self.slowest = 0.0
        self.began = self.written = time.monotonic()
        folder = Path('files').resolve()
        folder.mkdir()
        self.path = prepare(folder, reader)

    def import_all(self) -> None:
        """Read what is right, so that all is imported, and traced."""
        for content in seeds(self.reader):
            self.path.write_bytes(content)
            with suppress(UserError):  # one is to be refused
                READERS[self.reader][1](self.path)

    def try_input(self, data: bytes) -> None:
        """Let the reader read some bytes."""
        self.path.write_bytes(data)
        began = time.monotonic()
        try:
            self.counts[outcome(self.reader, self.path)] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  what is looked for
            self.counts['findings'] += 1
            self._keep(error, data)
        now = time.monotonic()
        self.slowest = max(self.slowest, now - began)
        if now > self.written + 1:  # libFuzzer ends without a last call
            self.written = now
            self.report()

    def _keep(self, error: BaseException, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f'{Path(frames[-1].filename).name}:{frames[-1].lineno}'
        name = f'{type(error).__name__} at {place}'
        if name in self.findings:
            return
        digest = sha256(data).hexdigest()[:12]
        (self.kept / f'{self.reader}-{digest}').write_bytes(data)
        self.findings[name] = f'{name}, {digest}: {error!s:.200}'
        own = [f for f in frames if 'kd_det' in f.filename]
        lines = [f'{f.filename}:{f.lineno} {f.line}' for f in own]
        note = '\n'.join([self.findings[name], *lines])
        (self.kept / f'{self.reader}-{digest}.txt').write_text(note)

    def report(self) -> None:
        """Write what was counted."""
        report = dict(
            read=self.counts['read'],
            refused=self.counts['refused'],
            seconds=round(time.monotonic() - self.began),
            slowest_seconds=round(self.slowest, 2),
            findings=sorted(self.findings.values()),
        )
        Path('report.json').write_text(json.dumps(report))


def trace(module: ModuleType) -> None:
    """Trace the functions and methods of a module that is imported."""
    for holder in (module, *vars(module).values()):
        if not isinstance(holder, (ModuleType, type)):
            continue
        for value in [*vars(holder).values()]:
            if isinstance(value, FunctionType) and (
                value.__module__ == module.__name__
            ):
                atheris.instrument_func(value)


def main() -> None:
    reader, seconds, seed, kept, memory, slowest = sys.argv[1:]
    session = Session(reader, Path(kept))
    corpus = Path('corpus')
    corpus.mkdir()
    for number, content in enumerate(seeds(reader)):
        (corpus / f'seed{number}').write_bytes(content)
    words = [
        ''.join(f'\\x{byte:02x}' for byte in word.encode())
        for word in WORDS[reader]
    ]
    Path('words').write_text(''.join(f'"{word}"\n' for word in words))
    with atheris.instrument_imports(include=['kd_det', 'safetensors']):
        session.import_all()
    for name in TRACED:
        if name in sys.modules:
            trace(sys.modules[name])
    atheris.Setup(
        [
            'fuzz',
            str(corpus),
            f'-max_total_time={seconds}',
            f'-seed={seed}',
            f'-max_len={LARGEST}',
            '-dict=words',
            f'-rss_limit_mb={memory}',
            f'-timeout={slowest}',
            f'-artifact_prefix={kept}/{reader}-',
            '-print_final_stats=1',
        ],
        session.try_input,
        custom_mutator=lambda data, limit, seed: changed(
            data, limit, seed, lambda b, n: atheris.Mutate(b, n)
        ),
    )
    atheris.Fuzz()


if __name__ == '__main__':
    main()
