"""What decisions cost: counts of a CNN, the ledger's formulas, the cost of a walk, and how AdaFuse's own code counts."""
