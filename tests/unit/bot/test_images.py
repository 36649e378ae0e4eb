"""Which images are accepted, and how others are refused."""

import base64
import re

import pytest
from pydantic import TypeAdapter, ValidationError

from bot.http.images import MAX_IMAGE_BYTES, ImageUrl, image_bytes
from tests.images import MAGIC, data_url, image

URL: TypeAdapter[str] = TypeAdapter(ImageUrl)
PNG, JPEG = (data_url(image(50, media_type), media_type) for media_type in ("image/png", "image/jpeg"))
FORMS = URL.json_schema()["anyOf"]


def refusal(url: str) -> str:
    with pytest.raises(ValidationError) as caught:
        URL.validate_python(url)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


def fits_schema(url: str) -> bool:
    # In JSON Schema, `$` matches only the very end, even after a line break.
    return any(len(url) <= form["maxLength"] and re.search(form["pattern"].replace("$", r"\Z"), url) for form in FORMS)


@pytest.mark.parametrize("media_type", MAGIC)
@pytest.mark.parametrize("size", [30, 31, 32, 3000])
def test_the_four_formats_are_accepted_unchanged(media_type: str, size: int) -> None:
    url = data_url(image(size, media_type), media_type)
    assert URL.validate_python(url) == url
    assert image_bytes(url) == size
    assert fits_schema(url)


def test_both_kinds_of_gif() -> None:
    url = data_url(b"GIF87a" + bytes(9), "image/gif")
    assert URL.validate_python(url) == url
    assert fits_schema(url)


@pytest.mark.parametrize("size", range(256))
def test_the_schema_has_a_webp_of_any_length(size: int) -> None:
    assert fits_schema(data_url(b"RIFF" + bytes([size, 255 - size, size, 255 - size]) + b"WEBP", "image/webp"))


def test_a_url_is_accepted_unchanged() -> None:
    for url in ("https://example.com/a.png", "https://example.com/" + "a" * 8172):
        assert URL.validate_python(url) == url
        assert image_bytes(url) == 0
        assert fits_schema(url)
    assert "8,192 characters" in refusal("https://example.com/" + "a" * 8173)


@pytest.mark.parametrize("head", ["DATA:image/png;base64", "data:Image/PNG;base64", "data:image/png;BASE64"])
def test_scheme_and_media_type_are_kept_in_lower_case(head: str) -> None:
    assert URL.validate_python(PNG.replace("data:image/png;base64", head)) == PNG


def test_image_jpg_becomes_image_jpeg() -> None:
    assert URL.validate_python(JPEG.replace("image/jpeg", "image/jpg")) == JPEG


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must start with https://"),
        ("http://example.com/a.png", "must start with https://"),
        ("HTTPS://example.com/a.png", "must start with https://"),
        ("file:///etc/passwd", "must start with https://"),
        (" " + PNG, "must start with https://"),
        ("data:", "PNG, JPEG, WebP or GIF"),
        ("data:,", "PNG, JPEG, WebP or GIF"),
        ("data:image/png;base64", "PNG, JPEG, WebP or GIF"),
        ("data:;base64,aaaa", "PNG, JPEG, WebP or GIF"),
        ("data:text/html;base64,PGI+", "PNG, JPEG, WebP or GIF"),
        ("data:image/svg+xml;base64,PHN2Zz4=", "PNG, JPEG, WebP or GIF"),
        ("data:image/svg+xml;utf8,<svg/>", "PNG, JPEG, WebP or GIF"),
        ("data:image/bmp;base64,Qk0=", "PNG, JPEG, WebP or GIF"),
        ("data: image/png;base64,aaaa", "PNG, JPEG, WebP or GIF"),
        ("data:image/png,%89PNG", "must be base64"),
        (PNG.replace("png;", "png;charset=utf-8;"), "no parameters"),
        (PNG.replace("png;", "png;name=a.png;"), "no parameters"),
        (PNG.replace("png;", "png; "), "no parameters"),
        ("data:image/png;base64,", "nothing after the comma"),
        (PNG[:-1], "complete base64"),
        (PNG + "=", "complete base64"),
        (PNG + "AA==", "complete base64"),
        (PNG[:60] + "\n" + PNG[60:], "white space"),
        (PNG[:60] + " " + PNG[60:], "white space"),
        (PNG + "\n", "white space"),
        (PNG[:60] + "%2B" + PNG[63:], "complete base64"),
        (PNG[:60] + "é" + PNG[61:], "complete base64"),
        (PNG[:60] + "-" + PNG[61:], "standard base64"),
        (PNG[:60] + "_" + PNG[61:], "standard base64"),
        (PNG.replace("image/png", "image/gif"), "claims image/gif, but its bytes are image/png"),
        (JPEG.replace("image/jpeg", "image/webp"), "claims image/webp, but its bytes are image/jpeg"),
        (data_url(b"<html>", "image/png"), "none of the four"),
        (data_url(b"RIFF\x00\x00\x00\x00WAVEfmt ", "image/webp"), "none of the four"),
        (data_url(b"\x00" + image(30, "image/png"), "image/png"), "none of the four"),
    ],
    ids=lambda value: value[:40],
)
def test_anything_else_is_refused_with_what_is_allowed(url: str, said: str) -> None:
    assert said in refusal(url)
    assert not fits_schema(url)


def test_base64_with_leftover_bits_is_refused() -> None:
    url = data_url(image(31, "image/png"), "image/png")
    assert url.endswith("==")
    spoilt = url[:-3] + chr(ord(url[-3]) + 1) + "=="
    assert base64.b64decode(spoilt.partition(",")[2], validate=True) == image(31, "image/png"), "Python takes it"
    assert "bits" in refusal(spoilt)
    assert not fits_schema(spoilt)


def test_the_refusal_does_not_repeat_the_image() -> None:
    secret = base64.b64encode(b"secret" * 10).decode()
    assert secret[:20] not in refusal(f"data:image/png;base64,{secret}")


def test_an_image_at_the_limit_fits_the_schema_and_its_size_is_known() -> None:
    url = data_url(image(MAX_IMAGE_BYTES))
    assert URL.validate_python(url) == url
    assert image_bytes(url) == MAX_IMAGE_BYTES
    assert fits_schema(url)
