"""What every floor leans on: files that are never half written, names with their likely spelling, registries."""
