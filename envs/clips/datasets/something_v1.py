"""Something-Something V1: `20bn-something-something-v1/<id>/00001.jpg`, and csv files or TSN lists beside that folder."""

from envs.clips.datasets.csv_labels import CSVLabels
from envs.clips.datasets.registry import register_layout


@register_layout
class SomethingV1(CSVLabels):
    name = "something_v1"
    prefix = "something-something-v1"
    folder = "20bn-something-something-v1"
