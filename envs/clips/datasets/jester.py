"""Jester: `20bn-jester-v1/<id>/00001.jpg`, and csv files or TSN lists beside that folder."""

from envs.clips.datasets.csv_labels import CSVLabels
from envs.clips.datasets.registry import register_layout


@register_layout
class Jester(CSVLabels):
    name = "jester"
    prefix = "jester-v1"
    folder = "20bn-jester-v1"
