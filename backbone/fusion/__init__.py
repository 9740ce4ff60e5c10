"""A CNN whose chosen convolutions mix frames: sites, the walk through them, time between frames, the consensus."""
