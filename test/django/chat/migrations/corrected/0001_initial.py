from chat.initial import Migration  # noqa: F401
