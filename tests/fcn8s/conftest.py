import pytest
from small_models import save_small_model


@pytest.fixture(scope='session')
def small_model(tmp_path_factory, tiny_encoder):
    """The path of a saved FCN-8s with Cityscapes' classes and void; its predictions differ from place to place."""
    return save_small_model(str(tmp_path_factory.mktemp('small_model')), tiny_encoder)
