"""The person over something else: colours, pictures, videos, the blurred room without the person in it."""

from livematte.compositing.compositor import Compositor as Compositor
