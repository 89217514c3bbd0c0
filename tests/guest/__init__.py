"""A guest: Debian's kernel and systemd in an emulated machine, where control groups are v2 alone.

``image`` makes its disk once, ``boot`` starts it, ``inside`` is what runs in it, the ``holds_``
files are what must hold there, and ``test_guest`` makes one test of each line that it reports.
"""
