"""What a user does with videos: check a data set, list its flips, classify."""
