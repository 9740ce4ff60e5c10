"""Weights: foreign checkpoints in, ours in and out, statistics estimated anew, BatchNorms folded."""
