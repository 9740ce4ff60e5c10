"""The kinds of checkpoint that people have, over every registered CNN: whatever stands around the names, the weights are found."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from weights_cases import State, thin_resnet

from backbone import BACKBONES, create_cnn, load_weights
from backbone.cnns.resnet import ResNet
from backbone.weights.foreign import CLASSIFIER, MMACTION, TSM, ForeignWeights, translate


def under(prefix: str) -> Callable[[State, str], dict]:
    return lambda state, head: {f"{prefix}{key}": value for key, value in state.items()}


def in_wrapper(*wrappers: str) -> Callable[[State, str], dict]:
    def wrap(state: State, head: str) -> dict:
        for wrapper in reversed(wrappers):
            state = {wrapper: state, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}
        return state

    return wrap


def body(state: State, head: str) -> State:
    return {key: value for key, value in state.items() if not key.startswith(f"{head}.")}


def renamed_head(prefix: str, new: str) -> Callable[[State, str], dict]:
    """The body under a prefix, the classifier under a name of its own beside it."""
    return lambda state, head: {
        f"{new}{key[len(head) :]}" if key.startswith(f"{head}.") else f"{prefix}{key}": value
        for key, value in state.items()
    }


def moco(state: State, head: str) -> dict:
    """Two encoders of one shape, the first one learnt; each with an MLP in the classifier's place; and a queue."""
    mlp = {
        f"{head}.{layer}.{end}": torch.ones(4, 4)[: 4 if end == "weight" else 1]
        for layer in (0, 2)
        for end in ("weight", "bias")
    }
    encoder = {**body(state, head), **mlp}
    keys = {f"encoder_k.{key}": torch.zeros_like(value) for key, value in encoder.items()}
    return {
        "state_dict": {
            **{f"module.encoder_q.{k}": v for k, v in encoder.items()},
            **{f"module.{k}": v for k, v in keys.items()},
            "module.queue": torch.ones(4, 8),
        }
    }


def lightning(state: State, head: str) -> dict:
    weights = {**under("model.")(state, head), "train_acc.tp": torch.zeros(5), "criterion.weight": torch.ones(5)}
    return {"epoch": 3, "state_dict": weights, "optimizer_states": [{"state": {}}], "hyper_parameters": {"lr": 0.1}}


KINDS = {
    "plain": under(""),
    **{prefix: under(prefix) for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.")},
    **{prefix: under(prefix) for prefix in ("model.", "net.", "encoder.", "backbone.", "student.a.b.")},
    **{
        wrapper: in_wrapper(wrapper) for wrapper in ("state_dict", "model", "model_state_dict", "net", "ema_state_dict")
    },
    "ema.module": in_wrapper("ema", "module"),
    "lightning": lightning,
    "backbone and head": renamed_head("backbone.", "head"),
    "backbone and cls_head": renamed_head("backbone.", "cls_head.fc_cls"),
    "timm's head": renamed_head("", "head.fc"),
    "old": lambda state, head: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
}
WITHOUT_CLASSIFIER = {
    "features": body,
    "features under a prefix": lambda state, head: under("module.encoder.")(body(state, head), head),
    "moco": moco,
}


def sample(architecture: str) -> tuple[State, str]:
    """A CNN's tensors, of which nothing but names and shapes is there, and its classifier's name."""
    with torch.device("meta"):
        cnn = create_cnn(architecture, num_classes=5)
    return cnn.state_dict(), next(name for name, module in cnn.named_modules() if module is cnn.classifier)


def found(data: object, state: State, head: str) -> ForeignWeights:
    names = [key for key in body(state, head) if not key.endswith("num_batches_tracked")]
    return translate(data, "x.pth", names)


@pytest.mark.parametrize("architecture", list(BACKBONES))
def test_weights_are_found_in_every_kind_of_file(architecture):
    state, head = sample(architecture)
    wanted = {
        key.replace(f"{head}.", f"{CLASSIFIER}.", 1) if key.startswith(f"{head}.") else key: value
        for key, value in state.items()
    }
    for kind, make in KINDS.items():
        weights = found(make(state, head), state, head)
        keys = wanted if kind != "old" else make(wanted, head)
        assert set(weights.tensors) == set(keys), kind
        assert all(weights.tensors[key] is keys[key] for key in keys), kind
        assert weights.num_classes == 5, kind
    for kind, make in WITHOUT_CLASSIFIER.items():
        weights = found(make(state, head), state, head)
        assert set(weights.tensors) == set(body(state, head)), kind
        assert weights.num_classes is None, kind


def test_of_two_that_fit_the_first_is_taken_and_the_other_is_told():
    state, head = sample("resnet18")
    weights = found(moco(state, head), state, head)
    assert all(weights.tensors[key] is value for key, value in body(state, head).items())
    assert weights.left_out == {
        "fc": 4,
        "state_dict": len(moco(state, head)["state_dict"]) - len(body(state, head)) - 4,
    }


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_wrong_name_under_the_prefix_is_not_passed_over(name):
    state, head = sample(name)
    data = under("module.")({**state, "extra.weight": torch.ones(1)}, head)
    assert "extra.weight" in found(data, state, head).tensors


# -- MMAction2 -------------------------------------------------------------------------------------------------------


def mmaction_name(key: str, net: str = "") -> str:
    """A ResNet's name as MMAction2 has it; ``net`` is what its shift puts around a block's first convolution."""
    if match := re.fullmatch(r"(.*\.)?(conv|bn)(\d)\.(\w+)", key):
        block, kind, number, last = match.groups(default="")
        inner = net if kind == "conv" and number == "1" and block else ""
        return f"backbone.{block}conv{number}.{kind}.{inner}{last}"
    if match := re.fullmatch(r"(.*)\.downsample\.([01])\.(\w+)", key):
        return f"backbone.{match[1]}.downsample.{('conv', 'bn')[int(match[2])]}.{match[3]}"
    return f"cls_head.fc_cls.{key.rpartition('.')[2]}"


@pytest.mark.parametrize("net", ["", "net."])
@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_resnets_of_mmaction2_are_taken_over(architecture, net):
    state, head = sample(architecture)
    data = {"meta": {"epoch": 3}, "state_dict": {mmaction_name(key, net): value for key, value in state.items()}}
    assert "backbone.layer1.0.conv1.conv.weight" in data["state_dict"] or net
    weights = found(data, state, head)
    assert weights.layout == (TSM if net else MMACTION)
    assert weights.num_classes == 5
    for key, value in body(state, head).items():
        assert weights.tensors[key] is value


def test_mobilenet_v2_of_mmaction2_is_taken_over():
    state, head = sample("mobilenet_v2")
    sizes = (1, 2, 3, 4, 3, 3, 1)  # blocks of its layers
    blocks = [f"layer{layer}.{block}" for layer, count in enumerate(sizes, start=1) for block in range(count)]
    theirs = {}
    for key, value in state.items():
        if match := re.fullmatch(r"features\.(\d+)\.conv\.(?:(\d)\.([01])|(\d))\.(\w+)", key):
            number, layer, kind, last_layer, last = match.groups()
            if layer is None:
                first = 1 if number == "1" else 2
                layer, kind = str(first), str(int(last_layer) - first)
            theirs[f"backbone.{blocks[int(number) - 1]}.conv.{layer}.{('conv', 'bn')[int(kind)]}.{last}"] = value
        elif match := re.fullmatch(r"features\.(0|18)\.([01])\.(\w+)", key):
            theirs[f"backbone.conv{1 if match[1] == '0' else 2}.{('conv', 'bn')[int(match[2])]}.{match[3]}"] = value
        else:
            theirs[f"cls_head.fc_cls.{key.rpartition('.')[2]}"] = value
    assert len(theirs) == len(state)
    weights = found({"state_dict": theirs}, state, head)
    assert all(weights.tensors[key] is value for key, value in body(state, head).items())
    assert (weights.num_classes, weights.layout) == (5, MMACTION)


# -- whole files -----------------------------------------------------------------------------------------------------


def equal(cnn: ResNet, state: State) -> bool:
    return all(torch.equal(value, state[key]) for key, value in cnn.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(tmp_path, dtype):
    torch.save(thin_resnet(1).to(dtype).state_dict(), tmp_path / "x.pth")
    cnn = thin_resnet()
    load_weights(cnn, tmp_path / "x.pth")
    assert torch.equal(cnn.conv1.weight, thin_resnet(1).conv1.weight.to(dtype).float())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_name_and_nothing_is_loaded(tmp_path, value):
    state = thin_resnet(1).state_dict()
    state["layer1.0.bn2.running_var"][2] = value
    torch.save(state, tmp_path / "x.pth")
    cnn = thin_resnet()
    with pytest.raises(ValueError, match=r"expected finite numbers .* 1 tensors \(layer1\.0\.bn2\.running_var\)"):
        load_weights(cnn, tmp_path / "x.pth")
    assert equal(cnn, thin_resnet().state_dict())


@pytest.mark.parametrize("change", [Tensor.to_sparse, lambda t: t.to("meta"), lambda t: t + 1j])
def test_tensors_that_are_not_plain_are_refused_by_name(tmp_path, change):
    torch.save({**thin_resnet(1).state_dict(), "bn1.bias": change(torch.ones(4))}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"expected plain real numbers .*\(bn1\.bias\)"):
        load_weights(thin_resnet(), tmp_path / "x.pth")
