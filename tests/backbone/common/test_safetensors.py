"""safetensors: what is read is what was written; what contradicts itself is refused."""

import json

import pytest
import torch
from weights_cases import thin_resnet, write_safetensors

from backbone.common.files import load_tensors
from backbone.common.safetensors import is_safetensors, load_safetensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["model.safetensors", "named.pth"])
def test_what_was_written_is_read_whatever_the_file_is_called(tmp_path, dtype, name):
    state = {key: value.to(dtype) for key, value in thin_resnet(1).state_dict().items() if value.is_floating_point()}
    found = load_tensors(write_safetensors(tmp_path / name, state))
    assert list(found) == list(state)
    assert all(torch.equal(found[key], value) and found[key].dtype == dtype for key, value in state.items())


def test_scalars_and_empty_tensors(tmp_path):
    state = {"count": torch.tensor(7), "none": torch.ones(0, 3)}
    found = load_safetensors(write_safetensors(tmp_path / "x.safetensors", state))
    assert torch.equal(found["count"], torch.tensor(7))
    assert found["none"].shape == (0, 3)


@pytest.mark.parametrize("cut", [10, 300, 9000])
def test_a_file_that_was_cut_off_is_said_to_be(tmp_path, cut):
    path = write_safetensors(tmp_path / "x.safetensors", thin_resnet().state_dict(), cut=cut)
    assert is_safetensors(path)
    with pytest.raises(ValueError, match=rf"expected \d+ bytes in .*x\.safetensors, .* got {cut}: it was cut off"):
        load_tensors(path)


@pytest.mark.parametrize(
    "header",
    [
        "{]",
        [],
        {"a": 3},
        {"a": {}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}},
        {"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}},
        {"a": {"dtype": "F32", "shape": "1", "data_offsets": None}},
        {"a": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 16]}},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, header):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(ValueError, match=r"expected a (header of safetensors|file of tensors)"):
        load_tensors(tmp_path / "x.safetensors")
