"""From a dialed number to digits in timed slots: pure, no I/O, no clock of its own."""
