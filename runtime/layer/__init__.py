"""Layers: tar archives of file trees, read and written by hand because that is where the time goes.

``tar_read`` and ``tar_write`` know the archive format; ``unpack`` makes an overlay-form directory of
a layer and ``scan`` + ``pack`` a layer of a directory; ``whiteout`` has the names of what is deleted;
``tree`` is the pure picture of it all, for diffs and the inspector; ``changes`` tells what a
container's writable directory changed; ``tasks`` are the functions a worker may run elsewhere.
"""
