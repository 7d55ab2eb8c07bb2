"""An actor of one's own, on the layer that the library's actors are built on."""
