"""Live matting in two processes: the supervisor owns what people see, the worker what can hang or die."""
