"""The package with the real torch: python3 -m unittest discover -s crates/python/tests, where the wheel is installed."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import densesiam
import numpy as np
import torch


class WithPictures(unittest.TestCase):
    """Twenty-four pictures of 96 px with a bright square each."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name)
        (cls.root / "pictures").mkdir()
        draws = np.random.default_rng(1)
        for number in range(24):
            pixels = draws.integers(0, 120, (96, 96, 3), dtype=np.uint8)
            x, y = draws.integers(0, 60, 2)
            pixels[y : y + 32, x : x + 32] = draws.integers(120, 255, 3)
            _png(cls.root / "pictures" / f"{number:02}.png", pixels)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()


def _png(path, pixels):
    """An uncompressed PNG, so that the tests need no library of pictures."""
    import struct
    import zlib

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


SMALL = {
    "augment": {"size": 64},
    "encoder": {"architecture": "resnet18"},
    "pixsim": {"dim": 8, "grid": 3},
    "regionsim": {"dim": 8},
    "global_": {"dim": 16},
    "train": {"batch_size": 8, "duration": "4 steps", "log_every": "1 steps"},
}


class TestSettings(unittest.TestCase):
    def test_tables_are_keys(self):
        from densesiam._program import settings

        tables = {"train": {"batch_size": np.int64(8)}, "global_": {"dim": 16}, "data": {"root": Path("a b")}}
        self.assertEqual(settings(tables), ["train.batch_size=8", "global.dim=16", "data.root=a b"])
        self.assertEqual(settings({"objects": {"train": ["ü"]}, "a": True}), ['objects.train=["ü"]', "a=true"])
        with self.assertRaisesRegex(densesiam.Error, "data.root is None"):
            settings({"data": {"root": None}})

    def test_the_command_does_not_wait_for_torch(self):
        script = "import sys, densesiam._program; sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_the_torch_that_is_asked_for_is_the_one_that_is_checked(self):
        import importlib.metadata

        from densesiam._program import TORCH

        self.assertIn(f"torch=={TORCH}", importlib.metadata.requires("densesiam"))


class TestRuns(WithPictures):
    def pretrained(self, name, **tables):
        run = {"dir": self.root / "runs", "name": name, "device": "cpu", "precision": "fp32", "threads": 1}
        return densesiam.pretrain(self.root / "pictures", "folder_r18", quiet=True, run=run, **{**SMALL, **tables})

    def test_a_run_has_its_recipe_its_numbers_and_its_encoder(self):
        run = self.pretrained("one")
        self.assertEqual(run.path, self.root / "runs" / "one")
        self.assertEqual(run.recipe["train"]["batch_size"], 8)
        self.assertEqual(list(run.metrics["step"]), [1, 2, 3, 4])
        self.assertTrue(np.isfinite(run.metrics["loss"]).all())
        encoder = run.encoder("torchvision").eval()
        with torch.no_grad():
            self.assertEqual(encoder(torch.zeros(2, 3, 64, 64)).shape, (2, 512))
        try:
            import timm  # noqa: F401
        except ImportError:
            self.skipTest("timm is not installed")
        other = run.encoder("timm").eval()
        with torch.no_grad():
            pictures = torch.randn(2, 3, 64, 64)
            torch.testing.assert_close(other(pictures), encoder(pictures), rtol=1e-4, atol=1e-5)

    def test_what_the_program_refuses_is_an_error_with_its_code(self):
        with self.assertRaises(densesiam.Error) as caught:
            self.pretrained("wrong", train={"batch_size": -1})
        self.assertEqual(caught.exception.code, 2)
        self.assertIn("train.batch_size", str(caught.exception))
        with self.assertRaises(densesiam.Error):
            densesiam.Run(self.root)

    def test_a_run_that_is_there_is_taken_up_or_refused(self):
        self.pretrained("twice")
        with self.assertRaises(densesiam.Error):
            self.pretrained("twice")

    def test_what_is_not_finite_is_no_number(self):
        run = self.pretrained("gaps")
        with open(run.path / "metrics.jsonl", "a") as file:
            file.write('{"step": 5, "loss": null}\n')
        self.assertTrue(np.isnan(run.metrics["loss"][-1]))

    def test_an_interrupt_ends_the_program_with_its_state_saved(self):
        script = f"""
import densesiam
tables = {SMALL!r}
tables["train"]["duration"] = "100000 steps"
run = {{"dir": {str(self.root / "runs")!r}, "name": "stopped", "device": "cpu", "threads": 1}}
densesiam.pretrain({str(self.root / "pictures")!r}, "folder_r18", run=run, **tables)
"""
        child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
        for line in child.stderr:
            if line.startswith("pretrain 2/"):
                break
        child.send_signal(signal.SIGINT)
        _, said = child.communicate()
        self.assertIn("KeyboardInterrupt", said)
        kept = [folder.name for folder in (self.root / "runs" / "stopped" / "checkpoints").iterdir()]
        self.assertTrue(any(int(name) > 0 for name in kept if name.isdigit()), kept)

    def test_the_program_is_on_the_path(self):
        program = Path(sys.executable).parent / "densesiam"
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, env=os.environ)
        self.assertTrue(said.stdout.startswith("densesiam "))
        failed = subprocess.run([program, "pretrain", "no_such_recipe"], capture_output=True, text=True, check=False)
        self.assertNotEqual(failed.returncode, 0)


class TestTypes(unittest.TestCase):
    def test_the_package_and_what_calls_it_have_types(self):
        try:
            from mypy import api
        except ImportError:
            self.skipTest("mypy is not installed")
        # As a user's program sees the package: installed, with its own types.
        calls = """
from pathlib import Path
import densesiam, torch
run = densesiam.pretrain("pictures", "folder_r18", train={"duration": "4 steps"}, global_={"dim": 16})
loss: float = run.metrics["loss"][-1].item()
encoder: torch.nn.Module = run.encoder("timm")
for batch in densesiam.loader(Path("pictures"), size=48):
    one: torch.Tensor = batch.pixels()[0]
answer: str = densesiam.run_program("inspect", run.path)
"""
        wrong = "import densesiam\ndensesiam.pretrain(7)\ndensesiam.Run('a').encoder('other')\n"
        with tempfile.TemporaryDirectory() as folder:
            strict = ["--strict", f"--cache-dir={folder}", "--disable-error-code=import-untyped"]
            told, failed, code = api.run([*strict, "-p", "densesiam"])
            self.assertEqual(code, 0, told + failed)
            for name, text, errors in [("calls.py", calls, 0), ("wrong.py", wrong, 2)]:
                file = Path(folder) / name
                file.write_text(text)
                told, failed, _ = api.run([*strict, str(file)])
                self.assertEqual(told.count("error:"), errors, told + failed)


class TestLoader(WithPictures):
    def batches(self, count, **settings):
        loader = densesiam.loader(self.root / "pictures", size=48, batch_size=8, workers=1, **settings)
        return [next(loader) for _ in range(count)]

    def test_batches_are_tensors_of_a_fixed_order(self):
        one, two = self.batches(4), self.batches(4)
        for batch, again in zip(one, two):
            self.assertEqual(batch.views[0].shape, (8, 3, 48, 48))
            self.assertEqual(batch.views[0].dtype, torch.uint8)
            self.assertTrue(batch.views[0].is_contiguous(memory_format=torch.channels_last))
            self.assertTrue(torch.equal(batch.views[1], again.views[1]))
            self.assertTrue(torch.equal(batch.samples, again.samples))
        self.assertEqual([batch.epoch for batch in one], [0, 0, 0, 1])
        self.assertEqual(sorted(sum((batch.samples.tolist() for batch in one[:3]), [])), list(range(24)))
        later = self.batches(1, start=2)[0]
        self.assertTrue(torch.equal(later.views[0], one[2].views[0]))

    def test_nothing_is_copied(self):
        native = densesiam.loader(self.root / "pictures", size=48, batch_size=8)._native
        batch = next(native)
        tensor = torch.from_numpy(batch.views[0]).permute(0, 3, 1, 2)
        self.assertEqual(tensor.data_ptr(), batch.views[0].ctypes.data)
        self.assertIsNot(batch.views[0].base, None)

    def test_the_grids_show_the_same_points_of_the_picture(self):
        # Without changes of colour both views read the same picture, so that what they show at the same points is alike.
        plain = {"jitter_probability": 0.0, "grayscale_probability": 0.0, "blur_probability": 0.0}
        [batch] = self.batches(1, grid=5, **plain)
        self.assertTrue(batch.overlaps.any())
        read = [
            torch.nn.functional.grid_sample(view, grid, align_corners=False, padding_mode="border")
            for view, grid in zip(batch.pixels(), batch.grids)
        ]
        apart = (read[0] - read[1])[batch.overlaps].abs().mean()
        shuffled = (read[0] - read[1].flip(2))[batch.overlaps].abs().mean()
        self.assertLess(apart, 0.7 * shuffled)

    def test_what_is_wrong_is_said(self):
        with self.assertRaisesRegex(ValueError, "unknown field `sise`"):
            densesiam.loader(self.root / "pictures", sise=48)
        with self.assertRaisesRegex(ValueError, "scale"):
            densesiam.loader(self.root / "pictures", scale=[0.0, 2.0])
        with self.assertRaises(ValueError):
            densesiam.loader(self.root / "nowhere")


if __name__ == "__main__":
    unittest.main()
