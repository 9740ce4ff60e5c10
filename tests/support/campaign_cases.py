"""Damage, drawn from a seed, and a process of its own to meet it in: it must neither crash nor hang nor swell.

python tests/support/campaign_cases.py FOLDER FIRST COUNT KIND ...
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TIMES = int(os.environ.get("CAMPAIGN_TIMES", "1"))
"""How many times the short version's number of trials."""
MOST_MEMORY = 1 << 30  # bytes beyond what the imports take
FRAGMENTS = (
    b"\0",
    b"\xff" * 8,
    b"9" * 5000,
    b"-1",
    b"NaN",
    b"[" * 2000,
    b"../../x",
    b"\x1b[2J",
    b"\n\n",
    b'"',
    b"{}",
    b"1e999",
)


class Outcome(NamedTuple):
    """What a child process has come to: trials taken as good and refused in a sentence, and the rest in words."""

    taken: int
    refused: int
    faults: list[str]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with a few of these: bytes changed, a piece removed, doubled, replaced by a fragment, the end cut off."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at, length = rng.randrange(len(damaged) + 1), rng.choice((1, 4, 64, 1000))
        match rng.randrange(5):
            case 0:
                damaged[at : at + length] = bytes(rng.randrange(256) for _ in damaged[at : at + length])
            case 1:
                del damaged[at : at + length]
            case 2:
                damaged[at:at] = damaged[at : at + length]
            case 3:
                damaged[at:at] = rng.choice(FRAGMENTS)
            case 4:
                del damaged[at : at + (1 if rng.random() < 0.8 else len(damaged))]
    return bytes(damaged)


def run_child(kinds: Sequence[str], count: int, folder: Path, *, first: int = 0, seconds: float = 60) -> Outcome:
    """Meet so much damage of each kind in a process of its own.

    :param seconds: beside one for every ten trials
    :raises AssertionError: it crashed or took more memory than it may
    :raises subprocess.TimeoutExpired: it hung
    """
    words = [sys.executable, __file__, str(folder), str(first), str(count), *kinds]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}",
        "OMP_NUM_THREADS": "1",
    }
    limit = seconds + len(kinds) * count / 10
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, f"exit code {done.returncode} after {done.stderr[-2000:]}"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("memory") < MOST_MEMORY, f"more than {MOST_MEMORY >> 20} MiB"
    return Outcome(**told)


def meet(kinds: Sequence[str], first: int, count: int, folder: Path) -> dict:
    """In the child: mutate, read, and note what came of it."""
    taken, refused, memory, faults = 0, 0, 0, []
    for kind in kinds:
        place = folder / str(len(list(folder.iterdir())))
        place.mkdir()
        content, name, read = KINDS[kind](place)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in range(first, first + count):
            print(f"{kind}, seed {seed}", file=sys.stderr)  # the last one is what a crash is of
            (place / name).write_bytes(mutated(content, random.Random(seed)))
            try:
                read(place / name)
                taken += 1
            except ValueError as error:
                refused += 1
                if "\n" in str(error) or not 0 < len(str(error)) < 2000:
                    faults.append(f"{kind}, seed {seed}: no short sentence: {str(error)[:200]!r}")
            except Exception as error:
                faults.append(f"{kind}, seed {seed}: {type(error).__name__}: {str(error)[:200]}")
        memory = max(memory, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
    return {"taken": taken, "refused": refused, "faults": faults, "memory": memory}


Kind = tuple[bytes, str, Callable[[Path], object]]


def _weights(folder: Path, write: Callable[[Path], object]) -> Kind:
    from weights_cases import thin_resnet

    from backbone import load_weights

    write(folder / "whole")
    cnn = thin_resnet()
    return (folder / "whole").read_bytes(), "damaged.pth", lambda path: load_weights(cnn, path)


def _zipped(folder: Path) -> Kind:
    import torch
    from weights_cases import thin_resnet

    return _weights(folder, lambda path: torch.save(thin_resnet(1).state_dict(), path))


def _pickled(folder: Path) -> Kind:
    import torch
    from weights_cases import thin_resnet

    return _weights(
        folder, lambda path: torch.save(thin_resnet(1).state_dict(), path, _use_new_zipfile_serialization=False)
    )


def _safetensors(folder: Path) -> Kind:
    from weights_cases import thin_resnet, write_safetensors

    return _weights(folder, lambda path: write_safetensors(path, thin_resnet(1).state_dict()))


def _backbone(folder: Path) -> Kind:
    from backbone import FusionBackbone, create_cnn, load_backbone, save_backbone

    whole = FusionBackbone(create_cnn("resnet_small", num_classes=3, size=16))
    save_backbone(folder / "whole", whole, architecture="resnet_small", classes=["a", "b", "c"])
    return (folder / "whole").read_bytes(), "backbone.pt", load_backbone


def _config(folder: Path) -> Kind:
    from experiments.config import Data, Train, to_json
    from experiments.run import Run

    content = {"kind": "trained", **to_json(Train(data=Data(root=folder), plugin=("mine",), run=folder))}
    return json.dumps(content, indent=2).encode(), "config.json", lambda path: Run(path.parent).config()


def _listed(folder: Path) -> Kind:
    lines = "".join(f"clip {i}.mp4 {30 + i} {i % 3}\n" for i in range(40))
    (folder / "dataset.json").write_text('{"classes": ["a", "b", "c"]}')
    return lines.encode(), "train.txt", _find


def _sidecar(folder: Path) -> Kind:
    (folder / "train.txt").write_text("a.mp4 0\nb.mp4 1\n")
    content = {"classes": ["a", "b"], "reversed_class": [1, 0], "paired": ["train"], "seed": 3}
    return json.dumps(content).encode(), "dataset.json", _find


def _csv(folder: Path) -> Kind:
    (folder / "a_000001_000011.mp4").touch()
    lines = "label,youtube_id,time_start,time_end,split\n" + "yoga,a,1,11,train\n" * 20
    return lines.encode(), "kinetics_train.csv", _find


def _entries(folder: Path) -> Kind:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "labels.json").write_text('{"pushing something": "0"}')
    (folder / "20bn-something-something-v2").mkdir(exist_ok=True)
    entries = [{"id": str(i), "template": "pushing [something]"} for i in range(20)]
    return json.dumps(entries).encode(), "labels/train.json", lambda path: _find(path.parent)


def _find(path: Path) -> object:
    from envs.clips.datasets import find_clips

    return find_clips(path.parent, "train", bad=[])


KINDS: dict[str, Callable[[Path], Kind]] = {
    "weights, zipped": _zipped,
    "weights, pickled": _pickled,
    "weights, safetensors": _safetensors,
    "a saved backbone": _backbone,
    "a run's config.json": _config,
    "a list": _listed,
    "dataset.json": _sidecar,
    "Kinetics' csv": _csv,
    "Something-Something's json": _entries,
}

if __name__ == "__main__":
    print(json.dumps(meet(sys.argv[4:], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]))))
