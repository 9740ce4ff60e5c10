from types import SimpleNamespace

import pytest

from envs.clips.video.bitstream import Coding
from envs.clips.video.index import Index, Indexer, runs_for


class Starts(Coding):
    """A packet starts if its first byte is 1."""

    def starts(self, packet):
        return bool(packet[0])


class Packet(bytes):
    pts: int | None
    is_discard = False
    is_keyframe = True

    def has_sidedata(self, name: str) -> bool:
        return False


def indexed(*packets: tuple[int, int], discarded: int = 0, ordered: bool = False) -> Index | None:
    """Packets as (whether it starts, time); the first `discarded` are not shown."""
    indexer = Indexer(Starts(b""), ordered)
    for number, (start, time) in enumerate(packets):
        packet = Packet([start])
        packet.pts, packet.is_discard = time, number < discarded
        assert indexer.add(packet)
    return indexer.index()


def test_frames_are_numbered_as_they_are_shown():
    index = indexed((1, 0), (0, 3), (0, 1), (0, 2), (1, 4))
    assert index.packets == [0, 2, 3, 1, 4]
    assert index.entries == [0, 4]


def test_what_does_not_settle_the_frames_gives_no_index():
    assert indexed((1, 3), (0, 1), (0, 2), (0, 4)) is None  # pictures that lead to the first: were they cut off?
    assert indexed((1, 0), (0, 1), (0, 1)) is None  # two at one time
    assert indexed((0, 0), (1, 1)) is None  # no start
    assert indexed((1, 0), (0, 2), (0, 1), ordered=True) is None
    assert indexed() is None


def test_leading_pictures_that_an_edit_list_hides_do_no_harm():
    index = indexed((1, 0), (0, 3), (0, 1), (0, 2), discarded=1)
    assert index.packets == [2, 3, 1]


@pytest.mark.parametrize("missing", ["time", "count", "headers"])
def test_a_packet_that_does_not_tell_is_not_taken(missing):
    packet = Packet([] if missing == "count" else [1])
    packet.pts = None if missing == "time" else 0
    if missing == "headers":
        packet.has_sidedata = lambda name: name == "new_extradata"
    assert not Indexer(Starts(b""), ordered=False).add(packet)


def test_runs_start_at_the_nearest_entry_that_is_shown_before():
    index = indexed((1, 0), (0, 1), (1, 5), (0, 3), (0, 4), (1, 6), (0, 7))  # frames 2 and 3 lead to packet 2's picture
    assert [tuple(run) for run in runs_for(index, [6])] == [(0, 0, []), (5, 6, [6])]
    assert [tuple(run) for run in runs_for(index, [3])] == [(0, 4, [3])]
    assert [tuple(run) for run in runs_for(index, [4, 6])] == [(0, 0, []), (2, 2, [4]), (5, 6, [6])]
    assert [tuple(run) for run in runs_for(index, range(7))] == [(0, 6, list(range(7)))]


def test_before_a_run_lie_frames_whose_past_is_not_decoded_but_not_before_the_first():
    index = indexed((1, 1), (0, 0), (1, 5), (0, 3), discarded=1)
    assert index is None
    index = Index([1, 0, 5, 3], [True] * 4, [1, 0, 3, 2], [0, 2], Starts(b""))
    assert index.since(SimpleNamespace(first=0)) == 0
    assert index.since(SimpleNamespace(first=2)) == 5
