"""WIRE: images come from registries and go there; and a small registry over our own store.

Source: OCI distribution-spec 1.1, spec.md; docker's token specification (distribution, docs/spec/auth).
"""
