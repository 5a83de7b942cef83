#!/usr/bin/env bash
# What must hold before a version is tagged: bash run_scripts/check_release.sh
# The tree is clean; the version is that of the changelog's newest entry; docs/settings.md and docs/prompts.md are up to
# date; the wheel of the last commit builds, holds every file that it should, and works away from a checkout.
# It runs no tests: run_scripts/run_tests.sh does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
cd "$REPO_ROOT"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

version="$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/verl_coder/__init__.py)"
newest="$(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)"
[ "$version" = "$newest" ] ||
  fail "src/verl_coder/__init__.py says $version, and the newest entry of CHANGELOG.md is $newest" "write the entry, or the version"
say "version $version: the changelog's newest entry"

changed="$(git status --porcelain)"
[ -z "$changed" ] || fail "files that are not committed: $(head -n 3 <<<"$changed" | tr '\n' ' ')" "commit them, or put them away"
say "clean: nothing that is not committed"

for page in settings prompts; do
  "$PYTHON" -m "verl_coder.${page}_reference" --check >&2 ||
    fail "docs/$page.md is out of date" "python -m verl_coder.${page}_reference"
done
say "docs: settings and prompts are up to date"

mkdir "$scratch/source" "$scratch/away"
git archive HEAD | tar -x -C "$scratch/source"
"$PYTHON" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w "$scratch" "$scratch/source" >"$scratch/log" 2>&1 ||
  fail "the wheel does not build: $(tail -n 1 "$scratch/log")" "see what it says: python -m pip wheel --no-deps --no-build-isolation -w dist ."
wheel="$(echo "$scratch"/*.whl)"
case "$(basename "$wheel")" in "verl_coder-$version-"*) ;; *) fail "$(basename "$wheel") is not of version $version" "pyproject.toml" ;; esac
"$PYTHON" - "$wheel" <<'PYTHON' || fail "the wheel lacks files of the repository" "setup.py, and package-data in pyproject.toml"
import subprocess, sys, zipfile
from verl_coder.paths import CONTENT_FOLDERS, CONTENT_OF_THE_WHEEL
def tracked(folder): return subprocess.check_output(["git", "ls-files", "-z", folder], text=True).split("\0")[:-1]
wanted = {name.removeprefix("src/") for name in tracked("src/verl_coder")}
wanted |= {f"verl_coder/{CONTENT_OF_THE_WHEEL}/{name}" for folder in CONTENT_FOLDERS for name in tracked(folder)}
missing = sorted(wanted - set(zipfile.ZipFile(sys.argv[1]).namelist()))
print(f"wheel: {len(wanted) - len(missing)} of {len(wanted)} files", *missing[:5], sep="\n  ", file=sys.stderr)
sys.exit(bool(missing))
PYTHON

# Its dependencies are those of this environment: installing them anew would take minutes.
"$PYTHON" -m venv --without-pip "$scratch/venv"
packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
"$PYTHON" -m pip --python "$scratch/venv/bin/python" install -q --no-deps --no-index "$wheel" >"$scratch/log" 2>&1 ||
  fail "the wheel does not install: $(tail -n 1 "$scratch/log")" "install it by hand"
packages "$PYTHON" >"$(packages "$scratch/venv/bin/python")/dependencies.pth"
cd "$scratch/away"
unset VERL_CODER_ROOT PYTHONPATH
there="$(find "$REPO_ROOT/recipes" -mindepth 2 -maxdepth 2 -name recipe.yaml | wc -l)"
listed="$("$scratch/venv/bin/verl-coder" recipes --json | grep -c '"name"')" || listed=0
[ "$listed" = "$there" ] || fail "installed from the wheel, \`verl-coder recipes\` lists $listed of $there" "src/verl_coder/paths.py"
"$scratch/venv/bin/verl-coder" train --recipe tiny_cpu --dry-run >"$scratch/log" 2>&1 ||
  fail "installed from the wheel, tiny_cpu cannot be planned: $(tail -n 1 "$scratch/log")" "src/verl_coder/paths.py"
say "installed in an empty environment, away from the checkout: $listed recipes, and tiny_cpu is planned"
say "version $version can be tagged: git tag v$version"
