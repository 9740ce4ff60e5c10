"""Videos as they lie on a disk: which frame is which packet, decoded frames, and writing."""
