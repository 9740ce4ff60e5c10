"""Which engine runs, what is said where it cannot, and that the kernels give the same on every kind of CPU."""

import pytest
import torch
from fusion_cases import random_frames, tiny_backbone

from backbone.sparse import Stream, build
from backbone.sparse.build import FLAGS, Missing, compiled, cpu_kind, library


@pytest.fixture
def fresh_library():
    """The kernels are looked for anew, and again afterwards."""
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.fixture
def no_compiler(monkeypatch, tmp_path, fresh_library):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(build, "installed", lambda kind: None)


def first_scores(engine: str | None) -> torch.Tensor:
    return Stream(tiny_backbone(), engine=engine).step(random_frames(1)[0, 0])


def test_an_unknown_engine_lists_the_known():
    with pytest.raises(
        ValueError, match="expected an engine among kernels, torch; got 'kernel': did you mean 'kernels'"
    ):
        Stream(tiny_backbone(), engine="kernel")


def test_without_a_compiler_pytorch_takes_over_and_one_line_says_so(no_compiler, capsys):
    expected = first_scores("torch")
    torch.testing.assert_close(first_scores(None), expected)
    (line,) = capsys.readouterr().err.splitlines()
    assert "streaming in PyTorch's own operations" in line
    assert "no C++ compiler no-such-compiler is at hand" in line


def test_kernels_that_are_asked_for_and_missing_are_an_error(no_compiler):
    with pytest.raises(Missing, match="install g\\+\\+, or set CXX"):
        first_scores("kernels")


def test_a_compiler_that_fails_says_why(no_compiler, monkeypatch, tmp_path):
    broken = tmp_path / "compiler"
    broken.write_text("#!/bin/sh\necho 'no such flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(Missing, match=r"could not compile the kernels \(no such flag\)"):
        first_scores("kernels")
    assert not list(tmp_path.rglob("*.so"))


def test_a_library_that_does_not_load_is_named(monkeypatch, tmp_path, fresh_library):
    path = tmp_path / "_kernels_of_another.so"
    path.write_bytes(b"for another CPU")
    monkeypatch.setattr(build, "installed", lambda kind: path)
    with pytest.raises(Missing, match=f"{path.name} do not load here"):
        library()


def test_a_library_for_another_cpu_is_refused(monkeypatch, fresh_library):
    kind = cpu_kind()
    if kind == "plain":
        pytest.skip("no other kind of library loads here")
    path = compiled(kind)
    monkeypatch.setattr(build, "installed", lambda _: path)
    monkeypatch.setattr(build, "cpu_kind", lambda: "plain")
    with pytest.raises(Missing, match="built from other code or for another CPU: remove that file"):
        library()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(FLAGS))
def test_every_kind_of_kernels_gives_the_same(kind, monkeypatch, fresh_library):
    if list(FLAGS).index(kind) < list(FLAGS).index(cpu_kind()):
        pytest.skip(f"this CPU has no {kind}")
    expected = first_scores("torch")
    monkeypatch.setattr(build, "cpu_kind", lambda: kind)
    torch.testing.assert_close(first_scores("kernels"), expected, rtol=1e-5, atol=1e-6)
