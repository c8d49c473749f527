"""The Cityscapes label IDs that street scenes use, looked up by name in its table."""

from helpers.cityscapes_labels import CITYSCAPES_LABELS

_IDS = {label.name: label.id for label in CITYSCAPES_LABELS}


def _label_id(name: str) -> int:
    return _IDS[name]


UNLABELED = _label_id('unlabeled')
EGO_VEHICLE = _label_id('ego vehicle')
OUT_OF_ROI = _label_id('out of roi')
STATIC = _label_id('static')
DYNAMIC = _label_id('dynamic')
ROAD = _label_id('road')
SIDEWALK = _label_id('sidewalk')
BUILDING = _label_id('building')
POLE = _label_id('pole')
TRAFFIC_LIGHT = _label_id('traffic light')
TRAFFIC_SIGN = _label_id('traffic sign')
VEGETATION = _label_id('vegetation')
TERRAIN = _label_id('terrain')
SKY = _label_id('sky')
PERSON = _label_id('person')
CAR = _label_id('car')
