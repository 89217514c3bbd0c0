"""RUN: how a container comes to life, lives and ends. It is given directories, never a store."""
