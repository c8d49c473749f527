"""Generated street scenes in the Cityscapes layout, with labels that are exact to the pixel."""

from data_generator.street_scenes.dataset import DRIVE_FRAME_RATE, drive_frames, write_dataset
from data_generator.street_scenes.rendering import make_scene

__all__ = ['DRIVE_FRAME_RATE', 'drive_frames', 'make_scene', 'write_dataset']
