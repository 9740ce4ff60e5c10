from envs.clips.video.headers import ASF, ASF_FILE, asf_end, declared_end, matroska_end


def test_where_a_matroska_file_ends():
    head = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67"
    assert matroska_end(head + b"\x85xxxxx") == len(head) + 1 + 5
    assert matroska_end(head + b"\x40\x07") == len(head) + 2 + 7
    assert matroska_end(head + b"\xff") is None  # not known
    assert matroska_end(head + b"\x01" + b"\xff" * 7) is None
    assert matroska_end(head) is None
    assert matroska_end(head[:6]) is None
    assert matroska_end(b"RIFF") is None


def asf(size: int, flags: int = 2) -> bytes:
    numbers = [b"\0" * 16, size.to_bytes(8, "little"), bytes(40), flags.to_bytes(4, "little"), bytes(12)]
    return ASF + bytes(14) + ASF_FILE + (104).to_bytes(8, "little") + b"".join(numbers)


def test_where_an_asf_file_ends():
    assert asf_end(asf(12345)) == 12345
    assert asf_end(asf(12345, flags=3)) is None  # broadcast
    assert asf_end(asf(0)) is None
    assert asf_end(asf(12345)[:100]) is None
    assert asf_end(b"RIFF" + asf(12345)) is None


def test_a_format_is_told_by_its_first_bytes():
    assert declared_end(asf(12345)) == 12345
    assert declared_end(b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x85") == 12 + 5
    assert declared_end(b"\0\0\0\x20ftyp") is None
    assert declared_end(b"") is None
