"""Facts of a run that the small trainings do not show."""

from hashlib import sha256

from mmengine.config import Config

from kd_det.engine.run_facts import initial_weights


def test_initial_weights(tmp_path, monkeypatch):
    """A distribution, a file, an address; what is inherited, several."""
    info = tmp_path / 'some_weights-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: some_weights\nVersion: 1.0\n')
    (info / 'RECORD').write_text('some_weights/w.pth,,')
    (tmp_path / 'some_weights').mkdir()
    (tmp_path / 'some_weights/w.pth').write_bytes(b'in the distribution')
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'big.pth').write_bytes(b'of the teacher')
    (tmp_path / 'base.py').write_text(
        "model = dict(type='X', backbone=dict(init_cfg=dict("
        "type='Pretrained', checkpoint='pip://some_weights')))"
    )
    model = dict(
        type='DistillModel',
        student=dict(
            cfg=str(tmp_path / 'base.py'),
            neck=dict(init_cfg=[dict(checkpoint='torchvision://neck')]),
        ),
        teacher=dict(
            one=dict(cfg='a.py', ckpt=str(tmp_path / 'big.pth')),
            two=dict(cfg='b.py', ckpt=None),
        ),
    )
    inside = sha256(b'in the distribution').hexdigest()
    beside = sha256(b'of the teacher').hexdigest()
    cfg = Config(dict(model=model, load_from='https://example.org/x.pth'))
    assert initial_weights(cfg) == dict(
        student={'pip://some_weights': inside, 'torchvision://neck': None},
        one={'big.pth': beside},
        load_from={'https://example.org/x.pth': None},
    )
    plain = dict(backbone=dict(init_cfg=dict(checkpoint='torchvision://r')))
    assert initial_weights(Config(dict(model=plain))) == dict(
        model={'torchvision://r': None}
    )
    assert initial_weights(Config(dict(model=dict(type='X')))) == {}
