"""Whether an eavesdropper can tell dialed numbers apart: recordings, a classifier, its controls."""
