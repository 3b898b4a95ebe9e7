/* The README's table of operations is the one that the descriptors make: `make optable` writes it
 * anew, between two marks. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op_table.h"

#define FIRST_MARK "<!-- operations: written by make optable -->\n\n"
#define LAST_MARK "\n<!-- end of operations -->\n"

static char *read_readme(void) {
    FILE *f = fopen("README.md", "r");
    cr_assert(f, "README.md");
    char *text = calloc(1, 1 << 20);
    cr_assert(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

Test(op_table, readme_has_the_table) {
    char *table;
    size_t n;
    FILE *f = open_memstream(&table, &n);
    op_table_write(f);
    fclose(f);
    char *text = read_readme();
    char *first = strstr(text, FIRST_MARK), *last = strstr(text, LAST_MARK);
    cr_assert(first && last && first < last, "README.md has lost the marks of the table");
    first += strlen(FIRST_MARK);
    const char *write = getenv("WEFT_OP_TABLE");
    if (write && strcmp(write, "write") == 0) {
        f = fopen("README.md", "w");
        cr_assert(f && fwrite(text, 1, (size_t)(first - text), f) == (size_t)(first - text) &&
                  fputs(table, f) >= 0 && fputs(last, f) >= 0 && fclose(f) == 0);
    } else {
        cr_assert((size_t)(last - first) == n && memcmp(first, table, n) == 0,
                  "the table of operations in README.md is old: make optable");
    }
    cr_assert(strstr(table, "| `mul` | real i32 i64 (2) | = | `mul(g, b);  mul(g, a)` | group |"),
              "%s", table);
    free(table);
    free(text);
}
