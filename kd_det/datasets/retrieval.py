"""Data sets for metric learning, with disjoint training and test classes."""

import os.path as osp
from collections.abc import Iterable, Sequence

import mat4py
from mmengine.fileio import list_dir_or_file, list_from_file
from mmpretrain.datasets import BaseDataset

from kd_det.errors import UserError
from kd_det.registry import DATASETS

IMAGES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.webp')


class ClassSplit(BaseDataset):
    """Base of data sets whose splits are sets of classes.

    A subclass defines the splits with their numbers of classes, and implements
    ``entries``.

    Args:
        data_root: Folder of the data set.
        split: Name of the split.
        pipeline: Transforms.
        metainfo: Additional metadata.
        indices: Indices of the images to use, or a number of first images.
        test_mode: As in MMEngine.
        lazy_init: As in MMEngine.
        serialize_data: As in MMEngine.

    Raises:
        FileNotFoundError: A file or folder of the data set is missing.
        UserError: The split is unknown, or has the wrong number of classes.
    """

    name = ''  # of the data set, for messages
    page = ''
    splits: dict[str, int] = {}

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        pipeline: Sequence = (),
        metainfo: dict | None = None,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        serialize_data: bool = True,
    ) -> None:
        if self.splits and split not in self.splits:
            raise UserError(
                f'{self.name} has no split {split!r}; accepted are '
                f'{", ".join(self.splits)}.'
            )
        self.split = split
        super().__init__(
            ann_file='',
            metainfo=metainfo,
            data_root=data_root,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=pipeline,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def entries(self) -> Iterable[tuple[dict, str]]:
        """Yield the image of each sample and the name of its class.

        Classes are labelled in the order of their first occurrence.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Return the samples and set the class names."""
        labels: dict[str, int] = {}
        samples = [
            dict(image, gt_label=labels.setdefault(name, len(labels)))
            for image, name in self.entries()
        ]
        wanted = self.splits.get(self.split)
        if wanted is not None and len(labels) != wanted:
            raise UserError(
                f'The {self.split} split of {self.name} in '
                f'{self.data_root!r} has {len(labels)} classes instead of '
                f'{wanted}; complete the data set (from {self.page}).'
            )
        self._metainfo['classes'] = tuple(labels)
        return samples

    def find(self, *names: str) -> str:
        """Return an existing path below ``data_root``, or raise."""
        path = osp.join(self.data_root, *names)
        if not osp.exists(path):
            raise FileNotFoundError(
                f'There is no {path!r} of {self.name}; unpack the archive of '
                f'{self.page}, or set data_root to its folder.'
            )
        return path

    def table(self, *names: str, columns: int) -> Iterable[list[str]]:
        """Yield the words of each line of a file below ``data_root``."""
        path = self.find(*names)
        for number, line in enumerate(list_from_file(path), start=1):
            words = line.split()
            if words and len(words) != columns:
                raise UserError(
                    f'Line {number} of {path!r} has {len(words)} words '
                    f'instead of {columns}; unpack the archive of {self.page} '
                    'again.'
                )
            if words:
                yield words


@DATASETS.register_module()
class CUBRetrieval(ClassSplit):
    """CUB-200-2011: first 100 classes for training, last 100 for testing.

    Reads ``images.txt`` and ``images/`` of ``CUB_200_2011``. Arguments are
    those of :class:`ClassSplit`.
    """

    name = 'CUB-200-2011'
    page = 'https://www.vision.caltech.edu/datasets/cub_200_2011/'
    splits = dict(train=100, test=100)

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        images = self.find('images')
        for _, path in self.table('images.txt', columns=2):
            folder = path.partition('/')[0]  # 001.Black_footed_Albatross
            number = folder.partition('.')[0]
            first = number.isdecimal() and int(number) <= 100
            if first == (self.split == 'train'):
                yield dict(img_path=osp.join(images, path)), folder


@DATASETS.register_module()
class CarsRetrieval(ClassSplit):
    """Cars-196: first 98 classes for training, last 98 for testing.

    Reads ``cars_annos.mat`` and the images it names, ``car_ims/…``: the
    archive with all 16,185 images in one folder. Arguments are those of
    :class:`ClassSplit`.
    """

    name = 'Cars-196'
    page = 'https://ai.stanford.edu/~jkrause/cars/car_dataset.html'
    splits = dict(train=98, test=98)

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        file = self.find('cars_annos.mat')
        try:
            table = mat4py.loadmat(file)
            cars, names = table['annotations'], table['class_names']
        except Exception as error:  # mat4py raises anything for damaged files
            raise UserError(
                f'{file!r} cannot be read as annotations of Cars-196 '
                f'({type(error).__name__}: {error}); delete it, then copy it '
                'again.'
            ) from None
        for path, number in zip(cars['relative_im_path'], cars['class']):
            if (number <= 98) == (self.split == 'train'):
                path = osp.join(self.data_root, path)
                # names are not unique
                yield dict(img_path=path), f'{number} {names[number - 1]}'


@DATASETS.register_module()
class SOPRetrieval(ClassSplit):
    """Stanford Online Products with its official class lists.

    Reads ``Ebay_train.txt``, ``Ebay_test.txt`` and the images they name.
    Arguments are those of :class:`ClassSplit`.
    """

    name = 'Stanford Online Products'
    page = 'https://cvgl.stanford.edu/projects/lifted_struct/'
    splits = dict(train=11318, test=11316)

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        rows = iter(self.table(f'Ebay_{self.split}.txt', columns=4))
        next(rows, None)  # header
        for _, number, _, path in rows:
            yield dict(img_path=osp.join(self.data_root, path)), number


@DATASETS.register_module()
class MiniImageNet(ClassSplit):
    """miniImageNet: 64 classes for training, 16 for validation, 20 for test.

    Reads ``train.csv``, ``val.csv`` and ``test.csv`` (``filename,label``)
    and ``images/``. Arguments are those of :class:`ClassSplit`.
    """

    name = 'miniImageNet'
    page = 'https://arxiv.org/abs/1606.04080'
    splits = dict(train=64, val=16, test=20)

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        images = self.find('images')
        for (line,) in self.table(f'{self.split}.csv', columns=1):
            file, _, label = line.partition(',')
            if file != 'filename':
                yield dict(img_path=osp.join(images, file)), label


@DATASETS.register_module()
class ClassFolders(ClassSplit):
    """Any folder tree with one folder per class, split by a class list.

    Args:
        data_root: Folder that contains the class folders.
        classes: Names of the class folders of this split, or a file with one
            name per line.
        pipeline: Transforms.
        metainfo: Metadata, whose ``classes`` take precedence.
        indices: See :class:`ClassSplit`.
        test_mode: As in MMEngine.
        lazy_init: As in MMEngine.
        serialize_data: As in MMEngine.

    Raises:
        FileNotFoundError: The file or a folder is missing.
        UserError: A class is listed twice or has no images.
    """

    name = 'the image folder'

    def __init__(
        self,
        data_root: str,
        classes: str | Sequence[str] = (),
        pipeline: Sequence = (),
        metainfo: dict | None = None,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        serialize_data: bool = True,
    ) -> None:
        classes = (metainfo or {}).get('classes') or classes
        if isinstance(classes, str):
            if not osp.isfile(classes):
                raise FileNotFoundError(
                    f'There is no class list {classes!r}; use a file with '
                    'one folder name per line, or a tuple of names.'
                )
            classes = [line.strip() for line in list_from_file(classes)]
            classes = [line for line in classes if line]
        self.folders = tuple(classes)
        if not self.folders or len({*self.folders}) < len(self.folders):
            raise UserError(
                f'ClassFolders has classes={self.folders}; one or more '
                'unique folder names are accepted.'
            )
        super().__init__(
            data_root,
            pipeline=pipeline,
            metainfo=metainfo,
            indices=indices,
            test_mode=test_mode,
            lazy_init=lazy_init,
            serialize_data=serialize_data,
        )

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        for folder in self.folders:
            path = osp.join(self.data_root, folder)
            if not osp.isdir(path):
                raise FileNotFoundError(
                    f'There is no class folder {path!r}; correct its name in '
                    'classes, or data_root.'
                )
            files = images_in(path)
            if not files:
                raise UserError(
                    f'Class folder {path!r} contains no images; accepted are '
                    f'{", ".join(IMAGES)}.'
                )
            for file in files:
                yield dict(img_path=file), folder


def images_in(folder: str) -> list[str]:
    """Return the paths of the images in a folder, sorted."""
    files = list_dir_or_file(folder, list_dir=False, recursive=True)
    return sorted(
        osp.join(folder, file)
        for file in files
        if file.lower().endswith(IMAGES)
    )
