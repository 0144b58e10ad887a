#!/bin/sh
# Proves the GPU path in one call: sets up a Python for it, then runs prove.py, which writes JSON.
#
#   benchmarks/gpu/prove.sh [--wheels FOLDER] [--out FILE] [--only NAME,...] [--seconds N] [--rehearse]
#
# --wheels FOLDER: a machine without network. Everything is installed from the wheels in FOLDER into a virtual
#   environment in the temporary folder; what lies there as pycuda-*.tar.gz is built without curand (its needs, such as
#   pytools and mako, as wheels beside it), in the background; its proof waits for it. FOLDER is made on a machine
#   with network by
#       pip download -d FOLDER '.[gpu,test]' cuda-core cuda-bindings nvidia-cuda-nvrtc setuptools wheel
#       pip download -d FOLDER --no-binary pycuda pycuda
#   and may hold nvidia_cuda_sanitizer_api, tensorrt or tensorrt_rtx wheels too.
# Without it: the Python that PYTHON names (default: python3), as it is.
# LIVEMATTE_PROVE_ENV: where the environment goes; one that is there already is used again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
wheels=
seconds=470
begin=$(date +%s)
set -- "$@" --end-of-arguments
while [ "$1" != --end-of-arguments ]; do
    case $1 in
        --wheels) wheels=$(cd "$2" && pwd); shift 2 ;;
        --wheels=*) wheels=$(cd "${1#*=}" && pwd); shift ;;
        --seconds) seconds=$2; shift 2 ;;
        *) set -- "$@" "$1"; shift ;;
    esac
done
shift

install() { "$python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" "$@"; }

build_pycuda() {
    sdist=$(ls "$wheels"/pycuda-*.tar.gz 2>/dev/null | tail -n 1)
    [ -n "$sdist" ] || { : > "$1/done"; return 0; }
    work=$1
    tar -xzf "$sdist" -C "$work" --strip-components 1
    toolkit=${CUDA_ROOT:-/usr/local/cuda}
    driver=$(ldconfig -p 2>/dev/null | sed -n 's/.*libcuda\.so\.1.*=> \(.*\)\/libcuda\.so\.1$/\1/p' | head -n 1)
    mkdir "$work/link"
    ln -s "${driver:-/usr/lib/x86_64-linux-gnu}/libcuda.so.1" "$work/link/libcuda.so"
    cat > "$work/siteconf.py" <<SITECONF
BOOST_INC_DIR = []
BOOST_LIB_DIR = []
BOOST_COMPILER = 'gcc43'
USE_SHIPPED_BOOST = True
BOOST_PYTHON_LIBNAME = ['boost_python']
BOOST_THREAD_LIBNAME = ['boost_thread']
CUDA_TRACE = False
CUDA_ROOT = '$toolkit'
CUDA_ENABLE_GL = False
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = ['$work/link', '$toolkit/lib64/stubs']
CUDADRV_LIBNAME = ['cuda']
CUDART_LIB_DIR = ['$toolkit/lib64']
CUDART_LIBNAME = ['cudart']
CURAND_LIB_DIR = []
CURAND_LIBNAME = []
CXXFLAGS = []
LDFLAGS = []
SITECONF
    (cd "$work" && install --no-build-isolation .) > "$work/log" 2>&1 \
        || { echo "pycuda could not be built:"; tail -n 5 "$work/log"; }
    : > "$work/done"
}

if [ -n "$wheels" ]; then
    place=${LIVEMATTE_PROVE_ENV:-$(mktemp -d)/venv}
    if [ ! -x "$place/bin/python" ]; then
        "$python" -m venv "$place" || { echo "this Python has no venv; name another by PYTHON"; exit 1; }
        python=$place/bin/python
        for wheel in "$wheels"/*.whl; do
            case $(basename "$wheel") in livematte-*) continue ;; esac
            install --no-deps "$wheel" || echo "left out: $(basename "$wheel") does not fit this machine"
        done
        LIVEMATTE_PYCUDA_BUILD=$(mktemp -d)
        export LIVEMATTE_PYCUDA_BUILD
        build_pycuda "$LIVEMATTE_PYCUDA_BUILD" &
    fi
    python=$place/bin/python
fi
spent=$(( $(date +%s) - begin ))
PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}" exec "$python" "$here/prove.py" --seconds $(( seconds - spent )) "$@"
