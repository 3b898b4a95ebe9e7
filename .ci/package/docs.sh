#!/bin/sh
# docs.sh FOLDER: the API reference by Doxygen, from the public headers in $HEADERS as they are.
# The comments of the headers are plain text in columns, with formulas; docs-filter.awk hands them to
# Doxygen as such. Any warning is an error.
set -eu
out=$1
here=$(dirname "$0")
command -v doxygen >/dev/null 2>&1 || { echo "docs: skipped, no doxygen here"; exit 0; }
mkdir -p "$out"
doxygen - <<END
PROJECT_NAME = Weft
PROJECT_NUMBER = $VERSION
PROJECT_BRIEF = "Neural networks as plain C programs"
INPUT = $HEADERS
OUTPUT_DIRECTORY = $out
FILTER_PATTERNS = "*.h=awk -f $here/docs-filter.awk"
OPTIMIZE_OUTPUT_FOR_C = YES
EXTRACT_ALL = YES
WARN_IF_UNDOCUMENTED = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
QUIET = YES
MARKDOWN_SUPPORT = NO
AUTOLINK_SUPPORT = NO
TYPEDEF_HIDES_STRUCT = YES
FULL_PATH_NAMES = YES
STRIP_FROM_PATH = .
GENERATE_LATEX = NO
GENERATE_HTML = YES
SEARCHENGINE = YES
MACRO_EXPANSION = YES
SEARCH_INCLUDES = YES
INCLUDE_PATH = .
SKIP_FUNCTION_MACROS = NO
EXPAND_ONLY_PREDEF = NO
PREDEFINED = WF_API= "WF_PRINTF(a,b)=" DOXYGEN=1
END
echo "docs: $out/html/index.html"
