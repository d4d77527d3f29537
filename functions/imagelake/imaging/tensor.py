"""Make model input from pixels by the evaluation transform of torchvision's ImageNet models.

https://pytorch.org/vision/stable/models.html: the middle 224 pixels of an image whose shorter side is 256.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from imagelake.imaging.resize import resize
from imagelake.run.image_options import Tensor

SIDE = 224
_SHORTER_SIDE = 256
# Mean and standard deviation of R, G and B over ImageNet, on a scale from 0 to 1.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def make_tensor(image: Image.Image, kind: Tensor) -> bytes:
    """Make an array from an RGB image of any size, and return its bytes in C order.

    ``uint8``    (224, 224, 3), 0 to 255: 150,528 bytes
    ``float32``  (3, 224, 224), little-endian, minus the mean and divided by the deviation: 602,112 bytes
    """
    part = min(image.size) * SIDE / _SHORTER_SIDE
    left, top = (image.width - part) / 2, (image.height - part) / 2
    square = np.asarray(resize(image, (SIDE, SIDE), (left, top, left + part, top + part)))
    if kind == "uint8":
        return square.tobytes()
    normalized = (square.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return normalized.transpose(2, 0, 1).astype("<f4").tobytes()
