"""What the measurements need on disk, made once by processes that end before anything is measured."""

import json
import os
import shutil
import sys

from suite.parts import HERE, script
from suite.processes import run_and_read


class Prepared:
    """Models, exports and datasets below a folder; each is made when it is first asked for."""

    def __init__(self, root, environments):
        self.root, self.environments = root, environments

    def model(self, width_divisor, classes):
        """(encoder, saved model), untrained."""
        folder = self._path('model-{}-{}'.format(width_divisor, classes))
        words = script('bench_prediction.py', '--prepare', folder, '--width-divisor', width_divisor)
        encoder, model = self._once(folder, words + ['--classes', str(classes)])[:2]
        return encoder, model

    def export(self, width_divisor, classes, kind):
        """The directory of an export of that model: 'openvino' or 'onnx', in float32."""
        _, model = self.model(width_divisor, classes)
        folder = self._path('{}-{}-{}'.format(kind, width_divisor, classes))
        peer = {'openvino': 'openvino', 'onnx': 'onnxruntime'}[kind]
        words = [os.path.join(HERE, 'prepare_export.py'), model, folder, kind]
        return self._once(folder, words, self.environments.python(peer))

    def files(self, name, words):
        """What `name --prepare FOLDER` with these options prints."""
        words = [str(word) for word in words]
        folder = self._path('-'.join([os.path.splitext(name)[0]] + [word.strip('-') for word in words]))
        return self._once(folder, script(name, *words, '--prepare', folder))

    def _path(self, name):
        return os.path.join(self.root, 'prepared', name)

    def _once(self, folder, words, python=sys.executable):
        """What the process that fills a folder prints; read from a file beside it where that has run before."""
        said = folder + '.json'
        if not os.path.exists(said):
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted process left
            os.makedirs(folder)
            answer = run_and_read([python] + words)
            with open(said + '.partial', 'w', encoding='utf-8') as file:
                json.dump(answer, file)
            os.replace(said + '.partial', said)
        with open(said, encoding='utf-8') as file:
            return json.load(file)
