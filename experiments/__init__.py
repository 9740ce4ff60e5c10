"""What a user runs: commands, their configuration, comparison and report. The only place that knows a config."""
