import av
import pytest

from envs.clips.video.bitstream import CODINGS, H264, HEVC, JPEG, MPEG4, VP8, VP9, Coding

AVC = bytes([1, 100, 0, 30, 0xFF, 0xE1, 0])  # lengths of four bytes
HVC = bytes([1, *[0] * 20, 0xFF, 0])


def units(*contents: list[int]) -> bytes:
    return b"".join(len(content).to_bytes(4, "big") + bytes(content) for content in contents)


RECOVERY = [6, 6, 1, 0b11000100, 0x80]  # supplemental information, recovery point, recovery_frame_cnt 0, exact
DELIMITER = [9, 0x10]


def test_h264_starts_at_idr_pictures_and_exact_recovery_points():
    coding = H264(AVC)
    assert coding.starts(units(DELIMITER, [0x65, 0x88]))
    assert coding.starts(units(DELIMITER, RECOVERY, [0x61, 0x88]))
    version = [6, 5, 3, 1, 2, 3]  # another message in front
    assert coding.starts(units([*version, *RECOVERY[1:]], [0x61, 0x88]))
    assert not coding.starts(units(DELIMITER, [0x61, 0x88]))
    assert not coding.starts(units([6, 6, 1, 0b10000100, 0x80], [0x61, 0x88]))  # not exact
    assert not coding.starts(units([6, 6, 1, 0b11100100, 0x80], [0x61, 0x88]))  # a broken link
    assert not coding.starts(units([6, 6, 2, 0b00010111, 0x40, 0x80], [0x61, 0x88]))  # frames later
    assert not coding.starts(units(RECOVERY))


def test_h264_pictures_without_reference_count_are_not_needed():
    coding = H264(AVC)
    assert coding.unreferenced(units(DELIMITER, [0x01, 0x9A]))
    assert not coding.unreferenced(units(DELIMITER, [0x41, 0x9A]))
    assert not coding.unreferenced(units(DELIMITER))
    assert not coding.unreferenced(b"")


def test_damaged_lengths_end_the_walk():
    for coding in (H264(AVC), HEVC(HVC)):
        for packet in (b"", b"\0", bytes(50), b"\xff" * 50, units([0x65, 0x88])[:-1]):
            assert not coding.starts(packet)
            assert not coding.unreferenced(packet)


def test_streams_without_lengths_are_not_read():
    for kind in (H264, HEVC):
        for extradata in (b"", bytes(40), b"\0\0\0\1" + bytes(40)):
            with pytest.raises(ValueError, match="configuration record"):
                kind(extradata)


def test_hevc_starts_at_random_access_pictures():
    coding = HEVC(HVC)
    assert coding.starts(units([32 << 1, 1], [21 << 1, 1, 0]))
    assert coding.starts(units([19 << 1, 1, 0]))
    assert not coding.starts(units([32 << 1, 1], [1 << 1, 1, 0]))


def test_mpeg4_packets():
    coding, rest = MPEG4(b""), bytes(range(1, 30))
    for kind, unreferenced in ((0, False), (1, False), (2, True), (3, False)):
        packet = MPEG4.START + bytes([kind << 6]) + rest
        assert coding.frames(packet) == 1
        assert coding.unreferenced(packet) == unreferenced
        assert coding.starts(packet) == (kind == 0)
    assert coding.frames(MPEG4.START + b"\x50" + MPEG4.START + b"\x90" + rest) is None  # packed
    assert coding.frames(MPEG4.START + b"\x50\x00") is None  # "as before"
    assert not coding.unreferenced(MPEG4.START)
    assert not coding.starts(MPEG4.START)


def test_vp8_packets():
    coding = VP8(b"")
    assert coding.frames(b"\x10\0\0") == 1
    assert coding.frames(b"\x01\0\0") == 0
    assert coding.frames(b"") is None
    assert coding.starts(b"\x10\0\0")
    assert not coding.starts(b"\x11\0\0")


def test_vp9_packets():
    coding = VP9(b"")
    key, between, hidden, repeat = b"\x82\x49", b"\x86\x00", b"\x84\x00", b"\x88"
    assert [coding.frames(packet) for packet in (key, between, hidden, repeat)] == [1, 1, 0, 1]
    assert [coding.starts(packet) for packet in (key, between, hidden, repeat)] == [True, False, False, False]

    def together(*frames: bytes) -> bytes:
        mark = bytes([0xC0 | len(frames) - 1])
        return b"".join(frames) + mark + bytes(len(frame) for frame in frames) + mark

    assert coding.frames(together(hidden, between)) == 1
    assert coding.frames(together(between, between)) is None
    assert coding.starts(together(key, hidden))
    assert not coding.starts(together(hidden, key))
    assert coding.frames(b"\x00\x00") is None
    assert coding.frames(b"") is None


def test_jpeg_pictures_with_their_own_tables_start():
    coding = JPEG(b"")
    assert coding.starts(b"\xff\xd8\xff\xdb..\xff\xc4..")
    assert not coding.starts(b"\xff\xd8\xff\xdb..")
    assert not coding.starts(b"\xff\xd8\xff\xc4..")


def test_without_knowledge_nothing_is_left_out():
    coding = Coding(b"")
    assert coding.frames(b"x") == 1
    assert coding.frames(b"") is None
    assert not coding.starts(b"x")
    assert not coding.unreferenced(b"x")


def test_the_names_are_the_decoders():
    for name in CODINGS:
        assert av.codec.Codec(name, "r").canonical_name == name


def test_joined_hevc_streams_are_left_to_the_decoder():
    coding = HEVC(bytes([1]) + bytes(20) + b"\x03" + bytes(1))

    def packet(*kinds: int) -> bytes:
        return b"".join(b"\0\0\0\x02" + bytes([kind << 1, 1]) for kind in kinds)

    for kind in (0, 1, 8, 9, 19, 20, 21):  # trailing, leading, key pictures
        assert coding.frames(packet(35, kind)) == 1
    for kinds in ((16,), (17,), (18,), (1, 36), (1, 37)):  # after a broken link; before an end
        assert coding.frames(packet(*kinds)) is None
