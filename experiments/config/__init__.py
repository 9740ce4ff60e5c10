"""Every option of every command, with a sentence each: the command line is derived from these dataclasses.

``shared`` has the options that several commands have, ``data`` those about videos; the other files have a dataclass a
command. ``serialization`` turns them into a run's config.json and back.
"""

from experiments.config.comparing import Compare, Gradients, Report, SettledCompare, Tune
from experiments.config.data import DEFAULT_ROOT, EMBEDDED, QUICK_ROOT, Data
from experiments.config.generating import MakeMotions
from experiments.config.judging import Evaluate, Import, Inspect, Predict, Probe
from experiments.config.presets import COMPARISONS
from experiments.config.serialization import from_json, to_json, with_defaults
from experiments.config.shared import Device
from experiments.config.tools import Bench, CheckData, Describe, Doctor, Flips
from experiments.config.training import Pretrain, SettledTrain, Train, TrainCommand

__all__ = [
    "COMPARISONS",
    "DEFAULT_ROOT",
    "EMBEDDED",
    "QUICK_ROOT",
    "Bench",
    "CheckData",
    "Compare",
    "Data",
    "Describe",
    "Device",
    "Doctor",
    "Evaluate",
    "Flips",
    "Gradients",
    "Import",
    "Inspect",
    "MakeMotions",
    "Predict",
    "Pretrain",
    "Probe",
    "Report",
    "SettledCompare",
    "SettledTrain",
    "Train",
    "TrainCommand",
    "Tune",
    "from_json",
    "to_json",
    "with_defaults",
]
