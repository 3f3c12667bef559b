"""Checkpoints are read without executing what is pickled in them."""

import functools
import http.server
import os
import pickle
import threading
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import _load_checkpoint, get_torchvision_models

from kd_det.checkpoint import download, load_checkpoint, use_safe_loading
from kd_det.errors import UserError

STATE = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.ones(2))


class Touch:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path, how=os.system):
        self.path, self.how = path, how

    def __reduce__(self):
        if self.how is os.system:
            return os.system, (f'touch {self.path}',)
        return self.how, (f'open({str(self.path)!r}, "w")',)


@pytest.fixture
def trap(tmp_path):
    return tmp_path / 'executed'


@pytest.fixture
def safe_loading():
    before = dict(CheckpointLoader._schemes)
    use_safe_loading()
    yield
    use_safe_loading()  # for those who come after: it is never unsafe
    assert {*before, 'pip://'} == set(CheckpointLoader._schemes)


def save(obj, path, **kwargs):
    torch.save(obj, path, **kwargs)
    return str(path)


def same(checkpoint):
    state = checkpoint['state_dict']
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize('new', [True, False])
def test_reads_tensors_and_plain_values(tmp_path, new):
    meta = dict(epoch=3, names=('a', 'b'), nested=[{1: None}, 2.5, True])
    path = save(
        dict(meta=meta, state_dict=STATE),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=new,
    )
    checkpoint = load_checkpoint(path)
    same(checkpoint)
    assert checkpoint['meta'] == meta
    same(load_checkpoint(tmp_path / 'a.pth'))  # a Path as well


def test_reads_what_mmengine_writes(tmp_path):
    history = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        history.update(value)
    numbers = dict(
        a=np.float32(1.5),
        b=np.int64(7),
        c=np.arange(4),
        d=np.bool_(True),
        e=np.array(['x', 'yz']),
    )
    path = save(
        dict(state_dict=STATE, message_hub=dict(log=history, n=numbers)),
        tmp_path / 'a.pth',
    )
    loaded = load_checkpoint(path)['message_hub']
    assert loaded['log'].mean() == 3 and loaded['log'].current() == 6
    assert loaded['n']['c'].tolist() == [0, 1, 2, 3]
    assert loaded['n']['a'] == 1.5 and loaded['n']['e'][1] == 'yz'


def test_map_location(tmp_path):
    path = save(STATE, tmp_path / 'a.pth')
    assert load_checkpoint(path, 'meta')['weight'].device.type == 'meta'


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(dict(state_dict=STATE), tmp_path / 'a.pth')
    same(load_checkpoint('~/a.pth'))


def test_absent(tmp_path):
    for path in (tmp_path / 'none.pth', tmp_path):
        with pytest.raises(FileNotFoundError, match='There is no checkpoint'):
            load_checkpoint(str(path))


@pytest.mark.parametrize('new', [True, False])
def test_truncated(tmp_path, new):
    path = save(
        dict(state_dict=STATE, meta=dict(epoch=1)),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=new,
    )
    with open(path, 'rb') as file:
        content = file.read()
    for length in range(0, len(content), max(1, len(content) // 40)):
        with open(path, 'wb') as file:
            file.write(content[:length])
        with pytest.raises(UserError) as caught:
            load_checkpoint(path)
        message = str(caught.value)
        # an old file may be cut within a name, which is then not allowed
        assert f'of {length} bytes' in message or (
            not new and 'asks' in message
        )
        assert 'truncated' in message or not new


@pytest.mark.parametrize('new', [True, False])
def test_damaged_bytes(tmp_path, new):
    path = save(
        dict(state_dict=STATE),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=new,
    )
    with open(path, 'rb') as file:
        content = file.read()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for position in rng.integers(0, len(damaged), 8):
            damaged[position] = rng.integers(256)
        with open(path, 'wb') as file:
            file.write(damaged)
        try:
            load_checkpoint(path)  # the damage may be in a tensor
        except UserError:
            refused += 1
    assert refused > 10


def test_neither_dict_nor_checkpoint(tmp_path):
    path = save([1, 2], tmp_path / 'a.pth')
    with pytest.raises(UserError, match='contains a list'):
        load_checkpoint(path)
    (tmp_path / 'a.pth').write_text('<html>Not found</html>')
    with pytest.raises(UserError, match='not a checkpoint'):
        load_checkpoint(path)


GADGETS = {
    'arguments': lambda trap: dict(args=Namespace(out=Touch(trap))),
    'system': lambda trap: Touch(trap),
    'eval': lambda trap: Touch(trap, eval),
    'in the weights': lambda trap: dict(state_dict=dict(STATE, x=Touch(trap))),
    'in meta': lambda trap: dict(state_dict=STATE, meta=dict(x=Touch(trap))),
    'in an array': lambda trap: dict(x=np.array([Touch(trap)])),
    'as a key': lambda trap: {(1, (Touch(trap),)): 1},
}


class Attribute:
    """Pickled as the look-up of an attribute."""

    def __init__(self, owner, name):
        self.args = owner, name

    def __reduce__(self):
        return getattr, self.args


@pytest.mark.parametrize('name', GADGETS)
@pytest.mark.parametrize('new', [True, False])
def test_code_is_not_executed(tmp_path, trap, name, new):
    path = save(
        GADGETS[name](trap),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=new,
    )
    with pytest.raises(UserError, match='--trust-pickle'):
        load_checkpoint(path)
    assert not trap.exists()
    # the trap works, and trust is what it says
    try:
        load_checkpoint(path, trust=True)
    except UserError:
        pass  # some of these hold no dict
    assert trap.exists()


def test_arguments_of_a_script_are_plain_values(tmp_path):
    """What timm and torchvision's references write beside the weights."""
    args = Namespace(lr=0.1, milestones=[1, 2], device=torch.device('cpu'))
    path = save(dict(state_dict=STATE, args=args), tmp_path / 'a.pth')
    same(load_checkpoint(path))
    assert load_checkpoint(path)['args'] == args


@pytest.mark.parametrize(
    'attribute',
    [
        Attribute(HistoryBuffer, '__init__'),
        Attribute(HistoryBuffer, '_set_default_statistics'),
        Attribute(Attribute(HistoryBuffer, 'mean'), '__globals__'),
        Attribute(np.ndarray, 'tofile'),
        Attribute(OrderedDict, 'fromkeys'),
    ],
)
def test_attributes_are_those_of_the_log_history_alone(tmp_path, attribute):
    """They are all that MMEngine's own checkpoints look up."""
    path = save(dict(x=Attribute(HistoryBuffer, 'mean')), tmp_path / 'a.pth')
    assert load_checkpoint(path)['x'] is HistoryBuffer.mean
    path = save(dict(x=attribute), tmp_path / 'a.pth')
    with pytest.raises(UserError, match="asks for 'getattr.*--trust-pickle"):
        load_checkpoint(path)


def test_plain_pickle(tmp_path, trap):
    with open(tmp_path / 'a.pth', 'wb') as file:
        pickle.dump(dict(state_dict=Touch(trap)), file, protocol=2)
    with pytest.raises(UserError):
        load_checkpoint(str(tmp_path / 'a.pth'))
    assert not trap.exists()


def test_refusal_names_what_was_asked_for(tmp_path):
    path = save(dict(x=functools.partial(int)), tmp_path / 'a.pth')
    with pytest.raises(UserError, match="'functools.partial', which could"):
        load_checkpoint(path)


def test_config_text_is_dropped(tmp_path):
    meta = dict(epoch=1, config='import os', cfg='model = 1')
    path = save(dict(meta=meta, state_dict=STATE), tmp_path / 'a.pth')
    meta = load_checkpoint(path)['meta']
    assert meta == dict(epoch=1, cfg='model = 1')  # resume reads config alone


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub/checkpoints'
    folder.mkdir(parents=True)
    return folder


def test_offline(cache):
    with pytest.raises(UserError) as caught:
        load_checkpoint('https://checkpoints.invalid/x/teacher.pth')
    message = str(caught.value)
    assert "Cannot download 'https://checkpoints.invalid/x/teacher" in message
    assert '--teacher FILE' in message and 'checkpoint=FILE' in message
    assert os.listdir(cache) == []
    with pytest.raises(UserError, match='Cannot download'):
        load_checkpoint('http://not a host/teacher.pth')


def test_cached_download_needs_no_network(cache):
    save(dict(state_dict=STATE), cache / 'teacher.pth')
    same(load_checkpoint('https://checkpoints.invalid/x/teacher.pth?a=1'))


@pytest.fixture
def server(tmp_path):
    """Serve a folder on this machine and keep the list of requests."""
    folder = tmp_path / 'served'
    folder.mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', folder, requests
        server.shutdown()


def test_downloads_once(cache, server):
    url, folder, requests = server
    save(dict(state_dict=STATE), folder / 'teacher.pth')
    for _ in range(2):
        same(load_checkpoint(f'{url}/teacher.pth'))
    assert requests == ['/teacher.pth']
    assert download(f'{url}/teacher.pth') == str(cache / 'teacher.pth')
    with pytest.raises(UserError, match='HTTP Error 404'):
        load_checkpoint(f'{url}/other.pth')


def test_every_scheme_is_safe(tmp_path, cache, trap, safe_loading):
    """All loaders of MMEngine, through its own front door."""
    evil = save(Touch(trap), tmp_path / 'evil.pth')
    with pytest.raises(UserError, match='trust'):
        _load_checkpoint(evil)
    urls = get_torchvision_models()
    names = {
        'torchvision://resnet18': urls['resnet18'],
        'modelzoo://resnet18': urls['resnet18'],
        'open-mmlab://detectron2/resnet50_caffe': 'resnet50_msra-5891d200.pth',
        'openmmlab://detectron2/resnet50_caffe': 'resnet50_msra-5891d200.pth',
        'mmcls://vgg11': 'vgg11_batch256_imagenet_20210208-4271cd6c.pth',
        'https://checkpoints.invalid/a.pth': 'a.pth',
    }
    for name, url in names.items():
        save(Touch(trap), cache / os.path.basename(url))
        with pytest.raises(UserError, match='trust'):
            _load_checkpoint(name)
    for name in ('s3://bucket/a.pth', 'x:s3://bucket/a.pth', 'pavi://a.pth'):
        with pytest.raises(UserError, match='copy it to a local file'):
            _load_checkpoint(name)
    assert not trap.exists()


def test_trust_is_for_every_scheme(tmp_path, trap, safe_loading):
    path = save(dict(x=Touch(trap)), tmp_path / 'a.pth')
    use_safe_loading(trust=True)
    _load_checkpoint(path)
    assert trap.exists()


def test_names_of_model_zoos(cache, safe_loading):
    url = get_torchvision_models()['resnet18']
    save(STATE, cache / os.path.basename(url))
    assert list(_load_checkpoint('torchvision://resnet18')) == list(STATE)
    with pytest.raises(
        UserError, match="'resnet19' under torchvision://; did"
    ):
        _load_checkpoint('torchvision://resnet19')
    state = {'backbone.a': torch.ones(1), 'head.b': torch.ones(1)}
    name = 'vgg11_batch256_imagenet_20210208-4271cd6c.pth'
    save(dict(state_dict=state), cache / name)
    assert list(_load_checkpoint('mmcls://vgg11')['state_dict']) == ['a']
