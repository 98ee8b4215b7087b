from tickets.initial import Migration  # noqa: F401
