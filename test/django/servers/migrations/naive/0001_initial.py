from servers.initial import Migration  # noqa: F401
