"""A file a command, imported when it runs: ``run(options)`` does it, and says what to do next."""
