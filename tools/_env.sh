# Sourced by quickstart.sh and run_tests.sh: a Python environment with this
# package in it. Uses an active environment, or makes .venv in the checkout.
# A second start finds the stamp of the first and installs nothing.

vifi_fail() { echo "error: $*" >&2; exit 2; }

# vifi_env EXTRAS: sets PYTHON. EXTRAS is '' or e.g. '[test]'.
vifi_env() {
    local extras="$1" root stamp prefix
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    cd "$root"
    if [ -n "${VIRTUAL_ENV:-}" ] || [ -n "${CONDA_PREFIX:-}" ]; then
        PYTHON="$(command -v python)" || vifi_fail "the active environment has no python"
    else
        if [ ! -x .venv/bin/python ]; then
            command -v python3 >/dev/null || vifi_fail "python3 is not installed"
            python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
                vifi_fail "Python 3.10 to 3.13 is needed, python3 is $(python3 --version)"
            echo "Making the environment $root/.venv"
            python3 -m venv .venv || vifi_fail "python3 -m venv failed (Debian: apt-get install python3-venv)"
        fi
        PYTHON="$root/.venv/bin/python"
    fi
    prefix="$("$PYTHON" -c 'import sys; print(sys.prefix)')"
    stamp="$(cat setup.cfg constraints.txt pyproject.toml | sha256sum | cut -c1-16)"
    stamp="$stamp-$(echo "$root" | sha256sum | cut -c1-8)"
    # Extras only add to the plain installation, so any stamp serves for it.
    if [ -z "$extras" ] && compgen -G "$prefix/.vifi_clip*-$stamp" >/dev/null; then
        return
    fi
    stamp="$prefix/.vifi_clip${extras}-$stamp"
    if [ ! -e "$stamp" ]; then
        echo "Installing into $prefix (about 6 GB with PyTorch's CUDA libraries)"
        "$PYTHON" -m pip install --disable-pip-version-check -c constraints.txt -e ".$extras" ||
            vifi_fail "the installation failed; see above"
        touch "$stamp"
    fi
}
