"""Tags, labels and annotations, from git and from what a CI system says."""
