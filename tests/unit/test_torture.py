"""The files of RFC 4475's messages stand for the octets of the RFC's own archive (appendix A)."""

from hashlib import sha256

from tests.lab.torture import FOLDER, expand, message, names


def test_the_notation_of_section_2() -> None:
    text = b"a<hex>00FF</hex>\n<allOneLine>\nb\n<repeat count=3>cd</repeat>\ne\n</allOneLine>\n"
    assert expand(text) == b"a\0\xff\r\nbcdcdcde\r\n"


def test_all_49_messages_are_octet_for_octet_those_of_the_rfc() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    expected = {name: digest for digest, name in map(str.split, lines)}
    assert len(expected) == 49
    assert {name: sha256(message(name)).hexdigest() for name in names()} == expected
