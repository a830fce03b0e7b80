"""Power settings for one night: what is asked by name, changed, read again, and put back on every way out.

`lease.py` has the order; modes.py what may be chosen; direct.py and jtop.py the two ways of doing it; intent.py what a power cut
leaves for the next start.
"""
