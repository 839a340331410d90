"""A push to a hub of our own on loopback, by the real client."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bertsmith.errors import BertsmithError, ModelFolderError
from bertsmith.export.hub import push
from export.fake_hub import fake_hub


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A run folder, with what stays at home."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_bert, folder)
    for name in ("training/run.toml", ".cache/x", ".lock", "half.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine alone")
    return folder


def bertsmith(hub, home, *words, token="hf_nobody"):
    """The command as a user runs it, with this hub and a login of nobody's."""
    told = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",  # the benches of this process may have said otherwise
        "NO_PROXY": "127.0.0.1",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), hub.url),  # other hosts are asked through it
    }
    told |= {name.lower(): value for name, value in told.items() if "PROXY" in name}
    env = {name: value for name, value in {**os.environ, **told}.items() if value is not None}
    words = [sys.executable, "-m", "bertsmith", "export", *map(str, words), "--to", "hub", "--repo", "me/model"]
    return subprocess.run(words, env=env, capture_output=True, text=True)


def test_a_push_arrives_whole_and_private(folder, tmp_path):
    with fake_hub() as hub:
        run = bertsmith(hub, tmp_path / "home", folder, "--json")
        assert run.returncode == 0, run.stderr
        sent = {"config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json"}
        assert sent <= set(hub.files) == set(json.loads(run.stdout)["files"])
        assert not any("training" in name or name.startswith(".") or name.endswith(".tmp") for name in hub.files)
        assert all((folder / name).read_bytes() == data for name, data in hub.files.items())
        assert hub.private == {"me/model": True}
        assert hub.messages == ["Model folder, made with bertsmith"]
        assert "hf_nobody" not in run.stdout + run.stderr
        assert all(asked.split()[1].startswith("/") for asked in hub.asked), "no other host was asked"
        hub.spoil = "model.safetensors"
        run = bertsmith(hub, tmp_path / "home", folder, "--public")
        assert run.returncode == 1
        assert "model.safetensors arrived damaged" in run.stderr
        assert hub.private == {"me/model": False}


def test_without_a_login_nothing_is_asked(folder, tmp_path):
    with fake_hub() as hub:
        run = bertsmith(hub, tmp_path / "home", folder, token=None)
        assert run.returncode == 2
        assert "no login for the Hub: set HF_TOKEN" in " ".join(run.stderr.split())
        assert hub.asked == []


def test_a_hub_out_of_reach_is_said(folder, tmp_path):
    run = bertsmith(SimpleNamespace(url="http://127.0.0.1:9"), tmp_path / "home", folder)
    assert run.returncode == 1
    assert "me/model: the Hub refused, or is out of reach" in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


class Api:
    """An `HfApi` that fails or forgets as told."""

    def __init__(self, *, error=None, files=()):
        self.error, self.files = error, files

    def create_repo(self, repo, **options):
        if self.error:
            raise self.error
        return f"https://hub/{repo}"

    def upload_folder(self, **options):
        pass

    def model_info(self, repo, **options):
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=s, lfs=None) for n, s in self.files])


def test_what_goes_wrong_is_said(folder, tmp_path):
    with pytest.raises(BertsmithError, match="me/model: the Hub refused, or is out of reach: 401"):
        push(folder, "me/model", api=Api(error=OSError("401 Unauthorized")))
    with pytest.raises(BertsmithError, match=r"config\.json is not there"):
        push(folder, "me/model", api=Api())
    with pytest.raises(BertsmithError, match=r"config\.json has 1 bytes there"):
        push(folder, "me/model", api=Api(files=[("config.json", 1)]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFolderError):
        push(tmp_path / "empty", "me/model", api=Api())
