import os
import subprocess
import sys

import pytest

import bertsmith
from bertsmith.environment import DEFAULTS
from bertsmith.errors import BertsmithError, ConfigError


def test_import_loads_no_torch():
    code = "import bertsmith, sys; print(sorted({'torch', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_what_torch_reads_when_it_is_loaded_is_set_before_and_a_users_own_wins():
    code = (
        "import os, sys, bertsmith; before = sorted(sys.modules); bertsmith.load; "
        "assert 'torch' not in before; print(os.environ['GOMP_SPINCOUNT'], os.environ['LRU_CACHE_CAPACITY'])"
    )
    own = {**os.environ, "GOMP_SPINCOUNT": "7"}
    own.pop("LRU_CACHE_CAPACITY", None)
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", DEFAULTS["LRU_CACHE_CAPACITY"]]


def test_public_names_are_few_and_all_there():
    assert len(bertsmith.__all__) <= 12
    for name in bertsmith.__all__:
        assert getattr(bertsmith, name) is not None
    assert bertsmith.BertsmithError is BertsmithError
    assert dir(bertsmith) == sorted(bertsmith.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Bret'; it offers BertsmithError"):
        bertsmith.Bret  # noqa: B018


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minuts": 3}, 'unknown option "minuts": did you mean "minutes"'),
        ({"vocab_sice": 3}, 'did you mean "vocab_size"'),
        ({"langage": "de"}, 'did you mean "language"'),
        ({"qqq": 1}, "known are steps, epochs"),
        ({"size": "huge"}, 'option "size"'),
    ],
)
def test_pretrain_checks_its_keywords_first(options, message):
    with pytest.raises(ConfigError, match=message):
        bertsmith.pretrain("nothing.txt", out="nowhere", **options)
