"""Sets the stage: the configuration that the bridge runs on, its ports and its secret.

The configuration is one of configs/ as it stands, but for what must differ here: loopback
addresses, free ports, and a secret that lives as long as the demo.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from bridge.config import Configuration, load_configuration
from bridge.config.models import Link
from bridge.config.secret import write_new_secret
from bridge.errors import BridgeError
from bridge.iax2 import Address

HOST: Final = "127.0.0.1"
EXAMPLE: Final = "asterisk-link.yaml"
LINK: Final = "hq"
PREFIX: Final = "9"
"""What the example's dial plan takes away from a number."""
SIP_PORT: Final = 5060

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_EXAMPLE_FOLDERS: Final = (_PACKAGE.parent / "configs", _PACKAGE / "configs")
_SECRET_FILE: Final = f"secrets/{LINK}"


class DemoError(BridgeError):
    """The demo cannot be played; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is.

    Attributes:
        example: The configuration that was begun with.
        path: The one that the bridge runs on.
        configuration: That one, read.
        sip_port: Where phones reach the bridge on `HOST`.
    """

    example: Path
    path: Path
    configuration: Configuration = field(repr=False)
    sip_port: int

    @property
    def link(self) -> Link:
        """The link of the demo."""
        return self.configuration.links[LINK]

    @property
    def secret(self) -> str:
        """The secret of the link."""
        return self.link.secret.reveal()


def set_stage(folder: Path, peer: Address, *, well_known_port: bool) -> Stage:
    """Write configuration and secret.

    Args:
        folder: An empty one of ours.
        peer: What the bridge takes for the far end.
        well_known_port: Use SIP's own port where it is free, for a softphone's sake.

    Raises:
        DemoError: There is no example to begin with.
        ConfigurationError: The example cannot be used.
    """
    example = find_example()
    sip_port = choose_sip_port(well_known=well_known_port)
    model: dict[str, Any] = yaml.safe_load(example.read_text())
    (folder / _SECRET_FILE).parent.mkdir()
    write_new_secret(folder / _SECRET_FILE)
    path = folder / "siax.yaml"
    path.write_text(yaml.safe_dump(adapted(model, sip_port, peer), sort_keys=False))
    return Stage(example, path, load_configuration(path).configuration, sip_port)


def find_example() -> Path:
    """Return where the example configuration is, in a source tree or an installation.

    Raises:
        DemoError: Nowhere.
    """
    for folder in _EXAMPLE_FOLDERS:
        if (folder / EXAMPLE).is_file():
            return folder / EXAMPLE
    raise DemoError(f"configs/{EXAMPLE} is missing: run the demo in the source tree, by make demo")


def adapted(model: Mapping[str, Any], sip_port: int, peer: Address) -> dict[str, Any]:
    """Return a configuration with all that must differ here; the rest stays as it is."""
    sip = {
        **model["sip"],
        "listen": [f"{transport}://{HOST}:{sip_port}" for transport in ("udp", "tcp")],
        "allow": [f"{HOST}/32"],
    }
    link = {
        **model["links"][LINK],
        "peer": f"{peer[0]}:{peer[1]}",
        "secret": {"file": _SECRET_FILE},
    }
    return {
        **model,
        "sip": sip,
        "iax": {"bind": f"{HOST}:{_free_port(socket.SOCK_DGRAM)}"},
        "links": {**model["links"], LINK: link},
    }


def choose_sip_port(*, well_known: bool) -> int:
    """Return a port that is free for UDP and TCP.

    Raises:
        DemoError: None is.
    """
    if well_known and is_free(SIP_PORT):
        return SIP_PORT
    for _ in range(20):
        port = _free_port(socket.SOCK_STREAM)
        if is_free(port):
            return port
    raise DemoError(f"no port of {HOST} is free for both UDP and TCP")


def is_free(port: int) -> bool:
    """Tell whether nobody has a port, of UDP or of TCP."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
