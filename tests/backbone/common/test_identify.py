"""What lies where a file of tensors was expected, kind by kind."""

import numpy as np
import pytest
import torch
from weights_cases import thin_resnet, write_safetensors

from backbone.common.files import load_tensors


def torchscript(path):
    torch.jit.script(torch.nn.Linear(2, 3)).save(path)


def cut_in_half(path, **kwargs):
    torch.save(thin_resnet().state_dict(), path, **kwargs)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b""), "an empty file: its download or copy came to nothing"),
        (lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>"), "a web page: download the file itself"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git-lfs .* git lfs pull"),
        (torchscript, r"a TorchScript archive: torch.save the state_dict\(\)"),
        (lambda path: torch.save(thin_resnet(), path), r"a whole pickled object \(.*ResNet\)"),
        (lambda path: torch.save(thin_resnet(), path, _use_new_zipfile_serialization=False), "a whole pickled object"),
        (cut_in_half, "one cut off or damaged, of .* bytes: get the file again"),
        (lambda path: cut_in_half(path, _use_new_zipfile_serialization=False), "one cut off or damaged"),
        (
            lambda path: write_safetensors(path, thin_resnet().state_dict(), cut=9000),
            "a file of safetensors, got 9000: it was cut off",
        ),
        (lambda path: path.write_bytes(bytes(5000)), "zeros: its place was reserved"),
        (lambda path: path.write_bytes(b"404: not found"), "a text that begins '404: not found'"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n"), "an HDF5 file"),
        (lambda path: np.savez(path.open("wb"), a=np.ones(3)), "a zip archive of a.npy: unpack it"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08"), "a gzip archive: unpack it"),
        (lambda path: path.write_bytes(b"\x02\0\0\0\0\0\0\0{]"), "expected a header of safetensors"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_lies_there_instead_is_said_in_one_sentence(tmp_path, write, said):
    write(tmp_path / "x.pth")
    with pytest.raises(ValueError, match=rf"x\.pth.*{said}|{said}.*x\.pth") as caught:
        load_tensors(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)
