"""From results to statements: intervals and fronts, the same for every command."""
