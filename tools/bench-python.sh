#!/usr/bin/env bash
# Makes sure that python3 has what the programs of benches/peers need: its own packages where they are of these versions,
# else they are fetched by pip into .bench-python (5 GB on disk, once).
set -euo pipefail
cd "$(dirname "$0")/.."
# pip before 22.1 knows no such option, and ignores the variable.
export PIP_ROOT_USER_ACTION=ignore
folder=.bench-python
export NO_ALBUMENTATIONS_UPDATE=1

complete() {
  PYTHONPATH="$folder${PYTHONPATH:+:$PYTHONPATH}" python3 - <<'PYTHON' 2>/dev/null
import albumentations, cv2, lightly.loss, lightly.models.modules, numpy, PIL, safetensors, torch, torchvision
assert torch.__version__.split("+")[0] == "2.11.0" and torchvision.__version__.split("+")[0] == "0.26.0"
assert albumentations.__version__ == "2.0.8" and lightly.__version__ == "1.6.0"
PYTHON
}

if ! complete; then
  echo "fetching torch 2.11.0, torchvision 0.26.0, Albumentations and lightly for the comparison (5 GB on disk, once)" >&2
  python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$folder" \
    torch==2.11.0 torchvision==0.26.0 numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0 \
    albumentations==2.0.8 opencv-python-headless==5.0.0.93
  # Its losses and heads need torch and torchvision alone; what else it names is for its command line and its Lightning modules.
  python3 -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target "$folder" lightly==1.6.0
  complete || { echo "error: $folder cannot be used with $(python3 --version); remove it and try again" >&2; exit 1; }
fi
