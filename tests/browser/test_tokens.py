"""The colours of tokens.css: readable on every surface in both themes, and told apart by people who see fewer of them.

Contrast is WCAG's; the distance of two colours is CIEDE2000 after Machado's simulation of three deficiencies.
"""

import math
import re
from itertools import combinations

import pytest

from app import assets

Colour = tuple[float, float, float]

TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (assets.STATIC / "css/tokens.css").read_text(encoding="utf-8")
    )
}
SURFACES = ("bg", "bg-2", "bg-3")
FAMILIES = ("ok", "move", "warn", "fail", "block", "idle")

SIMULATIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(text: str) -> Colour:
    channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(linear(a)), luminance(linear(b))))
    return (high + 0.05) / (low + 0.05)


def lab(colour: Colour) -> Colour:
    red, green, blue = colour
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one: Colour, other: Colour) -> float:
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1, h2 = (math.degrees(math.atan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    delta_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    light, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360
    weight = 1.0
    for factor, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63)):
        weight += factor * math.cos(math.radians(times * hue + shift))
    s_l = 1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    bend = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    bend *= math.sin(math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2))))
    x, y, z = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return math.sqrt(x * x + y * y + z * z + bend * y * z)


def seen(text: str, how: str) -> Colour:
    colour = linear(text)
    red, green, blue = (
        min(1.0, max(0.0, sum(w * c for w, c in zip(row, colour, strict=True)))) for row in SIMULATIONS[how]
    )
    return red, green, blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_symbols_can_be_read_on_every_surface(theme: int) -> None:
    least = {"fg": 12.8, "fg-2": 6.3, "accent": 5.8, "control": 3.0, **dict.fromkeys(FAMILIES, 4.5)}
    for name, wanted in least.items():
        for surface in SURFACES:
            found = contrast(TOKENS[name][theme], TOKENS[surface][theme])
            assert found >= wanted, f"{name} on {surface}: {found:.1f}"


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_colours_of_programs_can_be_read_in_the_log(theme: int) -> None:
    for number in range(16):
        assert contrast(TOKENS[f"ansi-{number}"][theme], TOKENS["bg"][theme]) >= 4.8, number


@pytest.mark.parametrize("how", SIMULATIONS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_families_are_told_apart(theme: int, how: str) -> None:
    for a, b in combinations(FAMILIES, 2):
        distance = ciede2000(lab(seen(TOKENS[a][theme], how)), lab(seen(TOKENS[b][theme], how)))
        assert distance >= 11, f"{a} and {b}: {distance:.1f}"


def test_the_distance_is_the_published_one() -> None:
    """Three pairs of Sharma's test data."""
    for one, other, wanted in (
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ):
        assert ciede2000(one, other) == pytest.approx(wanted, abs=1e-4)


def test_no_colour_is_named_outside_the_tokens() -> None:
    for path in sorted((assets.STATIC / "css").glob("*.css")):
        if path.name != "tokens.css":
            assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", path.read_text(encoding="utf-8")), path.name
