"""Later."""
ALL = {}
ALT = {}
