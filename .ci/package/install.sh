#!/bin/sh
# install.sh install|uninstall|list: what `make install` puts where, told once.
#
# Reads from the environment: B (build folder), PREFIX, DESTDIR, VERSION, SONAME, LIBS (of static
# linking), HEADERS (public headers in the source tree, whose names are distinct).
# A file is installed under DESTDIR PREFIX and knows PREFIX only. uninstall removes these files and
# the two folders that are Weft's own, if nothing else lies in them; a file of someone else stays.
set -eu
root=$DESTDIR$PREFIX
here=$(dirname "$0")

list() {
    for h in $HEADERS; do echo "include/weft/${h##*/}"; done
    printf '%s\n' lib/libweft.a "lib/libweft.so.$VERSION" "lib/$SONAME" lib/libweft.so \
        lib/pkgconfig/weft.pc lib/cmake/weft/weft-config.cmake \
        lib/cmake/weft/weft-config-version.cmake bin/convlstm share/man/man1/convlstm.1 \
        share/man/man3/weft.3 share/bash-completion/completions/convlstm \
        share/zsh/site-functions/_convlstm
}

# Text from stdin becomes the file $1.
text() { cat > "$root/$1" && chmod 644 "$root/$1"; }
fill() {
    sed "s,@PREFIX@,$PREFIX,g; s,@VERSION@,$VERSION,g; s,@SONAME@,$SONAME,g; s,@LIBS@,$LIBS,g;
        s,@LIBLIST@,$(echo $LIBS | tr ' ' ';'),g" "$here/$1"
}

install_all() {
    list | sed 's,/[^/]*$,,' | sort -u | while read -r d; do mkdir -p "$root/$d"; done
    for h in $HEADERS; do
        sed 's,#include "[a-z]*/\(.*\)",#include <weft/\1>,' "$h" | text "include/weft/${h##*/}"
    done
    install -m 644 "$B/package/libweft.a" "$root/lib/libweft.a"
    install -m 755 "$B/libweft.so" "$root/lib/libweft.so.$VERSION"
    ln -sf "libweft.so.$VERSION" "$root/lib/$SONAME"
    ln -sf "$SONAME" "$root/lib/libweft.so"
    install -m 755 "$B/convlstm" "$root/bin/convlstm"
    fill weft.pc.in | text lib/pkgconfig/weft.pc
    fill weft-config.cmake.in | text lib/cmake/weft/weft-config.cmake
    fill weft-config-version.cmake.in | text lib/cmake/weft/weft-config-version.cmake
    fill weft.3.in | text share/man/man3/weft.3
    "$B/convlstm" --man | text share/man/man1/convlstm.1
    "$B/convlstm" --completion bash | text share/bash-completion/completions/convlstm
    "$B/convlstm" --completion zsh | text share/zsh/site-functions/_convlstm
}

uninstall_all() {
    list | while read -r f; do rm -f "$root/$f"; done
    for d in include/weft lib/cmake/weft; do rmdir "$root/$d" 2>/dev/null || :; done
}

case ${1:-} in
list) list ;;
install) install_all ;;
uninstall) uninstall_all ;;
*) echo "usage: install.sh install|uninstall|list" >&2; exit 2 ;;
esac
