"""A sans-I/O IAX2 endpoint: standard library and cryptography only."""
