"""A wheel from the finished module.

Owns the wheel's metadata and layout (PEP 427). Must not know how the module was made.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import sysconfig
import zipfile
from pathlib import Path

NAME = "pjsua2"
# A fixed date, so that equal content makes an equal wheel.
_DATE = (2020, 1, 1, 0, 0, 0)


def file_name(version: str, key: str) -> str:
    """The wheel's name; the key is its build tag, which PEP 427 wants to start with a digit."""
    return f"{NAME}-{version}-1_{key}-{_tag()}.whl"


def write(module_folder: Path, version: str, key: str, destination: Path) -> Path:
    """Packs the files of a folder into a wheel in the folder `destination`."""
    wheel = destination / file_name(version, key)
    contents = {path.name: path.read_bytes() for path in sorted(module_folder.iterdir())}
    information = f"{NAME}-{version}.dist-info"
    contents[f"{information}/METADATA"] = _metadata(version).encode()
    contents[f"{information}/WHEEL"] = _wheel_file(key).encode()
    record = f"{information}/RECORD"
    contents[record] = _record(contents, record).encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr = 0o644 << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return wheel


def _tag() -> str:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"{python}-{python}-{system}"


def _metadata(version: str) -> str:
    return (
        "Metadata-Version: 2.4\n"
        f"Name: {NAME}\n"
        f"Version: {version}\n"
        "Summary: PJSUA2 with epoll, a gateway's sizes and requests before pjsua\n"
        "License-Expression: GPL-2.0-or-later\n"
        "Home-page: https://www.pjsip.org\n"
    )


def _wheel_file(key: str) -> str:
    return (
        "Wheel-Version: 1.0\nGenerator: siax\nRoot-Is-Purelib: false\n"
        f"Tag: {_tag()}\nBuild: 1_{key}\n"
    )


def _record(contents: dict[str, bytes], record: str) -> str:
    lines = [f"{name},{_digest(content)},{len(content)}" for name, content in contents.items()]
    return "\n".join([*lines, f"{record},,", ""])


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
