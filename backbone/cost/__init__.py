"""What decisions cost: counts of a CNN, the ledger of a walk, and how AdaFuse's own code counts."""
