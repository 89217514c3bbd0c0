from tests.build.world import world

__all__ = ["world"]
