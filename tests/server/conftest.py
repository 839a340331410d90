import pytest

from server.asking import models_of


@pytest.fixture(scope="session")
def models(tiny_bert, tmp_path_factory):
    """A pretrained model, and one fine-tuned for each task, by name."""
    return models_of(tiny_bert, tmp_path_factory.mktemp("served"))
