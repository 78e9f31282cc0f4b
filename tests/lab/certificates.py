"""Certificates that sign themselves, for TLS on loopback."""

import subprocess
from pathlib import Path

_REQUEST = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=siax")


def self_signed(folder: Path, name: str = "own", host: str = "127.0.0.1") -> tuple[Path, Path]:
    """A certificate for an address and its key, as PEM files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    files = ["-addext", f"subjectAltName=IP:{host}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*_REQUEST, *files], check=True, capture_output=True)
    return certificate, key
