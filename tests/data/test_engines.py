"""Whoever does the work, the shards are the same bytes.

The Ray cluster of the test is alone in a network of its own, since Ray listens on every one that it finds.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from bertsmith.data.engines import engine_of
from bertsmith.errors import ConfigError
from data.corpora import raw_text

IN_A_NETWORK = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
# The first build loses a worker in the middle of a unit.
ON_RAY = """
import os, signal, sys, threading, time, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import psutil, ray
import bertsmith
from bertsmith.progress import Silent

def kill_one():
    while not killed:
        for process in psutil.process_iter(["name", "cmdline"]):
            if "ray::do_unit" in " ".join(process.info["cmdline"] or []):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
                return
        time.sleep(0.005)

if __name__ == "__main__":
    text, out, kill, *cleaning = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    killed = []
    if kill == "kill":
        threading.Thread(target=kill_one, daemon=True).start()
    options = dict(vocab_size=500, shard_tokens=50_000, reporter=Silent())
    bertsmith.prepare(text, out=out, engine="ray", drop_duplicates="exact", drop_boilerplate_lines=5, **options)
    print("killed", len(killed))
"""


def test_a_cluster_makes_the_same_bytes_though_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'bertsmith[ray]'")
    if subprocess.run([*IN_A_NETWORK, "ip", "link"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own can be made here (unshare, iproute2)")
    text, script = tmp_path / "text.txt", tmp_path / "on_ray.py"
    text.write_text(raw_text(0, documents=20_000))
    script.write_text(ON_RAY)
    done = subprocess.run(
        [*IN_A_NETWORK, sys.executable, str(script), str(text), str(tmp_path / "ray"), "kill"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "killed 1" in done.stdout
    words = "--vocab-size 500 --shard-tokens 50000 --drop-duplicates exact --drop-boilerplate-lines 5 --workers 2"
    local = [sys.executable, "-m", "bertsmith", "prepare", *words.split(), str(text), "--out", str(tmp_path / "local")]
    subprocess.run(local, check=True, capture_output=True)
    assert _files(tmp_path / "ray") == _files(tmp_path / "local")


def _files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(found) > 5
    return found


def test_ray_that_is_not_installed_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'bertsmith\[ray\]'"), engine_of("ray", None):
        pass


def test_a_worker_whose_parent_is_killed_in_the_middle_of_a_job_ends_in_silence(tmp_path: Path) -> None:
    worker = [sys.executable, "-m", "bertsmith.data.engines", "bertsmith.data.cleaning.survey", str(tmp_path), "{}"]
    done = subprocess.run(worker, input='{"what": "lines", "te', capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
