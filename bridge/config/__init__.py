"""YAML to frozen models: every error names file, line and key path, every doubt is a warning.

`load_configuration(path)` is the way in. Must not know what the bridge does with the values.
"""

from bridge.config.loader import Loaded, load_configuration
from bridge.config.models import Configuration, Dialing, Iax, Link, RouteEntry, Sip
from bridge.config.problems import ConfigurationError, Problem
from bridge.config.secret import Secret
from bridge.config.values import HostPort, ListenUrl, PortRange

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Dialing",
    "HostPort",
    "Iax",
    "Link",
    "ListenUrl",
    "Loaded",
    "PortRange",
    "Problem",
    "RouteEntry",
    "Secret",
    "Sip",
    "load_configuration",
]
