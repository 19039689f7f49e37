"""Makes libjpeg.tar.gz: small JPEGs of every kind, and the pixels that libjpeg-turbo makes of each.

    python3 make.py        # needs Pillow, and cjpeg on the path

Made with cjpeg of libjpeg-turbo 2.1.5 and Pillow 13.0.0, which has libjpeg-turbo 3.2.0. The files of one folder differ in
their scans alone, and so have the same pixels: those of `pixels.ppm`.
"""

import gzip
import io
import itertools
import math
import subprocess
import tarfile
import tempfile
from pathlib import Path

from PIL import Image

# By cjpeg's notation: components, then first and last coefficient, then the bits before and after.
SCANS = {
    "one": None,
    "each": "0;1;2;",
    "luma_apart": "0;1,2;",
    "last_apart": "0,1;2;",
    "backwards": "2;1;0;",
    "progressive": "progressive",
    "whole_bits": "0,1,2:0-0,0,0;0:1-63,0,0;1:1-63,0,0;2:1-63,0,0;",
    "bits_apart": "0:0-0,0,1;1:0-0,0,1;2:0-0,0,0;0:1-5,0,3;0:6-63,0,2;1:1-63,0,1;2:1-20,0,1;2:21-63,0,0;"
    "0:1-5,3,2;0:1-63,2,1;0:0-0,1,0;1:0-0,1,0;0:1-63,1,0;1:1-63,1,0;2:1-20,1,0;",
}
GREY_SCANS = {"one": None, "progressive": "progressive", "bits_apart": "0:0-0,0,2;0:1-9,0,1;0:0-0,2,1;0:10-63,0,0;0:0-0,1,0;0:1-9,1,0;"}
FEW_SCANS = ("one", "each", "bits_apart")


def picture(width, height):
    """Waves and a disc with sharp edges, in colours that move apart from lightness."""
    image = Image.new("RGB", (width, height))
    for y, x in itertools.product(range(height), range(width)):
        waves = (math.sin(x / 3 + y / 5), math.cos(x / 4 - y / 3), math.sin((x + y) / 6))
        disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2
        image.putpixel((x, y), (230, 40, 60) if disc else tuple(round(128 + 90 * wave) for wave in waves))
    return image


def cjpeg(image, *arguments, scans=None, quality="50"):
    command = ["cjpeg", "-quality", quality, *arguments]
    if scans == "progressive":
        command.append("-progressive")
    ppm = io.BytesIO()
    image.save(ppm, "PPM")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        if scans not in (None, "progressive"):
            script.write(scans)
            script.flush()
            command += ["-scans", script.name]
        return subprocess.run(command, input=ppm.getvalue(), check=True, capture_output=True).stdout


def pixels(jpeg):
    ppm = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).convert("RGB").save(ppm, "PPM")
    return ppm.getvalue()


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def scans_of(folder, image, names, *arguments, table=SCANS, **options):
    """Files of one folder; samplings that one scan cannot hold are left out of it."""
    files = {}
    for name in names:
        try:
            files[f"{folder}/{name}.jpg"] = cjpeg(image, *arguments, scans=table[name], **options)
        except subprocess.CalledProcessError as error:
            assert b"too large for interleaved scan" in error.stderr, error.stderr
    first, *others = [pixels(jpeg) for jpeg in files.values()]
    assert all(other == first for other in others), folder
    return {f"{folder}/pixels.ppm": first, **files}


def samplings():
    factors = [f"{h}x{v}" for h in (1, 2) for v in (1, 2)]
    for luma, chroma in itertools.product(factors, itertools.combinations_with_replacement(factors, 2)):
        yield ",".join((luma, *chroma)), SCANS
    for sampling in (
        ["4x1,1x1,1x1", "1x4,1x1,1x1", "4x2,1x1,1x1", "4x4,1x1,1x1", "4x2,2x1,1x2", "2x4,1x2,1x1", "4x4,2x4,4x1"]
        + ["1x1,4x1,1x1", "1x1,1x4,4x1", "3x1,1x1,1x1", "1x3,3x1,1x1", "3x3,1x3,1x1"]
    ):
        yield sampling, FEW_SCANS


def coloured(image):
    """One JPEG under marks and names of components that say different things about its colours."""
    plain = cjpeg(image, "-sample", "1x1")
    start, jfif, rest = plain[:2], plain[2:20], plain[20:]
    for ids in (b"\1\2\3", b"\0\1\2", b"RGB", b"rgb", b"BGR", b"\2\3\4"):
        named = bytearray(rest)
        frame, scan = named.index(b"\xff\xc0"), named.index(b"\xff\xda")
        named[frame + 10 : frame + 19 : 3] = named[scan + 5 : scan + 11 : 2] = ids
        adobe = {f"adobe_{transform}": segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])) for transform in range(4)}
        both = {f"jfif_{name}": jfif + mark for name, mark in adobe.items()}
        for name, mark in {"nothing": b"", "jfif": jfif, **adobe, **both}.items():
            yield f"colours/{ids.hex()}/{name}", start + mark + named


def inked(image):
    """Four components, with and without a transform."""
    for name, options in {
        "whole": {"subsampling": 0},
        "halved": {"subsampling": 2},
        "progressive": {"subsampling": 2, "progressive": True},
        "restarts": {"subsampling": 1, "restart_marker_blocks": 3},
    }.items():
        jpeg = io.BytesIO()
        image.convert("CMYK").save(jpeg, "JPEG", quality=90, **options)
        cmyk = jpeg.getvalue()
        transform = cmyk.index(b"Adobe") + 11
        yield f"ink/cmyk/{name}", cmyk
        yield f"ink/ycck/{name}", cmyk[:transform] + b"\2" + cmyk[transform + 1 :]
        yield f"ink/no_mark/{name}", cmyk[: transform - 15] + cmyk[transform + 1 :]


def segments(jpeg):
    """The parts of a file, each from its marker on; a scan's codes belong to its header."""
    starts, place = [], 2
    while jpeg[place + 1] != 0xD9:
        starts.append(place)
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        while jpeg[place] != 0xFF or jpeg[place + 1] == 0 or 0xD0 <= jpeg[place + 1] <= 0xD7:
            place += 1
    return [jpeg[start:end] for start, end in zip(starts, [*starts[1:], place])]


def changed_between_scans(image):
    """A table of steps that has another content for each scan, and restarts that are at other distances."""
    start, end = b"\xff\xd8", b"\xff\xd9"
    arguments = ("-sample", "2x2", "-restart")
    first, second, third = (segments(cjpeg(image, *arguments, f"{blocks}B", scans=SCANS["each"])) for blocks in (1, 4, 5))
    scan = [index for index, part in enumerate(first) if part[1] == 0xDA]
    interval = [index for index, part in enumerate(first) if part[1] == 0xDD]
    parts = first[: scan[1]] + [second[interval[0]], second[scan[1]], third[interval[0]], third[scan[2]]]
    yield "changed/restarts", start + b"".join(parts) + end

    steps = [part for part in first if part[1] == 0xDB]
    assert [part[4] for part in steps] == [0, 1]
    # All components name table 0, which is chroma's from the second scan on.
    frame = bytearray(next(part for part in first if part[1] == 0xC0))
    frame[12::3] = b"\0\0\0"
    of_chroma = steps[1][:4] + b"\0" + steps[1][5:]
    parts = [frame if part[1] == 0xC0 else part for part in first if part is not steps[1]]
    parts.insert(scan[1] - 1, of_chroma)
    yield "changed/steps", start + b"".join(parts) + end


def all_files():
    image, files = picture(21, 19), {}
    for sampling, scans in samplings():
        files |= scans_of(f"sampling/{sampling}", image, scans, "-sample", sampling)
    for sampling in ("2x2", "2x1", "1x1,2x2,1x1"):
        for interval in ("1B", "3B", "1", "2"):
            arguments = ("-sample", sampling, "-restart", interval)
            files |= scans_of(f"restarts/{sampling}/{interval}", image, SCANS, *arguments)
    for width, height in ((1, 1), (1, 17), (17, 1), (2, 3), (5, 4), (8, 8), (16, 16), (17, 17), (33, 9)):
        for sampling in ("2x2", "2x1", "1x2", "1x1", "1x1,2x2,1x1"):
            folder = f"size/{width}x{height}/{sampling}"
            files |= scans_of(folder, picture(width, height), FEW_SCANS, "-sample", sampling)
    for sampling, interval in (("1x1", "0"), ("2x2", "0"), ("2x1", "3B"), ("4x3", "1")):
        arguments = ("-grayscale", "-sample", sampling, "-restart", interval)
        files |= scans_of(f"grey/{sampling}", image, GREY_SCANS, *arguments, table=GREY_SCANS)
    for quality in ("1", "10", "100"):
        files |= scans_of(f"quality/{quality}", image, FEW_SCANS, "-sample", "2x2", quality=quality)
    files |= scans_of("rgb", image, FEW_SCANS, "-rgb")
    for folder, jpeg in (*coloured(image), *inked(image), *changed_between_scans(image)):
        files |= {f"{folder}/pixels.ppm": pixels(jpeg), f"{folder}/file.jpg": jpeg}
    return files


def main():
    path = Path(__file__).with_name("libjpeg.tar.gz")
    # Without the time, so that the same files are the same archive.
    with gzip.GzipFile(path, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in all_files().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
