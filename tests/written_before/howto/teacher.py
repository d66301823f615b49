"""A teacher that is no network: it looks for the brightest line in each direction."""

import hashlib

import torch


class Lines:
    """How bright the brightest line of each direction is, as logits."""

    name = "lines"
    digest = hashlib.sha256(b"brightest line, sharpness 3").hexdigest()  # caches go by it: change it with the rule

    def outputs(self, inputs):
        """Logits, float32, shape (batch, 4), for normalised images, shape (batch, 1, 8, 8)."""
        images = inputs[:, 0]
        across, down = images.sum(dim=2), images.sum(dim=1)
        falling, rising = self._diagonals(images), self._diagonals(images.flip(2))
        return 3 * torch.stack([lines.amax(dim=1) for lines in (across, down, falling, rising)], dim=1)

    def _diagonals(self, images):
        return torch.stack([images.diagonal(shift, dim1=1, dim2=2).sum(dim=1) for shift in range(-4, 5)], dim=1)


lines = Lines()
