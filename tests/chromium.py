"""A page in a real Chromium, by its debugging protocol over pipes."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

PROGRAM = shutil.which('chromium') or shutil.which('google-chrome')
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars')


class Chromium:
    """A browser without a window; use it in a ``with``.

    Attributes:
        requests: Addresses that the pages have asked for.
        complaints: Exceptions and errors of the pages' consoles.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests, self.complaints = [], []

    def __enter__(self) -> 'Chromium':
        reads, self._to = os.pipe()
        self._from, writes = os.pipe()
        # the protocol has the descriptors 3 and 4; dash knows none above 9
        pipes = f'exec "$0" "$@" 3<&{reads} 4>&{writes}'
        own = f'--user-data-dir={self.folder / "profile"}'
        self._process = subprocess.Popen(
            ['bash', '-c', pipes, PROGRAM, *FLAGS, own]
            + ['--remote-debugging-pipe'],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        self._buffer, self._number, self._session = b'', 0, {}
        target = self._ask('Target.createTarget', url='about:blank')
        attached = self._ask(
            'Target.attachToTarget', targetId=target['targetId'], flatten=True
        )
        self._session = dict(sessionId=attached['sessionId'])
        for part in ('Page', 'Network', 'Log', 'Runtime'):
            self._ask(f'{part}.enable')
        return self

    def __exit__(self, *_) -> None:
        os.close(self._to)
        self._process.terminate()
        self._process.wait()
        os.close(self._from)

    def open(self, path: Path, width: int, height: int = 800) -> None:
        """Show a file in a window of a size in CSS pixels."""
        self._width = width
        self._ask(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._ask('Page.navigate', url=Path(path).absolute().as_uri())
        while self._next().get('method') != 'Page.loadEventFired':
            pass

    def value(self, expression: str):
        """Return what a piece of JavaScript gives."""
        found = self._ask(
            'Runtime.evaluate', expression=expression, returnByValue=True
        )
        return found['result'].get('value')

    def picture(self, path: Path) -> None:
        """Save a PNG of the whole page."""
        height = self.value('document.documentElement.scrollHeight')
        found = self._ask(
            'Page.captureScreenshot',
            captureBeyondViewport=True,
            clip=dict(x=0, y=0, scale=1, width=self._width, height=height),
        )
        Path(path).write_bytes(base64.b64decode(found['data']))

    def _ask(self, method: str, **params) -> dict:
        self._number += 1
        message = dict(
            id=self._number, method=method, params=params, **self._session
        )
        os.write(self._to, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']

    def _next(self) -> dict:
        while b'\0' not in self._buffer:
            part = os.read(self._from, 1 << 16)
            assert part, 'Chromium has ended'
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        params = message.get('params', {})
        if message.get('method') == 'Network.requestWillBeSent':
            self.requests.append(params['request']['url'])
        if message.get('method') == 'Runtime.exceptionThrown':
            self.complaints.append(params['exceptionDetails']['text'])
        if message.get('method') == 'Log.entryAdded':
            self.complaints.append(params['entry']['text'])
        return message
