#!/bin/sh
# Installs Winnow into the Python on the PATH from a lock file, and checks that nothing is missing.
#
#   install.sh worker|launcher        in the root of the repository
#
# Both Dockerfiles run this and nothing else to install; tests/integration/images.py runs it in clean environments.
set -eu

kind=$1
case $kind in
  worker) lock=requirements/base.txt left_out='^$' ;;
  launcher) lock=requirements/launcher.txt left_out='requires (torch|torchvision|timm), which is not installed' ;;
  *) echo "install.sh: worker or launcher, not $kind" >&2 && exit 2 ;;
esac

python -m pip install --disable-pip-version-check --no-cache-dir --quiet --require-hashes --no-deps -r "$lock"
python -m pip install --disable-pip-version-check --no-cache-dir --quiet --no-deps --no-build-isolation .

# What the launcher leaves out is the only thing that may be missing.
missing=$(python -m pip check --disable-pip-version-check | grep -Ev "^No broken requirements|$left_out" || true)
if [ -n "$missing" ]; then
  echo "$missing" >&2
  exit 1
fi
winnow recipes > /dev/null
