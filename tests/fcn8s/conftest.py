import pytest
from small_models import save_small_model


@pytest.fixture(scope='session')
def small_model(tmp_path_factory, tiny_encoder):
    """The path of a saved FCN-8s with Cityscapes' classes and void; its predictions differ from place to place."""
    return save_small_model(str(tmp_path_factory.mktemp('small_model')), tiny_encoder)


@pytest.fixture(scope='session')
def shallow_model(tmp_path_factory, shallow_encoder):
    """As `small_model`, on a shallow encoder: for tests of what happens around the network."""
    return save_small_model(str(tmp_path_factory.mktemp('shallow_model')), shallow_encoder)
