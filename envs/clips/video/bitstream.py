"""What the compressed bytes of a video tell without decoding them.

Three questions decide what a decoder may leave out and still give the frames that it gives when it decodes everything:
how many frames a packet shows, whether decoding may start at it, and whether no other frame is predicted from it.
A codec that is not in `CODINGS` is decoded from the start, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Coding:
    """One codec's answers; here the safe ones.

    :param extradata: what the container stores beside the stream, b"" for nothing
    :raises ValueError: when the stream is packed in a way that this class does not read.
    """

    def __init__(self, extradata: bytes) -> None:
        pass

    def frames(self, packet: bytes | memoryview) -> int | None:
        """Frames that the packet shows, 0 or 1; None where only decoding tells."""
        return 1 if len(packet) else None

    def starts(self, packet: bytes | memoryview) -> bool:
        """Whether a decoder that starts at this key packet gives the very frames of one that comes from the start."""
        return False

    def unreferenced(self, packet: bytes | memoryview) -> bool:
        """Whether no other packet needs this one."""
        return False


class JPEG(Coding):
    """ITU-T T.81, annex B: a picture needs no other, but may rely on tables that an earlier one brought."""

    def starts(self, packet: bytes | memoryview) -> bool:
        data = bytes(packet)
        return b"\xff\xdb" in data and b"\xff\xc4" in data  # tables of its own, both kinds


class _Units(Coding):
    """Packets made of NAL units, each behind its length in bytes (ISO/IEC 14496-15)."""

    config_size: int
    length_at: int  # where the configuration holds the size of a length field

    def __init__(self, extradata: bytes) -> None:
        if len(extradata) < self.config_size or extradata[0] != 1:
            raise ValueError("expected a configuration record before units with lengths")
        self.length = (extradata[self.length_at] & 3) + 1

    def units(self, packet: bytes | memoryview) -> Iterator[bytes | memoryview]:
        at = 0
        while at + self.length < len(packet):
            size = int.from_bytes(packet[at : at + self.length], "big")
            at += self.length
            if not 0 < size <= len(packet) - at:
                return
            yield packet[at : at + size]
            at += size


class H264(_Units):
    """ITU-T H.264: section 7.4.1 (unit types, nal_ref_idc), D.2.8 (recovery point)."""

    config_size, length_at = 7, 4

    def starts(self, packet: bytes | memoryview) -> bool:
        recovery = False
        for unit in self.units(packet):
            kind = unit[0] & 31
            if kind == 5:  # a slice of an IDR picture, which forgets all that was before it
                return True
            if 1 <= kind <= 4:
                return recovery
            recovery = recovery or (kind == 6 and _recovers_at_once(bytes(unit[1:])))
        return False

    def unreferenced(self, packet: bytes | memoryview) -> bool:
        for unit in self.units(packet):
            if 1 <= unit[0] & 31 <= 5:
                return not unit[0] & 0x60
        return False


def _recovers_at_once(messages: bytes) -> bool:
    """Whether supplemental information says that this picture and all shown after it decode exactly from here."""
    messages = messages.replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(messages):
        kind = size = 0
        while at < len(messages) and messages[at] == 255:
            kind, at = kind + 255, at + 1
        kind, at = kind + int.from_bytes(messages[at : at + 1], "big"), at + 1
        while at < len(messages) and messages[at] == 255:
            size, at = size + 255, at + 1
        size, at = size + int.from_bytes(messages[at : at + 1], "big"), at + 1
        if kind == 6 and at < len(messages):
            return messages[at] & 0b11100000 == 0b11000000  # recovery_frame_cnt 0, exact_match_flag, no broken_link
        at += size
    return False


class HEVC(_Units):
    """ITU-T H.265: section 7.4.2.2. Pictures that no other needs are not told apart: the unit's type speaks only of
    its own temporal layer."""

    config_size, length_at = 23, 21

    def frames(self, packet: bytes | memoryview) -> int | None:
        """None where streams were joined (a picture after a broken link, an end of sequence): leading ones may be dropped."""
        kinds = {unit[0] >> 1 & 63 for unit in self.units(packet)}
        return None if kinds & {16, 17, 18, 36, 37} else super().frames(packet)

    def starts(self, packet: bytes | memoryview) -> bool:
        kinds = (unit[0] >> 1 & 63 for unit in self.units(packet))
        return 16 <= next((kind for kind in kinds if kind < 32), 0) <= 21


class MPEG4(Coding):
    """ISO/IEC 14496-2: a VOP is a frame; its two bits after the start code say I, P, B or S."""

    START = b"\0\0\1\xb6"

    def frames(self, packet: bytes | memoryview) -> int | None:
        """None for packets of two frames and for those so short that they may say "as before"."""
        data = bytes(packet)
        return 1 if len(data) >= 12 and data.count(self.START) == 1 else None

    def starts(self, packet: bytes | memoryview) -> bool:
        return self._kind(packet) == 0

    def unreferenced(self, packet: bytes | memoryview) -> bool:
        return self._kind(packet) == 2

    def _kind(self, packet: bytes | memoryview) -> int | None:
        """0 for I, 1 for P, 2 for B, 3 for S."""
        data = bytes(packet)
        at = data.find(self.START) + len(self.START)
        return data[at] >> 6 if self.START in data and at < len(data) else None


class VP8(Coding):
    """RFC 6386, section 9.1. No frame is left out: also one that no other copies from may change the probabilities."""

    def frames(self, packet: bytes | memoryview) -> int | None:
        return packet[0] >> 4 & 1 if len(packet) > 2 else None

    def starts(self, packet: bytes | memoryview) -> bool:
        return len(packet) > 2 and not packet[0] & 1


class VP9(Coding):
    """The VP9 bitstream specification, 6.2 (frame header) and annex B (superframes); left out is nothing, as in VP8."""

    def frames(self, packet: bytes | memoryview) -> int | None:
        found = self._headers(packet)
        headers = [header for header in found if header is not None]
        if not headers or len(headers) < len(found):
            return None
        shown = sum(repeated or visible for repeated, _, visible in headers)
        return shown if shown < 2 else None

    def starts(self, packet: bytes | memoryview) -> bool:
        headers = self._headers(packet)
        if not headers or headers[0] is None:
            return False
        repeated, key, _ = headers[0]
        return key and not repeated

    def _headers(self, packet: bytes | memoryview) -> list[tuple[bool, bool, bool] | None]:
        """Of every frame in the packet: whether it repeats a frame, is a key frame, is shown; None for no header."""
        sizes, last = [len(packet)], packet[-1] if len(packet) else 0
        if last & 0xE0 == 0xC0:
            count, width = (last & 7) + 1, (last >> 3 & 3) + 1
            index = packet[-(2 + count * width) :]
            if len(packet) > len(index) == 2 + count * width and index[0] == last:
                ends = range(1, 1 + count * width, width)
                sizes = [int.from_bytes(index[at : at + width], "little") for at in ends]
        headers, at = [], 0
        for size in sizes:
            headers.append(self._header(packet[at : at + size]))
            at += size
        return headers

    def _header(self, frame: bytes | memoryview) -> tuple[bool, bool, bool] | None:
        if not len(frame) or frame[0] >> 6 != 2:
            return None
        bits = frame[0] << (1 if frame[0] & 0x30 == 0x30 else 0)  # profile 3 has a reserved bit
        return bool(bits & 8), not bits & 4, bool(bits & 2)


CODINGS: dict[str, Callable[[bytes], Coding]] = {
    "h264": H264,
    "hevc": HEVC,
    "mjpeg": JPEG,
    "mpeg4": MPEG4,
    "vp8": VP8,
    "vp9": VP9,
}
