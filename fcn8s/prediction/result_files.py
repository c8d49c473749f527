"""The files in which a prediction is kept: class IDs, colours, overlays, soft-max; and where they go."""

import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.confidence import at_temperature, check_temperature
from fcn8s.prediction.drawing import DEFAULT_STYLE, Drawing, Style
from fcn8s.prediction.polygon_files import PolygonFiles
from fcn8s.prediction.result_kinds import DOUBT_KINDS, KINDS, RESULT_KINDS, Result
from helpers.color_vision import with_palette
from helpers.files import atomic_write_csv, is_below, write_unfinished
from helpers.flags import check_choice
from helpers.image_search import IMAGE_EXTENSIONS, about_unread, find_images, taken_for_one
from helpers.label_spaces import LabelSpace, cityscapes_ids_to_train_ids, class_ids_to_file_ids
from helpers.tables import spreadsheet_text
from helpers.user_warnings import warn_user

# The limit of ext4, XFS, NTFS, APFS and nearly all other file systems.
_MAX_NAME_BYTES = 255
ID_SPACES = ('class', 'dataset', 'train')
DOUBT_TABLE = 'doubt.csv'
_ID_SUFFIXES = {'class': RESULT_KINDS['ids'].suffix, 'dataset': '_dataset_ids.png', 'train': '_train_ids.png'}


class Job(NamedTuple):
    """An image to predict, and the path of its results without the suffix, relative to the folder of results."""

    image_path: str
    stem: str


def check_replaces_none(results: Iterable[str], inputs: Iterable[str]) -> None:
    """Raises ValueError for a result that would overwrite one of the inputs."""
    read = {os.path.realpath(path) for path in inputs}
    for result in results:
        if os.path.realpath(result) in read:
            raise ValueError(
                'the result {} would replace an image or a label of that name. Give another folder to --out.'.format(
                    result
                )
            )


def plan_jobs(inputs: Sequence[str], out_dir: str, extensions: Sequence[str] = IMAGE_EXTENSIONS) -> List[Job]:
    """Finds the images of files, folders (with their subfolders) and glob patterns.

    Results keep the image's path below a folder, or below the part of a pattern that has no wildcard. If `out_dir` lies
    below that, its images are left out: they are results. Results of images that a pattern finds elsewhere
    ('a/*/../../b.png') keep only the file name.

    Raises FileNotFoundError where there is no image; ValueError where two images would have the same results, or
    `out_dir` is the folder that is searched for images.
    """
    jobs = []
    for source in inputs:
        base, found = _base_folder(source), find_images(source, extensions)
        is_searched = not os.path.isfile(source)
        if is_searched and os.path.realpath(base) == os.path.realpath(out_dir):
            raise ValueError(
                '{!r} is the folder of the images and of the results, which would be predicted the next '
                'time. Give another folder to --out.'.format(base)
            )
        # A folder of results that contains the images, say '.', does not make them results.
        has_results = is_searched and is_below(out_dir, base)
        paths = [path for path in found if not (has_results and is_below(path, out_dir))]
        jobs += [Job(path, _stem(path, base)) for path in paths]
        unread = about_unread(source) if os.path.isdir(source) else ''
        if unread:
            warn_user('Of {} only images are predicted.{}'.format(source, unread))
    if not jobs:
        raise FileNotFoundError(
            'there is no image in {} apart from the results in {!r}.'.format(', '.join(inputs), out_dir)
        )
    _check_stems(jobs, out_dir)
    return jobs


def _stem(path: str, base: str) -> str:
    place = os.path.relpath(path, base)
    outside = os.path.isabs(place) or place.split(os.sep)[0] == os.pardir
    return os.path.splitext(os.path.basename(path) if outside else place)[0]


def _base_folder(source: str) -> str:
    if os.path.isdir(source):
        return source
    folder = os.path.dirname(source)
    if os.path.isfile(source):
        return folder or '.'
    while any(character in folder for character in '*?['):
        folder = os.path.dirname(folder)
    return folder or '.'


def _check_stems(jobs: Iterable[Job], out_dir: str) -> None:
    seen: Dict[str, str] = {}
    for job in jobs:
        if seen.setdefault(job.stem, job.image_path) != job.image_path:
            raise _same_results(seen[job.stem], job.image_path, job.stem)
    same = taken_for_one(seen, out_dir)
    if same is not None:
        raise _same_results(seen[same[0]], seen[same[1]], same[1])


def _same_results(image: str, other: str, stem: str) -> ValueError:
    return ValueError(
        '{} and {} would have the same results, {}. Predict them into different folders.'.format(
            image, other, stem + RESULT_KINDS['overlay'].suffix
        )
    )


class ResultFiles:
    """Writes the results of images into one folder; files of other names in it stay as they are.

    kinds: of `fcn8s.prediction.result_kinds.KINDS`. ids: which IDs are written: 'class', those of the network, to
    '_ids.png'; 'dataset', those of the dataset's own files (labelIds for Cityscapes), to '_dataset_ids.png'; 'train',
    Cityscapes' train IDs, to '_train_ids.png'. polygons: writes polygons as well. temperature: of the soft-max that is
    written; it does not change the classes, and doubt has the temperature of its predictor.
    """

    def __init__(
        self,
        out_dir: str,
        label_space: LabelSpace,
        kinds: Sequence[str],
        style: Style = DEFAULT_STYLE,
        ids: str = 'class',
        polygons: Optional[PolygonFiles] = None,
        temperature: float = 1.0,
    ) -> None:
        check_temperature(temperature)
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not (kinds or polygons):
            raise ValueError('kinds of results are {}; choose one or more of {}.'.format(list(kinds), ', '.join(KINDS)))
        self.out_dir = out_dir
        self._kinds = set(kinds)
        self._polygons = polygons
        self._temperature = temperature
        self._draw = Drawing(label_space, style, are_frames=False)
        self._painted = with_palette(label_space, style.palette)
        self._id_map = id_map(label_space, ids)
        self._doubts: List[Tuple[str, float, float]] = []
        self._is_written = False
        self._suffixes = suffixes_of(ids)

    def path(self, stem: str, kind: str) -> str:
        """Says where a result goes."""
        return os.path.join(self.out_dir, stem + self._suffixes[kind])

    def check_inputs(self, jobs: Iterable[Job], others: Iterable[str] = ()) -> None:
        """Raises ValueError where a result would replace one of the images or of the other files that are read, or its
        name would be too long.
        """
        jobs = list(jobs)
        results = [self.path(job.stem, kind) for job in jobs for kind in self._kinds]
        check_replaces_none(results, [*(job.image_path for job in jobs), *others])
        for job in jobs:
            for kind in self._kinds:
                length = len(os.fsencode(os.path.basename(self.path(job.stem, kind))))
                if length > _MAX_NAME_BYTES:
                    raise ValueError(
                        'the result of {} would have a name of {} bytes, and file systems take {}. Give the image a '
                        'shorter name.'.format(job.image_path, length, _MAX_NAME_BYTES)
                    )

    def predict(self, predictor: Any, image: np.ndarray) -> Dict[str, np.ndarray]:
        """Predicts what `write` needs: 'class_ids' uint8 [H, W]; 'softmax' float32 [H, W, C] if it is to be written;
        'doubt' if results show doubt, which takes a `fcn8s.prediction.sampling.SampledPredictor`.
        """
        if self._kinds & set(DOUBT_KINDS):
            probabilities, doubt = predictor.samples(image)
            return dict(self._with_softmax(probabilities), doubt=doubt)
        if 'softmax' not in self._kinds:
            return {'class_ids': predictor.class_ids(image)}
        return self._with_softmax(predictor.probabilities(image))

    def _with_softmax(self, probabilities: np.ndarray) -> Dict[str, np.ndarray]:
        class_ids = np.argmax(probabilities, axis=-1).astype(np.uint8)
        return {'class_ids': class_ids, 'softmax': at_temperature(probabilities, self._temperature)}

    def write(self, stem: str, image: np.ndarray, prediction: Dict[str, Any], image_path: str = '') -> None:
        """Writes every kind of result of one image; existing ones of the same name are replaced.

        Args:
            image_path: The file of the image; files of polygons refer to it.
        """
        result = Result(image, prediction, self._draw, self._painted, self._id_map)
        for kind in KINDS:
            if kind in self._kinds:
                RESULT_KINDS[kind].write(self.path(stem, kind), result)
        if self._polygons is not None:
            self._polygons.write(stem, image_path, prediction['class_ids'])
        if 'doubt' in self._kinds:
            entropy, mutual_information = (float(values.mean()) for values in prediction['doubt'])
            self._doubts.append((stem, entropy, mutual_information))

    def handed_over_doubts(self) -> List[Tuple[str, float, float]]:
        """Returns what `write_doubts` would write about each image so far, and forgets it."""
        doubts, self._doubts = self._doubts, []
        return doubts

    def take_over_doubts(self, doubts: Iterable[Tuple[str, float, float]]) -> None:
        """Adds the doubts of images that another process has written."""
        self._doubts.extend(doubts)

    def write_doubts(self) -> None:
        """Writes `doubt.csv` if there are to be doubts, a line for each image: the means of entropy and mutual
        information in nats.
        """
        if 'doubt' in self._kinds:
            self._write_table(os.path.join(self.out_dir, DOUBT_TABLE))
            self._is_written = True

    def write_part_of_doubts(self) -> Optional[str]:
        """Writes what `write_doubts` would write so far to a file that replaces none, and returns its path.

        None if there is no image, or all of them are written.
        """
        if self._is_written or not self._doubts:
            return None
        return write_unfinished(os.path.join(self.out_dir, DOUBT_TABLE), self._write_table)

    def _write_table(self, path: str) -> None:
        rows = [(spreadsheet_text(name), *means) for name, *means in self._doubts]
        atomic_write_csv(path, [('image', 'entropy', 'mutual_information'), *rows])


def suffixes_of(ids: str) -> Dict[str, str]:
    """Returns what the names of the files of each kind end with. ids: of `ID_SPACES`."""
    return dict({kind: result.suffix for kind, result in RESULT_KINDS.items()}, ids=_ID_SUFFIXES[ids])


def id_map(label_space: LabelSpace, ids: str) -> np.ndarray:
    """Returns the map from class IDs to the IDs that are written, uint8 [256]; see `ResultFiles`.

    Raises ValueError where the label space has no such IDs.
    """
    check_choice('ids', ids, ID_SPACES)
    if ids == 'class':
        return np.arange(256, dtype=np.uint8)
    if ids == 'train':
        if not label_space.name.startswith('cityscapes'):
            raise ValueError(
                'the model has the classes of {!r}; train IDs belong to Cityscapes. Write class IDs, or '
                'those of the dataset.'.format(label_space.name)
            )
        return cityscapes_ids_to_train_ids()[class_ids_to_file_ids(label_space)]
    return class_ids_to_file_ids(label_space)
