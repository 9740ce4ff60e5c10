"""Where the kernels' library comes from."""

import os

from backbone.sparse import build
from backbone.sparse.build import FLAGS, cpu_kind, installed


def test_this_cpu_is_of_a_kind_that_is_built():
    assert cpu_kind() in FLAGS


def test_a_library_older_than_its_source_is_not_taken(monkeypatch, tmp_path):
    source, made = tmp_path / "kernels.cpp", tmp_path / "_kernels_avx2.so"
    source.touch()
    made.touch()
    monkeypatch.setattr(build, "SOURCE", source)
    os.utime(source, (100, 100))
    os.utime(made, (200, 200))
    assert installed("avx2") == made
    assert installed("plain") is None
    os.utime(source, (300, 300))
    assert installed("avx2") is None
