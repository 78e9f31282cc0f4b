"""A SIP to encrypted IAX2 bridge that hides dialed numbers on links that somebody may watch."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("siax")
except PackageNotFoundError:
    __version__ = "0+unknown"
