# Comments of a header for Doxygen: a block becomes /** with its first sentence in plain text and the
# whole verbatim, so that columns, formulas, < and @ stay as they are; a comment behind code belongs
# to what it is behind. The first block of a file is the file's.
function plain(s) {
    gsub(/[\\@&$#<>"%.|]/, "\\\\&", s) # Doxygen's special characters
    gsub(/::/, "\\::", s)
    return s
}
function write_block(   i, all, sentence, end) {
    all = ""
    for (i = 1; i <= n; i++) all = all (i > 1 ? " " : "") text[i]
    sub(/^[-= ]+/, "", all)
    sub(/[-= ]+$/, "", all)
    gsub(/  +/, " ", all)
    end = match(all, /[.:] /)
    sentence = end ? substr(all, 1, end - 1) : all
    sub(/\.$/, "", sentence)
    printf "/** %s\\brief %s\n\n\\verbatim\n", files++ ? "" : "\\file\n", plain(sentence)
    for (i = 1; i <= n; i++) print text[i]
    print "\\endverbatim\n*/"
    n = 0
}
function strip(s) {
    sub(/^ *\/\* ?/, "", s)
    sub(/^ \* ?/, "", s)
    sub(/ *\*\/$/, "", s)
    return s
}
in_block {
    text[++n] = strip($0)
    if (/\*\//) { in_block = 0; write_block() }
    next
}
/^\/\*/ {
    if (/^\/\* ---/ && /\*\/ *$/) next # a rule between chapters
    text[++n] = strip($0)
    if (/\*\/ *$/) write_block()
    else in_block = 1
    next
}
# Behind code: one line, or the first of several.
behind {
    line = $0
    if (/\*\//) behind = 0
    print line
    next
}
/^ .*[;,({] *\/\* / || /^[^\/].*[;,] *\/\* / || /^ +[A-Za-z_0-9]+ +\/\* / {
    at = index($0, "/* ")
    rest = substr($0, at + 3)
    if (rest !~ /\*\//) behind = 1
    print substr($0, 1, at - 1) "/**< " rest
    next
}
/^ +\/\* / { sub(/\/\* /, "/** "); print; if ($0 !~ /\*\//) behind = 1; next }
{ print }
