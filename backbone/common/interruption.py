"""What long work raises when it is asked to stop."""


class Interrupted(Exception):
    """Work was asked to stop, as by Ctrl-C; what was done is kept, and it can be taken up again."""
