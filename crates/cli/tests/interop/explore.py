"""The page of `densesiam explore` in Chromium: what it highlights is what PyTorch computes from the same encoder."""

import pathlib
import shutil
import sys

address, pictures, run = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
try:
    import torch
    import torchvision
    from playwright.sync_api import sync_playwright
except ImportError as missing:
    print(f"explore: left out, {missing}")
    sys.exit()
if browser is None:
    print("explore: left out, there is no Chromium on the path")
    sys.exit()

import numpy
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

STRIDE, SIZE = 32, 64


def maps():
    """The last map of each picture, of length 1 in each cell, by name."""
    encoder = torchvision.models.resnet18()
    encoder.fc = torch.nn.Identity()
    encoder.load_state_dict(load_file(run / "encoder.safetensors"))
    encoder.eval()
    trunk = torch.nn.Sequential(*list(encoder.children())[:-2])
    mean, deviation = [torch.tensor(values).view(3, 1, 1) for values in [(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)]]
    by_name = {}
    for path in sorted(pictures.iterdir()):
        picture = Image.open(path).convert("RGB")
        width, height = picture.size
        scale = SIZE / min(width, height)
        seen = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(numpy.asarray(seen).copy()).permute(2, 0, 1) / 255
        with torch.no_grad():
            by_name[path.name] = F.normalize(trunk(((pixels - mean) / deviation)[None])[0], dim=0)
    return by_name


def nearest(by_name, name, cell):
    """The best cosine of each other picture with a cell, the largest first."""
    asked = by_name[name][:, cell[1], cell[0]]
    best = {other: torch.einsum("c,chw->hw", asked, found) for other, found in by_name.items() if other != name}
    return sorted(((cosines.max().item(), other, cosines) for other, cosines in best.items()), key=lambda one: -one[0])


def check(page, by_name, cell):
    """What is shown of the first encoder is the order that PyTorch computes, but for cosines that are nearly the same."""
    name = page.locator("#picture-name").text_content()
    shown = page.locator("[data-encoder='0'] .nearest button")
    shown.first.wait_for()
    expected = nearest(by_name, name, cell)
    cosines = dict((other, found) for _, other, found in expected)
    for place in range(8):
        button = shown.nth(place)
        other, told = button.get_attribute("title"), float(button.get_attribute("data-cosine"))
        column, row = map(int, button.get_attribute("data-cell").split(","))
        assert abs(told - expected[place][0]) < 0.02, (place, told, expected[place][:2])
        assert abs(told - cosines[other][row, column].item()) < 0.02, (place, other, told)
    return expected[0][0]


def until(page, condition, argument=None):
    """Waits for a function of JavaScript; the page's policy forbids the driver's own way."""
    for _ in range(600):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition} of {argument}")


def named(page, name):
    until(page, "name => document.getElementById('picture-name').textContent === name", name)


def stage(page):
    return page.locator("[data-encoder='0'] .stage")


def at_cell(page, cell):
    until(page, "cell => document.querySelector('[data-encoder=\"0\"]').dataset.cell === cell", cell)


def look(page, by_name, width):
    page.set_viewport_size({"width": width, "height": 900})
    outside = []
    page.on("request", lambda request: None if request.url.startswith(address) else outside.append(request.url))
    page.goto(address + "#3,0.5000,0.5000")
    page.locator("[data-encoder='1'] .nearest button").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width} px: wider than the window"

    # By mouse: the lower right cell.
    box = stage(page).bounding_box()
    stage(page).click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.8})
    at_cell(page, "2,1")
    first = check(page, by_name, (2, 1))
    # By keyboard: a cell to the left, then the best patch of another picture.
    stage(page).focus()
    page.keyboard.press("ArrowLeft")
    at_cell(page, "1,1")
    check(page, by_name, (1, 1))
    button = page.locator("[data-encoder='0'] .nearest button").first
    name, cell = button.get_attribute("title"), button.get_attribute("data-cell")
    button.focus()
    page.keyboard.press("Enter")
    named(page, name)
    at_cell(page, cell)
    page.keyboard.press("n")
    until(page, "name => document.getElementById('picture-name').textContent !== name", name)
    page.go_back()
    named(page, name)
    # Layers.
    opaque = "() => document.querySelector('[data-encoder=\"0\"] canvas').getContext('2d').getImageData(0, 0, 1, 1).data[3]"
    page.get_by_label("features as colours").check()
    until(page, f"{opaque} > 0")
    page.get_by_label("pseudo-categories").check()
    page.locator("[data-encoder='0'] .key li").first.wait_for()
    page.get_by_label("picture alone").check()
    until(page, f"{opaque} === 0")
    page.locator("#name").fill("nothing of this name")
    until(page, "() => document.getElementById('count').textContent === '0 pictures'")
    assert not outside, outside
    return first


by_name = maps()
with sync_playwright() as driver:
    chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    for width in [1400, 390]:
        page = chromium.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        best = look(page, by_name, width)
        assert not faults, faults
        print(f"explore: {width} px wide, by mouse and keyboard; the best of the first point has cosine {best:.3f}")
        page.close()
    chromium.close()
