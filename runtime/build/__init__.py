"""A Dockerfile is compiled: text → statements → instructions → plan of ops → image."""
