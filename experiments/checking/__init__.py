"""A data set looked at clip by clip: what is wrong with a clip, with the lists, and between the splits."""
