#!/bin/sh
# Downloads MNIST and the official Moving MNIST test file with checksums:
#   DATA/mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz    11.6 MB
#   DATA/moving-mnist/mnist_test_seq.npy                          819 MB
# A file that is there and right is kept. A download goes to NAME.part, gets its final name only
# after its checksum is right, and is removed otherwise.
#   $1, or DATA          where to (data)
#   MNIST_URL            folder with the four official names
#   MOVING_MNIST_URL     the npy file; empty: do not fetch it
set -u
DATA=${1:-${DATA:-data}}
MNIST_URL=${MNIST_URL:-https://ossci-datasets.s3.amazonaws.com/mnist}
toronto=http://www.cs.toronto.edu/~nitish/unsupervised_video
MOVING_MNIST_URL=${MOVING_MNIST_URL-$toronto/mnist_test_seq.npy}

part=
trap '[ -z "$part" ] || rm -f "$part"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "data: $*" >&2
    exit 1
}

# The checksum of a file by the tools of Linux, BSD and macOS.
digest() { # sha256|md5 FILE
    case $1 in
    sha256) { sha256sum "$2" || shasum -a 256 "$2"; } 2>/dev/null ;;
    md5) { md5sum "$2" || md5 -r "$2"; } 2>/dev/null ;;
    esac | cut -d ' ' -f 1
}

download() { # URL FILE
    if command -v curl >/dev/null 2>&1; then
        curl -fL --retry 2 --connect-timeout 20 -sS -o "$2" "$1"
    elif command -v wget >/dev/null 2>&1; then
        wget -q --tries=3 --timeout=60 -O "$2" "$1"
    else
        fail "neither curl nor wget is here; install one of them"
    fi
}

fetch() { # URL FILE sha256|md5 CHECKSUM
    if [ -f "$2" ] && [ "$(digest "$3" "$2")" = "$4" ]; then
        echo "data: $2 is there"
        return
    fi
    [ ! -e "$2" ] || fail "$2 has another $3 than the official file; move it away first"
    mkdir -p "$(dirname "$2")" || fail "cannot create $(dirname "$2")"
    echo "data: fetching $1"
    part=$2.part
    download "$1" "$part" ||
        fail "cannot download $1; is there a network? Everything but this runs on built-in digits"
    got=$(digest "$3" "$part")
    [ "$got" = "$4" ] || fail "$1 has $3 '$got', not $4; the download is dropped"
    mv "$part" "$2" || fail "cannot write $2"
    part=
}

mnist() { # NAME CHECKSUM
    fetch "$MNIST_URL/$1" "$DATA/mnist/$1" sha256 "$2"
}

mnist train-images-idx3-ubyte.gz 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
mnist train-labels-idx1-ubyte.gz 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
mnist t10k-images-idx3-ubyte.gz 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
mnist t10k-labels-idx1-ubyte.gz f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
[ -z "$MOVING_MNIST_URL" ] ||
    fetch "$MOVING_MNIST_URL" "$DATA/moving-mnist/mnist_test_seq.npy" md5 \
        be083ec986bfe91a449d63653c411eb2
echo "data: complete in $DATA"
