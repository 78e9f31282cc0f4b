"""A SIP leg and an IAX2 leg made one call: who is told what, and who hangs up whom.

Performs no I/O: legs, media and time are given to it.
"""
