"""Draw screenshots, charts and memes: images of few shapes and much text, which look alike more easily than photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from PIL import Image, ImageDraw

KINDS = ("screenshot", "chart", "meme")
EACH = 110

_LETTERS = "etaoinshrdlu"
_COLORS = ("#1b6ca8", "#e07b39", "#3a7d44", "#b3261e", "#7a5195", "#8a5a44", "#d45087", "#6e6e6e")


def drawn(backgrounds: list[Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    """Draw 110 images of each kind, always the same ones; every meme has another of the ``backgrounds``."""
    random = Random(7)
    backgrounds = random.sample(backgrounds, EACH)
    makers: dict[str, Callable[[], Image.Image]] = {
        "screenshot": lambda: _screenshot(random),
        "chart": lambda: _chart(random),
        "meme": lambda: _meme(random, backgrounds.pop()),
    }
    for kind in KINDS:
        for _ in range(EACH):
            yield kind, makers[kind]()


def _text(random: Random, words: int) -> str:
    return " ".join("".join(random.choices(_LETTERS, k=random.randint(2, 8))) for _ in range(words))


def _screenshot(random: Random) -> Image.Image:
    width, height = random.choice([(1080, 1350), (1080, 1080), (1280, 800), (900, 1600)])
    ground, ink = ("#15181c", "#e7e9ea") if random.random() < 0.35 else ("#ffffff", "#101418")
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    if random.random() < 0.7:
        draw.rectangle((0, 0, width, height // 14), fill=random.choice(_COLORS))
        draw.text((20, height // 40), _text(random, 3), "white", font_size=height // 40)
    left = width // 5 if random.random() < 0.4 else 0
    for line in range(random.randint(3, 14) if left else 0):
        draw.text((12, height // 10 + line * height // 20), _text(random, 1), ink, font_size=height // 55)
    y, size = height // 11, height // random.choice([36, 44, 56])
    while y < height - 60:
        choice = random.random()
        if choice < 0.15:
            draw.ellipse((left + 20, y, left + 70, y + 50), fill=random.choice(_COLORS))
            draw.text((left + 90, y), _text(random, 2), ink, font_size=size)
            y += 70
        elif choice < 0.25:
            bottom = y + random.randint(80, 260)
            draw.rectangle((left + 30, y, width - random.randint(20, 300), bottom), fill=random.choice(_COLORS))
            y = bottom + 20
        elif choice < 0.35:
            y += random.randint(20, 80)
        else:
            draw.text((left + 30, y), _text(random, random.randint(3, 14)), ink, font_size=size)
            y += int(size * 1.4)
    return image


def _chart(random: Random) -> Image.Image:
    width, height = random.choice([(1200, 800), (1000, 1000), (1280, 720)])
    image = Image.new("RGB", (width, height), random.choice(["white", "white", "#f7f7f2", "#eaeaf2"]))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = width * 0.1, height * 0.12, width * 0.95, height * 0.88
    draw.text((width * 0.3, height * 0.03), _text(random, 4), "black", font_size=height // 25)
    draw.line((left, top, left, bottom, right, bottom), "black", 2)
    for line in range(1, 6):
        y = bottom - (bottom - top) * line / 5
        draw.line((left, y, right, y), "#cccccc")
        draw.text((left - 60, y - 10), str(line * random.randint(1, 20)), "black", font_size=18)
    count = random.randint(4, 40)
    step, high = (right - left) / count, bottom - top
    kind = random.choice(["lines", "columns", "bars", "points", "area"])
    if kind in ("lines", "area"):
        for color in _COLORS[: random.randint(1, 4)]:
            value, points = random.random(), []
            for number in range(count):
                value = min(1, max(0, value + random.uniform(-0.2, 0.2)))
                points.append((left + step * number, bottom - high * value))
            if kind == "area":
                draw.polygon([(left, bottom), *points, (points[-1][0], bottom)], fill=color)
            else:
                draw.line(points, color, random.choice([2, 4, 6]))
    elif kind == "columns":
        for number in range(count):
            x = left + step * number
            draw.rectangle((x + 2, bottom - high * random.random(), x + step * 0.8, bottom), fill=_COLORS[count % 8])
    elif kind == "bars":
        for number in range(count):
            y, end = top + high * number / count, left + (right - left) * random.random()
            draw.rectangle((left, y, end, y + high / count * 0.7), fill=_COLORS[count % 8])
    else:
        for number in range(count * 12):
            x, y = left + (right - left) * random.gauss(0.5, 0.2), top + high * random.gauss(0.5, 0.2)
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=_COLORS[number % 3])
    return image


def _meme(random: Random, background: Image.Image) -> Image.Image:
    image = background.resize((900, random.choice([700, 900, 1100])))
    if random.random() < 0.4:
        framed = Image.new("RGB", (image.width, image.height + 180), "white")
        framed.paste(image, (0, 180))
        lines = f"{_text(random, 5)}\n{_text(random, 5)}"
        ImageDraw.Draw(framed).text((20, 30), lines, "black", font_size=48)
        return framed
    draw = ImageDraw.Draw(image)
    for y in (20, image.height - 90):
        line = _text(random, 4).upper()
        draw.text((60, y), line, "white", font_size=60, stroke_width=4, stroke_fill="black")
    return image
