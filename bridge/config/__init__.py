"""YAML to frozen models: every error names file, line and key path, every doubt is a warning.

`load_configuration(path)` is the way in. Must not know what the bridge does with the values.
"""

from bridge.config.dialing import Dialing
from bridge.config.loader import Loaded, load_configuration, load_state_folder
from bridge.config.models import Configuration, Iax, Link
from bridge.config.problems import ConfigurationError, Problem
from bridge.config.routes import RouteEntry
from bridge.config.secret import Secret
from bridge.config.sip import Sip
from bridge.config.trunks import Trunk
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
    "Trunk",
    "load_configuration",
    "load_state_folder",
]
