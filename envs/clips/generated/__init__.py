"""Data that are generated as video files: eight motions, drawn by numpy or seen by a window that glides over real footage."""
