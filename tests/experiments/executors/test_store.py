from dataclasses import dataclass
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec")

from experiments.executors import store  # noqa: E402
from experiments.executors.lock import driving  # noqa: E402
from experiments.executors.store import MIRROR, mirrored, mirroring, pull, push, sync, url_of  # noqa: E402


@dataclass(frozen=True)
class Job:
    run: Path
    backbone: Path


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A file system in memory, and this machine's working folder."""
    monkeypatch.chdir(tmp_path)
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_a_url_has_a_mirror_and_a_folder_is_its_own():
    assert mirrored(Path("s3://bucket/sweep")) == MIRROR / "s3" / "bucket" / "sweep"
    assert mirrored(Path("runs/compare")) == Path("runs/compare")
    assert mirrored(Path("/runs/compare")) == Path("/runs/compare")
    assert url_of(Path("runs/compare")) is None


def test_a_kind_of_url_that_nobody_knows_is_named():
    with pytest.raises(ValueError, match=r"expected a URL that fsspec opens for --run, could not open nonsense://a/b"):
        url_of(mirrored(Path("nonsense://a/b")))


def test_what_is_sent_is_fetched_and_nothing_twice(remote, tmp_path, monkeypatch):
    here = mirrored(Path("memory://bucket/sweep"))
    (here / "a").mkdir(parents=True)
    (here / "a" / "one.json").write_text("1")
    sent = {}
    push(here, sent)
    assert remote.cat_file("/bucket/sweep/a/one.json") == b"1"
    monkeypatch.setattr(type(remote), "put_file", lambda *_: pytest.fail("sent again"))
    push(here, sent)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    pull(here)
    assert (elsewhere / here / "a" / "one.json").read_text() == "1"


def test_a_job_fetches_what_it_stands_on_and_sends_at_each_checkpoint(remote):
    run, backbone = (mirrored(Path(f"memory://bucket/{name}")) for name in ("sweep/run", "sweep/backbone.pt"))
    remote.pipe_file("/bucket/sweep/backbone.pt", b"weights")
    remote.pipe_file("/bucket/sweep/run/learning.json", b"[]")
    with sync(Job(run, backbone)) as look:
        assert backbone.read_bytes() == b"weights"
        assert (run / "learning.json").read_text() == "[]"
        (run / "learning.json").write_text("[1]")
        look()
        assert remote.cat_file("/bucket/sweep/run/learning.json") == b"[]"
        (run / "checkpoint.pt").write_bytes(b"half way")
        look()
        assert remote.cat_file("/bucket/sweep/run/learning.json") == b"[1]"
        (run / "result.json").write_text("{}")
    assert remote.cat_file("/bucket/sweep/run/checkpoint.pt") == b"half way"
    assert remote.exists("/bucket/sweep/run/result.json")


def test_files_are_sent_in_the_order_in_which_they_were_written(remote, monkeypatch):
    here = mirrored(Path("memory://bucket/sweep"))
    here.mkdir(parents=True)
    for age, name in enumerate(("result.json", "checkpoint.pt", "learning.json")):
        (here / name).write_text(name)
        store.os.utime(here / name, (1000 - age, 1000 - age))
    order = []
    monkeypatch.setattr(type(remote), "put_file", lambda self, place, target, **_: order.append(Path(place).name))
    push(here, {})
    assert order == ["learning.json", "checkpoint.pt", "result.json"]


def test_a_driver_at_a_url_is_alone_and_leaves_its_files_there(remote):
    here = mirrored(Path("memory://bucket/sweep"))
    with driving(here):
        with pytest.raises(ValueError, match="expected to drive"), driving(here):
            pass
        (here / "report.md").parent.mkdir(parents=True, exist_ok=True)
        (here / "report.md").write_text("done")
    assert remote.cat_file("/bucket/sweep/report.md") == b"done"
    assert not remote.exists("/bucket/sweep/driver.json")


def test_a_folder_of_this_machine_is_left_alone(tmp_path):
    with mirroring(tmp_path), sync(Job(tmp_path, tmp_path)) as look:
        look()
    pull(tmp_path)
    push(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_real_s3_server_keeps_a_sweep(tmp_path, monkeypatch):
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "ENDPOINT_URL": f"http://{host}:{port}",
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    try:
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        here = mirrored(Path("s3://bucket/sweep"))
        with driving(here):
            with pytest.raises(ValueError, match="expected to drive"), driving(here):
                pass
            job = Job(here / "run", here / "backbone.pt")
            url_of(here / "backbone.pt").filesystem.pipe_file("bucket/sweep/backbone.pt", b"weights")
            with sync(job) as look:
                assert job.backbone.read_bytes() == b"weights"
                job.run.mkdir(parents=True)
                (job.run / "checkpoint.pt").write_bytes(b"half way")
                look()
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            monkeypatch.chdir(elsewhere)
            with sync(job):  # as a job that another machine has begun
                assert (elsewhere / job.run / "checkpoint.pt").read_bytes() == b"half way"
            monkeypatch.chdir(tmp_path)
        assert "bucket/sweep/driver.json" not in url_of(here).filesystem.find("bucket/sweep")
    finally:
        server.stop()
        fsspec.spec.AbstractFileSystem.clear_instance_cache()
