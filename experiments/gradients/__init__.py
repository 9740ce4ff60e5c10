"""How good each estimator's gradient is: against the exact one, and on real clips against a large reference."""
