"""The words of the OCI specifications, as frozen values. Pure: nothing here touches a disk or a kernel.

One file a noun: digest, reference, descriptor, platform, manifest (and index), config, image, spec;
``decode`` reads them from JSON and ``encode`` writes them, always the same bytes for the same value.
"""
