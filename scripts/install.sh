# Sourced by quickstart.sh and test.sh: puts an environment with medwsss first on the PATH. Usage: . install.sh EXTRAS
# MEDWSSS_ENV names the environment folder. Under CI it lies in the user's cache folder, keyed by pyproject.toml and
# the Python version, so that runs neither install 6 GB again nor fill the disk.
extras=$1
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || {
  echo "error: medwsss needs Python 3.11 to 3.13, $python is $("$python" --version 2>&1); set PYTHON=/path/to/python3.x" >&2
  exit 2
}
key=$({ "$python" --version; cat pyproject.toml; } | sha256sum | cut -c1-16)
if [ -n "${MEDWSSS_ENV:-}" ]; then
  env_dir=$MEDWSSS_ENV
elif [ -n "${CI:-}" ]; then
  store=${XDG_CACHE_HOME:-$HOME/.cache}/medwsss-ci
  env_dir=$store/$key
  mkdir -p "$store"
  find "$store" -mindepth 1 -maxdepth 1 ! -path "$env_dir" -exec rm -rf {} +
else
  env_dir=.venv
fi
done_mark=$env_dir/.complete-$key$extras
if [ ! -e "$done_mark" ]; then
  echo "installing into $env_dir (about 6 GB with torch; some minutes)"
  [ -x "$env_dir/bin/python" ] || "$python" -m venv "$env_dir"
  "$env_dir/bin/python" -m pip install --quiet --upgrade pip
  "$env_dir/bin/python" -m pip install --quiet --editable ".$extras"
  touch "$done_mark"
elif [ -n "${CI:-}" ]; then # the environment is shared between checkouts: point it at this one
  "$env_dir/bin/python" -m pip install --quiet --no-deps --editable .
fi
env_dir=$(cd "$env_dir" && pwd)
export PATH="$env_dir/bin:$PATH"
