"""The SIP side: the only package that imports pjsua2."""
