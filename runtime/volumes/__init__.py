"""Named volumes: folders that outlive containers, filled from an image at their first use."""
