"""The kernel, under the names of its man pages. No OCI word and no policy is known here."""
