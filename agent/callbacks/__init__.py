"""What happens beside training: evaluations, checkpoints, progress, episodes in TensorBoard."""
