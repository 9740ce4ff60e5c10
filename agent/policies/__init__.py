"""Who decides: gates and the policies built of them, fixed policies, and the agents of imported checkpoints."""
