"""What a file's first bytes say of its end."""

from __future__ import annotations

from envs.clips.video.boxes import is_boxed

HEAD_BYTES = 1 << 16  # enough to tell; and so many zeros are no accident

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def may_be_padded(head: bytes) -> bool:
    """Whether a whole file may end in zeros: those with a list of what is where (MP4, Matroska) may."""
    return head.startswith(EBML) or is_boxed(head)


def declared_end(head: bytes) -> int | None:
    """Where a file must end by its own header; None where that is not said, or the format is none of these."""
    return matroska_end(head) if head.startswith(EBML) else asf_end(head) if head.startswith(ASF) else None


def matroska_end(head: bytes) -> int | None:
    """Of a Matroska or WebM file (RFC 8794, section 6)."""
    if not head.startswith(EBML):
        return None
    size, at = _vint(head, len(EBML))
    if size is None or head[at + size : at + size + 4] != SEGMENT:
        return None
    size, at = _vint(head, at + size + 4)
    return None if size is None else at + size


def asf_end(head: bytes) -> int | None:
    """Of an ASF file, such as WMV (Advanced Systems Format, section 3.2, the file properties object)."""
    at = head.find(ASF_FILE)
    if not head.startswith(ASF) or at < 0 or len(head) < at + 92:
        return None
    size = int.from_bytes(head[at + 40 : at + 48], "little")
    broadcast = head[at + 88] & 1  # then the size is not known yet
    return None if broadcast or not size else size


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of variable length and the place after it; all ones mean that it is not known."""
    if at >= len(data) or not data[at]:
        return None, at
    length = 9 - data[at].bit_length()
    mask = (1 << 7 * length) - 1
    value = int.from_bytes(data[at : at + length], "big") & mask
    return (None if value == mask or at + length > len(data) else value), at + length
