"""A server of small images on loopback."""

from __future__ import annotations

import io

from PIL import Image

from tests.support.web_server import Answer, Received
from tests.support.wire.server import WireServer

COUNT = 4


class ImageServer(WireServer):
    """Serves one of ``COUNT`` images at every path that ends in a number."""

    def __init__(self) -> None:
        super().__init__()
        self._images = [_jpeg(number) for number in range(COUNT)]

    def page(self, asked: Received) -> Answer:
        return Answer(self._images[int(asked.path.rpartition("/")[2]) % COUNT], headers={"content-type": "image/jpeg"})


def _jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64 + number)).convert("RGB").save(file, "JPEG")
    return file.getvalue()
