"""Read a config file so that what it sets takes effect, or stops."""

import inspect
import os.path as osp
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from kd_det.compat import config_names, config_source
from kd_det.compat.config_source import Source, Stand
from kd_det.errors import UserError, nearest
from kd_det.shipped import shipped

config_names.install()

ROUNDS = 5  # of reading, until no variable makes another one change
# Names at the top of a config that are read, beside the Runner's arguments:
KNOWN = {
    *inspect.signature(Runner).parameters,
    *('activation_checkpointing', 'compile', 'efficient_conv_bn_eval'),
    *('find_unused_parameters', 'model_wrapper_cfg', 'sync_bn'),  # by it too
    *('cfg_options', 'classes', 'data_root'),  # by kd_det
    *('custom_imports', 'tta_model', 'tta_pipeline'),  # by OpenMMLab's tools
}
# Names that are tried at the top, most of MMDetection 2.x -> their place.
PLACES = dict(
    batch_size='train_dataloader.batch_size',
    checkpoint_config='default_hooks.checkpoint',
    data='train_dataloader, val_dataloader and test_dataloader',
    evaluation='val_evaluator and train_cfg.val_interval',
    fp16='optim_wrapper (type AmpOptimWrapper)',
    image_scale='the pipelines of train_dataloader, val_dataloader, …',
    log_config='default_hooks.logger',
    lr='optim_wrapper.optimizer.lr',
    lr_config='param_scheduler',
    max_epochs='train_cfg.max_epochs',
    num_classes='classes (their names)',
    num_workers='train_dataloader.num_workers',
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    resume_from='resume and load_from',
    runner='train_cfg',
    seed='randomness.seed',
    total_epochs='train_cfg.max_epochs',
    weight_decay='optim_wrapper.optimizer.weight_decay',
)


def advice(name: str, known: set[str]) -> str:
    """Return where a top-level name that nothing reads belongs, or ''.

    Args:
        name: What came.
        known: What is read.
    """
    place = PLACES.get(name)
    if place:
        return f'; write {place} in its place.'
    return nearest(name, sorted(known))


class ConfigFile:
    """A config file whose variables reach its bases.

    A variable that a file sets and does not read itself is meant for its
    bases, which are executed anew with its value: ``image_scale`` in a child
    of ``coco_folder.py`` changes the pipelines of the base.

    Args:
        path: The file.

    Attributes:
        cfg: The config.
        files: It and its bases, in the order of execution; for a config that
            imports its bases, it alone; none for YAML and JSON.

    Raises:
        UserError: A file sets a name that nothing reads, or a variable such
            that no other value can stand in.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._stands = {}
        self._imports = path.endswith('.py') and Config._is_lazy_import(path)
        self.cfg, self.files = config_source.read(path)
        names = dict.fromkeys(n for file in self.files for n in file.sets)
        self.cfg = self._told(self.cfg, [*names], False)
        for file in self.files:
            self._check_names(file)

    def with_values(self, cfg: Config, names: list[str]) -> Config:
        """Return the config whose files have used values of later.

        Args:
            cfg: What the config became, such as by options.
            names: Of what was changed at its top level.
        """
        return self._told(cfg, names, True)

    def before(self, name: str) -> Config:
        """Return what the config was before a name was set for the last time.

        Args:
            name: At the top of the config, set by one of its files.
        """
        return self._without(self.files[self._last(name)])

    def folders_since(self, name: str) -> set[str]:
        """Return the folders written for data sets where a name was set last.

        Args:
            name: At the top of the config, set by one of its files.

        Returns:
            Those in that file and in what inherits from it.
        """
        last = self.files[self._last(name)]
        paths = [last.path, *last.heirs]
        return set().union(*(f.folders for f in self.files if f.path in paths))

    def history(self) -> Iterator[Config]:
        """Yield what the config was before each of the user's files."""
        for file in reversed(self.files):
            if file.inherits and not _of_package(file):
                yield self._without(file)

    def _without(self, file: Source) -> Config:
        names = [file.path, *file.heirs]
        return config_source.read(self.path, self._stands, names)[0]

    def takes(self) -> set[str]:
        """Return the top-level names that may be given another value."""
        return KNOWN if self._imports else self._read_names()

    def _read_names(self) -> set[str]:
        return KNOWN.union(*(file.reads for file in self.files))

    def writer(self, name: str) -> Source | None:
        """Return the file that sets a name last, unless it is a package's."""
        setters = [file for file in self.files if name in file.sets]
        return (
            setters[-1] if setters and not _of_package(setters[-1]) else None
        )

    def _told(self, cfg: Config, names: list[str], given: bool) -> Config:
        """Return the config with variables told to the files before.

        Args:
            cfg: With the values.
            names: Of variables; those that no file before uses are left.
            given: Whether the values are of later than all files.
        """
        told = [n for n in names if n in cfg and self._is_meant(n, given)]
        for name in told:
            self._check_plain(name)
            last = self._last(name)
            # who sets it last does so again, but where it changes the
            # value of a base
            again = not given and name not in self.files[last].renews
            end = last if again else len(self.files)
            self._stands[name] = Stand(cfg[name], end)
        moved = told
        for _ in range(ROUNDS):
            if not moved:
                return cfg
            cfg = config_source.read(self.path, self._stands)[0]
            moved = [n for n, s in self._stands.items() if cfg[n] != s.value]
            for name in moved:  # it is made of another one
                self._stands[name].value = cfg[name]
        raise UserError(
            f'its {moved[0]!r} depends on itself through its bases; write the '
            'value as such.'
        )

    def _is_meant(self, name: str, given: bool) -> bool:
        """Return whether files have used another value than the final one."""
        if self._imports or name in KNOWN - {'classes', 'data_root'}:
            return False
        last = len(self.files) if given else self._last(name)
        before = self.files[:last]
        readers = [file for file in before if name in file.reads]
        if not readers or not any(name in file.sets for file in before):
            return False
        if given or name not in self.files[last].reads:
            return True
        # to read it again where it is set is MMEngine's way of using it; our
        # own bases are made to be told, but of a value changed in place
        plain = self.files[last].sets[name]
        return plain and all(map(_is_our_base, readers))

    def _last(self, name: str) -> int:
        """Return the index of the file that sets a name last."""
        return max(i for i, f in enumerate(self.files) if name in f.sets)

    def _check_plain(self, name: str) -> None:
        """Stop where another value cannot stand in for that of a file."""
        for file in self.files:
            if not file.sets.get(name, True):
                raise UserError(
                    f'{self._called(file)} changes {name!r} after a base has '
                    f'used it, which is without effect; write `{name} = …` '
                    'with the whole value, or change what was made of it.'
                )

    def _check_names(self, file: Source) -> None:
        """Stop at a name that a file sets and nothing reads."""
        if _of_package(file) or file.is_dump:
            return
        known = self._read_names()
        for name in file.sets:
            if name in known or name[0] == '_' or name not in self.cfg:
                continue
            if 'custom_imports' in self.cfg and not (
                name in PLACES or get_close_matches(name, known, cutoff=0.85)
            ):
                continue  # a module of the user's may read it
            hint = advice(name, known)
            raise UserError(
                f'{self._called(file)} sets {name!r}, which nothing reads'
                f'{hint or f"; take it out, or call it _{name}."}'
            )

    def _called(self, file: Source) -> str:
        own = file is self.files[-1]
        return 'it' if own else f'its base {osp.relpath(file.path)!r}'


def _is_our_base(file: Source) -> bool:
    return Path(file.path).is_relative_to(shipped('configs') / '_base_')


def _of_package(file: Source) -> bool:
    return '.mim' in Path(file.path).parts or _is_our_base(file)
