"""The handshake of a callee: which of the offered codecs it takes."""

import pytest

from bridge.iax2 import Format
from bridge.iax2.callee import offered_formats
from bridge.iax2.constants import ElementType
from bridge.iax2.elements import InformationElements


class TestOfferedFormats:
    def new(
        self, letters: str | None, media_format: int | None, capability: int | None
    ) -> tuple[Format, ...]:
        elements: list[tuple[int, str | tuple[int, int]]] = []
        if letters is not None:
            elements.append((ElementType.CODEC_PREFS, letters))
        if media_format is not None:
            elements.append((ElementType.FORMAT, (media_format, 4)))
        if capability is not None:
            elements.append((ElementType.CAPABILITY, (capability, 4)))
        return offered_formats(InformationElements.of(*elements))

    def test_preferences_first_then_the_format_then_the_rest(self) -> None:
        capability = Format.ULAW | Format.ALAW | Format.GSM | Format.G722
        ordered = self.new("ED", Format.G722, capability)
        assert ordered == (Format.ALAW, Format.ULAW, Format.G722, Format.GSM)

    def test_what_the_caller_cannot_is_not_offered(self) -> None:
        assert self.new("EDC", Format.ULAW, Format.ALAW) == (Format.ALAW,)

    def test_unknown_letters_are_passed_over(self) -> None:
        assert self.new("L?E", None, Format.ALAW | Format.ULAW) == (Format.ALAW, Format.ULAW)

    def test_a_format_alone_will_do(self) -> None:
        assert self.new(None, Format.ULAW, None) == (Format.ULAW,)

    def test_none_at_all(self) -> None:
        assert self.new(None, None, None) == ()

    def test_64_bits_tell_more_than_32(self) -> None:
        wide = Format.ALAW | Format.G722 | 1 << 34  # Opus, which we do not know
        offered = offered_formats(
            InformationElements.of(
                (ElementType.FORMAT, (Format.ULAW, 4)),
                (ElementType.FORMAT2, (Format.G722, 9)),
                (ElementType.CAPABILITY, (Format.ULAW, 4)),
                (ElementType.CAPABILITY2, (wide, 9)),
            )
        )
        assert offered == (Format.G722, Format.ALAW)

    @pytest.mark.parametrize("wide", [b"", bytes(8), b"\x01" + bytes(8)])
    def test_64_bits_of_another_version_or_width_tell_nothing(self, wide: bytes) -> None:
        offered = offered_formats(
            InformationElements.of(
                (ElementType.CAPABILITY, (Format.ULAW, 4)), (ElementType.CAPABILITY2, wide)
            )
        )
        assert offered == (Format.ULAW,)
