"""Where jobs run that do not need each other: in processes of this machine, on a Ray cluster, or a third way of one file."""
