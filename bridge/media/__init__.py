"""Audio between the phone's RTP and the link's voice frames."""
